import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../../component/clock.ts';
import { OutbandError } from '../../component/errors.ts';
import { sqliteCode } from './open.ts';

const BUSY = 5;
/** Corrupt, written by a newer SQLite (read-only to us), or no database at all. */
const GARBAGE = [11, 8, 26];
const RETRY_MS = 50;

export interface OwnerLock {
  release(): void;
}

/**
 * Makes this process the owner of a directory for its life: an exclusive transaction in a small database of its own,
 * which the kernel ends with the process. So no lock can be left behind; the pid beside it is for people.
 * @param timeoutMs how long to wait for an owner that is about to end
 * @throws OutbandError `storage_locked`
 */
export async function takeOwnerLock(directory: string, timeoutMs: number, clock: Clock): Promise<OwnerLock> {
  const until = clock.monotonic() + timeoutMs;
  for (;;) {
    const lock = tryLock(directory);
    if (lock) return lock;
    if (clock.monotonic() >= until) throw inUse(directory);
    await clock.sleep(RETRY_MS);
  }
}

/** @returns undefined while another process is the owner */
export function tryLock(directory: string): OwnerLock | undefined {
  const file = join(directory, 'owner.lock');
  const pidFile = join(directory, 'owner.pid');
  if (!existsSync(file)) closeSync(openSync(file, 'a', 0o600));
  let db = new DatabaseSync(file, { timeout: 0 });
  try {
    db.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    db.close();
    const code = (sqliteCode(error) ?? 0) & 0xff;
    if (code === BUSY) return undefined;
    if (!GARBAGE.includes(code)) throw error;
    // Garbage: an owner would have it locked, and reading it would have been "busy".
    rmSync(file);
    closeSync(openSync(file, 'wx', 0o600));
    db = new DatabaseSync(file, { timeout: 0 });
    db.exec('BEGIN EXCLUSIVE');
  }
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  return {
    release() {
      rmSync(pidFile, { force: true });
      db.close();
    },
  };
}

function inUse(directory: string): OutbandError {
  let owner = 'another process';
  try {
    owner = `pid ${readFileSync(join(directory, 'owner.pid'), 'utf8').trim()}`;
  } catch {
    // It may be on its way out.
  }
  return new OutbandError('storage_locked', `directory "${directory}" is in use by ${owner}`);
}
