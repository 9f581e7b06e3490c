// The sink is down while records come: they are on disk, not in memory; it sees one attempt per backoff interval; and
// afterwards everything arrives.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deliveryScene } from '../support/delivery-scene.ts';

test('an outage: intake goes on, memory is bounded, nothing is lost', async (t) => {
  const { sink, offer, lost, atRest, books, metrics } = await deliveryScene(t, {
    queue: { max_memory_mib: 1 },
    exporter: { retry_on_failure: { initial_interval: '200ms', max_interval: '1s', randomization_factor: 0 } },
  });
  sink.fault = { status: 503 };
  await offer(1_000);
  await sink.waitFor(({ requests }) => requests >= 3);
  const [requests, began] = [sink.requests, performance.now()];
  await offer(9_000);
  assert.equal((await books()).accepted, 10_000);
  await sink.waitFor((now) => now.requests >= requests + 3);
  const attempts = (performance.now() - began) / 200;
  assert.ok(sink.requests - requests <= attempts + 10, `${sink.requests - requests} attempts`);
  assert.equal(await metrics.value('otelcol_exporter_queue_size', { data_type: 'logs' }), 10_000);
  sink.fault = undefined;
  const { sent, dropped } = await atRest();
  assert.deepEqual([sent, dropped, lost()], [10_000, 0, []]);
  assert.equal(sink.records.length, 10_000);
});
