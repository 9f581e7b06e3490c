// The sink comes and goes: nothing is lost, and while it is away it is asked once per backoff interval, not once per slot.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deliveryScene } from '../support/delivery-scene.ts';

test('a sink that flaps: nothing lost, few attempts while it is away', async (t) => {
  const { sink, offer, lost, atRest } = await deliveryScene(t, {
    exporter: { retry_on_failure: { initial_interval: '50ms', max_interval: '50ms', randomization_factor: 0 } },
    queue: { batch: { min_size: 1, max_size: 20, flush_timeout: '1ms' } },
  });
  for (let round = 0; round < 4; round++) {
    sink.fault = { status: 503 };
    const before = sink.requests;
    const began = performance.now();
    await offer(400);
    await sink.waitFor(({ requests }) => requests >= before + 14);
    // Ten slots at the moment it goes away, then one attempt per 50 ms.
    const attempts = sink.requests - before;
    const allowed = 10 + 3 + (performance.now() - began) / 50;
    assert.ok(attempts <= allowed, `${attempts} attempts while it was away, at most ${allowed} by the model`);
    sink.fault = undefined;
    const taken = sink.records.length;
    await offer(400);
    await sink.waitFor(({ records }) => records.length > taken);
  }
  const { sent, dropped } = await atRest();
  assert.deepEqual([sent, dropped, lost()], [3_200, 0, []]);
});
