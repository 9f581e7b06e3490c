import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestWindows } from '../../src/resilience/request-window.ts';

test('as many as the limit pass in a window that begins with the first', () => {
  const windows = new RequestWindows(3, 60_000, 10);
  const take = (now: number) => windows.take('a', now);
  assert.deepEqual(
    [1_000, 2_000, 3_000, 4_000, 60_999].map((now) => take(now).allowed),
    [true, true, true, false, false],
  );
  assert.deepEqual(take(60_999), { allowed: false, limit: 3, remaining: 0, resetMs: 1 });
  assert.equal(take(61_000).allowed, true);
});

test('a look counts nothing', () => {
  const windows = new RequestWindows(1, 60_000, 10);
  for (let n = 0; n < 5; n++) assert.equal(windows.look('a', 0).allowed, true);
  assert.equal(windows.take('a', 0).allowed, true);
  assert.equal(windows.look('a', 0).allowed, false);
});

test('a hundred thousand clients are no more memory than the bound, and the latest are remembered', () => {
  const windows = new RequestWindows(1, 60_000, 10_000);
  for (let n = 0; n < 100_000; n++) windows.take(`client-${n}`, n / 100);
  assert.equal(windows.size, 10_000);
  assert.equal(windows.take('client-99999', 1_000).allowed, false);
});
