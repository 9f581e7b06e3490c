import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import type { QueueName } from '../../component/storage.ts';
import type { Database, Row } from './database.ts';
import { QUEUE_NAMES, ROWS_PER_QUEUE } from './schema.ts';

const SALVAGE_MS = 60_000;
const CHUNK_ROWS = 1_000;
/** Behind a page that cannot be read, keys are tried one by one so far, then in growing steps. */
const SINGLE_STEPS = 200;
/** Rows that were visited before. */
const MOST_REPEATED = 100_000;
/** A key this far from the one before is not taken as the place to go on from. */
const MOST_PLAUSIBLE_GAP = 1_000;
const PAGE_BYTES = 4_096;
const HEADER = 'SQLite format 3\0';

/** A queue that is in use: its id and its numbers must go on. */
export interface KnownQueue extends QueueName {
  readonly id: number;
  readonly lastSeq: number;
  /** Records or points that were ever appended. */
  readonly appended: number;
}

/** What could be saved. */
export interface Salvage {
  readonly records: number;
  readonly deadLetters: number;
  /** Whether every queued record was there and sound. If not, positions were left behind, so receivers read again. */
  readonly complete: boolean;
}

/**
 * Copies what can be read of a damaged database into a new one, skipping what cannot be read. Rows keep their numbers:
 * who holds one in memory still means the same. Memory does not grow with the file.
 * @param file the damaged one, with its write-ahead log beside it; it is not changed
 * @param monotonic milliseconds; after a minute the rest is left behind
 */
export function salvage(file: string, fresh: Database, known: readonly KnownQueue[], monotonic: () => number): Salvage {
  const until = monotonic() + SALVAGE_MS;
  const late = () => monotonic() > until;
  const result = copyAll(file, fresh, known, late);
  if (result) return result;
  // SQLite reads nothing of a file that was cut or whose first page is bad; a copy can be mended.
  const mended = `${file}.mended`;
  try {
    mend(file, mended, fresh);
    return copyAll(mended, fresh, known, late) ?? { records: 0, deadLetters: 0, complete: false };
  } catch {
    return { records: 0, deadLetters: 0, complete: false };
  } finally {
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${mended}${suffix}`, { force: true });
  }
}

/** @returns undefined when no table can be read at all */
function copyAll(
  file: string,
  fresh: Database,
  known: readonly KnownQueue[],
  late: () => boolean,
): Salvage | undefined {
  const old = open(file);
  if (!old) return undefined;
  try {
    const queues = readQueues(old);
    const contexts = new Contexts(old);
    const ids = new Set([...known, ...queues.list].map(({ id }) => id));
    fresh.transaction(() => {
      for (const queue of [...known, ...queues.list])
        fresh.restoreQueue(queue.id, queue, queue.lastSeq, queue.appended);
    });
    let records = 0;
    const copyRecord = (row: Row) => {
      const id = Math.floor(Number(row.seq) / ROWS_PER_QUEUE);
      const isNew = ids.has(id) && fresh.restoreRecord(row, isSound(row) ? contexts.get(row.context!) : undefined);
      if (isNew && isSound(row)) records++;
      return isNew;
    };
    const rows = copyRows(old, 'records', 'seq', late, fresh, copyRecord);
    if (rows.read === 0 && !rows.whole && queues.list.length === 0) return undefined;
    let deadLetters = 0;
    const copyLetter = (row: Row) => {
      const isOurs = ids.has(Number(row.queue)) && typeof row.body === 'string';
      const isNew = isOurs && fresh.restoreDeadLetter(row, contexts.get(row.context!));
      if (isNew) deadLetters++;
      return isNew;
    };
    copyRows(old, 'dead_letters', 'id', late, fresh, copyLetter);
    const complete = rows.whole && records === rows.read && records === queues.expected;
    copyValues(old, fresh, complete);
    return { records, deadLetters, complete };
  } finally {
    old.close();
  }
}

function open(file: string): DatabaseSync | undefined {
  try {
    return new DatabaseSync(file, { readOnly: true });
  } catch {
    return undefined;
  }
}

/** Their names stand twice. `expected` is NaN when their counts cannot be read. */
function readQueues(old: DatabaseSync): { readonly list: KnownQueue[]; readonly expected: number } {
  const list = new Map<number, KnownQueue>();
  let expected = Number.NaN;
  const add = (id: number, exporter: unknown, signal: unknown, lastSeq: number) => {
    if (typeof exporter !== 'string' || (signal !== 'logs' && signal !== 'metrics')) return;
    list.set(id, { id, exporter, signal, lastSeq: Number.isSafeInteger(lastSeq) ? lastSeq : 0, appended: 0 });
  };
  try {
    const names = old.prepare('SELECT key, value FROM key_values WHERE namespace = ?').all(QUEUE_NAMES);
    for (const { key, value } of names) {
      const { exporter, signal } = JSON.parse(String(value)) as QueueName;
      add(Number(key), exporter, signal, 0);
    }
  } catch {
    // The other place may be readable.
  }
  try {
    const rows = old.prepare('SELECT id, exporter, signal, last_n, queued FROM queues').all() as Row[];
    for (const { id, exporter, signal, last_n } of rows) add(Number(id), exporter, signal, Number(last_n));
    expected = rows.reduce((sum, { queued }) => sum + Number(queued), 0);
  } catch {
    // As above.
  }
  return { list: [...list.values()], expected };
}

/** Contexts by their id, as far as they can be read. */
class Contexts {
  readonly #known = new Map<unknown, string | undefined>();
  readonly #old: DatabaseSync;

  constructor(old: DatabaseSync) {
    this.#old = old;
  }

  get(id: string | number): string | undefined {
    if (!this.#known.has(id)) {
      if (this.#known.size > CHUNK_ROWS) this.#known.clear();
      this.#known.set(id, this.#read(id));
    }
    return this.#known.get(id);
  }

  #read(id: string | number): string | undefined {
    try {
      return (this.#old.prepare('SELECT json FROM contexts WHERE id = ?').get(id) as { json: string } | undefined)
        ?.json;
    } catch {
      return undefined;
    }
  }
}

function isSound({ body, crc32: written }: Row): boolean {
  return typeof body === 'string' && crc32(body) === written;
}

/**
 * Visits rows, a transaction per thousand, in the order in which the file has them: a key that was damaged may lead
 * anywhere, so what follows is read on and not looked for by its key. Only behind a page that cannot be read the search
 * begins anew, from the last key that fitted to its neighbours.
 * @param visit answers whether the row was new
 */
function copyRows(
  old: DatabaseSync,
  table: string,
  key: string,
  late: () => boolean,
  fresh: Database,
  visit: (row: Row) => boolean,
): { readonly read: number; readonly whole: boolean } {
  let read = 0;
  let whole = true;
  let [before, after] = [-1, -1];
  let steps = 0;
  const last = largestKey(old, table, key);
  let rows: Iterator<unknown> | undefined;
  let isEnd = false;
  let repeated = 0;
  const chunk = () => {
    rows ??= old.prepare(`SELECT * FROM ${table} WHERE ${key} > ? ORDER BY ${key}`).iterate(after)[Symbol.iterator]();
    for (let n = 0; n < CHUNK_ROWS; n++) {
      const { done, value } = rows.next();
      // Pages that lead back to one another never end.
      isEnd = done === true || repeated > MOST_REPEATED;
      if (isEnd) return;
      const row = value as Row;
      const at = Number(row[key]);
      const rises = at > after;
      if (!rises) whole = false;
      // The row before had the wrong key if this one lies behind the row before that.
      if (rises) [before, after] = [after, at];
      else if (at > before) after = at;
      steps = 0;
      if (visit(row)) read++;
      else repeated++;
    }
  };
  while (!isEnd && !late()) {
    fresh.transaction(() => {
      try {
        chunk();
      } catch {
        rows = undefined;
        whole = false;
        if (steps === 0 && after - before > MOST_PLAUSIBLE_GAP) after = before;
        isEnd = after >= last;
        after += steps < SINGLE_STEPS ? 1 : 2 ** (steps - SINGLE_STEPS);
        steps++;
      }
    });
  }
  return { read, whole: whole && isEnd };
}

function largestKey(db: DatabaseSync, table: string, key: string): number {
  try {
    return Number((db.prepare(`SELECT max(${key}) AS last FROM ${table}`).get() as { last: number | null }).last ?? 0);
  } catch {
    return Number.MAX_SAFE_INTEGER / 2;
  }
}

/**
 * Positions are believed only if every record that they stand for was saved; `keep` values are copied as far as they
 * can be read.
 */
function copyValues(old: DatabaseSync, fresh: Database, positionsHold: boolean): void {
  let namespaces: { name: string; kind: 'position' | 'keep' }[] = [];
  try {
    namespaces = old.prepare('SELECT name, kind FROM namespaces').all() as typeof namespaces;
  } catch {
    return;
  }
  for (const { name, kind } of namespaces) {
    if (name === QUEUE_NAMES || (kind === 'position' && !positionsHold)) continue;
    fresh.transaction(() => {
      try {
        const rows = old.prepare('SELECT key, value FROM key_values WHERE namespace = ?').iterate(name);
        for (const { key, value } of rows as Iterable<{ key: string; value: string }>)
          fresh.setValues(name, kind, { [key]: value }, Number.POSITIVE_INFINITY);
      } catch {
        // Half a set of positions is worse than none: what is not known is read again.
        if (kind === 'position') fresh.forgetNamespace(name);
      }
    });
  }
}

/**
 * A copy that SQLite will open: as long as its header says, and with the first page of a new database where its own is
 * bad. Tables of one version have the same roots in every database.
 */
function mend(file: string, mended: string, fresh: Database): void {
  copyFileSync(file, mended);
  if (existsSync(`${file}-wal`)) copyFileSync(`${file}-wal`, `${mended}-wal`);
  const page = Buffer.alloc(PAGE_BYTES);
  const handle = openSync(mended, 'r+');
  try {
    readSync(handle, page, 0, PAGE_BYTES, 0);
    const size = statSync(mended).size;
    const isOurs = page.toString('latin1', 0, 16) === HEADER;
    const pages = Math.max(Math.ceil(size / PAGE_BYTES), isOurs ? Math.min(page.readUInt32BE(28), 2 ** 24) : 0);
    if (pages * PAGE_BYTES > size) truncateSync(mended, pages * PAGE_BYTES);
    if (canRead(mended)) return;
    const first = fresh.firstPage();
    first.writeUInt32BE(pages, 28);
    writeSync(handle, first, 0, PAGE_BYTES, 0);
  } finally {
    closeSync(handle);
  }
}

function canRead(file: string): boolean {
  const db = open(file);
  try {
    db?.prepare('SELECT count(*) FROM sqlite_schema').get();
    return db !== undefined;
  } catch {
    return false;
  } finally {
    db?.close();
  }
}
