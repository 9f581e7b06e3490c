// The set-up is at fault, not the data: the exporter pauses, nothing is thrown away, a redirect is not followed, and when
// the token was rotated everything arrives. Minutes pass by an injected clock in the tests of the pipeline; here are the
// sockets.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { deliveryScene } from '../support/delivery-scene.ts';

for (const status of [401, 403, 404, 405, 302])
  test(`${status}: held at once, one request, no dead letter, nothing lost`, async (t) => {
    let elsewhere = 0;
    const other = createServer((_, response) => {
      elsewhere++;
      response.end();
    }).listen(0, '127.0.0.1');
    t.after(() => other.close());
    await new Promise((resolve) => other.once('listening', resolve));
    const location = `http://127.0.0.1:${(other.address() as AddressInfo).port}/v1/logs`;
    const { sink, offer, books, metrics, host } = await deliveryScene(t, { queue: { num_consumers: 1 } });
    sink.fault = { status, headers: { location } };
    await offer(1_000);
    await sink.waitFor(({ requests }) => requests > 0);
    while ((await metrics.value('otelcol_exporter_held', { reason: 'setup' })) === 0) await new Promise(setImmediate);
    await offer(1_000);
    const { accepted, deadLettered, dropped } = await books();
    assert.deepEqual([accepted, deadLettered, dropped], [2_000, 0, 0]);
    assert.deepEqual([sink.requests, elsewhere], [1, 0]);
    const trouble = host.reported.find((one) => one.status === 'recoverable');
    assert.ok(trouble && 'error' in trouble && trouble.error.message.includes(String(status)));
  });

test('told to set aside on set-up faults, it goes on with what comes', async (t) => {
  const { sink, offer, atRest } = await deliveryScene(t, { exporter: { on_setup_error: 'dead_letter' } });
  sink.fault = { status: 404 };
  await offer(10);
  assert.equal((await atRest()).deadLettered, 10);
  sink.fault = undefined;
  await offer(10);
  const { sent, deadLettered } = await atRest();
  assert.deepEqual([sent, deadLettered], [10, 10]);
});
