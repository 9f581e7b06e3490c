import { existsSync, lstatSync, readdirSync, realpathSync, type Stats, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { describeError, OutbandError } from '../../component/errors.ts';
import { makeDirectory } from '../../component/make-directory.ts';

/** File systems by their magic number. WAL needs memory that is shared, which a network does not give. */
const REFUSED_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB'],
  [0xff534d42, 'CIFS'],
]);
const FUSE = 0x65735546;
const OUR_FILES = /^(outband\.db|owner\.|ballast)/;

/**
 * Makes the directory if it may, and checks that nobody else can read or replace what is in it.
 * @returns what an operator should read
 * @throws OutbandError `storage_permissions` with path and command
 */
export function prepareDirectory(directory: string, create: boolean): readonly string[] {
  if (!existsSync(directory)) {
    if (!create)
      throw new OutbandError('storage_permissions', `directory: "${directory}" does not exist`, {
        hint: 'make it, or set create_directory: true',
      });
    make(directory);
  }
  check(directory, lstatSync(placeOf(directory)), 'directory');
  for (const name of readdirSync(directory).filter((one) => OUR_FILES.test(one))) {
    const path = join(directory, name);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    // A former owner may be taking its files away.
    if (stats) check(path, stats, 'file');
  }
  const type = Number(statfsSync(directory).type) >>> 0;
  const refused = REFUSED_FILE_SYSTEMS.get(type);
  if (refused)
    throw new OutbandError('storage_permissions', `directory: "${directory}" is on ${refused}`, {
      hint: 'use a local disk: SQLite needs shared memory and locks that a network file system does not give',
    });
  return type === FUSE ? [`"${directory}" is on FUSE; whether it keeps what it has synced is up to it`] : [];
}

/** Where a link leads that nobody but root or this user can turn elsewhere: systemd makes one for a dynamic user. */
function placeOf(directory: string): string {
  const stats = lstatSync(directory);
  const isTrusted = stats.uid === 0 || stats.uid === process.getuid?.();
  return stats.isSymbolicLink() && isTrusted ? realpathSync(directory) : directory;
}

function make(directory: string): void {
  try {
    makeDirectory(directory);
  } catch (cause) {
    throw new OutbandError('storage_permissions', `directory: cannot make "${directory}" (${describeError(cause)})`, {
      cause,
      hint: `mkdir -p ${directory} && chown <user of outband> ${directory}`,
    });
  }
}

function check(path: string, stats: Stats, kind: 'directory' | 'file'): void {
  const refuse = (what: string, hint: string) => {
    throw new OutbandError('storage_permissions', `${kind} "${path}" ${what}`, { hint });
  };
  if (stats.isSymbolicLink()) refuse('is a symbolic link', 'name the place that it points to');
  if (kind === 'directory' && !stats.isDirectory()) refuse('is not a directory', 'name another one');
  const user = process.getuid?.();
  if (user !== undefined && stats.uid !== user)
    refuse(`belongs to user ${stats.uid}, not ${user}`, `chown ${user} ${path}`);
  if ((stats.mode & 0o077) !== 0)
    refuse('can be reached by others', `chmod ${kind === 'directory' ? '700' : '600'} ${path}`);
}
