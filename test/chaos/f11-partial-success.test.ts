// The backend takes a request and refuses some of its records by number. They are not sent again; what was refused is
// kept as a group, since nobody knows which they were; the numbers add up.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeadLetterTool } from '../../src/extensions/file-storage/dead-letter-tool.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { deliveryScene } from '../support/delivery-scene.ts';

const CASES: readonly [what: string, reply: string, refused: number][] = [
  ['3 of 100', '{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}', 3],
  ['fewer than none', '{"partialSuccess":{"rejectedLogRecords":-7}}', 0],
  ['more than all', '{"partialSuccess":{"rejectedLogRecords":1000}}', 100],
  ['no number', '{"partialSuccess":{"rejectedLogRecords":"many"}}', 0],
  ['a text only', '{"partialSuccess":{"errorMessage":"soon full"}}', 0],
];

for (const [what, body, refused] of CASES)
  test(`a reply that refuses ${what}: ${refused} are kept, ${100 - refused} count as sent, none is sent again`, async (t) => {
    const { sink, offer, atRest, host, metrics } = await deliveryScene(t, { exporter: { encoding: 'json' } });
    sink.reply = { body, contentType: 'application/json' };
    await offer(100);
    const { sent, deadLettered, dropped } = await atRest();
    assert.deepEqual([sent, deadLettered, dropped, sink.records.length], [100 - refused, refused, 0, 100]);
    assert.equal(await metrics.value('otelcol_dlq_enqueued_log_records', { reason: 'partial_success' }), refused);
    const texts = host.lines.flatMap(({ fields }) => Object.values(fields ?? {}).map(String)).join('\n');
    if (body.includes('errorMessage')) assert.match(texts, /too old|soon full/);
    if (body.includes('1000') || body.includes('-7') || body.includes('many')) assert.match(texts, /the reply says/);
  });

test('a 2xx that is no OTLP reply: not sent again, kept, and sent once more only when an operator says so', async (t) => {
  const { sink, offer, atRest, store, books } = await deliveryScene(t);
  sink.reply = { body: '<html>welcome</html>', contentType: 'text/html' };
  await offer(10);
  const { sent, deadLettered } = await atRest();
  assert.deepEqual([sent, deadLettered, sink.records.length], [0, 10, 10]);
  sink.reply = undefined;
  const queue = await store.storage.queue({ exporter: 'other', signal: 'logs' });
  assert.equal(queue.totals.deadLetters, 0, 'another exporter has none of them');
  assert.equal((await books()).deadLettered, 10);
});

test('without room for the group it is not sent again: only the setting aside is tried again', async (t) => {
  const { sink, offer, books, metrics } = await deliveryScene(t, {
    exporter: { encoding: 'json' },
    storage: { dead_letter: { max_bytes: '1KiB' } },
  });
  sink.reply = { body: '{"partialSuccess":{"rejectedLogRecords":3}}', contentType: 'application/json' };
  await offer(100);
  while ((await metrics.value('otelcol_exporter_held', { reason: 'dead_letter_full' })) === 0)
    await new Promise(setImmediate);
  assert.equal(sink.requests, 1);
  const { sent, inFlight, deadLettered } = await books();
  assert.deepEqual([sent, inFlight, deadLettered], [0, 100, 0]);
});

test('a group that an operator puts back is sent as a whole, and the books balance', async (t) => {
  const { sink, offer, atRest, directory } = await deliveryScene(t, { exporter: { encoding: 'json' } });
  sink.reply = { body: '{"partialSuccess":{"rejectedLogRecords":1}}', contentType: 'application/json' };
  await offer(10);
  assert.equal((await atRest()).deadLettered, 1);
  sink.reply = undefined;
  const tool = new DeadLetterTool({ directory, maxBytes: 2 ** 30 }, systemClock);
  const request = { action: 'redrive', filter: { reason: 'partial_success' } } as const;
  assert.deepEqual(await tool.change({ ...request, allowDuplicates: false }), {
    done: 0,
    kept: { partial_success: 10 },
  });
  assert.deepEqual(await tool.change({ ...request, allowDuplicates: true }), { done: 10, kept: {} });
  await sink.waitFor(({ records }) => records.length === 20);
  const { accepted, recovered, sent } = await atRest();
  assert.deepEqual([accepted, recovered, sent], [10, 9, 19]);
});
