import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffDelay } from '../../src/resilience/backoff.ts';

const options = { initialMs: 1_000, maxMs: 30_000, multiplier: 2 };

for (const [attempt, delay] of [
  [0, 1_000],
  [1, 2_000],
  [4, 16_000],
  [5, 30_000],
  [1_000_000, 30_000],
] as const)
  test(`retry ${attempt} waits ${delay} ms`, () => assert.equal(backoffDelay(attempt, options), delay));
