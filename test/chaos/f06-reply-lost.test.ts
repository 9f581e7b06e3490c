// One reply in five is lost on its way: those requests are sent again, with equal uids, and nothing else is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deliveryScene } from '../support/delivery-scene.ts';

test('replies that are lost give duplicates with equal uids, and no loss', async (t) => {
  const { sink, offer, lost, atRest } = await deliveryScene(t, {
    queue: { batch: { min_size: 100, max_size: 100, flush_timeout: '5ms' } },
  });
  let cuts = 0;
  let seen = 0;
  sink.judge = () => {
    if (++seen % 5 !== 0) return undefined;
    cuts++;
    return 'take_and_reset';
  };
  await offer(5_000);
  const { sent, dropped } = await atRest();
  assert.deepEqual([sent, dropped, lost()], [5_000, 0, []]);
  assert.ok(cuts >= 10, `${cuts} replies were lost`);
  assert.equal(sink.unique, 5_000);
  assert.equal(sink.records.length - 5_000, cuts * 100, 'what was taken without a reply came once more');
});
