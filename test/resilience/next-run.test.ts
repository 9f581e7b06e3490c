import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  afterFailure,
  afterSuccess,
  beginTrial,
  type Failure,
  type RetryPolicy,
  reset,
  restingState,
  type TargetState,
} from '../../src/resilience/next-run.ts';

const policy: RetryPolicy = {
  failureThreshold: 3,
  maxRetryAttempts: 2,
  maxRetryAfter: 3_600_000,
  breaker: { baseDelay: 30_000, maxDelay: 300_000, jitter: 0.2 },
  deadLetter: { retryInterval: 1_800_000, jitter: 0.2 },
  flapping: { threshold: 3, windowMs: 3_600_000 },
};
const grid = { interval: 10_000, phase: 0 };

function failure(at: number, category: Failure['category'] = 'transient'): Failure {
  return { at, code: category === 'permanent' ? 'auth_rejected' : 'bmc_unreachable', message: 'away', category };
}

function fail(
  state: TargetState,
  now: number,
  {
    category,
    retryAfter = 0,
    random = 0,
    with: over = policy,
    interval = 10_000,
  }: {
    category?: Failure['category'];
    retryAfter?: number;
    random?: number;
    with?: RetryPolicy;
    interval?: number;
  } = {},
) {
  const end = { now, grid: { interval, phase: 0 }, earliest: now, cause: 'failure' } as const;
  return afterFailure(state, failure(now, category), end, { retryAfter, random }, over);
}

/** Fails until the breaker is open, then so many trials. */
function outage(trials: number): { state: TargetState; due: number } {
  let state = restingState(true, 0);
  let due = 0;
  for (let n = 0; n < policy.failureThreshold; n++) ({ state, due } = fail(state, due));
  for (let n = 0; n < trials; n++) ({ state, due } = fail(beginTrial(state, due, 'retry_due', due + 1), due + 1));
  return { state, due };
}

test('failures below the threshold leave the breaker closed; the next run is at the next slot', () => {
  const { state, due, cause } = fail(restingState(true, 0), 12_345);
  assert.deepEqual(
    [state.breaker.state, state.breaker.failures, state.failures, due, cause],
    ['closed', 1, 1, 20_000, 'failure'],
  );
});

test('what the target asks for delays the next run of a closed breaker, up to the maximum', () => {
  const asked = fail(restingState(true, 0), 1_000, { retryAfter: 60_000 });
  assert.deepEqual([asked.due, asked.cause, asked.state.breaker.state], [61_000, 'retry_after', 'closed']);
  const cut = fail(restingState(true, 0), 1_000, { retryAfter: 9e9 });
  assert.equal(cut.due, 3_601_000);
  const ignored = fail(restingState(true, 0), 1_000, { retryAfter: 60_000, with: { ...policy, maxRetryAfter: 0 } });
  assert.equal(ignored.due, 10_000);
});

test('the threshold opens it, and every trial that fails doubles the wait up to its maximum', () => {
  const waits: number[] = [];
  const lenient = { ...policy, maxRetryAttempts: 100 };
  let state = restingState(true, 0);
  let now = 0;
  for (let n = 0; n < 3; n++) ({ state } = fail(state, now));
  for (let trial = 0; trial < 6; trial++) {
    waits.push(state.breaker.retryAt! - now);
    now = state.breaker.retryAt!;
    ({ state } = fail(beginTrial(state, now, 'retry_due', now + 1), now, { with: lenient }));
  }
  assert.deepEqual(waits, [30_000, 60_000, 120_000, 240_000, 300_000, 300_000]);
  assert.deepEqual([state.breaker.state, state.breaker.since, state.breaker.trippedAt], ['open', 0, 0]);
});

test('a retry comes no sooner than the interval, what was asked for, and jitter only lengthens', () => {
  const atThreshold = fail(fail(restingState(true, 0), 0).state, 0).state;
  assert.equal(fail(atThreshold, 0, { interval: 60_000 }).due, 60_000);
  assert.equal(fail(atThreshold, 0, { retryAfter: 90_000 }).due, 90_000);
  assert.equal(fail(atThreshold, 0, { random: 1 }).due, 36_000);
});

test('ten thousand failures in a row keep every delay finite and in bounds', () => {
  const lenient = { ...policy, maxRetryAttempts: 1e9 };
  let { state } = outage(1);
  for (let n = 0, now = 1; n < 10_000; n++) {
    const next = fail(beginTrial(state, now, 'retry_due', now + 1), now, { random: 1, with: lenient });
    assert.ok(next.due > now && next.due <= now + 360_000, `${next.due - now}`);
    ({ state } = next);
    now = next.due;
  }
  assert.equal(state.failures, 10_004);
});

test('a permanent failure opens and parks at once, also at the first run', () => {
  const { state, due, cause } = fail(restingState(false, 0), 5_000, { category: 'permanent' });
  assert.deepEqual(
    [state.parked, state.breaker.state, due, cause],
    ['permanent_failure', 'open', 1_805_000, 'dead_letter'],
  );
  const { from, to, cause: why } = state.breaker.transitions[0]!;
  assert.deepEqual([from, to, why], ['unknown', 'open', 'permanent_failure']);
});

test('so many trials in a row that fail park it, at the pace of the dead letter', () => {
  assert.equal(outage(1).state.parked, null);
  const { state, due } = outage(2);
  assert.equal(state.parked, 'max_retry_attempts');
  assert.equal(due, state.breaker.retryAt);
  assert.equal(due - state.lastError!.at, 1_800_000);
  const later = fail(beginTrial(state, due, 'retry_due', due), due, { category: 'permanent' });
  assert.equal(later.state.parked, 'max_retry_attempts', 'the reason stays until the entry goes');
});

test('one success heals everything', () => {
  const { state, due } = outage(5);
  const end = { now: due + 5, grid, earliest: 0, cause: 'interval' } as const;
  const next = afterSuccess(beginTrial(state, due, 'retry_due', due + 1_000), end);
  assert.deepEqual(next.state, {
    breaker: {
      ...next.state!.breaker,
      state: 'closed',
      since: due + 5,
      failures: 0,
      trips: 0,
      trippedAt: null,
      retryAt: null,
    },
    ...{ failures: 0, firstFailureAt: null, lastError: null, parked: null },
  });
  assert.equal(next.due, Math.floor((due + 5) / 10_000) * 10_000 + 10_000);
  assert.equal(next.state!.breaker.transitions.at(-1)!.cause, 'trial_succeeded');
});

test('a success of a target that never failed allocates nothing', () => {
  const end = { now: 5, grid, earliest: 0, cause: 'interval' } as const;
  assert.deepEqual(afterSuccess(undefined, end), { due: 10_000, cause: 'interval', state: undefined });
  assert.deepEqual(afterSuccess(undefined, end, 7), { due: 7, cause: 'requested', state: undefined });
});

test('a reset closes and forgets the dead letter; the outstanding error stays until a success', () => {
  const { state } = outage(3);
  const after = reset(state, 9e6);
  assert.deepEqual(
    [after.breaker.state, after.breaker.failures, after.breaker.trips, after.parked],
    ['closed', 0, 0, null],
  );
  assert.deepEqual([after.failures, after.lastError], [state.failures, state.lastError]);
  assert.equal(after.breaker.transitions.at(-1)!.cause, 'reset');
});

test('sixteen transitions are kept, the oldest goes first', () => {
  const { state } = outage(20);
  assert.equal(state.breaker.transitions.length, 16);
  assert.ok(state.breaker.transitions.every(({ at }, index, all) => index === 0 || at >= all[index - 1]!.at));
});
