import assert from 'node:assert/strict';
import { appendFile, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { FileSender } from '../../exporters/file/exporter.ts';
import file, { type FileConfig } from '../../exporters/file/index.ts';
import { testHost } from '../../src/testing/host.ts';
import { record } from '../../src/testing/records.ts';
import { decodeJson } from '../simulators/otlp-sink/decode.ts';
import { forAll } from '../support/property.ts';
import { temporaryDirectory } from '../support/storage.ts';

async function senderOf(t: TestContext, settings: object = {}, directory?: string) {
  const home = directory ?? (await temporaryDirectory(t));
  const path = join(home, 'out', 'logs.json');
  const host = testHost();
  const sender = new FileSender(file.schema.parse({ path, ...settings }) as FileConfig, host);
  await sender.start();
  t.after(() => sender.shutdown());
  return { home, path, host, sender };
}

async function linesOf(directory: string): Promise<string[]> {
  const lines: string[] = [];
  for (const name of (await readdir(directory)).sort()) {
    const bytes = await readFile(join(directory, name));
    const text = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
    lines.push(...text.split('\n').filter((line) => line !== ''));
  }
  return lines;
}

test('one line of OTLP JSON per request, for the owner only', async (t) => {
  const { path, sender } = await senderOf(t);
  assert.deepEqual(await sender.sendLogs([record('a'), record('b')]), { kind: 'accepted' });
  const text = await readFile(path, 'utf8');
  assert.equal(text.split('\n').length, 2);
  assert.deepEqual(
    decodeJson(Buffer.from(text.trim())).map(({ body }) => body),
    ['a', 'b'],
  );
  assert.equal((await stat(path)).mode & 0o777, 0o600);
});

test('rotation loses and doubles no line, at any size', (t) =>
  forAll(fc.integer({ min: 1, max: 30_000 }), async (bytes) => {
    const { path, sender } = await senderOf(t, { rotation: { max_megabytes: bytes / 1e6 }, sync: false });
    const names = Array.from({ length: 20 }, (_, n) => `line ${n}`);
    await Promise.all(names.map((name) => sender.sendLogs([record(name)])));
    const found = (await linesOf(join(path, '..'))).flatMap((line) =>
      decodeJson(Buffer.from(line)).map(({ body }) => body),
    );
    assert.deepEqual(found.toSorted(), names.toSorted());
  }));

test('renamed files are compressed, and only so many are kept', async (t) => {
  const { path, sender } = await senderOf(t, {
    rotation: { max_megabytes: 1e-6, max_backups: 2 },
    compression: 'gzip',
  });
  await writeFile(join(path, '..', 'logs-audit.json'), 'not ours');
  for (let n = 0; n < 5; n++) await sender.sendLogs([record(`line ${n}`)]);
  await sender.shutdown();
  const ours = join(path, '..', 'logs-audit.json');
  assert.equal(await readFile(ours, 'utf8'), 'not ours');
  await rm(ours);
  const names = (await readdir(join(path, '..'))).sort();
  assert.equal(names.length, 3, names.join(' '));
  assert.equal(names.filter((name) => name.endsWith('.json.gz')).length, 2);
  const bodies = (await linesOf(join(path, '..'))).map((line) => decodeJson(Buffer.from(line))[0]!.body);
  assert.deepEqual(bodies, ['line 2', 'line 3', 'line 4']);
});

test('a line that a former process left unfinished gets an end, and is told', async (t) => {
  const home = await temporaryDirectory(t);
  await mkdir(join(home, 'out'));
  await appendFile(join(home, 'out', 'logs.json'), '{"resourceLogs":[{"scop', { mode: 0o600 });
  const { path, host, sender } = await senderOf(t, {}, home);
  assert.ok(host.lines.some(({ message }) => message.includes('middle of a line')));
  await sender.sendLogs([record('whole')]);
  const lines = (await readFile(path, 'utf8')).trim().split('\n');
  assert.equal(lines.length, 2);
  assert.equal(decodeJson(Buffer.from(lines[1]!))[0]!.body, 'whole');
});

test('append: false begins anew', async (t) => {
  const { home, sender } = await senderOf(t);
  await sender.sendLogs([record('old')]);
  await sender.shutdown();
  const again = await senderOf(t, { append: false }, home);
  assert.equal(await readFile(again.path, 'utf8'), '');
});

test('a disk that takes no more is weather: the line comes again, whole', async (t) => {
  const { sender } = await senderOf(t, { path: '/dev/full', create_directory: false, sync: false });
  const result = await sender.sendLogs([record('a')]);
  assert.ok(result.kind === 'retry' && /ENOSPC/.test(result.reason), JSON.stringify(result));
});
