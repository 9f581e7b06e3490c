import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Pace, pace, paceAfterFailure, samePace, stepBounds } from '../../src/resilience/poll-interval.ts';

const settings = { idleRuns: 3, maxBusyRatio: 0.25, overloadLag: 5_000 };
const last = (step: number, cause: Pace['cause'] = 'interval', idleRuns = 0): Pace => ({ step, cause, idleRuns });

/** 60 s registered, steps from -2 to 2; what is not said is a short run that found nothing. */
const rows: [string, Pace, { items?: number; duration?: number; lag?: number }, Pace][] = [
  ['a costly run lengthens', last(0), { duration: 16_000 }, last(1, 'cost', 1)],
  ['cost wins over activity', last(0), { duration: 16_000, items: 9 }, last(1, 'cost')],
  ['no step beyond the bound', last(2), { duration: 240_000 }, last(2, 'cost', 1)],
  ['a long wait lengthens', last(0), { lag: 5_001 }, last(1, 'overload', 1)],
  ['a wait at the limit does not', last(0), { lag: 5_000 }, last(0, 'interval', 1)],
  ['activity shortens by one step', last(0), { items: 1 }, last(-1, 'activity')],
  ['activity returns to the registered interval at once', last(2), { items: 1 }, last(0, 'activity')],
  ['activity stays at the shortest', last(-2, 'activity'), { items: 1 }, last(-2, 'activity')],
  ['activity that would be too costly at the shorter interval', last(0), { items: 1, duration: 8_000 }, last(0)],
  ['idle, but not for long enough', last(-1, 'activity', 1), {}, last(-1, 'activity', 2)],
  ['idle for long enough grows back by one step', last(-2, 'activity', 2), {}, last(-1, 'idle')],
  ['relief goes back by one step', last(2, 'cost'), {}, last(1, 'interval', 1)],
  ['idleness never lengthens', last(0, 'interval', 900), {}, last(0, 'interval', 901)],
];
for (const [name, before, { items = 0, duration = 100, lag = 0 }, after] of rows)
  test(`interval law: ${name}`, () => {
    const run = { items, smoothedDuration: duration, lag, registered: 60_000, minStep: -2, maxStep: 2 };
    assert.deepEqual(pace(before, run, settings), after);
  });

test('a failure takes back a shortened interval, and leaves a longer one', () => {
  assert.deepEqual(paceAfterFailure(last(-2, 'activity')), last(0, 'failure'));
  assert.deepEqual(paceAfterFailure(last(3, 'cost')), last(3, 'failure'));
});

test('a deferral changes nothing', () => {
  assert.deepEqual(samePace(last(-1, 'activity', 2)), last(-1, 'activity', 2));
  assert.deepEqual(samePace(last(0, 'failure')), last(0, 'interval'));
});

const bounds: [string, number, number, number, [number, number]][] = [
  ['inside both', 60_000, 10_000, 300_000, [-2, 2]],
  ['the law reaches a quarter at most', 120_000, 1_000, 120_000, [-2, 0]],
  ['and 64 times at most', 100, 100, 86_400_000, [0, 6]],
  ['a registered interval below the bounds', 1_000, 10_000, 300_000, [0, 6]],
  ['and above', 3_600_000, 10_000, 300_000, [-2, 0]],
  ['whole milliseconds only', 30_001, 100, 300_000, [0, 3]],
];
for (const [name, registered, min, max, [minStep, maxStep]] of bounds)
  test(`interval bounds: ${name}`, () => assert.deepEqual(stepBounds(registered, min, max), { minStep, maxStep }));
