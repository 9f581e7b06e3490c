import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ConnectOutcome } from '../../../receivers/bmc-logs/classify-connect.ts';
import { Credentials } from '../../../receivers/bmc-logs/client/credentials.ts';
import { bmcLogsConfig } from '../../../receivers/bmc-logs/config.ts';
import { EndpointState } from '../../../receivers/bmc-logs/endpoint-state.ts';
import { ModeMachine } from '../../../receivers/bmc-logs/mode-machine.ts';
import { Secret } from '../../../src/component/secret.ts';
import { FakeClock } from '../../../src/testing/fake-clock.ts';
import { type BmcFleet, type FleetOptions, startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { SSE_PATH } from '../../simulators/bmc/machine.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { type BmcAgentOptions, bmcAgent } from '../../support/bmc-agent.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const MINUTE = 60_000;
const ACCOUNT = { username: 'ro', password: 'right' };
const DOWNGRADED = 'log stream downgraded to polling';
const REFUSED: ConnectOutcome = { kind: 'failure', type: 'refused', why: 'ECONNREFUSED' };
const UNSUPPORTED: ConnectOutcome = { kind: 'unsupported', why: 'no ServerSentEventUri' };

const machineOf = () => {
  const { sse, auto } = bmcLogsConfig.parse({ endpoints: [{ name: 'r1', address: 'https://10.0.0.1' }] });
  return new ModeMachine({ mode: 'auto', sse, auto });
};

const settings = (password = 'right', auto = '') => `
initial_history: all
auth: { username: ro, password: ${password} }
periodic: { logs_collection_interval: 100ms }
sse: { initial_backoff: 10ms, max_backoff: 20ms, min_stream_lifetime: 20ms, reconcile_interval: 300ms }
auto: { trial_lifetime: 100ms, connect_failure_window: 400ms${auto} }`;

async function fleetOf(t: TestContext, options: FleetOptions) {
  const fleet = await startBmcFleet(options);
  const sink = await startOtlpSink();
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const life = (more: Omit<BmcAgentOptions, 'fleet' | 'sink'> & { readonly of?: BmcFleet } = {}) =>
    bmcAgent(t, { receiver: settings(), ...more, fleet, sink });
  return { fleet, bmc: fleet.bmc(0), life };
}

/** An account for HTTP Basic, and the holds that it gets. */
function credentialsOf() {
  const holds: number[] = [];
  const clock = new FakeClock();
  const credentials = new Credentials({
    endpoint: 'r1',
    auth: { mode: 'basic', username: 'ro', password: new Secret('x') },
    account: async () => ({ kind: 'password', username: 'ro', password: new Secret('x') }),
    clock,
    state: new EndpointState({}, () => {}),
    login: async () => ({ status: 404, token: undefined, location: undefined, body: '' }),
    logout: async () => ({ status: 204 }),
    onHold: (until) => holds.push(until),
    onLifted: () => {},
  });
  return { credentials, holds, clock };
}

test('an agent that stops ends its session', async (t) => {
  const { bmc, life } = await fleetOf(t, { count: 1 });
  bmc.auth = { ...ACCOUNT, sessions: { slots: 4 } };
  const agent = await life();
  await agent.itemWhen('bmc-0', ({ mode, lastPoll }) => mode === 'streaming' && lastPoll?.outcome === 'success');
  await agent.stop();
  assert.deepEqual([bmc.liveSessions, bmc.sessionsDeleted], [0, 1]);
});

for (const refuse of [404, 503] as const)
  test(`sessions that answer ${refuse} are asked for once, not once by the stream and once by the poll`, async (t) => {
    const { bmc, life } = await fleetOf(t, { count: 1 });
    bmc.auth = { ...ACCOUNT, sessions: { slots: 4, refuse } };
    const agent = await life();
    await agent.itemWhen('bmc-0', ({ mode, lastPoll }) => mode === 'streaming' && lastPoll?.outcome === 'success');
    assert.equal(bmc.journal.filter(({ method }) => method === 'POST').length, 1);
  });

test('an account that is on hold leads to polling after one window without a stream', async (t) => {
  const { bmc, life } = await fleetOf(t, { count: 1 });
  bmc.auth = { ...ACCOUNT, sessions: { slots: 4 }, lockoutAfter: 4 };
  const agent = await life({ receiver: settings('wrong') });
  const { reason } = await agent.line(({ msg }) => msg === DOWNGRADED);
  assert.equal(reason, 'connect_failure_budget');
});

test('an answer that says nothing about the account does not prove it: three rejected logins are a hold all the same', async () => {
  for (const nothing of [0, 307, 408, 429, 500, 503]) {
    const { credentials, holds } = credentialsOf();
    const { signal } = new AbortController();
    for (const status of [401, nothing, 401, nothing, 401]) await credentials.prove(signal, async () => ({ status }));
    assert.equal(holds.length, 1, `after ${nothing}`);
  }
});

test('requests under way when a hold begins do not make it longer', async () => {
  const { credentials, holds, clock } = credentialsOf();
  const { signal } = new AbortController();
  await credentials.prove(signal, async () => ({ status: 200 }));
  let change = () => {};
  const changed = new Promise<void>((resolve) => {
    change = resolve;
  });
  const underWay = Array.from({ length: 5 }, () =>
    credentials.prove(signal, async () => {
      await changed;
      return { status: 401 };
    }),
  );
  await new Promise((resolve) => setImmediate(resolve));
  change();
  await Promise.all(underWay);
  const minutes = holds.map((until) => (until - Number(clock.now() / 1_000_000n)) / MINUTE);
  assert.deepEqual(minutes, [15]);
});

test('a stream that is asked for while one is being tried is tried at once, as the answer says', async (t) => {
  const { bmc, life } = await fleetOf(t, { count: 1 });
  bmc.stream = { kind: 'status', status: 500 };
  const receiver = 'sse: { initial_backoff: 1h, max_backoff: 1h }\nperiodic: { logs_collection_interval: 1h }';
  const agent = await life({ receiver });
  await agent.itemWhen('bmc-0', ({ budget }) => budget.failures === 1);
  bmc.stream = { kind: 'live' };
  assert.equal((await agent.ask('/api/monitoring/bmc/bmc-0/retry-sse', 'POST')).status, 202);
  await agent.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
});

test('a wish for a stream that came while connecting does not shorten the wait after a later downgrade', () => {
  const machine = machineOf();
  machine.refused(0, REFUSED);
  machine.retryNow();
  machine.refused(10_000, UNSUPPORTED);
  assert.equal(machine.waitBeforeAttempt(0.5), 30 * MINUTE);
});

test('a failed trial does not make an old decision to poll a new one', () => {
  const machine = machineOf();
  for (let n = 0; n < 5; n++) machine.refused(n, REFUSED);
  machine.refused(30 * MINUTE, REFUSED);
  assert.equal(machine.mode.since, 4);
  assert.equal(machine.incidentBegan(31 * MINUTE), undefined);
});

test('a trial that was never sent is not a failed one', () => {
  const machine = machineOf();
  machine.refused(0, UNSUPPORTED);
  machine.refused(30 * MINUTE, { kind: 'not_sent', why: 'hold' });
  assert.equal(machine.failedTrials, 0);
});

test('a wait that a good stream asked for is waited when that stream ends', () => {
  const machine = machineOf();
  machine.opened(0);
  machine.serverRetry(45_000);
  machine.survived(30_000);
  machine.ended(60 * MINUTE);
  assert.equal(machine.waitBeforeAttempt(0), 45_000);
});

test('a restart with trials switched off makes none', async (t) => {
  const directory = await temporaryDirectory(t);
  const { bmc, life } = await fleetOf(t, { count: 1 });
  bmc.stream = { kind: 'status', status: 404 };
  const first = await life({ directory });
  await first.itemWhen('bmc-0', ({ mode, nextTrial }) => mode === 'polling' && nextTrial !== null);
  await first.stop();
  const before = bmc.streamRequests;
  const second = await life({ directory, receiver: settings('right', ', sse_retry_interval: 0s') });
  const { nextTrial } = await second.itemWhen('bmc-0', ({ lastPoll }) => lastPoll?.outcome === 'success');
  assert.deepEqual([nextTrial, bmc.streamRequests - before], [null, 0]);
});

test('a restart remembers since when a BMC is polled', async (t) => {
  const directory = await temporaryDirectory(t);
  const { bmc, life } = await fleetOf(t, { count: 1 });
  bmc.stream = { kind: 'status', status: 404 };
  const first = await life({ directory });
  const { since } = await first.itemWhen('bmc-0', ({ mode }) => mode === 'polling');
  await first.stop();
  const stopped = Date.now();
  const again = (await (await life({ directory })).item('bmc-0')).since;
  assert.ok(Date.parse(again) < stopped, `${since} became ${again}`);
});

test('endpoints that a restart finds downgraded do not hide an incident among the others', async (t) => {
  const directory = await temporaryDirectory(t);
  const { fleet, life } = await fleetOf(t, { count: 30 });
  const polled = fleet.bmcs.slice(0, 20);
  const others = fleet.bmcs.slice(20);
  for (const bmc of polled) bmc.stream = { kind: 'status', status: 404 };
  const receiver = settings('right', '')
    .replace(/auth: .*\n/, '')
    .replace('400ms', '1s');
  const first = await life({ directory, receiver });
  await first.line(() => first.lines.filter(({ msg }) => msg === DOWNGRADED).length === 20);
  await first.stop();
  const second = await life({ directory, receiver });
  await fleet.waitFor(() => others.every(({ openStreams }) => openStreams === 1));
  // Longer than a window, so that what was decided before counts no more.
  const lines = () => second.lines.filter(({ msg, endpoint }) => msg === 'logs read' && endpoint === 'bmc-0').length;
  await second.line(() => lines() >= 12);
  for (const bmc of others) bmc.faults.push({ kind: 'reset', path: SSE_PATH });
  for (const bmc of others) bmc.cutStreams();
  const { msg } = await second.line(
    (line) => line.msg === DOWNGRADED || line.msg === 'fleet incident: downgrades held',
  );
  assert.equal(msg, 'fleet incident: downgrades held');
});

test('the budget names its window, and a BMC that is only polled is shown as polling', async (t) => {
  const { life } = await fleetOf(t, { count: 1 });
  const agent = await life({ modes: ['periodic'], receiver: 'periodic: {}\nmode: auto' });
  const item = await agent.item('bmc-0');
  assert.notEqual(typeof item.budget.window, 'boolean');
  assert.deepEqual([item.mode, item.configuredMode], ['polling', 'periodic']);
});
