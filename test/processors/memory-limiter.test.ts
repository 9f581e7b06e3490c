import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import memoryLimiter, { type MemoryLimiterConfig } from '../../src/processors/memory-limiter/index.ts';
import { MemoryState } from '../../src/processors/memory-limiter/limit.ts';
import { MemoryLimiter } from '../../src/processors/memory-limiter/processor.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { testHost } from '../../src/testing/host.ts';
import { batch } from '../../src/testing/records.ts';
import { forAll } from '../support/property.ts';

const LIMITS = { limit: 100, spike: 20 };

test('refuses above limit minus spike, and not below', () => {
  const state = new MemoryState(LIMITS);
  assert.equal(state.update({ used: 80, rss: 80 }, 0), false);
  assert.equal(state.refuses, false);
  assert.equal(state.update({ used: 81, rss: 81 }, 1_000), true);
  assert.equal(state.refuses, true);
  assert.equal(state.update({ used: 80, rss: 90 }, 2_000), true);
  assert.equal(state.refuses, false);
});

test('resident memory that does not shrink refuses for a minute once the usage is low, and no longer', () => {
  const state = new MemoryState(LIMITS);
  state.update({ used: 90, rss: 150 }, 0);
  state.update({ used: 10, rss: 150 }, 1_000);
  assert.equal(state.refuses, true);
  state.update({ used: 10, rss: 150 }, 60_999);
  assert.equal(state.refuses, true);
  state.update({ used: 10, rss: 150 }, 61_000);
  assert.equal(state.refuses, false);
});

test('for any curve of usage: refuses when it is high, and recovers within a minute when it is low', () => {
  const reading = fc.record({ used: fc.integer({ min: 0, max: 200 }), rss: fc.integer({ min: 0, max: 400 }) });
  return forAll(fc.array(reading, { maxLength: 50 }), (curve) => {
    const state = new MemoryState(LIMITS);
    for (const [second, one] of curve.entries()) {
      state.update(one, second * 1_000);
      if (one.used > 80) assert.ok(state.refuses);
      if (one.used <= 80 && one.rss <= 100) assert.ok(!state.refuses);
    }
    const end = curve.length * 1_000;
    state.update({ used: 0, rss: 1_000 }, end);
    state.update({ used: 0, rss: 1_000 }, end + 60_000);
    assert.ok(!state.refuses);
  });
});

test('refused data comes back to its source with memory_limit, and passes when memory is back', async () => {
  const clock = new FakeClock();
  const host = testHost({ clock });
  const config = memoryLimiter.schema.parse({ limit_mib: 100 }) as MemoryLimiterConfig;
  let used = 90 * 1024 * 1024;
  let passed = 0;
  const next = {
    logs: {
      async consumeLogs() {
        passed++;
      },
    },
  };
  const limiter = new MemoryLimiter(config, host, next, () => ({ used, rss: used }));
  await limiter.start();
  const context = { signal: new AbortController().signal };
  await assert.rejects(limiter.logs!.consumeLogs(batch('a'), context), { code: 'memory_limit' });
  used = 0;
  await clock.advance(1_000);
  await limiter.logs!.consumeLogs(batch('a'), context);
  assert.equal(passed, 1);
  assert.deepEqual(
    host.reported.map(({ status }) => status),
    ['recoverable', 'ok'],
  );
  await limiter.shutdown();
  assert.equal(clock.sleeping, 0);
});
