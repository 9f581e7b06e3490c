import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromEntry } from '../../../receivers/bmc-logs/happening.ts';
import { historyOf } from '../../../receivers/bmc-logs/logs/history.ts';
import { oldestFirst } from '../../../receivers/bmc-logs/logs/order.ts';
import type { EventTime } from '../../../receivers/bmc-logs/record/time.ts';

const at = (second: number | undefined): EventTime =>
  second === undefined
    ? { epochNanos: undefined, raw: '0000-00-00T00:00:00Z' }
    : { epochNanos: BigInt(second) * 1_000_000_000n, zoneAssumed: false };
const entry = (id: string, second?: number, sequence?: number) =>
  fromEntry(
    { Id: id, ...(sequence !== undefined && { Oem: { Hpe: { EventNumber: sequence } } }) },
    { endpoint: 'e', service: '/s', time: at(second), useSequence: true, generation: 0 },
  );
const ids = (...entries: ReturnType<typeof entry>[]) => oldestFirst(entries, (one) => one).map(({ id }) => id);

test('a list that is newest first is turned around, by Id', () =>
  assert.deepEqual(ids(entry('3'), entry('2'), entry('1')), ['1', '2', '3']));

test('the vendor sequence decides before the Id: Ids may be positions', () => {
  assert.deepEqual(ids(entry('1', 0, 12), entry('2', 0, 11), entry('3', 0, 10)), ['3', '2', '1']);
});

test('text Ids leave the decision to the times', () =>
  assert.deepEqual(ids(entry('b', 20), entry('a', 10)), ['a', 'b']));

test('one clock that jumped does not move a list that is ordered', () => {
  const entries = Array.from({ length: 30 }, (_, n) => entry(`text-${n}`, n === 20 ? 5 : n));
  assert.deepEqual(
    ids(...entries),
    entries.map(({ id }) => id),
  );
  assert.deepEqual(
    ids(...entries.toReversed()),
    entries.map(({ id }) => id),
  );
});

test('a shuffled list is sorted', () => {
  assert.deepEqual(ids(entry('3'), entry('1'), entry('5'), entry('2'), entry('4')), ['1', '2', '3', '4', '5']);
});

test('a list that tells nothing is taken as it came', () => assert.deepEqual(ids(entry('x'), entry('y')), ['x', 'y']));

test('entries before the cut-off are history, an undated one follows its older neighbour', () => {
  const times = [at(undefined), at(5), at(undefined), at(15), at(undefined)];
  assert.deepEqual(historyOf(times, 10_000_000_000n), [true, true, true, false, false]);
});

test('a log without any date gives its newest hundred', () => {
  const old = historyOf(
    Array.from({ length: 250 }, () => at(undefined)),
    10n,
  );
  assert.equal(old.filter(Boolean).length, 150);
  assert.equal(old.lastIndexOf(true), 149);
});

test('without a cut-off nothing is history', () =>
  assert.deepEqual(historyOf([at(1), at(undefined)], undefined), [false, false]));
