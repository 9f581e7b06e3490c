// The files of the store are damaged in every way while no agent runs. It starts all the same, keeps every record that
// can be read, sets the damaged file aside, and never loses in silence: what is missing was told, and positions are
// dropped with it, so that receivers read their sources again.
import assert from 'node:assert/strict';
import { copyFile, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { OpResult, StoreOptions } from '../../src/extensions/file-storage/protocol.ts';
import { Store } from '../../src/extensions/file-storage/store.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { temporaryDirectory } from '../support/storage.ts';

/** `SEEDS=1000` looks longer. */
const SEEDS = Number(process.env.SEEDS ?? 50);
const RECORDS = 300;
const TIMES = { now: () => 1_790_000_000_000, monotonic: () => systemClock.monotonic() };

const optionsOf = (directory: string): StoreOptions => ({
  file: join(directory, 'outband.db'),
  ballastFile: join(directory, 'ballast'),
  maxBytes: 64 * 1024 * 1024,
  deadLetterMaxBytes: 6 * 1024 * 1024,
  deadLetterOnFull: 'hold',
  keyValueMaxBytes: 12 * 1024 * 1024,
  ballastBytes: 0,
});
const QUEUE = { kind: 'queue', name: { exporter: 'otlp_http', signal: 'logs' } } as const;
const value = <T>(result: OpResult | undefined): T => {
  assert.ok(result && 'value' in result, JSON.stringify(result));
  return result.value as T;
};
const bodyOf = (n: number) => JSON.stringify({ n, text: 'x'.repeat(400) });

/** A store as a killed agent leaves it: rows, dead letters, positions, some of it still in the write-ahead log. */
async function makeState(directory: string): Promise<void> {
  const live = join(directory, 'live');
  await mkdir(live);
  const store = new Store(optionsOf(live), TIMES);
  store.open();
  const queue = value<number>(store.commit([QUEUE])[0]);
  for (let n = 0; n < RECORDS; n += 10)
    store.commit([
      {
        kind: 'append',
        queue,
        context: '["context"]',
        lines: Array.from({ length: 10 }, (_, k) => bodyOf(n + k)).join('\n'),
        points: 10,
      },
    ]);
  store.commit([
    { kind: 'set_aside', queue, seqs: [1, 2, 3], note: { reason: 'rejected', message: 'no', attempts: 1 } },
  ]);
  for (const [namespace, namespaceKind] of [
    ['cursors', 'position'],
    ['pins', 'keep'],
  ] as const)
    store.commit([{ kind: 'set_values', namespace, namespaceKind, values: { a: '1', b: '2' } }]);
  for (const name of ['outband.db', 'outband.db-wal']) await copyFile(join(live, name), join(directory, name));
  store.close();
  await rm(live, { recursive: true });
}

type Damage = (file: string, random: (below: number) => number) => Promise<void>;

const DAMAGES: Readonly<Record<string, Damage>> = {
  'a flipped bit in the database': async (file, random) => flip(file, random),
  'a flipped bit in the write-ahead log': async (file, random) => flip(`${file}-wal`, random),
  'a database that was cut': async (file, random) => {
    const { length } = await readFile(file);
    await truncate(file, random(length));
  },
  'a write-ahead log that was cut': async (file, random) => {
    const { length } = await readFile(`${file}-wal`);
    await truncate(`${file}-wal`, random(length));
  },
  'a page of zeros': async (file, random) => {
    const bytes = await readFile(file);
    const page = 4_096 * random(bytes.length / 4_096);
    bytes.fill(0, page, page + 4_096);
    await writeFile(file, bytes);
  },
  'no write-ahead log': async (file) => rm(`${file}-wal`),
  'a write-ahead log of garbage': async (file, random) =>
    writeFile(`${file}-wal`, Buffer.from(Array.from({ length: 9_000 }, () => random(256)))),
  'an empty database': async (file) => truncate(file, 0),
  'a text in its place': async (file) => writeFile(file, 'this is no database\n'.repeat(500)),
};

async function flip(file: string, random: (below: number) => number): Promise<void> {
  const bytes = await readFile(file);
  const at = random(bytes.length);
  bytes[at] = bytes[at]! ^ (1 << random(8));
  await writeFile(file, bytes);
}

test(`${SEEDS} damaged stores: each starts, keeps what can be read, and tells what it could not`, async (t) => {
  const directory = await temporaryDirectory(t);
  const template = join(directory, 'template');
  await mkdir(template);
  await makeState(template);
  let quarantined = 0;
  for (let seed = 0; seed < SEEDS; seed++) {
    let state = seed * 2_654_435_761 + 1;
    const random = (below: number) => {
      state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor((state / 2 ** 31) * below);
    };
    const [what, damage] = Object.entries(DAMAGES)[seed % Object.keys(DAMAGES).length]!;
    const place = join(directory, String(seed));
    await mkdir(place);
    for (const name of await readdir(template)) await copyFile(join(template, name), join(place, name));
    await damage(join(place, 'outband.db'), random);
    const label = `seed ${seed}: ${what}`;

    const store = new Store(optionsOf(place), TIMES);
    assert.doesNotThrow(() => store.open(), label);
    const queue = value<number>(store.commit([QUEUE])[0]);
    const rows = value<{ seq: number; body: string; corrupt: boolean }[]>(
      store.commit([{ kind: 'read', queue, afterSeq: 0, maxBytes: 1e9 }])[0],
    );
    for (const { seq, body, corrupt } of rows) assert.ok(corrupt || body === bodyOf(seq - 1), `${label}: row ${seq}`);
    const { corruptions, totals, warnings } = store.state();
    quarantined += corruptions;
    const positions = value<unknown[]>(store.commit([{ kind: 'list', namespace: 'cursors', prefix: '' }])[0]).length;
    const [, { queued }] = totals.find(([id]) => id === queue)!;
    const expected = RECORDS - 3;
    // A log that is gone takes the newest transactions with it, positions included: nothing is told, nothing is needed.
    if (!what.includes('write-ahead') && rows.length < expected && what !== 'an empty database') {
      assert.ok(
        corruptions === 1 && warnings.length > 0,
        `${label}: ${rows.length} of ${expected} rows, told: ${warnings}`,
      );
      assert.equal(positions, 0, `${label}: positions stayed although records are missing`);
    }
    assert.equal(rows.length, queued, label);

    // It works on, and its next start finds nothing amiss.
    value(store.commit([{ kind: 'append', queue, context: '[]', lines: '{}', points: 1 }])[0]);
    store.close();
    const again = new Store(optionsOf(place), TIMES);
    again.open();
    assert.equal(again.state().corruptions, 0, `${label}: damaged again`);
    again.close();
    const aside = (await readdir(place)).filter((name) => /corrupt-[^-]*$/.test(name));
    assert.ok(aside.length <= 3, label);
    await rm(place, { recursive: true });
  }
  t.diagnostic(`${quarantined} of ${SEEDS} were set aside and replaced`);
  assert.ok(quarantined > 0);
});
