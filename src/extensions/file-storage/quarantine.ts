import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const KEPT = 3;

/** Where a replacement is made, beside the database that it will replace. */
export function replacementOf(file: string): string {
  return `${file}.new`;
}

/**
 * Puts the finished replacement in the place of a damaged database, which stays under another name; the newest three do.
 * A process that dies on the way finds either the damaged file, and begins anew, or the replacement: see
 * {@link finishReplacement}.
 * @returns where the damaged one is now
 */
export function replace(file: string, nowMs: number): string {
  const stamp = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  let aside = `${file}.corrupt-${stamp}`;
  for (let n = 2; existsSync(aside); n++) aside = `${file}.corrupt-${stamp}-${n}`;
  if (existsSync(`${file}-wal`)) renameSync(`${file}-wal`, `${aside}-wal`);
  rmSync(`${file}-shm`, { force: true });
  renameSync(file, aside);
  renameSync(replacementOf(file), file);
  const old = readdirSync(dirname(file))
    .filter((name) => name.startsWith(`${basename(file)}.corrupt-`) && !/-(wal|shm)$/.test(name))
    .sort()
    .slice(0, -KEPT);
  for (const name of old)
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(dirname(file), name + suffix), { force: true });
  return aside;
}

/** After a death between the two renames the replacement, which was finished before the first, takes the place. */
export function finishReplacement(file: string): void {
  if (!existsSync(file) && existsSync(replacementOf(file))) renameSync(replacementOf(file), file);
}

/** Takes away what a process that died has left of a replacement. */
export function dropReplacement(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${replacementOf(file)}${suffix}`, { force: true });
}
