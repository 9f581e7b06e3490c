// The thread that writes the store dies in the middle of the work: it is started anew once, nothing that was acknowledged
// is lost; when it dies again within a minute the store says that it cannot go on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RetryableError } from '../../src/component/errors.ts';
import type { StoredQueue } from '../../src/component/storage.ts';
import { deliveryScene } from '../support/delivery-scene.ts';

test('the thread dies once: started anew, callers are told, nothing is lost', async (t) => {
  const { sink, offer, lost, atRest, store } = await deliveryScene(t);
  await offer(500);
  const refused: unknown[] = [];
  const offers = Array.from({ length: 20 }, () => offer(100).catch((error) => refused.push(error)));
  await store.workers[0]!.terminate();
  await Promise.all(offers);
  assert.ok(refused.every((error) => error instanceof RetryableError && error.code === 'storage_worker'));
  await offer(500);
  assert.equal(store.workers.length, 2);
  const { dropped } = await atRest();
  assert.equal(dropped, 0);
  assert.deepEqual(lost(), []);
  assert.equal(sink.unique >= 1_000, true);
});

test('the thread dies twice within a minute: fatal', async (t) => {
  const { offer, store } = await deliveryScene(t);
  await offer(10);
  await store.workers[0]!.terminate();
  await offer(10);
  await store.workers[1]!.terminate();
  assert.equal(store.host.reported.at(-1)?.status, 'fatal');
  await assert.rejects(offer(10), { code: 'storage_worker' });
});

test('a store that acknowledged before its commit would be found out by this', async (t) => {
  const hasty = (real: StoredQueue): StoredQueue =>
    Object.create(real, {
      append: {
        value: (context: string, bodies: readonly string[], points: number, signal: AbortSignal) => {
          real.append(context, bodies, points, signal).catch(() => {});
          return Promise.resolve(Number.NaN);
        },
      },
      totals: { get: () => real.totals },
      lastSeq: { get: () => real.lastSeq },
      ...Object.fromEntries(
        (['read', 'remove', 'setAside', 'redrive', 'onChange'] as const).map((name) => [
          name,
          { value: real[name].bind(real) },
        ]),
      ),
    });
  const { offer, lost, atRest, store } = await deliveryScene(t, { wrapQueue: hasty });
  await offer(2_000);
  await store.workers[0]!.terminate();
  await atRest().catch(() => {});
  assert.ok(lost().length > 0, 'the loss was not seen');
});
