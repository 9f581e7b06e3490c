import assert from 'node:assert/strict';
import { test } from 'node:test';
import { retryDelay } from '../../src/delivery/retry-plan.ts';

const settings = {
  initial_interval: 5_000,
  max_interval: 30_000,
  multiplier: 1.5,
  randomization_factor: 0.5,
  max_retry_after: 300_000,
};

for (const [what, failures, random, wish, expected] of [
  ['the first retry waits the initial interval', 1, 0.5, undefined, 5_000],
  ['jitter spreads to half of it', 1, 0, undefined, 2_500],
  ['later retries grow', 3, 0.5, undefined, 11_250],
  ['up to the longest interval', 50, 0.5, undefined, 30_000],
  ['a server may ask for more', 1, 0.5, 60_000, 60_000],
  ['up to the cap', 1, 0.5, 3_600_000, 300_000],
  ['but never for less', 1, 0.5, 0, 5_000],
] as const)
  test(what, () => assert.equal(retryDelay(failures, settings, random, wish), expected));
