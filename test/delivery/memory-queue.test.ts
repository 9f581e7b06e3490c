import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MemoryQueue } from '../../src/delivery/memory-queue.ts';
import { settle } from '../support/fake-clock.ts';
import { forAll } from '../support/property.ts';
import { record } from '../support/records.ts';

const NEVER = new AbortController().signal;
const LIMITS = { maxRecords: 10, maxBytes: 1_000_000 };
const records = (count: number) => Array.from({ length: count }, (_, n) => record(`r${n}`));

test('put resolves when its records are settled, not before', async () => {
  const queue = new MemoryQueue(LIMITS);
  let done = false;
  const put = queue.put(records(2), NEVER).then(() => {
    done = true;
  });
  await settle();
  const [item] = queue.take(100);
  assert.equal(item!.records.length, 2);
  assert.equal(done, false);
  item!.settle();
  await put;
  assert.equal(queue.heldRecords, 0);
});

test('a full queue makes callers wait, and serves them in order', async () => {
  const queue = new MemoryQueue(LIMITS);
  const order: string[] = [];
  const put = (name: string, count: number) => queue.put(records(count), NEVER).then(() => order.push(name));
  const all = [put('a', 8), put('b', 5), put('c', 5)];
  await settle();
  assert.equal(queue.queuedRecords, 8);
  while (order.length < 3) {
    for (const item of queue.take(100)) item.settle();
    await settle();
  }
  await Promise.all(all);
  assert.deepEqual(order, ['a', 'b', 'c']);
});

test('records in flight count against the bound', async () => {
  const queue = new MemoryQueue(LIMITS);
  void queue.put(records(10), NEVER);
  await settle();
  const [item] = queue.take(100);
  const second = queue.put(records(1), NEVER);
  await settle();
  assert.equal(queue.queuedRecords, 0);
  item!.settle();
  await settle();
  assert.equal(queue.queuedRecords, 1);
  queue.take(1)[0]!.settle();
  await second;
});

test('a batch larger than the bound passes when the queue is empty, so it cannot wait for ever', async () => {
  const queue = new MemoryQueue(LIMITS);
  const put = queue.put(records(50), NEVER);
  await settle();
  queue.take(100)[0]!.settle();
  await put;
});

test('a caller that gives up leaves nothing behind', async () => {
  const queue = new MemoryQueue(LIMITS);
  const stop = new AbortController();
  void queue.put(records(10), NEVER);
  const waiting = queue.put(records(1), stop.signal);
  await settle();
  stop.abort();
  await assert.rejects(waiting, { code: 'queue_full' });
  assert.equal(queue.heldRecords, 10);
});

test('bytes bound the queue as well as records', async () => {
  const queue = new MemoryQueue({ maxRecords: 1_000, maxBytes: 2_000 });
  void queue.put([record('x'.repeat(1_500))], NEVER);
  void queue.put([record('y'.repeat(1_500))], NEVER);
  await settle();
  assert.equal(queue.queuedRecords, 1);
});

test('whatever callers put, take and abandon, the held numbers are those of the open items', () =>
  forAll(
    fc.array(
      fc.record({ put: fc.integer({ min: 1, max: 12 }), act: fc.constantFrom('take', 'settle', 'abort', 'none') }),
      {
        maxLength: 40,
      },
    ),
    async (steps) => {
      const queue = new MemoryQueue(LIMITS);
      const callers: AbortController[] = [];
      const taken: ReturnType<MemoryQueue['take']> = [];
      const results: Promise<unknown>[] = [];
      for (const { put, act } of steps) {
        const caller = new AbortController();
        callers.push(caller);
        results.push(queue.put(records(put), caller.signal).catch(() => {}));
        await settle();
        if (act === 'take') taken.push(...queue.take(10));
        if (act === 'settle') taken.shift()?.settle();
        if (act === 'abort') callers[Math.floor(callers.length / 2)]!.abort();
        await settle();
        const open = taken.filter((item) => !item.signal.aborted).reduce((sum, item) => sum + item.records.length, 0);
        assert.ok(queue.heldRecords <= Math.max(LIMITS.maxRecords, 12));
        assert.ok(queue.heldRecords >= queue.queuedRecords);
        assert.ok(queue.heldRecords <= queue.queuedRecords + open + 12 * taken.length);
      }
      for (const caller of callers) caller.abort();
      await Promise.all(results);
      assert.equal(queue.heldRecords, 0);
      assert.equal(queue.queuedRecords, 0);
    },
  ));
