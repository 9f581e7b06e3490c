import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Host } from '../../src/component/component.ts';
import type { DeadLetterChange, Storage } from '../../src/component/storage.ts';
import { DurableQueue } from '../../src/delivery/durable-queue.ts';
import type { QueueLimits } from '../../src/delivery/settings.ts';
import { LOGS } from '../../src/delivery/signals.ts';
import { batch } from '../../src/testing/records.ts';
import { bodies, LIMITS, queueContract, takeAll } from '../contracts/queue.ts';
import { startStorage, temporaryDirectory } from '../support/storage.ts';

const never = new AbortController().signal;

async function queueOf(
  { storage, host }: { readonly storage: Storage; readonly host: Pick<Host, 'clock' | 'logger'> },
  limits: Partial<QueueLimits> = {},
  changes: DeadLetterChange[] = [],
) {
  const queue = new DurableQueue({
    kind: LOGS,
    limits: { ...LIMITS, ...limits },
    stored: await storage.queue({ exporter: 'otlp_http', signal: 'logs' }),
    clock: host.clock,
    logger: host.logger,
    onChange: (change) => changes.push(change),
    onCorrupt: () => {},
    signal: never,
  });
  return Object.assign(queue, { recovered: await queue.start() });
}

const stores = new WeakMap<TestContext, Awaited<ReturnType<typeof startStorage>>>();

queueContract('durable queue', async (t, limits) => {
  // One store per test: a property makes many queues, one after the other, on what the last one left empty.
  const store = stores.get(t) ?? (await startStorage(t, await temporaryDirectory(t)));
  stores.set(t, store);
  return queueOf(store, limits);
});

test('a batch that was acknowledged is there after a restart, equal in every field', async (t) => {
  const directory = await temporaryDirectory(t);
  const first = await startStorage(t, directory);
  const data = batch('a', 'b');
  await (await queueOf(first)).put(data, never);
  await first.storage.shutdown();
  const queue = await queueOf(await startStorage(t, directory));
  assert.deepEqual(queue.recovered, { queued: 2, deadLetters: 0 });
  const items = await takeAll(queue, 2);
  assert.deepEqual(
    items.map(({ value: { resource, ...rest } }) => ({ ...rest, resource: resource.attributes })),
    data.records.map(({ resource, ...rest }) => ({ ...rest, resource: resource.attributes })),
  );
  assert.equal(items[0]!.value.resource, items[1]!.value.resource);
});

test('what does not fit into memory is read back from the disk in order, and what was in flight after a restart', async (t) => {
  const directory = await temporaryDirectory(t);
  const first = await startStorage(t, directory);
  const queue = await queueOf(first, { maxMemoryBytes: 10_000, queueSize: Number.POSITIVE_INFINITY });
  const names = Array.from({ length: 3_000 }, (_, n) => `record ${n}`);
  for (let start = 0; start < names.length; start += 100)
    await queue.put(batch(...names.slice(start, start + 100)), never);
  assert.ok(queue.ready.items < 500, `${queue.ready.items} in memory`);
  assert.equal(queue.figures.queued, 3_000);
  const taken = await takeAll(queue, 2_000);
  assert.deepEqual(bodies(taken), names.slice(0, 2_000));
  await queue.settle(taken.slice(0, 1_500));
  await first.storage.shutdown();
  const again = await queueOf(await startStorage(t, directory));
  assert.deepEqual(bodies(await takeAll(again, 1_500)), names.slice(1_500));
});

test('dead letters survive a restart, and a redrive puts them behind the others', async (t) => {
  const directory = await temporaryDirectory(t);
  const first = await startStorage(t, directory);
  const queue = await queueOf(first);
  await queue.put(batch('bad', 'good'), never);
  const [bad] = await takeAll(queue, 1);
  assert.equal(await queue.setAside([bad!], { reason: 'server_error', message: 'no', attempts: 5 }), 'kept');
  await first.storage.shutdown();

  const second = await startStorage(t, directory);
  const changes: DeadLetterChange[] = [];
  const again = await queueOf(second, {}, changes);
  assert.deepEqual(again.recovered, { queued: 1, deadLetters: 1 });
  const stored = await second.storage.queue({ exporter: 'otlp_http', signal: 'logs' });
  const later = Date.now() + 60_000;
  await stored.redrive('rejected', later, 3);
  await stored.redrive('server_error', later, 0);
  assert.equal(stored.totals.deadLetters, 1, 'another reason, or too many redrives');
  await stored.redrive('server_error', later, 3);
  assert.deepEqual([stored.totals.deadLetters, stored.totals.queued], [0, 2]);
});
