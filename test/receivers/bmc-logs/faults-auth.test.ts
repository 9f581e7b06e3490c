import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { SESSIONS_PATH } from '../../simulators/bmc/access.ts';
import type { SimulatedBmc } from '../../simulators/bmc/bmc.ts';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { SSE_PATH } from '../../simulators/bmc/machine.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { type BmcAgentOptions, bmcAgent } from '../../support/bmc-agent.ts';
import { fastClock } from '../../support/fast-clock.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const MINUTE = 60_000;
const ACCOUNT = { username: 'ro', password: 'right' };
const HELD = 'logins are rejected; the account is left alone for a while';
const DOWNGRADED = 'log stream downgraded to polling';

const settings = (password = 'right') => `
initial_history: all
auth: { username: ro, password: ${password} }
periodic: { logs_collection_interval: 100ms }
sse: { initial_backoff: 10ms, max_backoff: 20ms, min_stream_lifetime: 20ms, reconcile_interval: 300ms }
auto: { trial_lifetime: 100ms, connect_failure_window: 400ms }`;

interface AuthScene {
  readonly bmc: SimulatedBmc;
  /** Another life of the agent over the same BMC. */
  life(options?: Omit<BmcAgentOptions, 'fleet' | 'sink'>): ReturnType<typeof bmcAgent>;
  /** Resolves when the sink has all that was offered, each once. */
  delivered(): Promise<void>;
}

/** One BMC that asks for an account, and a sink. */
async function authScene(t: TestContext, before: (bmc: SimulatedBmc) => void): Promise<AuthScene> {
  const fleet = await startBmcFleet({ count: 1, account: ACCOUNT });
  const sink = await startOtlpSink();
  const bmc = fleet.bmc(0);
  before(bmc);
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  return {
    bmc,
    life: (options) => bmcAgent(t, { receiver: settings(), ...options, fleet, sink }),
    async delivered() {
      const verdict = () =>
        fleet.truth.compare(
          sink.records.map(({ body, resource }) => ({ body, endpoint: resource['redfish.endpoint'] })),
        );
      await sink.waitFor(() => verdict().lost.length === 0);
      assert.deepEqual(verdict().doubled, []);
    },
  };
}

const posts = (bmc: SimulatedBmc) => bmc.journal.filter(({ method }) => method === 'POST');

test('a session that the BMC forgets costs one login, and the stream opens as if nothing had been', async (t) => {
  const { bmc, life, delivered } = await authScene(t, (one) => {
    one.auth = { ...ACCOUNT, sessions: { slots: 4 } };
  });
  const agent = await life();
  await agent.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
  bmc.append();
  await delivered();
  await agent.itemWhen('bmc-0', ({ budget, lastPoll }) => budget.failures === 0 && lastPoll?.outcome === 'success');
  bmc.dropSessions();
  bmc.cutStreams();
  await agent.itemWhen('bmc-0', ({ mode }) => mode === 'connecting');
  const { stream } = await agent.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
  assert.ok(stream.openedAt);
  bmc.append();
  await delivered();
  assert.equal(bmc.logins, 2);
  assert.equal(bmc.rejectedLogins, 0);
  assert.equal(await agent.metric('outband.bmc.stream_connects', { 'error.type': 'auth' }), 0);
  assert.ok(agent.lines.every(({ msg }) => msg !== DOWNGRADED));
});

test('a stream URI that says 401 to a good token once gets another one, and no failure is counted', async (t) => {
  const { bmc, life } = await authScene(t, (one) => {
    one.auth = { ...ACCOUNT, sessions: { slots: 4 } };
    one.faults.push({ kind: 'status', status: 401, path: SSE_PATH, count: 1 });
  });
  const agent = await life();
  await agent.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
  assert.equal(await agent.metric('outband.bmc.stream_connects', { outcome: 'failure' }), 0);
  assert.deepEqual([bmc.streamRequests, bmc.logins], [2, 2]);
});

for (const [what, auth] of [
  ['by Basic', {}],
  ['by sessions', { sessions: { slots: 4 } }],
] as const)
  test(`a wrong password ${what} is sent at most three times, the hold is shown, and the BMC locks nobody out`, async (t) => {
    const { bmc, life } = await authScene(t, (one) => {
      one.auth = { ...ACCOUNT, ...auth, lockoutAfter: 4 };
    });
    const agent = await life({ receiver: settings('wrong') });
    const before = Date.now();
    const { auth: shown } = await agent.itemWhen('bmc-0', ({ auth: { holdUntil } }) => holdUntil !== null);
    const minutes = (Date.parse(shown.holdUntil) - before) / MINUTE;
    assert.ok(minutes > 14.9 && minutes < 15.1, `${minutes} minutes`);
    await agent.itemWhen('bmc-0', ({ lastError }) => /left alone until/.test(lastError));
    const seen = bmc.journal.length;
    await agent.ask('/api/monitoring/bmc/bmc-0/retry-sse', 'POST');
    assert.ok(bmc.journal.slice(seen).every(({ authKind, method }) => authKind === 'none' && method === 'GET'));
    assert.ok(bmc.rejectedLogins <= 3, `${bmc.rejectedLogins} rejected logins`);
    assert.equal(bmc.lockedOut, false);
    const told = agent.lines.filter(({ msg }) => msg === HELD).map(({ level }) => level);
    assert.deepEqual(told, ['error']);
    assert.ok(!JSON.stringify(agent.lines).includes('wrong'));
  });

test('a stream that the account has no right to is given up, and the same account reads the logs', async (t) => {
  const { bmc, life, delivered } = await authScene(t, (one) => {
    one.auth = { ...ACCOUNT, sessions: { slots: 4 }, sseForbidden: true, lockoutAfter: 3 };
    one.append();
  });
  const agent = await life();
  const { reason, failures, last_error } = await agent.line(({ msg }) => msg === DOWNGRADED);
  assert.deepEqual([reason, failures], ['connect_failure_budget', 5]);
  assert.match(String(last_error), /403/);
  bmc.append();
  await delivered();
  assert.equal(await agent.metric('outband.bmc.stream_connects', { 'error.type': 'auth' }), 5);
  const { auth } = await agent.item('bmc-0');
  assert.deepEqual([auth.holdUntil, bmc.rejectedLogins, bmc.lockedOut], [null, 0, false]);
});

test('a BMC without a free session is read by Basic, and asked for a session again after half an hour', async (t) => {
  const factor = 3_000;
  const { bmc, life, delivered } = await authScene(t, (one) => {
    one.auth = { ...ACCOUNT, sessions: { slots: 0 } };
    one.append();
  });
  const agent = await life({
    clock: fastClock(factor),
    receiver: `
initial_history: all
mode: periodic
auth: { username: ro, password: right }
request_timeout: 10h
body_idle_timeout: 10h
periodic: { logs_collection_interval: 2m, state_refresh_interval: 100h }`,
  });
  await delivered();
  assert.equal((await agent.item('bmc-0')).auth.mode, 'basic');
  assert.deepEqual([posts(bmc).length, bmc.liveSessions], [1, 0]);
  bmc.auth!.sessions!.slots = 1;
  const { auth } = await agent.itemWhen('bmc-0', (item) => item.auth.mode === 'session');
  assert.equal(auth.holdUntil, null);
  const [first, second] = posts(bmc);
  assert.ok((second!.at - first!.at) * factor >= 30 * MINUTE - 2 * factor);
  assert.deepEqual([posts(bmc).length, bmc.liveSessions], [2, 1]);
});

for (const refuse of [404, 405, 501] as const)
  test(`sessions that answer ${refuse} are not asked for again`, async (t) => {
    const { bmc, life, delivered } = await authScene(t, (one) => {
      one.auth = { ...ACCOUNT, sessions: { slots: 4, refuse } };
      one.append();
    });
    const agent = await life();
    await agent.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
    await delivered();
    const asked = posts(bmc).length;
    const { polls } = (await agent.item('bmc-0')).counters;
    bmc.cutStreams();
    await agent.itemWhen('bmc-0', ({ counters }) => counters.polls >= polls + 2);
    assert.equal(posts(bmc).length, asked);
    assert.ok(bmc.journal.some(({ authKind }) => authKind === 'basic'));
  });

test('a session that a crash left behind is ended by the next process', async (t) => {
  const directory = await temporaryDirectory(t);
  const { bmc, life } = await authScene(t, (one) => {
    one.auth = { ...ACCOUNT, sessions: { slots: 4 } };
    // The good-bye is lost: as after a crash, the session stays.
    one.faults.push({ kind: 'status', status: 500, path: `${SESSIONS_PATH}/` });
  });
  const first = await life({ directory });
  await first.itemWhen('bmc-0', ({ mode, lastPoll }) => mode === 'streaming' && lastPoll?.outcome === 'success');
  await bmc.down();
  await first.stop();
  await bmc.up();
  assert.equal(bmc.liveSessions, 1);
  bmc.faults.length = 0;
  const second = await life({ directory });
  await second.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
  assert.deepEqual([bmc.liveSessions, bmc.sessionsDeleted, bmc.logins], [1, 1, 2]);
});

test('a hold outlives a restart: a process that crashes in a loop locks nobody out; another password lifts it', async (t) => {
  const directory = await temporaryDirectory(t);
  const { bmc, life, delivered } = await authScene(t, (one) => {
    one.auth = { ...ACCOUNT, sessions: { slots: 4 }, lockoutAfter: 4 };
    one.append();
  });
  let until: unknown;
  for (let restart = 0; restart < 3; restart++) {
    const agent = await life({ directory, receiver: settings('wrong') });
    const { auth } = await agent.itemWhen(
      'bmc-0',
      (item) => item.auth.holdUntil !== null && item.lastPoll?.outcome === 'failure',
    );
    until ??= auth.holdUntil;
    assert.equal(auth.holdUntil, until);
    assert.equal((await agent.ask('/api/monitoring/bmc/bmc-0/retry-sse', 'POST')).body.code, 'auth_hold');
    await agent.stop();
  }
  assert.ok(bmc.rejectedLogins <= 3);
  assert.equal(bmc.lockedOut, false);
  const agent = await life({ directory });
  await agent.itemWhen('bmc-0', ({ auth, lastPoll }) => auth.holdUntil === null && lastPoll?.outcome === 'success');
  await delivered();
  assert.ok(bmc.rejectedLogins <= 3);
});
