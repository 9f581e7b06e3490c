import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { bmcConfig } from '../../support/bmc-config.ts';
import { agentOf } from '../../support/run-agent.ts';
import { scene } from '../../support/scene.ts';

const FAST = `
initial_history: all
periodic: { logs_collection_interval: 150ms }
sse: { initial_backoff: 10ms, max_backoff: 50ms, min_stream_lifetime: 100ms, reconcile_interval: 500ms }
auto: { trial_lifetime: 100ms, sse_retry_interval: 200ms, sse_retry_max_interval: 200ms }`;

test('a BMC that reboots: what it wrote before, during and after arrives once', async (t) => {
  const { fleet, agent, allSettled, verdict } = await scene(t, {
    count: 2,
    profiles: ['openbmc', 'idrac'],
    receiver: FAST,
  });
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
  for (const bmc of fleet.bmcs) bmc.append();
  await Promise.all(fleet.bmcs.map((bmc) => bmc.down()));
  for (const bmc of fleet.bmcs) bmc.append();
  await agent.line(({ msg }) => msg === 'the logs cannot be read');
  await Promise.all(fleet.bmcs.map((bmc) => bmc.up()));
  for (const bmc of fleet.bmcs) bmc.append();
  await allSettled();
  const { published, received, doubled } = verdict();
  assert.deepEqual([published, received, doubled], [6, 6, []]);
});

for (const [what, fault] of [
  ['answers 503', { status: 503 }],
  ['answers 429 with Retry-After', { status: 429, headers: { 'retry-after': '0' } }],
] as const)
  test(`a sink that ${what}: nothing lost, nothing doubled, and memory bounded`, async (t) => {
    const { fleet, sink, agent, allSettled, verdict } = await scene(t, {
      count: 4,
      receiver: FAST,
      exporter:
        'sending_queue: { queue_size: 300, sizer: items, block_on_overflow: true, batch: { flush_timeout: 5ms, min_size: 1, max_size: 100 } }',
    });
    await fleet.waitFor(() => fleet.bmcs.some(({ openStreams }) => openStreams === 1));
    sink.fault = fault;
    for (let n = 0; n < 200; n++) for (const bmc of fleet.bmcs) bmc.append();
    const refused = sink.requests;
    await sink.waitFor(() => sink.requests > refused + 4);
    const held = await agent.metric('otelcol_exporter_queue_size');
    assert.ok(held > 0 && held <= 300, `${held} of 800 records are held`);
    sink.fault = undefined;
    await allSettled();
    const { published, received, doubled } = verdict();
    assert.deepEqual([published, received, doubled], [800, 800, []]);
    assert.equal(await agent.metric('otelcol_exporter_sent_log_records'), 800);
    assert.equal(await agent.metric('otelcol_receiver_accepted_log_records'), 800);
  });

test('an answer that is lost on the way gives duplicates with equal uids, never loss', async (t) => {
  const { fleet, sink, allDelivered, verdict } = await scene(t, { receiver: FAST });
  await fleet.waitFor(() => fleet.bmc(0).openStreams === 1);
  sink.fault = 'take_and_reset';
  fleet.bmc(0).append();
  await sink.waitFor(() => sink.records.length >= 2);
  sink.fault = undefined;
  await allDelivered();
  const { doubled } = verdict();
  assert.equal(doubled.length, 1);
  assert.equal(sink.unique, 1);
});

test('data that the backend rejects is counted, and does not stop what comes after', async (t) => {
  const { fleet, sink, agent } = await scene(t, { receiver: FAST });
  await fleet.waitFor(() => fleet.bmc(0).openStreams === 1);
  sink.judge = (records) => (records.length > 0 ? { status: 400, body: 'no such field' } : undefined);
  fleet.bmc(0).append();
  await agent.line(({ msg }) => msg === 'the backend refused records; they are dropped');
  sink.judge = undefined;
  fleet.bmc(0).append();
  await sink.waitFor(() => sink.records.length === 1);
  assert.equal(await agent.metric('otelcol_exporter_dropped_log_records', { reason: 'rejected' }), 1);
});

test('a stop in the middle of everything ends within its time and leaves no stream open', async (t) => {
  const { fleet, sink, agent } = await scene(t, { count: 5, receiver: FAST });
  await fleet.waitFor(() => fleet.bmcs.filter(({ openStreams }) => openStreams === 1).length === 5);
  sink.fault = 'hang';
  for (const bmc of fleet.bmcs) bmc.append();
  await sink.waitFor(() => sink.requests > 0);
  assert.deepEqual(await agent.stop(), []);
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 0));
});

test('what was read before a stop is still delivered when the sink takes it', async (t) => {
  const { fleet, sink, agent, verdict } = await scene(t, {
    receiver: FAST,
  });
  await fleet.waitFor(() => fleet.bmc(0).openStreams === 1);
  sink.fault = { status: 503 };
  fleet.bmc(0).append();
  await sink.waitFor(() => sink.requests > 0);
  const stopping = agent.stop();
  sink.fault = undefined;
  await stopping;
  assert.deepEqual(verdict().lost, []);
});

test('a request that is too large for the backend is halved until it fits', async (t) => {
  const { fleet, sink, allDelivered, verdict } = await scene(t, {
    profiles: ['openbmc'],
    receiver: FAST,
    exporter: 'compression: none\nsending_queue: { batch: { flush_timeout: 5ms } }',
  });
  await fleet.waitFor(() => fleet.bmc(0).openStreams === 1);
  sink.maxBytes = 20_000;
  for (let n = 0; n < 400; n++) fleet.bmc(0).append();
  await allDelivered();
  assert.equal(verdict().received, 400);
});

test('a stop does not wait for BMCs that hang in the TLS handshake', async (t) => {
  const hanging = createServer().listen(0, '127.0.0.1');
  await once(hanging, 'listening');
  t.after(() => hanging.close());
  const { port } = hanging.address() as AddressInfo;
  const sockets = new Set<Socket>();
  hanging.on('connection', (socket) => sockets.add(socket.on('error', () => {})));
  const sink = await startOtlpSink();
  t.after(() => sink.close());
  const endpoints = Array.from({ length: 300 }, (_, n) => ({ name: `bmc-${n}`, address: `https://127.0.0.1:${port}` }));
  const agent = agentOf(bmcConfig({ endpoints, sink, receiver: 'sse: { connect_timeout: 1h }' }));
  await agent.start();
  while (sockets.size < 200) await once(hanging, 'connection');
  const started = performance.now();
  assert.deepEqual(await agent.stop(), []);
  for (const socket of sockets) socket.destroy();
  assert.ok(performance.now() - started < 5_000, 'within the time of the stop');
});
