import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import type {
  DeadLetterNote,
  DeadLetterReason,
  KeyValueKind,
  QueueName,
  RowsSize,
  StoredRow,
} from '../../component/storage.ts';
import { VERSION } from '../../component/version.ts';
import { pragma } from './open.ts';
import { MOST_QUEUES, QUEUE_NAMES, ROWS_PER_QUEUE } from './schema.ts';

/** What a row costs in the file beside its body. */
const ROW_BYTES = 64;
/** Dead letters that one transaction moves at an operator's wish. */
export const CHUNK_ROWS = 1_000;
const MOVED_AT_ONCE = 50;
const MOST_CONTEXTS_REMEMBERED = 20_000;

/** Which dead letters are meant. What is not given does not matter. */
export interface DeadLetterFilter {
  /** This one row, and not the group that it may be of. */
  readonly only?: number;
  readonly ids?: readonly number[];
  readonly exporter?: string;
  readonly reason?: DeadLetterReason;
  /** Set aside at or after; milliseconds since the epoch. */
  readonly sinceMs?: number;
  /** Set aside before; milliseconds since the epoch. */
  readonly beforeMs?: number;
  readonly maxRedrives?: number;
}

/** How many records, as they are counted: a group counts what was refused of it. */
export interface DeadLetterCount {
  readonly queue: number;
  readonly reason: DeadLetterReason;
  readonly records: number;
  readonly rows: number;
}

export interface Totals {
  readonly queued: number;
  readonly points: number;
  readonly bytes: number;
  readonly appended: number;
  readonly lastSeq: number;
  readonly deadLetters: number;
  readonly deadLetterBytes: number;
  readonly oldestDeadLetterMs: number | undefined;
}

/** One dead letter as the command line shows it. */
export interface DeadLetterRow {
  readonly id: number;
  readonly exporter: string;
  readonly signal: string;
  readonly reason: DeadLetterReason;
  readonly status: number | null;
  readonly message: string;
  readonly attempts: number;
  readonly redrives: number;
  readonly first_ms: number;
  readonly last_ms: number;
  readonly group_id: number | null;
  readonly group_size: number | null;
  readonly group_rejected: number | null;
  readonly agent_version: string;
  readonly context: string;
  readonly body: string;
}

/** No context has this id. */
const NO_CONTEXT = 0;

/** A row of any table. */
export type Row = Readonly<Record<string, string | number | null>>;

const DEAD_LETTER_COLUMNS = [
  ...['id', 'queue', 'reason', 'status', 'message', 'attempts', 'redrives', 'first_ms', 'last_ms', 'group_id'],
  ...['group_size', 'group_rejected', 'counted', 'agent_version', 'context', 'crc32', 'body'],
];

/** The key-value share of the store is used up, or a key or value is too large. */
export class KeyValueFullError extends Error {}

const MAX_KEY_BYTES = 512;
const MAX_VALUE_BYTES = 1024 * 1024;
/** Sorts behind every key that goes on after a prefix. */
const LAST_CHARACTER = '\u{10ffff}';

/**
 * The statements, and nothing else: what each does to the tables, inside a transaction that the caller begins and ends.
 * Used by the worker thread, and by the command line while no agent runs.
 */
export class Database {
  readonly db: DatabaseSync;
  readonly #nowMs: () => number;
  readonly #prepared = new Map<string, StatementSync>();
  readonly #contextIds = new Map<string, number>();

  /** @param nowMs wall clock, milliseconds since the epoch; for stamps only */
  constructor(db: DatabaseSync, nowMs: () => number) {
    this.db = db;
    this.#nowMs = nowMs;
  }

  /** Runs the work in one transaction; an error undoes all of it. */
  transaction<T>(work: () => T): T {
    this.db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.db.exec('COMMIT');
      return result;
    } catch (error) {
      // SQLite may have rolled back already: a full disk and an I/O error do that.
      if (this.db.isTransaction) this.db.exec('ROLLBACK');
      // Rows that were rolled back must not be referred to.
      this.#contextIds.clear();
      throw error;
    }
  }

  queueId({ exporter, signal }: QueueName): number {
    const find = () =>
      this.#get<{ id: number }>('SELECT id FROM queues WHERE exporter = ? AND signal = ?', exporter, signal);
    const found = find();
    if (found) return found.id;
    this.#run('INSERT INTO queues(exporter, signal) VALUES(?, ?)', exporter, signal);
    const { id } = find()!;
    if (id > MOST_QUEUES) throw new Error(`more than ${MOST_QUEUES} queues in one store`);
    this.setValues(QUEUE_NAMES, 'keep', { [id]: JSON.stringify({ exporter, signal }) }, Number.POSITIVE_INFINITY);
    return id;
  }

  queues(): readonly (QueueName & { readonly id: number })[] {
    return this.#all('SELECT id, exporter, signal FROM queues ORDER BY id') as unknown as (QueueName & {
      id: number;
    })[];
  }

  /**
   * @param points records or points in all of them
   * @returns the `seq` of the first row
   */
  append(queue: number, context: string, bodies: readonly string[], points: number): number {
    const contextId = this.#contextId(context);
    const { last_n } = this.#get<{ last_n: number }>('SELECT last_n FROM queues WHERE id = ?', queue)!;
    const insert = this.#statement('INSERT INTO records VALUES(?, ?, ?, 0, ?, ?)');
    const now = this.#nowMs();
    let seq = queue * ROWS_PER_QUEUE + last_n;
    let bytes = 0;
    for (const body of bodies) {
      insert.run(++seq, contextId, now, crc32(body), body);
      bytes += body.length;
    }
    this.#count(queue, bodies.length, { points, bytes }, last_n + bodies.length);
    this.#run('UPDATE queues SET appended = appended + ? WHERE id = ?', points, queue);
    return last_n + 1;
  }

  /** @param size of all of them */
  remove(queue: number, seqs: readonly number[], size: RowsSize): void {
    let removed = 0;
    const remove = this.#statement('DELETE FROM records WHERE seq BETWEEN ? AND ?');
    for (const [from, to] of ranges(queue, seqs)) removed += Number(remove.run(from, to).changes);
    const whole = removed === seqs.length;
    this.#count(queue, -removed, whole ? { points: -size.points, bytes: -size.bytes } : { points: -removed, bytes: 0 });
  }

  read(queue: number, afterSeq: number, maxBytes: number): StoredRow[] {
    const base = queue * ROWS_PER_QUEUE;
    const rows = this.#statement(
      'SELECT seq, json AS context, crc32, body FROM records LEFT JOIN contexts ON contexts.id = context WHERE seq > ? AND seq < ? ORDER BY seq',
    ).iterate(base + afterSeq, base + ROWS_PER_QUEUE);
    const found: StoredRow[] = [];
    let bytes = 0;
    for (const row of rows) {
      const {
        seq,
        context,
        crc32: written,
        body,
      } = row as { seq: number; context: string | null; crc32: number; body: string };
      bytes += body.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push({
        seq: seq - base,
        context: context ?? '',
        body,
        corrupt: context === null || crc32(body) !== written,
      });
    }
    return found;
  }

  /**
   * Moves records to the dead letters.
   * @param maxBytes of all dead letters
   * @param evict whether older dead letters are dropped to make room
   */
  setAside(
    queue: number,
    seqs: readonly number[],
    note: DeadLetterNote,
    maxBytes: number,
    evict: boolean,
  ): { readonly moved: boolean; readonly evicted: readonly DeadLetterCount[] } {
    const parts = ranges(queue, seqs);
    const size = this.#statement(
      'SELECT count(*) AS rows, total(octet_length(body)) AS bytes FROM records WHERE seq BETWEEN ? AND ?',
    );
    let rows = 0;
    let bytes = 0;
    for (const [from, to] of parts) {
      const part = size.get(from, to) as { rows: number; bytes: number };
      rows += part.rows;
      bytes += part.bytes + part.rows * ROW_BYTES;
    }
    if (rows === 0) return { moved: true, evicted: [] };
    const evicted = evict && bytes <= maxBytes ? this.#evict(maxBytes - bytes) : [];
    if (this.deadLetterBytes() + bytes > maxBytes) return { moved: false, evicted };
    const group = note.groupRejected === undefined ? undefined : this.#nextDeadLetterId();
    const move = this.#statement(
      `INSERT INTO dead_letters(queue, reason, status, message, attempts, redrives, first_ms, last_ms, group_id, group_size,
         group_rejected, counted, agent_version, context, crc32, body)
       SELECT ?, ?, ?, ?, ?, redrives, enqueued_ms, ?, ?, ?, ?, ?, ?, context, crc32, body FROM records WHERE seq BETWEEN ? AND ?`,
    );
    const remove = this.#statement('DELETE FROM records WHERE seq BETWEEN ? AND ?');
    // A group counts once, at its first row.
    let uncounted = note.groupRejected;
    const now = this.#nowMs();
    // Few at a time: what is deleted makes room for the next, also in a store that is full.
    for (const [from, to] of group === undefined ? steps(parts, MOVED_AT_ONCE) : steps(parts, 1)) {
      move.run(
        ...[queue, note.reason, note.status ?? null, note.message, note.attempts, now],
        ...[group ?? null, group === undefined ? null : rows, note.groupRejected ?? null],
        ...[uncounted ?? 1, VERSION, from, to],
      );
      remove.run(from, to);
      if (uncounted !== undefined) uncounted = 0;
    }
    this.#count(queue, -rows, { points: -rows, bytes: -(bytes - rows * ROW_BYTES) });
    this.#countDead(queue, note.reason, note.groupRejected ?? rows, bytes);
    return { moved: true, evicted };
  }

  /** Drops the oldest dead letters until the others take at most `maxBytes`. @returns what was dropped */
  #evict(maxBytes: number): DeadLetterCount[] {
    const changes: DeadLetterCount[] = [];
    while (this.deadLetterBytes() > maxBytes) {
      const ids = this.#all('SELECT id FROM dead_letters ORDER BY id LIMIT 100').map(({ id }) => id as number);
      if (ids.length === 0) break;
      changes.push(...this.#forget(ids));
    }
    return changes;
  }

  deadLetterBytes(): number {
    return this.#get<{ bytes: number }>('SELECT total(bytes) AS bytes FROM dead_letter_totals')!.bytes;
  }

  /** Up to {@link CHUNK_ROWS} ids, in order, after one. */
  deadLetterIds(filter: DeadLetterFilter, afterId: number): number[] {
    const { where, values } = conditions(filter);
    const sql = `SELECT dead_letters.id FROM dead_letters JOIN queues ON queues.id = queue WHERE dead_letters.id > ? AND ${where} ORDER BY dead_letters.id LIMIT ${CHUNK_ROWS}`;
    return this.#all(sql, afterId, ...values).map(({ id }) => id as number);
  }

  deadLetters(filter: DeadLetterFilter, afterId: number, limit: number): DeadLetterRow[] {
    const { where, values } = conditions(filter);
    const sql = `SELECT dead_letters.*, exporter, signal, coalesce(json, '') AS context FROM dead_letters
      JOIN queues ON queues.id = queue LEFT JOIN contexts ON contexts.id = context
      WHERE dead_letters.id > ? AND ${where} ORDER BY dead_letters.id LIMIT ?`;
    return this.#all(sql, afterId, ...values, limit) as unknown as DeadLetterRow[];
  }

  /** Writes a queue of a damaged database under its own id. */
  restoreQueue(id: number, { exporter, signal }: QueueName, lastSeq: number, appended: number): void {
    this.#run(
      'INSERT INTO queues(id, exporter, signal, last_n, appended) VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET last_n = max(last_n, ?4)',
      ...[id, exporter, signal, lastSeq, appended],
    );
  }

  /**
   * Writes a record of a damaged database as it was. Its queue must be there.
   * @param context undefined when it is lost or the record is not sound: it is set aside as `corrupt` when it is read
   * @returns false when the number is taken
   */
  restoreRecord(row: Row, context: string | undefined): boolean {
    const { seq, enqueued_ms, redrives, crc32: sum, body } = row;
    const values = [
      seq!,
      this.#restoredContext(context),
      Number(enqueued_ms),
      Number(redrives),
      Number(sum),
      String(body),
    ];
    const insert = this.#statement('INSERT OR IGNORE INTO records VALUES(?, ?, ?, ?, ?, ?)');
    if (insert.run(...values).changes === 0) return false;
    const queue = Math.floor(Number(seq) / ROWS_PER_QUEUE);
    this.#count(queue, 1, { points: 1, bytes: String(body).length });
    this.#run('UPDATE queues SET last_n = max(last_n, ?) WHERE id = ?', Number(seq) % ROWS_PER_QUEUE, queue);
    return true;
  }

  /** Writes a dead letter of a damaged database as it was. @returns false when the id is taken */
  restoreDeadLetter(row: Row, context: string | undefined): boolean {
    const columns: Row = { ...row, context: this.#restoredContext(context) };
    const insert = this.#statement(
      `INSERT OR IGNORE INTO dead_letters(${DEAD_LETTER_COLUMNS}) VALUES(${DEAD_LETTER_COLUMNS.map(() => '?')})`,
    );
    if (insert.run(...DEAD_LETTER_COLUMNS.map((name) => columns[name] ?? null)).changes === 0) return false;
    const { queue, reason, counted, body } = row;
    this.#countDead(Number(queue), String(reason), Number(counted), Buffer.byteLength(String(body)) + ROW_BYTES);
    return true;
  }

  /** Puts dead letters back at the end of their queues. */
  redrive(ids: readonly number[]): DeadLetterCount[] {
    const list = JSON.stringify(ids);
    const rows = this.#all(
      'SELECT id, queue, context, first_ms, redrives, crc32, body FROM dead_letters WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id',
      list,
    ) as { queue: number; context: number; first_ms: number; redrives: number; crc32: number; body: string }[];
    const insert = this.#statement('INSERT INTO records VALUES(?, ?, ?, ?, ?, ?)');
    for (const { queue, context, first_ms, redrives, crc32: sum, body } of rows) {
      const n = this.#get<{ last_n: number }>('SELECT last_n FROM queues WHERE id = ?', queue)!.last_n + 1;
      insert.run(queue * ROWS_PER_QUEUE + n, context, first_ms, redrives + 1, sum, body);
      this.#count(queue, 1, { points: 1, bytes: body.length }, n);
    }
    return this.#forget(ids);
  }

  /** Removes up to {@link CHUNK_ROWS} queued records of an exporter. @returns how many */
  dropQueued(exporter: string): number {
    let dropped = 0;
    for (const { id, exporter: owner } of this.queues()) {
      if (owner !== exporter || dropped > 0) continue;
      const [from, to] = [id * ROWS_PER_QUEUE, (id + 1) * ROWS_PER_QUEUE];
      const rows = this.#all(`SELECT seq FROM records WHERE seq > ? AND seq < ? LIMIT ${CHUNK_ROWS}`, from, to);
      const seqs = rows.map(({ seq }) => Number(seq) - from);
      this.remove(id, seqs, { points: seqs.length, bytes: 0 });
      dropped = seqs.length;
    }
    return dropped;
  }

  drop(ids: readonly number[]): DeadLetterCount[] {
    return this.#forget(ids);
  }

  totals(queue: number): Totals {
    const { last_n, ...counts } = this.#get<Omit<Totals, 'lastSeq'> & { last_n: number }>(
      'SELECT queued, points, bytes, appended, last_n FROM queues WHERE id = ?',
      queue,
    )!;
    const dead = this.#get<{ records: number; bytes: number }>(
      'SELECT total(records) AS records, total(bytes) AS bytes FROM dead_letter_totals WHERE queue = ?',
      queue,
    )!;
    const oldest =
      dead.bytes > 0
        ? this.#get<{ ms: number }>('SELECT last_ms AS ms FROM dead_letters WHERE queue = ? ORDER BY id LIMIT 1', queue)
        : undefined;
    return {
      ...counts,
      lastSeq: last_n,
      deadLetters: dead.records,
      deadLetterBytes: dead.bytes,
      oldestDeadLetterMs: oldest?.ms,
    };
  }

  deadLetterTotals(): readonly {
    exporter: string;
    reason: string;
    records: number;
    bytes: number;
    oldest_ms: number;
    newest_ms: number;
  }[] {
    return this.#all(
      `SELECT exporter, totals.reason, totals.records, totals.bytes,
         (SELECT min(last_ms) FROM dead_letters d WHERE d.queue = totals.queue AND d.reason = totals.reason) AS oldest_ms,
         (SELECT max(last_ms) FROM dead_letters d WHERE d.queue = totals.queue AND d.reason = totals.reason) AS newest_ms
       FROM dead_letter_totals totals JOIN queues ON queues.id = totals.queue WHERE totals.bytes > 0 ORDER BY exporter, totals.reason`,
    ) as never;
  }

  /**
   * @param maxBytes for all namespaces together
   * @throws KeyValueFullError before anything is written
   */
  setValues(
    namespace: string,
    kind: KeyValueKind,
    values: Readonly<Record<string, string | undefined>>,
    maxBytes: number,
  ): void {
    const size = this.#statement(
      'SELECT octet_length(value) + octet_length(key) AS bytes FROM key_values WHERE namespace = ? AND key = ?',
    );
    let grown = 0;
    for (const [key, value] of Object.entries(values)) {
      const before = size.get(namespace, key) as { bytes: number } | undefined;
      if (before) grown -= before.bytes + ROW_BYTES;
      if (value === undefined) continue;
      const [keyBytes, valueBytes] = [Buffer.byteLength(key), Buffer.byteLength(value)];
      if (keyBytes > MAX_KEY_BYTES || valueBytes > MAX_VALUE_BYTES)
        throw new KeyValueFullError(`a key may have ${MAX_KEY_BYTES} bytes and a value ${MAX_VALUE_BYTES}`);
      grown += keyBytes + valueBytes + ROW_BYTES;
    }
    if (grown > 0 && this.keyValueBytes() + grown > maxBytes)
      throw new KeyValueFullError('positions fill their share of the store');
    this.#run(
      'INSERT INTO namespaces VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET kind = ?2, bytes = bytes + ?3',
      ...[namespace, kind, grown],
    );
    for (const [key, value] of Object.entries(values)) {
      if (value === undefined) this.#run('DELETE FROM key_values WHERE namespace = ? AND key = ?', namespace, key);
      else
        this.#run(
          'INSERT INTO key_values VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3',
          ...[namespace, key, value],
        );
    }
  }

  listValues(namespace: string, prefix: string): [string, string][] {
    return this.#all(
      'SELECT key, value FROM key_values WHERE namespace = ? AND key >= ? AND key < ? ORDER BY key',
      ...[namespace, prefix, `${prefix}${LAST_CHARACTER}`],
    ).map(({ key, value }) => [key as string, value as string]);
  }

  forgetNamespace(namespace: string): void {
    this.#run('DELETE FROM key_values WHERE namespace = ?', namespace);
    this.#run('DELETE FROM namespaces WHERE name = ?', namespace);
  }

  keyValueBytes(): number {
    return this.#get<{ bytes: number }>('SELECT total(bytes) AS bytes FROM namespaces')!.bytes;
  }

  /**
   * Holds the totals against the rows: a flipped bit in them is seen by no other check. Numbers that were given out must
   * never be given out again, and rows that are there must be read.
   * @param countsAll whether all rows are counted, or only whether there are any
   */
  verifyTotals(countsAll: boolean): void {
    for (const { id } of this.queues()) {
      const [from, to] = [id * ROWS_PER_QUEUE, (id + 1) * ROWS_PER_QUEUE];
      const within = 'FROM records WHERE seq > ? AND seq < ?';
      const { queued, lastSeq } = this.totals(id);
      const last = this.#get<{ seq: number | null }>(`SELECT max(seq) AS seq ${within}`, from, to)!.seq;
      const lastRow = last === null ? 0 : last - from;
      if (lastSeq < lastRow || lastSeq >= ROWS_PER_QUEUE / 2)
        this.#run('UPDATE queues SET last_n = ? WHERE id = ?', lastRow, id);
      if (!countsAll && queued > 0 === lastRow > 0) continue;
      const { rows, bytes } = this.#get<{ rows: number; bytes: number }>(
        `SELECT count(*) AS rows, total(length(body)) AS bytes ${within}`,
        ...[from, to],
      )!;
      if (rows !== queued)
        this.#run('UPDATE queues SET queued = ?, points = ?, bytes = ? WHERE id = ?', rows, rows, bytes, id);
    }
  }

  /** The bytes of page 1 of this database, as a new one has them. */
  firstPage(): Buffer {
    return Buffer.from(this.db.serialize().subarray(0, Number(pragma(this.db, 'page_size'))));
  }

  /** Bytes of pages in use, and of the whole file. */
  size(): { readonly used: number; readonly file: number; readonly free: number } {
    const page = Number(pragma(this.db, 'page_size'));
    const pages = Number(pragma(this.db, 'page_count'));
    const free = Number(pragma(this.db, 'freelist_count'));
    return { used: (pages - free) * page, file: pages * page, free: free * page };
  }

  /** Forgets what no row refers to; only while no record is queued, so that it costs little. */
  collectContexts(): void {
    if (this.#get('SELECT 1 FROM records LIMIT 1')) return;
    this.#run('DELETE FROM contexts WHERE id NOT IN (SELECT context FROM dead_letters)');
    this.#contextIds.clear();
  }

  openRequests(): readonly { id: number; body: string }[] {
    return this.#all('SELECT id, body FROM requests WHERE result IS NULL ORDER BY id') as never;
  }

  answerRequest(id: number, result: string): void {
    this.#run('UPDATE requests SET result = ? WHERE id = ?', result, id);
  }

  #forget(ids: readonly number[]): DeadLetterCount[] {
    const list = JSON.stringify(ids);
    const counts = this.#all(
      `SELECT queue, reason, sum(counted) AS records, count(*) AS rows, sum(octet_length(body)) + count(*) * ${ROW_BYTES} AS bytes
       FROM dead_letters WHERE id IN (SELECT value FROM json_each(?)) GROUP BY queue, reason`,
      list,
    ) as unknown as (DeadLetterCount & { bytes: number })[];
    for (const { queue, reason, records, bytes } of counts) this.#countDead(queue, reason, -records, -bytes);
    this.#run('DELETE FROM dead_letters WHERE id IN (SELECT value FROM json_each(?))', list);
    return counts.map(({ queue, reason, records, rows }) => ({ queue, reason, records, rows }));
  }

  #contextId(json: string): number {
    const known = this.#contextIds.get(json);
    if (known !== undefined) return known;
    if (this.#contextIds.size >= MOST_CONTEXTS_REMEMBERED) this.#contextIds.clear();
    this.#run('INSERT INTO contexts(json) VALUES(?) ON CONFLICT DO NOTHING', json);
    const { id } = this.#get<{ id: number }>('SELECT id FROM contexts WHERE json = ?', json)!;
    this.#contextIds.set(json, id);
    return id;
  }

  #restoredContext(context: string | undefined): number {
    return context === undefined ? NO_CONTEXT : this.#contextId(context);
  }

  #nextDeadLetterId(): number {
    return 1 + (this.#get<{ seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'dead_letters'")?.seq ?? 0);
  }

  #count(queue: number, rows: number, { points, bytes }: RowsSize, lastN?: number): void {
    this.#run(
      `UPDATE queues SET queued = queued + ?1, points = points + ?2, last_n = coalesce(?4, last_n),
         bytes = CASE queued + ?1 WHEN 0 THEN 0 ELSE bytes + ?3 END WHERE id = ?5`,
      ...[rows, points, bytes, lastN ?? null, queue],
    );
  }

  #countDead(queue: number, reason: string, records: number, bytes: number): void {
    this.#run(
      `INSERT INTO dead_letter_totals VALUES(?1, ?2, ?3, ?4)
       ON CONFLICT DO UPDATE SET records = records + ?3, bytes = bytes + ?4`,
      ...[queue, reason, records, bytes],
    );
  }

  #statement(sql: string): StatementSync {
    let statement = this.#prepared.get(sql);
    if (!statement) {
      statement = this.db.prepare(sql);
      this.#prepared.set(sql, statement);
    }
    return statement;
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#statement(sql).run(...values);
  }

  #get<T>(sql: string, ...values: SQLInputValue[]): T | undefined {
    return this.#statement(sql).get(...values) as T | undefined;
  }

  #all(sql: string, ...values: SQLInputValue[]): Record<string, unknown>[] {
    return this.#statement(sql).all(...values);
  }
}

/** Neighbouring rows as ranges of `records.seq`. */
function ranges(queue: number, seqs: readonly number[]): [number, number][] {
  const base = queue * ROWS_PER_QUEUE;
  const found: [number, number][] = [];
  for (const seq of seqs.toSorted((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && last[1] >= base + seq - 1) last[1] = base + seq;
    else found.push([base + seq, base + seq]);
  }
  return found;
}

/** The ranges in pieces of at most so many rows. */
function* steps(parts: readonly [number, number][], rows: number): Generator<[number, number]> {
  for (const [from, to] of parts)
    for (let seq = from; seq <= to; seq += rows) yield [seq, Math.min(to, seq + rows - 1)];
}

/** A condition on any row of a group means the whole group. */
function conditions({ only, ids, exporter, reason, sinceMs, beforeMs, maxRedrives }: DeadLetterFilter) {
  const parts: string[] = ['1'];
  const values: SQLInputValue[] = [];
  const add = (sql: string, ...more: SQLInputValue[]) => {
    parts.push(sql);
    values.push(...more);
  };
  if (only !== undefined) add('dead_letters.id = ?', only);
  if (ids) {
    const list = 'SELECT value FROM json_each(?)';
    add(
      `(dead_letters.id IN (${list}) OR group_id IN (SELECT group_id FROM dead_letters WHERE id IN (${list})))`,
      JSON.stringify(ids),
      JSON.stringify(ids),
    );
  }
  if (exporter !== undefined) add('exporter = ?', exporter);
  if (reason !== undefined) add('reason = ?', reason);
  if (sinceMs !== undefined) add('last_ms >= ?', sinceMs);
  if (beforeMs !== undefined) add('last_ms < ?', beforeMs);
  if (maxRedrives !== undefined) add('redrives < ?', maxRedrives);
  return { where: parts.join(' AND '), values };
}
