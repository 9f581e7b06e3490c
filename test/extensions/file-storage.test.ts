import assert from 'node:assert/strict';
import { chmod, lchown, mkdir, readdir, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { DeadLetterTool } from '../../src/extensions/file-storage/dead-letter-tool.ts';
import { FileStorage } from '../../src/extensions/file-storage/extension.ts';
import fileStorage, { type FileStorageConfig } from '../../src/extensions/file-storage/index.ts';
import { openDatabase, verifySettings } from '../../src/extensions/file-storage/open.ts';
import { tryLock } from '../../src/extensions/file-storage/owner-lock.ts';
import { Store } from '../../src/extensions/file-storage/store.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { testHost } from '../../src/testing/host.ts';
import { startStorage, temporaryDirectory } from '../support/storage.ts';

const never = new AbortController().signal;
const QUEUE = { exporter: 'otlp_http', signal: 'logs' } as const;
const MIB = 1024 * 1024;

test('every connection has full syncs, and one that has not is refused', async (t) => {
  const file = join(await temporaryDirectory(t), 'a.db');
  const db = openDatabase(file, 64 * MIB);
  t.after(() => db.close());
  assert.deepEqual({ ...db.prepare('PRAGMA synchronous').get() }, { synchronous: 2 });
  assert.deepEqual({ ...db.prepare('PRAGMA journal_mode').get() }, { journal_mode: 'wal' });
  assert.deepEqual({ ...db.prepare('PRAGMA max_page_count').get() }, { max_page_count: (64 * MIB) / 4_096 });
  verifySettings(db);
  db.exec('PRAGMA synchronous = NORMAL');
  assert.throws(() => verifySettings(db), { code: 'storage_settings', message: /synchronous = 1/ });
});

test('files and directory are for their owner only, and a directory that others can reach is refused with the command', async (t) => {
  const home = await temporaryDirectory(t);
  const directory = join(home, 'state');
  const { storage } = await startStorage(t, directory, { ballast_bytes: '8MiB' });
  assert.equal((await stat(directory)).mode & 0o777, 0o700);
  for (const name of await readdir(directory)) assert.equal((await stat(join(directory, name))).mode & 0o077, 0, name);
  await storage.shutdown();
  await chmod(directory, 0o750);
  await assert.rejects(startStorage(t, directory), {
    code: 'storage_permissions',
    message: `directory "${directory}" can be reached by others`,
    hint: `chmod 700 ${directory}`,
  });
  await chmod(directory, 0o700);
  await chmod(join(directory, 'outband.db'), 0o644);
  await assert.rejects(startStorage(t, directory), { hint: `chmod 600 ${join(directory, 'outband.db')}` });
});

test('a link of this user or of root is followed, one of somebody else is refused, and so is one in place of a file', async (t) => {
  const home = await temporaryDirectory(t);
  const [real, link] = [join(home, 'real'), join(home, 'link')];
  await mkdir(real, { mode: 0o700 });
  await symlink(real, link);
  // As systemd makes it for a dynamic user.
  await (await startStorage(t, link)).storage.shutdown();
  if (process.getuid?.() === 0) {
    await lchown(link, 1_000, 1_000);
    await assert.rejects(startStorage(t, link), /is a symbolic link/);
  }
  await rename(join(real, 'outband.db'), join(home, 'elsewhere'));
  await symlink(join(home, 'elsewhere'), join(real, 'outband.db'));
  await assert.rejects(startStorage(t, real), /outband\.db" is a symbolic link/);
});

test('a directory that must exist is named', async (t) => {
  const home = await temporaryDirectory(t);
  const missing = join(home, 'missing');
  await assert.rejects(startStorage(t, missing, { create_directory: false }), {
    message: `directory: "${missing}" does not exist`,
  });
});

test('one owner per directory; garbage in place of the lock blocks nobody', async (t) => {
  const directory = await temporaryDirectory(t);
  const first = await startStorage(t, directory);
  await assert.rejects(startStorage(t, directory, { timeout: '100ms' }), {
    code: 'storage_locked',
    message: `directory "${directory}" is in use by pid ${process.pid}`,
  });
  await first.storage.shutdown();
  await writeFile(join(directory, 'owner.lock'), 'garbage'.repeat(100), { mode: 0o600 });
  await startStorage(t, directory);
});

test('a database of a newer version is not touched', async (t) => {
  const directory = await temporaryDirectory(t);
  await (await startStorage(t, directory)).storage.shutdown();
  const db = new DatabaseSync(join(directory, 'outband.db'));
  db.exec('UPDATE meta SET version = 9; PRAGMA user_version = 9');
  db.close();
  const newer = {
    code: 'storage_newer',
    message: 'the database has version 9, this program knows 1',
    hint: 'written by a newer outband: start that one, or use another directory',
  };
  await assert.rejects(startStorage(t, directory), newer);
  const tool = new DeadLetterTool({ directory, maxBytes: 64 * MIB }, systemClock);
  assert.throws(() => tool.totals(), newer);
  await assert.rejects(tool.change({ action: 'drop', filter: {}, allowDuplicates: false }), newer);
  assert.ok((await readdir(directory)).every((name) => !name.includes('corrupt')));
});

test('positions: the last value of a key, by prefix, and a bound for all of them', async (t) => {
  const directory = await temporaryDirectory(t);
  const { storage } = await startStorage(t, directory, { max_bytes: '16MiB' });
  const positions = storage.keyValue('bmc_logs', 'position');
  await Promise.all([
    positions.set({ 'a/1': 'old' }),
    positions.set({ 'a/1': 'new', 'a/2': 'x' }),
    positions.set({ 'b/1': 'y' }),
  ]);
  assert.deepEqual(
    [...(await positions.list('a/'))],
    [
      ['a/1', 'new'],
      ['a/2', 'x'],
    ],
  );
  await positions.set({ 'a/1': undefined });
  assert.deepEqual(
    [...(await positions.list(''))],
    [
      ['a/2', 'x'],
      ['b/1', 'y'],
    ],
  );
  await assert.rejects(positions.set({ big: 'x'.repeat(MIB + 1) }), { code: 'storage_kv_full' });
  await assert.rejects(positions.set({ ['k'.repeat(513)]: 'x' }), { code: 'storage_kv_full' });
  const large = 'x'.repeat(MIB);
  await positions.set({ one: large, two: large, three: large });
  await assert.rejects(positions.set({ four: large }), { code: 'storage_kv_full' });
  await positions.set({ one: undefined });
  await positions.set({ four: large });
  assert.deepEqual([...(await storage.keyValue('other', 'keep').list(''))], []);
});

test('many writes at once share few commits', async (t) => {
  const { storage, host } = await startStorage(t, await temporaryDirectory(t), { commit: { max_delay: '20ms' } });
  const queue = await storage.queue(QUEUE);
  await Promise.all(Array.from({ length: 500 }, (_, n) => queue.append('[]', [`"${n}"`], 1, never)));
  assert.equal(queue.totals.queued, 500);
  const rows = await queue.read(0, 1e6);
  assert.deepEqual(
    rows.map(({ seq }) => seq),
    Array.from({ length: 500 }, (_, n) => n + 1),
    'in the order of the calls, without a gap',
  );
  assert.deepEqual(host.lines, []);
});

test('a caller that gives up before its transaction begins leaves nothing', async (t) => {
  const { storage } = await startStorage(t, await temporaryDirectory(t), { commit: { max_delay: '1s' } });
  const queue = await storage.queue(QUEUE);
  const caller = new AbortController();
  const refused = assert.rejects(queue.append('[]', ['"a"'], 1, caller.signal), { code: 'queue_full' });
  await new Promise(setImmediate);
  caller.abort();
  await refused;
  await queue.remove([], { points: 0, bytes: 0 });
  assert.equal(queue.totals.queued, 0);
});

test('full dead letters: hold says so, drop_oldest makes room and counts', async (t) => {
  for (const on_full of ['hold', 'drop_oldest'] as const) {
    const { storage } = await startStorage(t, await temporaryDirectory(t), {
      dead_letter: { max_bytes: 10_000, on_full },
    });
    const queue = await storage.queue(QUEUE);
    const changes: unknown[] = [];
    queue.onChange((list) => changes.push(...list));
    const note = { reason: 'rejected', message: 'no', attempts: 1 } as const;
    const body = JSON.stringify('x'.repeat(4_000));
    await queue.append('[]', [body, body, body], 3, never);
    assert.equal(await queue.setAside([1, 2], note), true);
    assert.equal(await queue.setAside([3], note), on_full === 'drop_oldest');
    const { queued, deadLetters } = queue.totals;
    assert.deepEqual([queued, deadLetters], on_full === 'hold' ? [1, 2] : [0, 1]);
    assert.equal(changes.length, on_full === 'hold' ? 0 : 1);
  }
});

test('a file that has held a backlog gives its pages back, a step at a time', async (t) => {
  const directory = await temporaryDirectory(t);
  const file = join(directory, 'outband.db');
  const store = new Store(
    {
      ...{ file, ballastFile: join(directory, 'ballast'), maxBytes: 64 * MIB, ballastBytes: 0 },
      ...{ deadLetterMaxBytes: 6 * MIB, deadLetterOnFull: 'hold', keyValueMaxBytes: 12 * MIB },
    },
    { now: () => 1_790_000_000_000, monotonic: () => systemClock.monotonic() },
  );
  store.open();
  store.commit([{ kind: 'queue', name: QUEUE }]);
  const lines = Array.from({ length: 100 }, (_, n) => JSON.stringify(`${n} ${'x'.repeat(2_000)}`)).join('\n');
  for (let n = 0; n < 50; n++) store.commit([{ kind: 'append', queue: 1, context: '[]', lines, points: 100 }]);
  const backlog = store.state().fileBytes;
  const seqs = Array.from({ length: 5_000 }, (_, n) => n + 1);
  store.commit([{ kind: 'remove', queue: 1, seqs, size: { points: 5_000, bytes: lines.length * 50 } }]);
  for (let ticks = 0; ticks < 20; ticks++) store.tick();
  const { fileBytes } = store.state();
  store.close();
  assert.ok(backlog > 9_000_000 && fileBytes <= backlog / 4, `${fileBytes} of ${backlog} bytes`);
  assert.equal((await stat(file)).size, fileBytes);
});

test('settings: sizes, bounds and the share of dead letters', () => {
  const messages = (settings: object) =>
    fileStorage.schema.safeParse(settings).error?.issues.map(({ path, message }) => `${path.join('::')}: ${message}`);
  assert.deepEqual(messages({ max_bytes: '1MiB' }), ['max_bytes: must be at least 16MiB']);
  assert.deepEqual(messages({ commit: { max_delay: '2s' } }), ['commit::max_delay: must be at most 1s']);
  assert.deepEqual(messages({ dead_letter: { max_bytes: '2GiB' } }), [
    'dead_letter::max_bytes: must be below max_bytes',
  ]);
  assert.deepEqual(messages({ ballast_bytes: '1MiB' }), ['ballast_bytes: must be 0 or at least 8MiB']);
  assert.deepEqual(messages({ directory: 'state' }), ['directory: must be an absolute path']);
});

test('a store that could not be opened is stopped at once, and its directory is free', async (t) => {
  const directory = await temporaryDirectory(t);
  await (await startStorage(t, directory)).storage.shutdown();
  const db = new DatabaseSync(join(directory, 'outband.db'));
  db.exec('UPDATE meta SET version = 9; PRAGMA user_version = 9');
  db.close();
  const config = fileStorage.schema.parse({ directory, ballast_bytes: 0 }) as FileStorageConfig;
  const storage = new FileStorage('file_storage', config, testHost());
  await assert.rejects(storage.start(), { code: 'storage_newer' });
  await storage.shutdown();
  const lock = tryLock(directory);
  assert.ok(lock, 'the lock was kept');
  lock.release();
});

test('what is queued for an exporter that is not configured any more can be removed, while no agent runs', async (t) => {
  const directory = await temporaryDirectory(t);
  const { storage } = await startStorage(t, directory);
  const [gone, stays] = [await storage.queue({ exporter: 'gone', signal: 'logs' }), await storage.queue(QUEUE)];
  await gone.append(
    '[]',
    Array.from({ length: 2_500 }, (_, n) => `${n}`),
    2_500,
    never,
  );
  await stays.append('[]', ['1'], 1, never);
  const tool = new DeadLetterTool({ directory, maxBytes: 64 * MIB }, systemClock);
  assert.throws(() => tool.dropQueued('gone'), { code: 'storage_locked' });
  await storage.shutdown();
  assert.equal(tool.dropQueued('gone'), 2_500);
  const again = (await startStorage(t, directory)).storage;
  assert.equal((await again.queue({ exporter: 'gone', signal: 'logs' })).totals.queued, 0);
  assert.equal((await again.queue(QUEUE)).totals.queued, 1);
});
