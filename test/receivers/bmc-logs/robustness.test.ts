import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { createConnector } from '../../../receivers/bmc-logs/client/connector.ts';
import { Credentials } from '../../../receivers/bmc-logs/client/credentials.ts';
import { RedfishClient } from '../../../receivers/bmc-logs/client/redfish-client.ts';
import { RequestLimiter } from '../../../receivers/bmc-logs/client/request-limiter.ts';
import { TlsContexts } from '../../../receivers/bmc-logs/client/tls.ts';
import { bmcLogsConfig } from '../../../receivers/bmc-logs/config.ts';
import { resolveEndpoint } from '../../../receivers/bmc-logs/endpoint-settings.ts';
import { EndpointState } from '../../../receivers/bmc-logs/endpoint-state.ts';
import { Positions } from '../../../receivers/bmc-logs/logs/positions.ts';
import { ModeMachine } from '../../../receivers/bmc-logs/mode-machine.ts';
import { BmcLogsReceiver } from '../../../receivers/bmc-logs/receiver.ts';
import { KeptList } from '../../../receivers/bmc-logs/sources/kept-list.ts';
import { StartGate } from '../../../receivers/bmc-logs/start-gate.ts';
import { Coverage } from '../../../receivers/bmc-logs/stream/coverage.ts';
import { StreamLoop } from '../../../receivers/bmc-logs/stream-loop.ts';
import { Secret } from '../../../src/component/secret.ts';
import { systemClock } from '../../../src/platform/system-clock.ts';
import { Semaphore } from '../../../src/resilience/semaphore.ts';
import { FakeClock, settle } from '../../../src/testing/fake-clock.ts';
import { testHost } from '../../../src/testing/host.ts';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { SSE_PATH } from '../../simulators/bmc/machine.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { bmcAgent } from '../../support/bmc-agent.ts';
import { bmcReaders, pollOf, serviceAt } from '../../support/bmc-readers.ts';
import { MemoryKeyValue, sourcesOf } from '../../support/endpoint-sources.ts';
import { scene } from '../../support/scene.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const never = new AbortController().signal;

test('an endpoint stops in seconds although its BMC has outlasted the patience with the pipeline', async (t) => {
  const fleet = await startBmcFleet({ count: 1 });
  t.after(() => fleet.close());
  const bmc = fleet.bmc(0);
  // The root answers, and nothing behind it.
  for (const name of ['Systems', 'Chassis', 'Managers']) bmc.faults.push({ kind: 'hang', path: `/redfish/v1/${name}` });
  const asked = (name: string) =>
    fleet.waitFor(() => bmc.journal.some(({ path }) => path.startsWith(`/redfish/v1/${name}`)));
  const clock = new FakeClock();
  let run: ((signal: AbortSignal, why: object) => Promise<unknown>) | undefined;
  const inFlight = new Set<AbortController>();
  // As the real scheduler: a run that has ended is not aborted any more.
  const scheduler = {
    register(target: { type: string; run: typeof run }) {
      if (target.type === 'bmc') run = target.run;
      return {
        runNow: () => true,
        report: () => {},
        setInterval: () => {},
        unregister: async () => inFlight.forEach((one) => void one.abort(new Error('stops'))),
      };
    },
  };
  const config = bmcLogsConfig.parse({
    endpoints: [{ name: 'bmc-0', address: bmc.address, tls: { insecure: true } }],
    mode: 'periodic',
    periodic: {},
  });
  const host = testHost({ clock, scheduler: scheduler as never });
  const receiver = new BmcLogsReceiver({ type: 'bmc_logs' } as never, config, host, {
    logs: { consumeLogs: async () => {} },
  });
  await receiver.start();
  const abort = new AbortController();
  inFlight.add(abort);
  const result = run!(abort.signal, { cause: 'initial', missed: 0 })
    .catch((error) => error)
    .finally(() => inFlight.delete(abort));
  await asked('Systems');
  await clock.advance(120_000);
  await asked('Chassis');
  await clock.advance(61_000);
  // No record was ever offered to the pipeline, so it cannot be what is waited for.
  let ended: unknown;
  void result.then((value) => {
    ended = value;
  });
  await settle();
  let stopped = false;
  void receiver.shutdown(never).then(() => {
    stopped = true;
  });
  for (let n = 0; n < 10; n++) {
    await clock.advance(1_000);
    for (let turn = 0; turn < 50; turn++) await settle();
  }
  const wasStopped = stopped;
  for (let n = 0; n < 20 && !stopped; n++) {
    await clock.advance(120_000);
    for (let turn = 0; turn < 50; turn++) await settle();
  }
  assert.ok(wasStopped, 'still running ten seconds after the stop');
  assert.notDeepEqual(ended, { deferred: true });
});

test('a store that was away for long takes all positions when it is back, and the process lives', async () => {
  const store = new MemoryKeyValue();
  const positions = new Positions(store, testHost());
  for (let n = 0; n < 150_000; n++) positions.change(`r${n % 5_000}/told/${n}`, () => '[]');
  await positions.close();
  assert.equal(store.values.size, 150_000);
});

test('what is stored of one endpoint is listed without packing the positions of all others', async () => {
  const store = new MemoryKeyValue();
  const positions = new Positions(store, testHost());
  let packed = 0;
  for (let n = 0; n < 1_000; n++)
    positions.change(`other-${n}/service/x`, () => {
      packed++;
      return '{}';
    });
  await positions.list('r1/');
  // Once each, to be written.
  assert.ok(packed <= 1_000, `${packed}`);
  await positions.close();
});

test('requests that were given up do not hold up those that come after them', async () => {
  const clock = new FakeClock();
  const limiter = new RequestLimiter({ bucket_burst: 1, bucket_replenish: 1_000, max_jitter: 0 }, clock, () => 0);
  const given = new AbortController();
  const waiting = Promise.allSettled(Array.from({ length: 100 }, () => limiter.pass(given.signal)));
  await settle();
  given.abort(new Error('enough'));
  await waiting;
  let passed = false;
  void limiter.pass(never).then(() => {
    passed = true;
  });
  await clock.advance(2_000);
  assert.ok(passed);
});

test('rejected logins count over restarts, so that a crash loop locks no account', async () => {
  const state = new EndpointState({}, () => {});
  let rejected = 0;
  for (let life = 0; life < 5; life++) {
    const credentials = new Credentials({
      ...{ endpoint: 'r1', auth: { mode: 'basic', username: 'ro' } as never, clock: systemClock, state },
      account: async () => ({ kind: 'password', username: 'ro', password: new Secret('wrong') }),
      login: () => Promise.reject(new Error('no')),
      logout: async () => ({ status: 204 }),
      onHold: () => {},
      onLifted: () => {},
    });
    // Two requests in a life that ends before the third.
    for (let n = 0; n < 2; n++)
      await credentials
        .prove(never, async () => {
          rejected++;
          return { status: 401 };
        })
        .catch(() => {});
  }
  assert.ok(rejected <= 3, `${rejected} rejected logins`);
});

test('a stream that takes no session leaves no sessions behind', async (t) => {
  const account = { username: 'ro', password: 'right' };
  const fleet = await startBmcFleet({ count: 1, account });
  const sink = await startOtlpSink();
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const bmc = fleet.bmc(0);
  bmc.auth = { ...account, sessions: { slots: 100 } };
  bmc.faults.push({ kind: 'status', status: 401, path: SSE_PATH });
  const agent = await bmcAgent(t, {
    ...{ fleet, sink },
    receiver: `
auth: { username: ro, password: right }
mode: sse
sse: { initial_backoff: 10ms, max_backoff: 20ms }`,
  });
  await agent.itemWhen('bmc-0', ({ counters }) => counters.connectFailures >= 5);
  assert.ok(bmc.liveSessions <= 2, `${bmc.liveSessions} sessions`);
});

test('the address of a discovery is told without what it holds of secrets', async () => {
  const url = 'http://127.0.0.1:1/list?token=hunter3';
  const { read, lines } = await sourcesOf({ http_discovery: [{ url }] });
  await read();
  const [line] = lines('a source of endpoints cannot be used, and there is no earlier list of it');
  assert.doesNotMatch(JSON.stringify(line), /hunter/);
});

test('a page with more entries than one poll takes is read to its end by the next polls', async () => {
  const Members = Array.from({ length: 20_050 }, (_, n) => ({
    ...{ Id: `${n + 1}`, Message: `entry ${n + 1}` },
    Created: new Date(Date.parse('2026-11-01T00:00:00Z') + n * 1_000).toISOString(),
  }));
  const readers = bmcReaders({ resource: () => ({ Members }) });
  for (let n = 0; n < 2; n++) await readers.logs.poll(pollOf([serviceAt('/redfish/v1/L')]));
  assert.equal(readers.received.length, 20_050);
});

test('a page that shows only what this read has seen ends it, whatever its link is called', async () => {
  let pages = 0;
  const readers = bmcReaders({
    resource: () => ({
      Members: [{ Id: '1', Message: 'one', Created: '2026-11-01T00:00:00Z' }],
      'Members@odata.nextLink': `/redfish/v1/L/Entries?page=${++pages}`,
    }),
  });
  await readers.logs.poll(pollOf([serviceAt('/redfish/v1/L')]));
  assert.ok(pages < 10, `${pages} pages`);
});

test('one entry behind a dead link does not make a read of all others a failure of the BMC', async (t) => {
  const fleet = await startBmcFleet({ count: 1 });
  const sink = await startOtlpSink();
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const bmc = fleet.bmc(0);
  for (const log of bmc.machine.logs) log.linkOnly = true;
  for (let index = 0; index < bmc.machine.logs.length; index++) for (let n = 0; n < 3; n++) bmc.append({ log: index });
  for (const log of bmc.machine.logs) {
    const page = (await (await fetch(`${bmc.address}${log.path}/Entries`)).json()) as { Members: object[] };
    const last = page.Members.at(-1) as { '@odata.id': string };
    bmc.overlay.push({ path: last['@odata.id'], status: 404 });
  }
  const agent = await bmcAgent(t, {
    ...{ fleet, sink },
    receiver: 'mode: periodic\ninitial_history: all\nperiodic: { logs_collection_interval: 50ms }',
  });
  const { lastPoll } = await agent.itemWhen('bmc-0', (item) => item.lastPoll !== null);
  // All other entries came.
  await sink.waitFor(() => sink.records.length === 2 * bmc.machine.logs.length);
  assert.equal(lastPoll.outcome, 'partial');
});

test('a source that stays empty is settled, so that the whole fleet is not compared at each pass', () => {
  const kept = new KeptList();
  for (let n = 0; n < 3; n++) kept.take({ list: [] });
  assert.ok(kept.isSettled);
});

test('a request whose reused connection is reset before any answer is repeated on a new one', async (t) => {
  const served = new Map<Socket, number>();
  const server = createServer(({ socket }, response) => {
    const count = (served.get(socket) ?? 0) + 1;
    served.set(socket, count);
    if (count > 1) return void socket.resetAndDestroy();
    response.setHeader('content-type', 'application/json').end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const config = bmcLogsConfig.parse({ endpoints: [{ name: 'r1', address, tls: { insecure: true } }] });
  const client = new RedfishClient({
    endpoint: resolveEndpoint(config.endpoints[0]!, config),
    connector: createConnector({
      ...{ tls: await new TlsContexts().optionsFor({}), pins: [], connectTimeoutMs: 5_000, clock: systemClock },
      ...{ handshakes: new Semaphore(1), signal: () => never },
    }),
    limiter: new RequestLimiter(undefined, systemClock, () => 0),
    credentials: {
      account: () => Promise.reject(new Error('none')),
      state: new EndpointState({}, () => {}),
      onHold: () => {},
      onLifted: () => {},
    },
    ...{ concurrency: 1, requestTimeoutMs: 5_000, bodyIdleTimeoutMs: 5_000, clock: systemClock },
    ...{ onRequest: () => {}, onRefusedLink: () => {} },
  });
  t.after(() => client.close(never));
  await client.get('/redfish/v1/', never);
  await client.get('/redfish/v1/', never);
});

test('services that the events of one BMC make up do not keep the positions of all others from the store', async () => {
  const store = new MemoryKeyValue();
  const positions = new Positions(store, testHost());
  const { state } = await positions.of('hostile').load();
  // As an endpoint does with each service that an event names.
  const coverage = new Coverage();
  for (let n = 0; n < 600; n++)
    if (coverage.tells(`/redfish/v1/${'x'.repeat(1_900)}/${n}`)) state.update({ covered: coverage.covered });
  positions.change('other/service/1', () => '{}');
  await positions.close();
  assert.ok(store.values.has('other/service/1'));
});

test('the end of an orphaned session by Basic that is rejected counts as a rejected login', async () => {
  const state = new EndpointState({ session: '/redfish/v1/SessionService/Sessions/1' }, () => {});
  let rejected = 0;
  let clockMs = 0;
  const credentials = new Credentials({
    ...{ endpoint: 'r1', auth: { mode: 'auto', username: 'ro' } as never, state },
    clock: { ...systemClock, now: () => systemClock.now(), monotonic: () => clockMs },
    account: async () => ({ kind: 'password', username: 'ro', password: new Secret('wrong') }),
    login: async () => ({ status: 503, token: undefined, location: undefined, body: '' }),
    logout: async (_location, headers) => {
      if (headers.authorization !== undefined) rejected++;
      return { status: headers.authorization === undefined ? 204 : 401 };
    },
    onHold: () => {},
    onLifted: () => {},
  });
  credentials.learn('/redfish/v1/SessionService/Sessions');
  for (let n = 0; n < 5; n++) {
    clockMs += 31 * 60_000;
    await credentials
      .prove(never, async () => {
        rejected++;
        return { status: 401 };
      })
      .catch(() => {});
  }
  assert.ok(rejected <= 3, `${rejected} requests with a rejected account`);
});

test('an endpoint that stops before its first attempt does not hold up the first reads of others', async () => {
  const clock = new FakeClock();
  const host = testHost({ clock });
  const config = bmcLogsConfig.parse({ endpoints: [{ name: 'r1', address: 'https://10.0.0.1' }] });
  const stop = new AbortController();
  const loop = new StreamLoop({
    ...{ config, host, signal: stop.signal, endpoint: resolveEndpoint(config.endpoints[0]!, config) },
    machine: new ModeMachine({ mode: 'auto', sse: config.sse, auto: config.auto }),
  } as never);
  const gate = new StartGate(clock);
  gate.add(loop.settled);
  const run = loop.run().catch(() => {});
  stop.abort(new Error('stops'));
  await run;
  gate.add(Promise.resolve());
  let passed = false;
  void gate.pass(Promise.resolve(), never).then(() => {
    passed = true;
  });
  await clock.advance(100);
  assert.ok(passed);
});

test('what one BMC says of itself, however long, keeps no positions of others from the store', async (t) => {
  const fleet = await startBmcFleet({ count: 2 });
  const sink = await startOtlpSink();
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  fleet.bmc(0).overlay.push({ path: '/redfish/v1', merge: { UUID: 'x'.repeat(1_200_000) } });
  for (const bmc of fleet.bmcs) bmc.append();
  const agent = await bmcAgent(t, {
    ...{ fleet, sink, directory: await temporaryDirectory(t) },
    receiver: 'mode: periodic\ninitial_history: all\nperiodic: { logs_collection_interval: 100ms }',
  });
  for (const name of ['bmc-0', 'bmc-1']) await agent.itemWhen(name, ({ lastPoll }) => lastPoll?.outcome === 'success');
  await agent.itemWhen('bmc-1', ({ counters }) => counters.polls >= 5);
  const refused = agent.lines.filter(({ msg }) => msg.startsWith('positions could not be stored'));
  assert.deepEqual(refused, []);
});

test('a gap that could not be filled at once is filled as soon as the logs can be read, not at the next reconcile', async (t) => {
  const { fleet, agent, allDelivered, verdict } = await scene(t, {
    profiles: ['openbmc'],
    receiver: `
initial_history: all
periodic: { logs_collection_interval: 100ms }
sse: { initial_backoff: 5ms, max_backoff: 10ms, min_stream_lifetime: 5ms, reconcile_interval: 1h }`,
  });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  bmc.append();
  await allDelivered();
  const entries = `${bmc.log().path}/Entries`;
  bmc.faults.push({ kind: 'status', status: 500, path: entries });
  bmc.mute = true;
  bmc.append();
  bmc.cutStreams();
  await agent.line(({ msg }) => msg === 'the logs cannot be read');
  await fleet.waitFor(() => bmc.openStreams === 1);
  bmc.faults.length = 0;
  await allDelivered();
  assert.deepEqual(verdict().doubled, []);
});
