// The files of the store are damaged in every way while no agent runs. It starts all the same, keeps every record that
// can be read, sets the damaged file aside, and never loses in silence: what is missing was told, and positions are
// dropped with it, so that receivers read their sources again.
import assert from 'node:assert/strict';
import { copyFile, mkdir, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
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

type Tables = Readonly<Record<string, number>>;

/** Damage to one place, and how many of the 297 records and 3 dead letters must survive it. */
const PLACES: readonly [
  what: string,
  damage: (bytes: Buffer, roots: Tables) => Buffer,
  records: number,
  letters: number,
][] = [
  ...['queues', 'meta', 'requests', 'namespaces', 'key_values', 'dead_letter_totals', 'dead_letters_by_queue'].map(
    (table): (typeof PLACES)[number] => [
      `the page of ${table}`,
      (bytes, roots) => zeroPage(bytes, roots[table]!),
      297,
      3,
    ],
  ),
  ['the page of dead_letters', (bytes, roots) => zeroPage(bytes, roots.dead_letters!), 297, 0],
  ['the first page', (bytes) => zeroPage(bytes, 1), 297, 3],
  ['a bit of the header', (bytes) => bytes.fill(bytes[3]! ^ 1, 3, 4), 297, 3],
  ['the second half of the file', (bytes) => bytes.subarray(0, bytes.length >> 1), 50, 0],
];

function zeroPage(bytes: Buffer, page: number): Buffer {
  return bytes.fill(0, (page - 1) * 4_096, page * 4_096);
}

async function withoutLog(t: Parameters<typeof temporaryDirectory>[0]) {
  const directory = await temporaryDirectory(t);
  await makeState(directory);
  const file = join(directory, 'outband.db');
  // Everything in one file: what is damaged is not mended from the log.
  const db = new DatabaseSync(file);
  db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get();
  const rows = db.prepare('SELECT name, rootpage FROM sqlite_schema').all() as { name: string; rootpage: number }[];
  db.close();
  return { directory, file, roots: Object.fromEntries(rows.map(({ name, rootpage }) => [name, rootpage])) };
}

for (const [what, damage, records, letters] of PLACES)
  test(`without ${what}: at least ${records} records and ${letters} dead letters survive`, async (t) => {
    const { directory, file, roots } = await withoutLog(t);
    await writeFile(file, damage(await readFile(file), roots));
    // A process that died in the middle of an earlier rescue has left half a replacement.
    await writeFile(`${file}.new`, 'half');
    const store = new Store(optionsOf(directory), TIMES);
    store.open();
    const queue = value<number>(store.commit([QUEUE])[0]);
    const rows = value<unknown[]>(store.commit([{ kind: 'read', queue, afterSeq: 0, maxBytes: 1e9 }])[0]);
    const { corruptions, totals } = store.state();
    store.close();
    const { deadLetters, lastSeq } = totals.find(([id]) => id === queue)![1];
    assert.equal(corruptions, 1);
    assert.ok(rows.length >= records && deadLetters >= letters, `${rows.length} records, ${deadLetters} dead letters`);
    assert.ok(lastSeq >= rows.length, 'numbers are not given out again');
  });

for (const [what, sql] of [
  ['the last number is too low', 'UPDATE queues SET last_n = last_n & ~128'],
  ['the last number is absurd', 'UPDATE queues SET last_n = last_n | (1 << 44)'],
  ['nothing is said to be queued', 'UPDATE queues SET queued = 0'],
] as const)
  test(`totals that a flipped bit has changed (${what}) are held against the rows`, async (t) => {
    const { directory, file } = await withoutLog(t);
    const db = new DatabaseSync(file);
    db.exec(sql);
    db.close();
    const store = new Store(optionsOf(directory), TIMES);
    store.open();
    const queue = value<number>(store.commit([QUEUE])[0]);
    const first = value<number>(store.commit([{ kind: 'append', queue, context: '[]', lines: '{}', points: 1 }])[0]);
    const [, totals] = store.state().totals[0]!;
    store.close();
    assert.deepEqual([first, totals.queued], [301, 298]);
  });

test('a process that died between the two renames of a rescue finds the replacement', async (t) => {
  const { directory, file } = await withoutLog(t);
  await rename(file, `${file}.new`);
  const store = new Store(optionsOf(directory), TIMES);
  store.open();
  const queue = value<number>(store.commit([QUEUE])[0]);
  assert.equal(store.state().totals.find(([id]) => id === queue)![1].queued, 297);
  store.close();
});

test('one flipped bit in the key of one row costs that row at most', async (t) => {
  for (const bit of [0, 3, 6]) {
    const { directory, file } = await withoutLog(t);
    const bytes = await readFile(file);
    // A row of the table begins with its length, its key and its header; the text tells where it is.
    const key =
      bytes.lastIndexOf(Buffer.from('"n":150,')) - keyToText(bytes, bytes.lastIndexOf(Buffer.from('"n":150,')));
    bytes[key] = bytes[key]! ^ (1 << bit);
    await writeFile(file, bytes);
    const store = new Store(optionsOf(directory), TIMES);
    store.open();
    const queue = value<number>(store.commit([QUEUE])[0]);
    const rows = value<unknown[]>(store.commit([{ kind: 'read', queue, afterSeq: 0, maxBytes: 1e9 }])[0]);
    store.close();
    assert.ok(rows.length >= RECORDS - 3 - 1, `bit ${bit}: ${rows.length} records`);
  }
});

/** Distance from the last but one byte of the key of row 151 (2^44 + 151 as a varint) to its text. */
function keyToText(bytes: Buffer, text: number): number {
  const varint = Buffer.from([0x84, 0x80, 0x80, 0x80, 0x80, 0x81, 0x17]);
  const at = bytes.lastIndexOf(varint, text);
  assert.ok(at > 0 && text - at < 60, 'the key of the row');
  return text - (at + varint.length - 2);
}
