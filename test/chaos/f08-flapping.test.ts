// The sink comes and goes: nothing is lost, and while it is away it is asked once per backoff interval, not once per slot.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { deliveryScene } from '../support/delivery-scene.ts';

test('a sink that flaps: nothing lost, few attempts while it is away', async (t) => {
  const { sink, offer, lost, atRest } = await deliveryScene(t, {
    exporter: { retry_on_failure: { initial_interval: '50ms', max_interval: '50ms', randomization_factor: 0 } },
    queue: { batch: { min_size: 1, max_size: 20, flush_timeout: '1ms' } },
  });
  let whileAway = 0;
  sink.judge = () => undefined;
  for (let round = 0; round < 4; round++) {
    sink.fault = { status: 503 };
    const before = sink.requests;
    await offer(400);
    await sleep(300);
    whileAway += sink.requests - before;
    sink.fault = undefined;
    await offer(400);
    await sleep(100);
  }
  const { sent, dropped } = await atRest();
  assert.deepEqual([sent, dropped, lost()], [3_200, 0, []]);
  // Per round: ten slots at the moment it goes away, then one attempt per 50 ms of the time it is away.
  assert.ok(whileAway > 0 && whileAway <= 4 * (10 + 40), `${whileAway} attempts while it was away`);
});
