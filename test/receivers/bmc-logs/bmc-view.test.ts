import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type FleetOptions, startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { type BmcAgentOptions, bmcAgent } from '../../support/bmc-agent.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const LIST = '/api/monitoring/bmc';
const retry = (name: string) => `${LIST}/${name}/retry-sse`;

const SETTINGS = `
initial_history: all
periodic: { logs_collection_interval: 100ms }
sse: { initial_backoff: 10ms, max_backoff: 20ms, min_stream_lifetime: 50ms, reconcile_interval: 300ms }
auto: { trial_lifetime: 50ms, sse_retry_interval: 1h, sse_retry_max_interval: 4h }`;

async function viewScene(t: TestContext, options: FleetOptions & Omit<BmcAgentOptions, 'fleet' | 'sink'>) {
  const fleet = await startBmcFleet(options);
  const sink = await startOtlpSink();
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const life = (more: Partial<BmcAgentOptions> = {}) =>
    bmcAgent(t, { receiver: SETTINGS, ...options, ...more, fleet, sink });
  return { fleet, sink, bmc: fleet.bmc(0), life };
}

test('an item shows all that is known of a BMC that streams, and null for what is not', async (t) => {
  const { bmc, life } = await viewScene(t, { count: 1, profiles: ['openbmc'] });
  const agent = await life();
  await agent.itemWhen('bmc-0', ({ mode, lastPoll }) => mode === 'streaming' && lastPoll?.outcome === 'success');
  bmc.append();
  const item = await agent.itemWhen('bmc-0', ({ lastEvent }) => lastEvent?.transport === 'sse');
  assert.deepEqual(
    Object.keys(item).sort(),
    'address auth budget configuredMode counters coverage failedTrials firmware labels lastError lastEvent lastPoll mode name nextTrial reason services since stream transitions vendor'.split(
      ' ',
    ),
  );
  const { name, address, mode, configuredMode, reason, nextTrial, failedTrials, auth, coverage, vendor } = item;
  assert.deepEqual(
    { name, address, mode, configuredMode, reason, nextTrial, failedTrials, auth, coverage, vendor },
    {
      ...{ name: 'bmc-0', address: bmc.address, mode: 'streaming', configuredMode: 'auto', reason: null },
      ...{ nextTrial: null, failedTrials: 0, auth: { mode: 'none', holdUntil: null }, coverage: 'full' },
      vendor: 'OpenBMC',
    },
  );
  assert.deepEqual(
    item.transitions.map(({ from, to }: { from: string; to: string }) => `${from} ${to}`),
    ['connecting streaming'],
  );
  assert.deepEqual([item.stream.events, item.stream.lastEventId], [1, '1']);
  assert.ok(item.stream.bytes > 0);
  for (const time of [item.since, item.stream.openedAt, item.stream.lastByteAt, item.lastEvent.at, item.lastPoll.at])
    assert.ok(Math.abs(Date.parse(time) - Date.now()) < 30_000, time);
  assert.match(item.lastEvent.uid, /^[0-9a-f]{32}$/);
  assert.deepEqual(
    item.services.map(({ uri }: { uri: string }) => uri),
    [bmc.log().path],
  );
});

test('a BMC that has never answered is shown with all its fields', async (t) => {
  const { bmc, life } = await viewScene(t, { count: 1 });
  await bmc.down();
  const agent = await life();
  const item = await agent.itemWhen('bmc-0', ({ lastPoll }) => lastPoll?.outcome === 'failure');
  const { vendor, firmware, lastEvent, services, coverage, stream } = item;
  assert.deepEqual([vendor, firmware, lastEvent, services, coverage], [null, null, null, [], 'unknown']);
  assert.deepEqual(new Set(Object.values(stream)), new Set([null]));
  assert.match(item.lastPoll.error, /ECONNREFUSED/);
});

test('the list can be narrowed by mode, reason and start of the name, and read in pages; the numbers stay those of all', async (t) => {
  const { fleet, life } = await viewScene(t, { count: 12 });
  for (const bmc of fleet.bmcs.slice(0, 3)) bmc.stream = { kind: 'status', status: 404 };
  const agent = await life();
  const names = async (query: string) => {
    const { body } = await agent.ask(`${LIST}?${query}`);
    return [body.items.map(({ name }: { name: string }) => name), body.next];
  };
  let all = (await agent.ask(LIST)).body;
  while (all.byMode.polling !== 3 || all.byMode.streaming !== 9) all = (await agent.ask(LIST)).body;
  assert.deepEqual([all.receiver, all.endpoints, all.foreign, all.incident, all.next], ['bmc_logs', 12, 0, null, null]);
  assert.equal(all.items.length, 12);
  assert.deepEqual(await names('mode=polling'), [['bmc-0', 'bmc-1', 'bmc-2'], null]);
  assert.deepEqual(await names('reason=sse_not_available&name=bmc-1'), [['bmc-1'], null]);
  assert.deepEqual(await names('reason=silent_stream'), [[], null]);
  assert.deepEqual(await names('name=bmc-1&limit=2'), [['bmc-1', 'bmc-10'], 'bmc-10']);
  assert.deepEqual(await names('name=bmc-1&limit=2&after=bmc-10'), [['bmc-11'], null]);
  for (const limit of ['0', '1001', '-1', 'x', '1e2', ''])
    assert.deepEqual((await agent.ask(`${LIST}?limit=${limit}`)).body.code, 'query_invalid', limit);
  assert.equal((await agent.ask(`${LIST}?limit=1000`)).status, 200);
});

test('what a BMC says of itself is shown short, on one line, and without secrets', async (t) => {
  const { bmc, life } = await viewScene(t, { count: 1 });
  const nasty = `\u001b[31mline one\nline two ${'x'.repeat(1_000)}`;
  bmc.overlay.push({ path: '/redfish/v1', merge: { Vendor: nasty, Product: nasty } });
  bmc.machine.facts.firmware = nasty;
  bmc.auth = { username: 'ro', password: 'topsecret', sessions: { slots: 2 } };
  const agent = await life({ receiver: `${SETTINGS}\nauth: { username: ro, password: topsecret }` });
  const item = await agent.itemWhen('bmc-0', ({ firmware, auth }) => firmware !== null && auth.mode === 'session');
  const text = JSON.stringify(item);
  assert.ok(!text.includes('\\u001b') && !text.includes('\\n') && !text.includes('topsecret'));
  for (const shown of [item.vendor, item.firmware]) assert.ok(shown.length <= 256, shown);
});

test('an endpoint that nobody knows is 404, and other methods are 405', async (t) => {
  const { life } = await viewScene(t, { count: 1 });
  const agent = await life();
  const answers = await Promise.all(
    [
      [`${LIST}/nobody`, 'GET'],
      [retry('nobody'), 'POST'],
      [retry('bmc-0'), 'GET'],
      [retry('bmc-0'), 'PUT'],
      [retry('bmc-0'), 'DELETE'],
      [LIST, 'POST'],
      [`${LIST}/bmc-0`, 'DELETE'],
    ].map(async ([path, method]) => {
      const { status, body, headers } = await agent.ask(path!, method);
      return [method, status, body.code, headers.get('allow')];
    }),
  );
  assert.deepEqual(answers, [
    ['GET', 404, 'endpoint_unknown', null],
    ['POST', 404, 'endpoint_unknown', null],
    ['GET', 405, 'method_not_allowed', 'POST'],
    ['PUT', 405, 'method_not_allowed', 'POST'],
    ['DELETE', 405, 'method_not_allowed', 'POST'],
    ['POST', 405, 'method_not_allowed', 'GET, HEAD'],
    ['DELETE', 405, 'method_not_allowed', 'GET, HEAD'],
  ]);
});

test('a person who asks for a stream gets a trial at once, with one line that says who; again only after ten seconds', async (t) => {
  const { bmc, life } = await viewScene(t, { count: 1 });
  bmc.stream = { kind: 'status', status: 404 };
  const agent = await life();
  const { nextTrial } = await agent.itemWhen(
    'bmc-0',
    ({ mode, lastPoll }) => mode === 'polling' && lastPoll?.outcome === 'success',
  );
  assert.ok(Date.parse(nextTrial) - Date.now() > 40 * 60_000);
  bmc.stream = { kind: 'live' };
  const { status, body } = await agent.ask(retry('bmc-0'), 'POST');
  assert.deepEqual([status, Object.keys(body), body.name], [202, ['name', 'due'], 'bmc-0']);
  assert.ok(Math.abs(Date.parse(body.due) - Date.now()) < 10_000);
  await agent.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
  assert.equal(await agent.metric('outband.bmc.trials', { outcome: 'confirmed', trigger: 'operator' }), 1);
  const audit = agent.lines.filter(({ msg }) => msg === 'a stream was asked for');
  assert.deepEqual(
    audit.map(({ level, endpoint, by }) => [level, endpoint, by]),
    [['info', 'bmc-0', 'ops']],
  );
  const again = await agent.ask(retry('bmc-0'), 'POST');
  assert.deepEqual([again.status, again.body.code], [409, 'already_streaming']);
  bmc.stream = { kind: 'status', status: 404 };
  bmc.cutStreams();
  await agent.itemWhen('bmc-0', ({ mode }) => mode === 'polling');
  const tooSoon = await agent.ask(retry('bmc-0'), 'POST');
  assert.deepEqual([tooSoon.status, tooSoon.body.code], [429, 'too_soon']);
  assert.ok(Number(tooSoon.headers.get('retry-after')) <= 10);
});

test('a BMC that is only polled, and one whose account is on hold, refuse to be asked for a stream', async (t) => {
  const { fleet, life } = await viewScene(t, { count: 2, modes: ['periodic', 'auto'] });
  fleet.bmc(1).auth = { username: 'ro', password: 'right' };
  const agent = await life({ receiver: `${SETTINGS}\nauth: { username: ro, password: wrong }` });
  await agent.itemWhen('bmc-1', ({ auth }) => auth.holdUntil !== null);
  for (const [name, code] of [
    ['bmc-0', 'mode_periodic'],
    ['bmc-1', 'auth_hold'],
  ] as const) {
    const { status, body } = await agent.ask(retry(name), 'POST');
    assert.deepEqual([status, body.code], [409, code]);
  }
  assert.ok(agent.lines.every(({ msg }) => msg !== 'a stream was asked for'));
});

test('a decision to poll outlives a restart: no stream is asked for, and nobody is warned a second time', async (t) => {
  const directory = await temporaryDirectory(t);
  const { bmc, sink, life } = await viewScene(t, { count: 1, directory });
  bmc.stream = { kind: 'status', status: 404 };
  bmc.append();
  const first = await life();
  const { nextTrial } = await first.itemWhen(
    'bmc-0',
    ({ mode, lastPoll }) => mode === 'polling' && lastPoll?.outcome === 'success',
  );
  await first.stop();
  bmc.stream = { kind: 'live' };
  const asked = bmc.streamRequests;
  bmc.append();
  const second = await life();
  const item = await second.itemWhen('bmc-0', ({ lastPoll }) => lastPoll?.outcome === 'success');
  assert.deepEqual([item.mode, item.reason, bmc.streamRequests], ['polling', 'sse_not_available', asked]);
  assert.ok(Math.abs(Date.parse(item.nextTrial) - Date.parse(nextTrial)) < 5_000, `${nextTrial} ${item.nextTrial}`);
  await sink.waitFor(() => sink.records.length >= 2);
  assert.equal(sink.records.length, 2);
  const told = second.lines.filter(({ msg }) => String(msg).includes('downgraded to polling'));
  assert.deepEqual(
    told.map(({ level, msg }) => [level, msg]),
    [['info', 'log stream stays downgraded to polling']],
  );
  assert.equal((await second.ask(retry('bmc-0'), 'POST')).status, 202);
  await second.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
  await second.stop();
  const third = await life();
  await third.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
  assert.ok(
    third.lines.every(({ msg }) => !String(msg).includes('downgraded')),
    'a return is remembered, too',
  );
});

test('a decision to poll is forgotten when it is not to be kept', async (t) => {
  const directory = await temporaryDirectory(t);
  const { bmc, life } = await viewScene(t, { count: 1, directory });
  bmc.stream = { kind: 'status', status: 404 };
  const first = await life();
  await first.itemWhen('bmc-0', ({ mode }) => mode === 'polling');
  await first.stop();
  bmc.stream = { kind: 'live' };
  const second = await life({ receiver: SETTINGS.replace('auto: {', 'auto: { persist_downgrade: false,') });
  await second.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
});

test('a decision to poll belongs to an address: another BMC under the same name is asked for its stream', async (t) => {
  const directory = await temporaryDirectory(t);
  const { bmc, life } = await viewScene(t, { count: 1, directory });
  bmc.stream = { kind: 'status', status: 404 };
  const first = await life();
  await first.itemWhen('bmc-0', ({ mode }) => mode === 'polling');
  await first.stop();
  const elsewhere = await viewScene(t, { count: 1, directory });
  const second = await elsewhere.life();
  await second.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
});
