// 500 for everybody is an outage, and nothing is blamed for it. 500 for one record only is that record's fault: it alone
// is set aside, and sent again when it was put back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deliveryScene } from '../support/delivery-scene.ts';

test('500 for everybody: no dead letter, nothing lost', async (t) => {
  const { sink, offer, lost, atRest, books } = await deliveryScene(t);
  sink.fault = { status: 500 };
  await offer(2_000);
  await sink.waitFor(({ requests }) => requests > 20);
  assert.equal((await books()).deadLettered, 0);
  sink.fault = undefined;
  const { sent, deadLettered, dropped } = await atRest();
  assert.deepEqual([sent, deadLettered, dropped, lost()], [2_000, 0, 0, []]);
});

test('500 for one record only: it alone is set aside, and arrives when the backend is healed', async (t) => {
  const { sink, offer, lost, atRest, store, directory } = await deliveryScene(t);
  sink.judge = (records) => (records.some(({ body }) => body === 'record 77') ? { status: 500 } : undefined);
  await offer(500);
  const { sent, deadLettered } = await atRest();
  assert.deepEqual([sent, deadLettered, lost()], [499, 1, ['record 77']]);
  sink.judge = undefined;
  const queue = await store.storage.queue({ exporter: 'otlp_http', signal: 'logs' });
  assert.equal(queue.totals.deadLetters, 1, directory);
});
