import { closeSync, existsSync, openSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { OutbandError } from '../../component/errors.ts';
import { SCHEMA_VERSION, TABLES } from './schema.ts';

const PAGE_BYTES = 4_096;
const BUSY_TIMEOUT_MS = 5_000;
/** Up to this size the whole file is checked at start; above it the small tables, and rows by their CRC as they are read. */
export const WHOLE_CHECK_BYTES = 256 * 1024 * 1024;
const SMALL_TABLES = ['meta', 'queues', 'dead_letter_totals', 'namespaces', 'requests'];

/**
 * What every connection sets and reads back. `synchronous=FULL` is a property of the connection, not of the file, and
 * its default depends on how SQLite was built: at NORMAL, commits that were acknowledged are lost in a power cut, and
 * no kill of the process can show it.
 */
const SETTINGS: readonly (readonly [name: string, value: string | number, readBack: string | number])[] = [
  ['journal_mode', 'WAL', 'wal'],
  ['synchronous', 'FULL', 2],
  ['wal_autocheckpoint', 256, 256],
  ['journal_size_limit', 8_388_608, 8_388_608],
  ['mmap_size', 0, 0],
  ['trusted_schema', 'OFF', 0],
];

/** The database is damaged: it must be set aside. */
export class DamagedError extends Error {}

/**
 * Opens the database, makes it if it is not there, and checks that it is sound.
 * @throws DamagedError, or OutbandError `storage_settings`, `storage_newer`
 */
export function openDatabase(file: string, maxBytes: number): DatabaseSync {
  // SQLite would make it readable for everybody that the umask allows.
  if (!existsSync(file)) closeSync(openSync(file, 'wx', 0o600));
  const db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    damageMeans(() => {
      const isNew = pragma(db, 'page_count') === 0;
      if (isNew) db.exec(`PRAGMA page_size = ${PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL`);
      applySettings(db);
      limitPages(db, maxBytes);
      if (isNew) db.exec(`BEGIN IMMEDIATE; ${TABLES} COMMIT`);
      checkVersion(db);
      checkPages(db, statSync(file).size);
    });
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function applySettings(db: DatabaseSync): void {
  for (const [name, value] of SETTINGS) db.exec(`PRAGMA ${name} = ${value}`);
  verifySettings(db);
}

/** @throws OutbandError `storage_settings` when one of the settings is not in force */
export function verifySettings(db: DatabaseSync): void {
  for (const [name, value, readBack] of SETTINGS) {
    const actual = pragma(db, name);
    if (actual !== readBack)
      throw new OutbandError('storage_settings', `SQLite has ${name} = ${actual} after it was set to ${value}`);
  }
}

/** SQLite keeps the limit at the present size when the file is larger already. */
function limitPages(db: DatabaseSync, maxBytes: number): void {
  const pages = Math.floor(maxBytes / Number(pragma(db, 'page_size')));
  const limit = Number(pragma(db, `max_page_count = ${pages}`));
  if (limit > Math.max(pages, Number(pragma(db, 'page_count'))))
    throw new OutbandError('storage_settings', `SQLite has max_page_count = ${limit} after it was set to ${pages}`);
}

/** The version stands twice, so that one flipped bit in the header is damage and not "written by a newer outband". */
export function checkVersion(db: DatabaseSync): void {
  const header = Number(pragma(db, 'user_version'));
  const meta = Number((db.prepare('SELECT version FROM meta').get() as { version: number } | undefined)?.version);
  if (header !== meta) throw new DamagedError(`the version is ${header} in the header and ${meta} in the tables`);
  if (header > SCHEMA_VERSION)
    throw new OutbandError(
      'storage_newer',
      `the database has version ${header}, this program knows ${SCHEMA_VERSION}`,
      {
        hint: 'written by a newer outband: start that one, or use another directory',
      },
    );
}

function checkPages(db: DatabaseSync, bytes: number): void {
  const checks = bytes <= WHOLE_CHECK_BYTES ? [''] : SMALL_TABLES.map((table) => `(${table})`);
  for (const part of checks) {
    const found = pragma(db, `quick_check${part}`);
    if (found !== 'ok') throw new DamagedError(String(found).split('\n').slice(0, 2).join(' '));
  }
}

export function pragma(db: DatabaseSync, name: string): string | number {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0] as string | number;
}

/** An error of node:sqlite; `errcode` is SQLite's extended result code. */
interface SqliteError extends Error {
  readonly errcode: number;
}

/** SQLite's extended result code, or undefined for an error that is not SQLite's. */
export function sqliteCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error ? (error as SqliteError).errcode : undefined;
}

const CORRUPT = 11;
const NOT_A_DATABASE = 26;
/** A table or a column is missing: the schema was damaged. */
const GENERIC = 1;

/** Whether SQLite says that the file is damaged. */
export function isDamage(error: unknown): boolean {
  const primary = (sqliteCode(error) ?? 0) & 0xff;
  return error instanceof DamagedError || primary === CORRUPT || primary === NOT_A_DATABASE;
}

function damageMeans(work: () => void): void {
  try {
    work();
  } catch (error) {
    const primary = (sqliteCode(error) ?? 0) & 0xff;
    if (primary === CORRUPT || primary === NOT_A_DATABASE || primary === GENERIC)
      throw new DamagedError((error as Error).message, { cause: error });
    throw error;
  }
}
