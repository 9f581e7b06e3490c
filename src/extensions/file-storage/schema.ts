/** Version of the tables, in `user_version` and in `meta`. A change of the tables is a migration in `open.ts`. */
export const SCHEMA_VERSION = 1;

/** A quarter of the reachable numbers: 512 queues with 2^44 rows each, all within what a double holds exactly. */
export const ROWS_PER_QUEUE = 2 ** 44;
export const MOST_QUEUES = 511;
/** The namespace in which the names of queues stand once more, for the day on which `queues` cannot be read. */
export const QUEUE_NAMES = 'queues';

/**
 * `records.seq` is `queue * 2^44 + n`, so that the rows of one queue lie together without an index. What rows of a batch
 * share (resource, scope, origin) is one row of `contexts`. Totals are rows of their own, written in the transactions
 * that change them: a start counts nothing, however much is queued.
 */
export const TABLES = `
CREATE TABLE meta(version INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES(${SCHEMA_VERSION});
CREATE TABLE queues(
  id INTEGER PRIMARY KEY, exporter TEXT NOT NULL, signal TEXT NOT NULL,
  queued INTEGER NOT NULL DEFAULT 0, points INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
  last_n INTEGER NOT NULL DEFAULT 0, appended INTEGER NOT NULL DEFAULT 0, UNIQUE(exporter, signal)
) STRICT;
CREATE TABLE contexts(id INTEGER PRIMARY KEY, json TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE records(
  seq INTEGER PRIMARY KEY, context INTEGER NOT NULL, enqueued_ms INTEGER NOT NULL, redrives INTEGER NOT NULL,
  crc32 INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE TABLE dead_letters(
  id INTEGER PRIMARY KEY AUTOINCREMENT, queue INTEGER NOT NULL, reason TEXT NOT NULL, status INTEGER,
  message TEXT NOT NULL, attempts INTEGER NOT NULL, redrives INTEGER NOT NULL, first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL, group_id INTEGER, group_size INTEGER, group_rejected INTEGER, counted INTEGER NOT NULL,
  agent_version TEXT NOT NULL, context INTEGER NOT NULL, crc32 INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX dead_letters_by_queue ON dead_letters(queue);
CREATE INDEX dead_letters_by_reason ON dead_letters(queue, reason);
CREATE TABLE dead_letter_totals(
  queue INTEGER NOT NULL, reason TEXT NOT NULL, records INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY(queue, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE namespaces(name TEXT PRIMARY KEY, kind TEXT NOT NULL, bytes INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE key_values(
  namespace TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(namespace, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE requests(id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, result TEXT) STRICT;
PRAGMA user_version = ${SCHEMA_VERSION};
`;
