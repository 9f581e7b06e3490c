// The store reaches its own limit while the sink is off: intake waits, nothing that was acknowledged is pushed out,
// dead letters and positions still work; when the sink is back the store drains and intake goes on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RetryableError } from '../../src/component/errors.ts';
import { batch } from '../../src/testing/records.ts';
import { deliveryScene } from '../support/delivery-scene.ts';

test('a full store: intake waits, what is stored drains, intake goes on', async (t) => {
  const { sink, exporter, offer, atRest, books, store, lost, acknowledged } = await deliveryScene(t, {
    storage: { max_bytes: '16MiB' },
  });
  sink.fault = { status: 503 };
  const full = new AbortController();
  let refused: unknown;
  const isFull = () =>
    store.host.reported.some((one) => one.status === 'recoverable' && one.error.message.includes('is full'));
  // Large records, so that the test is short.
  for (let n = 0; refused === undefined && n < 1_000; n++) {
    const data = batch(`large ${n} ${'x'.repeat(60_000)}`);
    let isOver = false;
    const offered = exporter
      .consumeLogs(data, { signal: full.signal })
      .catch((error) => {
        refused = error;
      })
      .finally(() => {
        isOver = true;
      });
    while (!isOver && !isFull()) await new Promise(setImmediate);
    if (isFull()) full.abort();
    await offered;
  }
  assert.ok(refused instanceof RetryableError && refused.code === 'queue_full', String(refused));
  const { accepted, dropped, deadLettered } = await books();
  assert.ok(accepted > 50 && accepted < 200, `${accepted} records of 120 kB fill 16 MiB`);
  assert.deepEqual([dropped, deadLettered], [0, 0]);
  assert.ok(isFull());

  const positions = store.storage.keyValue('test', 'position');
  await positions.set({ here: 'x'.repeat(1_000) });
  assert.equal((await positions.list('')).get('here')?.length, 1_000);

  // Waits now, and goes on as soon as there is room.
  const late = offer(500);
  sink.fault = undefined;
  await late;
  const end = await atRest();
  assert.deepEqual([end.sent, end.dropped, end.accepted], [accepted + 500, 0, accepted + 500]);
  assert.deepEqual([lost(), acknowledged.size], [[], 500]);
  assert.deepEqual(store.host.reported.at(-1), { status: 'ok' });
});
