import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import fc from 'fast-check';
import type { Queue, QueueItem } from '../../src/delivery/queue.ts';
import type { QueueLimits } from '../../src/delivery/settings.ts';
import type { LogBatch } from '../../src/telemetry/log-batch.ts';
import { batch } from '../../src/testing/records.ts';
import { forAll } from '../support/property.ts';

export type LogQueue = Queue<LogBatch, ReadableLogRecord>;
export type MakeQueue = (t: TestContext, limits?: Partial<QueueLimits>) => Promise<LogQueue>;

export const LIMITS: QueueLimits = {
  queueSize: 1_000,
  sizer: 'items',
  maxMemoryBytes: 1_000_000,
  blockOnOverflow: true,
  waitForResult: false,
  deadLetters: true,
};
const never = new AbortController().signal;
export const bodies = (items: readonly QueueItem<ReadableLogRecord>[]) => items.map(({ value }) => value.body);

/** Takes so many, waiting for them if they are still on their way from the disk. */
export async function takeAll<Item>(
  queue: Pick<LogQueue, 'ready' | 'arrival'> & { take(maxItems: number, maxBytes: number): Item[] },
  count: number,
): Promise<Item[]> {
  const taken: Item[] = [];
  const limit = AbortSignal.timeout(10_000);
  while (taken.length < count) {
    while (queue.ready.items === 0) {
      assert.ok(!limit.aborted, `${taken.length} of ${count} came`);
      await queue.arrival(limit);
    }
    taken.push(...queue.take(count - taken.length, Number.POSITIVE_INFINITY));
  }
  return taken;
}

/** What every queue must do, whatever it keeps its records in. */
export function queueContract(name: string, make: MakeQueue): void {
  test(`${name}: gives what was put, oldest first, once`, async (t) => {
    const queue = await make(t);
    await queue.put(batch('a', 'b'), never);
    await queue.put(batch('c'), never);
    const items = await takeAll(queue, 3);
    assert.deepEqual(bodies(items), ['a', 'b', 'c']);
    assert.deepEqual(queue.take(10, 1_000_000), []);
    assert.equal(queue.figures.inFlight, 3);
    await queue.settle(items);
    assert.ok(queue.isEmpty);
    assert.deepEqual([queue.figures.queued, queue.figures.inFlight, queue.figures.accepted], [0, 0, 3]);
  });

  test(`${name}: records of a batch keep one resource and one scope object`, async (t) => {
    const queue = await make(t);
    await queue.put(batch('a', 'b'), never);
    const [a, b] = await takeAll(queue, 2);
    assert.equal(a!.value.resource, b!.value.resource);
    assert.equal(a!.value.instrumentationScope, b!.value.instrumentationScope);
  });

  test(`${name}: an empty batch is acknowledged and leaves nothing`, async (t) => {
    const queue = await make(t);
    await queue.put(batch(), never);
    assert.ok(queue.isEmpty);
  });

  test(`${name}: what is given back comes again, after all others`, async (t) => {
    const queue = await make(t);
    await queue.put(batch('a', 'b'), never);
    await takeAll(queue, 2);
    const [a] = await (async () => {
      await queue.put(batch('c', 'd'), never);
      return takeAll(queue, 1);
    })();
    queue.giveBack([a!]);
    assert.deepEqual(bodies(await takeAll(queue, 2)), ['d', 'c']);
  });

  test(`${name}: full, it makes callers wait, and wakes them when there is room`, async (t) => {
    const queue = await make(t, { queueSize: 2 });
    await queue.put(batch('a', 'b'), never);
    let isIn = false;
    const third = queue.put(batch('c'), never).then(() => {
      isIn = true;
    });
    const items = await takeAll(queue, 2);
    assert.equal(isIn, false, 'what is in flight counts');
    await queue.settle(items);
    await third;
    assert.deepEqual(bodies(await takeAll(queue, 1)), ['c']);
  });

  test(`${name}: full and told not to wait, it refuses`, async (t) => {
    const queue = await make(t, { queueSize: 2, blockOnOverflow: false });
    await queue.put(batch('a', 'b'), never);
    await assert.rejects(queue.put(batch('c'), never), { code: 'queue_full' });
    assert.equal(queue.figures.accepted, 2);
  });

  test(`${name}: a caller that gives up while it waits is refused, and leaves nothing`, async (t) => {
    const queue = await make(t, { queueSize: 1 });
    await queue.put(batch('a'), never);
    const caller = new AbortController();
    const refused = assert.rejects(queue.put(batch('b'), caller.signal), { code: 'queue_full' });
    caller.abort();
    await refused;
    assert.equal(queue.figures.queued, 1);
  });

  test(`${name}: the books balance after any sequence of steps`, async (t) => {
    const steps = fc.array(fc.constantFrom('put', 'take', 'settle', 'give back', 'set aside'), { maxLength: 30 });
    await forAll(steps, async (todo) => {
      const queue = await make(t);
      const before = queue.figures;
      const model = { waiting: [] as string[], taken: [] as QueueItem<ReadableLogRecord>[], gone: 0, aside: 0 };
      for (const [n, step] of todo.entries()) {
        if (step === 'put') {
          await queue.put(batch(`${n}a`, `${n}b`), never);
          model.waiting.push(`${n}a`, `${n}b`);
        } else if (step === 'take' && model.waiting.length > 0) {
          const [item] = await takeAll(queue, 1);
          assert.equal(item!.value.body, model.waiting.shift());
          model.taken.push(item!);
        } else if (model.taken.length > 0 && step !== 'take') {
          const item = model.taken.shift()!;
          if (step === 'settle') {
            await queue.settle([item]);
            model.gone++;
          } else if (step === 'give back') {
            queue.giveBack([item]);
            model.waiting.push(String(item.value.body));
          } else {
            await queue.setAside([item], { reason: 'rejected', message: 'no', attempts: 1 });
            model.aside++;
          }
        }
      }
      const { accepted, queued, inFlight, deadLetters } = queue.figures;
      assert.deepEqual([queued, inFlight], [model.waiting.length, model.taken.length]);
      assert.equal(accepted - before.accepted, queued + inFlight + model.gone + model.aside);
      const kept = deadLetters - before.deadLetters;
      assert.ok(kept === model.aside || kept === 0);
      const rest = await takeAll(queue, model.waiting.length);
      assert.deepEqual(bodies(rest), model.waiting);
      await queue.settle([...rest, ...model.taken]);
    });
  });
}
