import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromEntry } from '../../../receivers/bmc-logs/happening.ts';
import { ServiceCursor, type Survey } from '../../../receivers/bmc-logs/logs/cursor.ts';

const entry = (id: number, seconds = id) =>
  fromEntry(
    { Id: String(id), Message: `entry ${seconds}` },
    {
      ...{ endpoint: 'bmc-1', service: '/log', useSequence: true, generation: 0 },
      time: { epochNanos: BigInt(seconds) * 1_000_000_000n, zoneAssumed: false },
    },
  );

/** Knows entries 11 to 20, of a log that held ten. */
function cursorOfTen(): ServiceCursor {
  const cursor = new ServiceCursor();
  for (let id = 11; id <= 20; id++) cursor.mark(entry(id), undefined);
  cursor.endWholeRead(10);
  return cursor;
}

const NOTHING_KNOWN = { knownDated: 0, knownUndated: 0, sameContent: 0 };
const CASES: readonly (readonly [string, Survey, ReturnType<ServiceCursor['resetOf']>])[] = [
  [
    'known entries are there: it went on, or wrapped',
    { ...NOTHING_KNOWN, entries: 10, knownDated: 1, largest: 29n, smallestUnknown: 21n },
    undefined,
  ],
  [
    'all gone, and numbers start again: cleared',
    { ...NOTHING_KNOWN, entries: 10, largest: 10n, smallestUnknown: 1n },
    { kind: 'cleared' },
  ],
  [
    'all gone, and fewer than before: cleared',
    { ...NOTHING_KNOWN, entries: 3, largest: undefined, smallestUnknown: undefined },
    { kind: 'cleared' },
  ],
  [
    'all gone, and numbers went on: turned over, with what came and went between',
    { ...NOTHING_KNOWN, entries: 10, largest: 60n, smallestUnknown: 51n },
    { kind: 'overrun', missed: 30 },
  ],
  [
    'the same contents under other Ids: renumbered',
    { ...NOTHING_KNOWN, entries: 10, sameContent: 9, largest: 10n, smallestUnknown: 1n },
    { kind: 'renumbered' },
  ],
  [
    'empty after it was not: cleared',
    { ...NOTHING_KNOWN, entries: 0, largest: undefined, smallestUnknown: undefined },
    { kind: 'cleared' },
  ],
  [
    'undated entries that look the same, and none is missing: nothing happened',
    { ...NOTHING_KNOWN, entries: 10, knownUndated: 10, largest: 20n, smallestUnknown: undefined },
    undefined,
  ],
  [
    'undated entries that look the same, but fewer: cleared, and they are others',
    { ...NOTHING_KNOWN, entries: 2, knownUndated: 1, largest: 20n, smallestUnknown: undefined },
    { kind: 'cleared' },
  ],
];

for (const [what, survey, expected] of CASES)
  test(what, () => assert.deepEqual(cursorOfTen().resetOf(survey), expected));

test('a log that was never read cannot have been reset', () => {
  for (const [, survey] of CASES) assert.equal(new ServiceCursor().resetOf(survey), undefined);
});

test('an entry from well before the newest known one tells that a clock was set', () => {
  const cursor = new ServiceCursor();
  cursor.mark(entry(1, 10_000), undefined);
  assert.equal(cursor.isBackInTime(entry(2, 9_700)), false);
  assert.equal(cursor.isBackInTime(entry(2, 9_699)), true);
});

test('the same entry reworded by a firmware update is known; changed in place it is told again', () => {
  const told = (fields: object) =>
    fromEntry(
      { Id: '1', MessageId: 'X.1.0.Fan', MessageArgs: ['3'], Message: 'Fan 3 failed', Severity: 'OK', ...fields },
      {
        ...{ endpoint: 'bmc-1', service: '/log', useSequence: true, generation: 0 },
        time: { epochNanos: 1_000_000_000n, zoneAssumed: false },
      },
    );
  const cursor = new ServiceCursor();
  cursor.mark(told({}), undefined);
  assert.equal(cursor.judge(told({})), 'known');
  assert.equal(cursor.judge(told({ Message: 'Fan 3 has failed' })), 'reworded');
  assert.equal(cursor.judge(told({ Severity: 'Critical' })), 'updated');
  assert.equal(cursor.judge(told({ Resolved: true })), 'updated');
});

test('a log far longer than what is remembered: what was seen stays known, after a restart too', () => {
  let cursor = new ServiceCursor();
  for (let id = 1; id <= 15_000; id++) {
    cursor.mark(entry(id), undefined);
    if (id % 5_000 === 0) cursor = ServiceCursor.restore(cursor.stored);
  }
  cursor.beginRead();
  for (let id = 1; id <= 15_000; id += 7) assert.match(cursor.judge(entry(id)), /known|below_floor/, `entry ${id}`);
  assert.equal(cursor.judge(entry(15_001)), 'new');
  assert.equal(cursor.judge(entry(15_001, 500)), 'new', 'of an earlier time, but with a number that was never seen');
});
