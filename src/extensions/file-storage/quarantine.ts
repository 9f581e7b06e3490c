import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import type { QueueName } from '../../component/storage.ts';
import type { Database, Row } from './database.ts';
import { ROWS_PER_QUEUE } from './schema.ts';

const KEPT = 3;
const CHUNK_ROWS = 100;
const SALVAGE_MS = 60_000;

/** Gives a damaged database and its WAL another name; the newest three stay. @returns the new path */
export function setAside(file: string, nowMs: number): string {
  const stamp = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  let aside = `${file}.corrupt-${stamp}`;
  for (let n = 2; existsSync(aside); n++) aside = `${file}.corrupt-${stamp}-${n}`;
  renameSync(file, aside);
  if (existsSync(`${file}-wal`)) renameSync(`${file}-wal`, `${aside}-wal`);
  rmSync(`${file}-shm`, { force: true });
  const old = readdirSync(dirname(file))
    .filter((name) => name.startsWith(`${basename(file)}.corrupt-`) && !/-(wal|shm)$/.test(name))
    .sort()
    .slice(0, -KEPT);
  for (const name of old)
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(dirname(file), name + suffix), { force: true });
  return aside;
}

/** What could be saved. */
export interface Salvage {
  readonly records: number;
  readonly deadLetters: number;
  /** Whether every queued record was there and sound. If not, positions were left behind, so receivers read again. */
  readonly complete: boolean;
}

/** A queue that is in use: its id and its numbers must go on. */
export interface KnownQueue extends QueueName {
  readonly id: number;
  readonly lastSeq: number;
}

/**
 * Copies what can be read of a damaged database into a new one, table by table, skipping what cannot be read. Rows keep
 * their numbers: who holds one in memory still means the same.
 * @param monotonic milliseconds; after a minute the rest is left behind
 */
export function salvage(
  damaged: string,
  fresh: Database,
  known: readonly KnownQueue[],
  monotonic: () => number,
): Salvage {
  for (const queue of known) fresh.restoreQueue(queue.id, queue, queue.lastSeq);
  const until = monotonic() + SALVAGE_MS;
  const none = { records: 0, deadLetters: 0, complete: false };
  let old: DatabaseSync;
  try {
    old = new DatabaseSync(damaged, { readOnly: true });
  } catch {
    return none;
  }
  try {
    const late = () => monotonic() > until;
    const queues = readRows(old, 'queues', 'id', late);
    const contexts = new Map(readRows(old, 'contexts', 'id', late).rows.map(({ id, json }) => [id, String(json)]));
    const records = readRows(old, 'records', 'seq', late);
    const letters = readRows(old, 'dead_letters', 'id', late);
    return fresh.transaction(() => {
      const ids = new Set(known.map(({ id }) => id));
      for (const { id, exporter, signal, last_n } of queues.rows) {
        if (typeof exporter !== 'string' || (signal !== 'logs' && signal !== 'metrics')) continue;
        fresh.restoreQueue(Number(id), { exporter, signal }, Number(last_n));
        ids.add(Number(id));
      }
      let saved = 0;
      for (const row of records.rows) {
        const context = contexts.get(row.context!);
        if (!ids.has(Math.floor(Number(row.seq) / ROWS_PER_QUEUE)) || context === undefined || !isSound(row)) continue;
        fresh.restoreRecord(row, context);
        saved++;
      }
      const expected = queues.rows.reduce((sum, { queued }) => sum + Number(queued), 0);
      const complete = queues.whole && records.whole && saved === expected && saved === records.rows.length;
      let deadLetters = 0;
      for (const row of letters.rows) {
        const context = contexts.get(row.context!);
        if (!ids.has(Number(row.queue)) || context === undefined || !isSound(row)) continue;
        fresh.restoreDeadLetter(row, context);
        deadLetters++;
      }
      copyValues(old, fresh, complete);
      return { records: saved, deadLetters, complete };
    });
  } catch {
    return none;
  } finally {
    old.close();
  }
}

function isSound({ body, crc32: written }: Row): boolean {
  return typeof body === 'string' && crc32(body) === written;
}

/** Rows in key order; where a page cannot be read, the keys after it are tried in growing steps. */
function readRows(db: DatabaseSync, table: string, key: string, late: () => boolean): { rows: Row[]; whole: boolean } {
  const rows: Row[] = [];
  let whole = true;
  let after = -1;
  let step = 1;
  const last = largestKey(db, table, key);
  while (!late()) {
    try {
      const sql = `SELECT * FROM ${table} WHERE ${key} > ? ORDER BY ${key} LIMIT ${step > 1 ? 1 : CHUNK_ROWS}`;
      const chunk = db.prepare(sql).all(after) as unknown as Row[];
      if (chunk.length === 0) return { rows, whole };
      rows.push(...chunk);
      after = Number(chunk.at(-1)![key]);
      step = 1;
    } catch {
      whole = false;
      if (after >= last) return { rows, whole };
      after += step;
      step *= 2;
    }
  }
  return { rows, whole: false };
}

function largestKey(db: DatabaseSync, table: string, key: string): number {
  try {
    return Number((db.prepare(`SELECT max(${key}) AS last FROM ${table}`).get() as { last: number | null }).last ?? 0);
  } catch {
    return Number.MAX_SAFE_INTEGER;
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
    if (kind === 'position' && !positionsHold) continue;
    try {
      const rows = old.prepare('SELECT key, value FROM key_values WHERE namespace = ?').iterate(name);
      for (const { key, value } of rows as Iterable<{ key: string; value: string }>)
        fresh.setValues(name, kind, { [key]: value }, Number.POSITIVE_INFINITY);
    } catch {
      // Half a set of positions is worse than none: what is not known is read again.
      if (kind === 'position') fresh.forgetNamespace(name);
    }
  }
}
