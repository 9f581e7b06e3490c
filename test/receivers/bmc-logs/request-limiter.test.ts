import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestLimiter } from '../../../receivers/bmc-logs/client/request-limiter.ts';
import { FakeClock, settle } from '../../../src/testing/fake-clock.ts';

const { signal } = new AbortController();

test('a burst leaves at once, the rest one by one in the order in which they came', async () => {
  const clock = new FakeClock();
  const limiter = new RequestLimiter({ bucket_burst: 3, bucket_replenish: 30, max_jitter: 0 }, clock, () => 0.5);
  const passed: string[] = [];
  for (let n = 0; n < 6; n++) void limiter.pass(signal).then(() => passed.push(`${n} at ${clock.monotonic()}`));
  await clock.advance(1_000);
  assert.deepEqual(passed, ['0 at 0', '1 at 0', '2 at 0', '3 at 30', '4 at 60', '5 at 90']);
});

test('what was not used is there again, up to the burst', async () => {
  const clock = new FakeClock();
  const limiter = new RequestLimiter({ bucket_burst: 2, bucket_replenish: 100, max_jitter: 0 }, clock, () => 0.5);
  await Promise.all([limiter.pass(signal), limiter.pass(signal)]);
  await clock.advance(1_000);
  const passed: number[] = [];
  for (let n = 0; n < 3; n++) void limiter.pass(signal).then(() => passed.push(clock.monotonic()));
  await clock.advance(1_000);
  assert.deepEqual(passed, [1_000, 1_000, 1_100]);
});

test('a random wait below the longest spreads them', async () => {
  const clock = new FakeClock();
  const limiter = new RequestLimiter({ bucket_burst: 9, bucket_replenish: 30, max_jitter: 50 }, clock, () => 0.5);
  let at = -1;
  void limiter.pass(signal).then(() => {
    at = clock.monotonic();
  });
  await clock.advance(100);
  assert.equal(at, 25);
});

test('without settings there is no limit, and who gives up does not leave', async () => {
  const clock = new FakeClock();
  await new RequestLimiter(undefined, clock, () => 0.5).pass(signal);
  const limiter = new RequestLimiter({ bucket_burst: 1, bucket_replenish: 1_000, max_jitter: 0 }, clock, () => 0);
  await limiter.pass(signal);
  const given = new AbortController();
  const waiting = assert.rejects(limiter.pass(given.signal), /enough/);
  await settle();
  given.abort(new Error('enough'));
  await waiting;
});
