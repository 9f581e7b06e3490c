import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenBucket } from '../../src/resilience/token-bucket.ts';

test('a burst, then the rate', () => {
  const bucket = new TokenBucket(10, 3, 0);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => bucket.take(0)),
    [true, true, true, false],
  );
  assert.equal(bucket.wait(0), 100);
  assert.equal(bucket.take(99), false);
  assert.equal(bucket.take(100), true);
});

test('what was not used is kept up to the burst', () => {
  const bucket = new TokenBucket(10, 2, 0);
  for (let n = 0; n < 2; n++) bucket.take(0);
  assert.deepEqual(
    [1, 2, 3].map(() => bucket.take(60_000)),
    [true, true, false],
  );
});
