import { closeSync, existsSync, fsyncSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

const CHUNK = Buffer.alloc(1024 * 1024, 'outband ballast ');

/**
 * Bytes that are given back when others fill the disk, so that what is stored can still be sent and removed. Really
 * written: a sparse file would give nothing back. Does nothing while the disk has no room for twice as much.
 * @returns whether it is there
 */
export function ensureBallast(file: string, bytes: number): boolean {
  if (bytes === 0 || existsSync(file)) return bytes !== 0;
  if (freeBytes(dirname(file)) < 2 * bytes) return false;
  const handle = openSync(file, 'wx', 0o600);
  try {
    for (let left = bytes; left > 0; left -= CHUNK.length) writeSync(handle, CHUNK, 0, Math.min(left, CHUNK.length));
    fsyncSync(handle);
    return true;
  } catch {
    rmSync(file, { force: true });
    return false;
  } finally {
    closeSync(handle);
  }
}

export function dropBallast(file: string): void {
  rmSync(file, { force: true });
}

/** What a process without special rights may still write. */
export function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}
