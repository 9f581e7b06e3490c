import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Positions } from '../../../receivers/bmc-logs/logs/positions.ts';
import type { KeyValue } from '../../../src/component/storage.ts';
import { FakeClock, settle } from '../../../src/testing/fake-clock.ts';
import { testHost } from '../../../src/testing/host.ts';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { bmcConfig } from '../../support/bmc-config.ts';
import { fastClock } from '../../support/fast-clock.ts';
import { agentOf } from '../../support/run-agent.ts';
import { scene } from '../../support/scene.ts';

test('a gateway gets the requests of a BMC with its path, and the name of the BMC in Forwarded', async (t) => {
  const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'] });
  const sink = await startOtlpSink();
  const bmc = fleet.bmc(0);
  const forwarded = new Set<unknown>();
  const gateway = createServer((incoming, outgoing) => {
    forwarded.add(incoming.headers.forwarded);
    const { method, url, headers } = incoming;
    incoming.pipe(
      request(new URL(url!, bmc.address), { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        outgoing.flushHeaders();
        answer.pipe(outgoing);
      }).on('error', () => outgoing.destroy()),
    );
  });
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  const proxy = `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`;
  const endpoints = [{ name: 'bmc-0', address: 'http://bmc-7.example.net:8080' }];
  const agent = agentOf(bmcConfig({ endpoints, sink, receiver: `initial_history: all\nproxy_url: "${proxy}"` }));
  t.after(async () => {
    await agent.stop();
    gateway.close();
    gateway.closeAllConnections();
    await Promise.all([fleet.close(), sink.close()]);
  });
  bmc.append();
  await agent.start();
  await fleet.waitFor(() => bmc.openStreams === 1);
  bmc.append();
  await sink.waitFor(({ records }) => records.length === 2);
  assert.deepEqual([...forwarded], ['host=bmc-7.example.net:8080']);
  assert.equal(sink.records[0]!.resource['server.address'], 'bmc-7.example.net');
});

test('the requests to all BMCs together keep to the rate', async (t) => {
  const began = performance.now();
  const { fleet, agent } = await scene(t, {
    count: 6,
    receiver: `mode: periodic
periodic: { logs_collection_interval: 1h }
rate_limit: { bucket_burst: 5, bucket_replenish: 20ms, max_jitter: 0s }`,
  });
  const done = () => agent.lines.filter(({ msg }) => msg === 'logs read').length;
  await agent.line(() => done() === 6);
  const times = fleet.bmcs.flatMap(({ journal }) => journal.map(({ at }) => at)).sort((a, b) => a - b);
  // Never more than the burst, and one for each 20 ms since nobody had asked: how long the first is on its way is unknown.
  for (const [index, at] of times.entries()) {
    const allowed = 5 + (at - began) / 20;
    assert.ok(index + 1 <= allowed, `${index + 1} requests in ${at - began} ms`);
  }
});

test('series do not grow with the number of endpoints, unless that is asked for', async (t) => {
  const seriesWith = async (count: number, more = '') => {
    const { fleet, agent } = await scene(t, {
      count,
      profiles: ['openbmc'],
      receiver: `initial_history: all\n${more}`,
    });
    await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
    const done = () => agent.lines.filter(({ msg }) => msg === 'logs read').length;
    await agent.line(() => done() >= count);
    return agent.metric('outband.bmc.requests', { 'redfish.endpoint': 'bmc-0' });
  };
  assert.equal(await seriesWith(2), 0);
  assert.ok((await seriesWith(2, 'per_endpoint_metrics: true')) > 0);
});

test('one BMC alone never changes the status of the receiver, most of them do', async (t) => {
  const fleet = await startBmcFleet({ count: 3 });
  const sink = await startOtlpSink();
  const endpoints = fleet.bmcs.map(({ name, address }) => ({ name, address }));
  const receiver = 'mode: periodic\nperiodic: { logs_collection_interval: 1m }';
  const agent = agentOf(bmcConfig({ endpoints, sink, receiver }), { clock: fastClock(120) });
  t.after(async () => {
    await agent.stop();
    await Promise.all([fleet.close(), sink.close()]);
  });
  await agent.start();
  const reads = () => agent.lines.filter(({ msg }) => msg === 'logs read').length;
  const told = () =>
    agent.lines.filter(
      ({ msg, status, 'otelcol.component.id': id }) =>
        msg === 'component status' && id === 'bmc_logs' && status === 'recoverable',
    ).length;
  await fleet.bmc(0).down();
  const before = reads();
  // More than two intervals of each.
  await agent.line(() => reads() >= before + 9);
  assert.equal(told(), 0);
  await fleet.bmc(1).down();
  await agent.line(() => told() === 1);
});

test('the state of an endpoint that is gone stays for a week, and that of the others for ever', async () => {
  const values = new Map<string, string>();
  const store: KeyValue = {
    async set(changes) {
      for (const [key, value] of Object.entries(changes))
        if (value === undefined) values.delete(key);
        else values.set(key, value);
    },
    list: async (prefix) => new Map([...values].filter(([key]) => key.startsWith(prefix)).sort()),
  };
  const clock = new FakeClock();
  const positions = new Positions(store, testHost({ clock }));
  for (const name of ['a', 'ab', 'b']) {
    const { state } = await positions.of(name).load();
    state.update({ firmware: '1' });
    positions.of(name).saveTold([]);
  }
  await settle();
  const names = () => new Set([...values.keys()].map((key) => key.replace('~state/', '').split('/')[0]));
  const DAY = 86_400_000;
  await positions.forgetGone(new Set(['ab', 'b']));
  await clock.advance(6 * DAY);
  await positions.forgetGone(new Set(['ab', 'b']));
  await settle();
  assert.deepEqual(names(), new Set(['a', 'ab', 'b']));
  await clock.advance(2 * DAY);
  await positions.forgetGone(new Set(['ab', 'b']));
  await settle();
  assert.deepEqual(names(), new Set(['ab', 'b']));
  await positions.close();
});
