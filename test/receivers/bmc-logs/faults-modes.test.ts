import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { ConnectOutcome } from '../../../receivers/bmc-logs/classify-connect.ts';
import { bmcLogsConfig } from '../../../receivers/bmc-logs/config.ts';
import { ModeMachine } from '../../../receivers/bmc-logs/mode-machine.ts';
import { SseReader } from '../../../receivers/bmc-logs/stream/sse-reader.ts';
import type { SimulatedBmc } from '../../simulators/bmc/bmc.ts';
import { type FleetOptions, startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { SSE_PATH } from '../../simulators/bmc/machine.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { type BmcAgentOptions, bmcAgent } from '../../support/bmc-agent.ts';
import { bmcConfig } from '../../support/bmc-config.ts';
import { fastClock } from '../../support/fast-clock.ts';
import { agentOf } from '../../support/run-agent.ts';
import { countLines, scene } from '../../support/scene.ts';

const DOWNGRADED = 'log stream downgraded to polling';
const RESTORED = 'log stream restored';
const EVENT_SERVICE = '/redfish/v1/EventService';
const ROOT = '/redfish/v1/';
const SECOND = 1_000;
const MINUTE = 60_000;
const REFUSED: ConnectOutcome = { kind: 'failure', type: 'refused', why: 'ECONNREFUSED' };

/** Reconnects within milliseconds; logs are read at start, and then only when something asks for it. */
const SELDOM_READ = `
initial_history: all
periodic: { logs_collection_interval: 1h }
sse: { initial_backoff: 10ms, max_backoff: 20ms, min_stream_lifetime: 100ms, reconcile_interval: 1h }
auto: { trial_lifetime: 100ms }`;

const machineOf = () => {
  const { sse, auto } = bmcLogsConfig.parse({ endpoints: [{ name: 'r1', address: 'https://10.0.0.1' }] });
  return new ModeMachine({ mode: 'auto', sse, auto });
};

/** Requests for the stream of a BMC. */
const streamRequests = (bmc: SimulatedBmc) => bmc.journal.filter(({ path }) => path === SSE_PATH);

/** A fleet, a sink, and an agent whose monitoring API can be asked. */
async function fleetScene(
  t: TestContext,
  {
    before,
    ...options
  }: FleetOptions & Omit<BmcAgentOptions, 'fleet' | 'sink'> & { before?: (bmcs: readonly SimulatedBmc[]) => void },
) {
  const fleet = await startBmcFleet(options);
  const sink = await startOtlpSink();
  before?.(fleet.bmcs);
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const agent = await bmcAgent(t, { ...options, fleet, sink });
  return { fleet, sink, agent };
}

for (const [what, overlay] of [
  ['has no ServerSentEventUri', { path: EVENT_SERVICE, replace: { ServiceEnabled: true } }],
  ['has an empty ServerSentEventUri', { path: EVENT_SERVICE, merge: { ServerSentEventUri: '' } }],
  ['is not enabled', { path: EVENT_SERVICE, merge: { ServiceEnabled: false } }],
  ['is in state Disabled', { path: EVENT_SERVICE, merge: { Status: { State: 'Disabled' } } }],
  ['is in state Absent', { path: EVENT_SERVICE, merge: { Status: { State: 'Absent' } } }],
  ['is null in the service root', { path: '/redfish/v1', merge: { EventService: null } }],
] as const)
  test(`an EventService that ${what} means polling after one look, and no stream is asked for`, async (t) => {
    const { fleet, agent, downgrade, allDelivered, verdict } = await scene(t, {
      before: (all) => {
        all.bmc(0).overlay.push(overlay);
        all.bmc(0).append();
      },
    });
    const { reason, failures } = await downgrade('bmc-0');
    assert.deepEqual([reason, failures], ['sse_not_available', 1]);
    fleet.bmc(0).append();
    await allDelivered();
    assert.equal(fleet.bmc(0).streamRequests, 0);
    assert.equal(countLines(agent, DOWNGRADED), 1);
    assert.deepEqual(verdict().doubled, []);
  });

for (const status of [404, 405, 406, 501])
  test(`a stream URI that answers ${status} means polling after one answer`, async (t) => {
    const { fleet, downgrade, allDelivered } = await scene(t, {
      before: (all) => {
        all.bmc(0).stream = { kind: 'status', status };
      },
    });
    const { reason, failures } = await downgrade('bmc-0');
    assert.deepEqual([reason, failures], ['sse_not_available', 1]);
    fleet.bmc(0).append();
    await allDelivered();
    assert.equal(fleet.bmc(0).streamRequests, 1);
  });

for (const contentType of ['text/html', 'application/json', 'application/json; charset=utf-8'])
  test(`a stream URI that answers 200 and ${contentType} is hung up on, whatever else it has to say`, async (t) => {
    const answers: ServerResponse[] = [];
    const server = createServer((request, response) => {
      const answer = (body: object) => response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
      if (request.url === ROOT) return answer({ EventService: { '@odata.id': EVENT_SERVICE } });
      if (request.url === EVENT_SERVICE) return answer({ ServerSentEventUri: SSE_PATH });
      answers.push(response.writeHead(200, { 'content-type': contentType }));
      // Never ends by itself, and would be an event if anybody parsed it.
      response.write('data: {"Events": [{"Message": "not for you"}]}\n\n');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const sink = await startOtlpSink();
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const agent = agentOf(bmcConfig({ endpoints: [{ name: 'r1', address }], sink }));
    t.after(async () => {
      await agent.stop();
      server.closeAllConnections();
      server.close();
      await sink.close();
    });
    await agent.start();
    const { reason } = await agent.line(({ msg }) => msg === DOWNGRADED);
    assert.equal(reason, 'sse_not_available');
    assert.equal(answers.length, 1);
    if (!answers[0]!.destroyed) await once(answers[0]!, 'close');
    assert.deepEqual(sink.records, []);
  });

for (const status of [400, 406, 501])
  test(`a filter that is answered ${status} is left out once before anything is concluded`, async (t) => {
    const { fleet, agent } = await scene(t, {
      receiver: "sse: { filter: MessageId eq 'a&b' }",
      before: (all) => void all.bmc(0).faults.push({ kind: 'status', status, path: SSE_PATH, count: 1 }),
    });
    await fleet.waitFor(() => fleet.bmc(0).openStreams === 1);
    const queries = streamRequests(fleet.bmc(0)).map(({ query }) => query);
    assert.deepEqual(queries, ['$filter=MessageId%20eq%20%27a%26b%27', '']);
    assert.equal(countLines(agent, DOWNGRADED), 0);
    assert.equal(await agent.metric('outband.bmc.stream_connects', { outcome: 'failure' }), 0);
  });

for (const [status, reason] of [
  [400, 'connect_failure_budget'],
  [406, 'sse_not_available'],
  [501, 'sse_not_available'],
] as const)
  test(`a stream URI that answers ${status} with a filter and without is ${reason}`, async (t) => {
    const { fleet, downgrade } = await scene(t, {
      receiver: `sse: { filter: "x", initial_backoff: 10ms, max_backoff: 20ms }`,
      before: (all) => {
        all.bmc(0).stream = { kind: 'status', status };
      },
    });
    const line = await downgrade('bmc-0');
    assert.equal(line.reason, reason);
    assert.equal(fleet.bmc(0).streamRequests, 2 * Number(line.failures));
  });

test('a stream that is cut five times: one warning, and polling begins at once, not at the next interval', async (t) => {
  const { fleet, agent, downgrade, allDelivered, verdict } = await scene(t, {
    receiver: SELDOM_READ,
    before: (all) => void all.bmc(0).faults.push({ kind: 'reset', path: SSE_PATH }),
  });
  const { reason, failures, last_error } = await downgrade('bmc-0');
  assert.deepEqual([reason, failures], ['connect_failure_budget', 5]);
  assert.match(String(last_error), /SSE/);
  fleet.bmc(0).append();
  await allDelivered();
  // The first went over the connection of the discovery, so it was repeated on one of its own.
  assert.equal(fleet.bmc(0).streamRequests, 6);
  assert.equal(countLines(agent, DOWNGRADED), 1);
  assert.deepEqual(verdict().doubled, []);
});

test('a BMC that refuses every connection is downgraded once, after five attempts', async (t) => {
  const { fleet, agent, downgrade, allDelivered } = await scene(t, {
    receiver: SELDOM_READ.replace('1h', '200ms'),
    before: (all) => all.bmc(0).down(),
  });
  const { reason, failures } = await downgrade('bmc-0');
  assert.deepEqual([reason, failures], ['connect_failure_budget', 5]);
  assert.equal(await agent.metric('outband.bmc.stream_connects', { 'error.type': 'refused' }), 5);
  await fleet.bmc(0).up();
  fleet.bmc(0).append();
  await allDelivered();
  assert.equal(countLines(agent, DOWNGRADED), 1);
});

test('four failures before a five-minute mark and four behind it count together: the fifth downgrades', () => {
  const machine = machineOf();
  const at = [290, 293, 296, 299, 300, 303, 306, 309].map((seconds) => seconds * SECOND);
  const decisions = at.slice(0, 5).map((now) => machine.refused(now, REFUSED)?.reason);
  assert.deepEqual(decisions, [undefined, undefined, undefined, undefined, 'connect_failure_budget']);
});

test('short streams and answers of Retry-After, so far apart that any five minutes hold four, never downgrade', () => {
  const machine = machineOf();
  for (let n = 0; n < 40; n++) {
    const now = n * 75 * SECOND;
    if (n % 4 > 0) assert.equal(machine.refused(now, { ...REFUSED, retryAfterMs: 70 * SECOND }), undefined);
    else {
      machine.opened(now);
      assert.equal(machine.ended(now)?.to, 'connecting');
    }
    assert.equal(machine.budget(now).failures, Math.min(n + 1, 4));
  }
});

for (const [what, stream] of [
  ['that ends at once', { kind: 'eof' }],
  ['that ends after a moment', { kind: 'live', lifetimeMs: 15 }],
] as const)
  test(`a stream ${what}, for ever, is flapping at the fifth end, and no attempt comes before its wait`, async (t) => {
    const { fleet, downgrade } = await scene(t, {
      receiver: 'sse: { initial_backoff: 20ms, max_backoff: 80ms }\nperiodic: { logs_collection_interval: 1h }',
      before: (all) => {
        all.bmc(0).stream = stream;
      },
    });
    const { reason, failures } = await downgrade('bmc-0');
    assert.deepEqual([reason, failures], ['stream_flapping', 5]);
    const at = streamRequests(fleet.bmc(0)).map((line) => line.at);
    const gaps = at.slice(1).map((time, index) => time - at[index]!);
    assert.equal(gaps.length, 4);
    // Two milliseconds: the BMC notes a request when it has it, the agent waits from when it sent it.
    for (const [index, least] of [20, 40, 80, 80].entries())
      assert.ok(gaps[index]! >= least - 2, `attempt ${index + 2} came after ${gaps[index]} ms`);
  });

test('streams of ten seconds, with ten seconds between, for ever: flapping at the fifth', () => {
  const machine = machineOf();
  const ends = Array.from({ length: 5 }, (_, n) => {
    machine.opened(n * 20 * SECOND);
    return machine.ended(n * 20 * SECOND + 10 * SECOND)?.reason;
  });
  assert.deepEqual(ends, [undefined, undefined, undefined, undefined, 'stream_flapping']);
});

test('streams that live long enough, but never long, flap after ten ends; what came between them is not lost', async (t) => {
  const { fleet, downgrade, allSettled, verdict } = await scene(t, {
    profiles: ['idrac'],
    receiver: `
initial_history: all
periodic: { logs_collection_interval: 100ms }
sse: { initial_backoff: 10ms, max_backoff: 20ms, min_stream_lifetime: 20ms, reconcile_interval: 1h }
auto: { trial_lifetime: 20ms, connect_failure_window: 30s }`,
    before: (all) => {
      all.bmc(0).stream = { kind: 'live', lifetimeMs: 60 };
    },
  });
  const bmc = fleet.bmc(0);
  for (let round = 1; round <= 10; round++) {
    await fleet.waitFor(() => bmc.openStreams === 1);
    bmc.append();
    await fleet.waitFor(() => bmc.openStreams === 0);
    bmc.append();
  }
  const { reason, failures } = await downgrade('bmc-0');
  assert.deepEqual([reason, failures], ['stream_flapping', 10]);
  await allSettled();
  const { published, received, doubled } = verdict();
  assert.deepEqual([published, received, doubled], [20, 20, []]);
});

for (const [what, break_, errorType] of [
  ['accepts connections and says nothing, not even TLS', (bmc) => (bmc.hangConnections = true), 'timeout_connect'],
  ['takes the request and says nothing', (bmc) => (bmc.stream = { kind: 'hang' }), 'timeout_headers'],
  [
    'sends its headers a byte at a time',
    (bmc) => (bmc.stream = { kind: 'drip_headers', everyMs: 10 }),
    'timeout_headers',
  ],
] as readonly [string, (bmc: SimulatedBmc) => unknown, string][])
  test(`a BMC that ${what} is given up after one window, though its budget is never spent`, async (t) => {
    const { agent, downgrade } = await scene(t, {
      tls: true,
      receiver: `
tls: { insecure_skip_verify: true }
periodic: { logs_collection_interval: 1h }
sse: { connect_timeout: 150ms, header_timeout: 150ms, initial_backoff: 20ms, max_backoff: 20ms, min_stream_lifetime: 10ms }
auto: { trial_lifetime: 10ms, connect_failure_window: 400ms, connect_failure_threshold: 5 }`,
      before: (all) => void break_(all.bmc(0)),
    });
    const { reason, failures } = await downgrade('bmc-0');
    assert.equal(reason, 'connect_failure_budget');
    assert.ok(Number(failures) >= 2 && Number(failures) < 5, `${failures} failures`);
    assert.equal(await agent.metric('outband.bmc.stream_connects', { 'error.type': errorType }), failures);
  });

test('a log that comes a byte a second costs one request timeout, and is told as such', async (t) => {
  const { fleet, agent, allDelivered } = await scene(t, {
    receiver: 'initial_history: all\nrequest_timeout: 150ms\nsse: { reconcile_interval: 300ms }',
    before: (all) => {
      all.bmc(0).append();
      all.bmc(0).faults.push({ kind: 'drip', bytesPerSecond: 1, path: `${all.bmc(0).log().path}/Entries` });
    },
  });
  const line = await agent.line(({ msg }) => msg === 'the logs cannot be read');
  assert.equal(line['error.code'], 'deadline_exceeded');
  assert.match(JSON.stringify(line), /took longer than 0.15s/);
  fleet.bmc(0).faults.length = 0;
  await allDelivered();
});

test('a busy BMC is left alone as long as it asks for, but never longer than five minutes', async (t) => {
  const factor = 500;
  const clock = fastClock(factor);
  const until = Number(clock.now() / 1_000_000n) + 200 * SECOND;
  const asked = ['120', new Date(until).toUTCString(), '36000'];
  const { fleet, agent } = await fleetScene(t, {
    count: 3,
    clock,
    receiver: `
request_timeout: 1h
body_idle_timeout: 1h
sse: { connect_timeout: 1h, header_timeout: 1h, initial_backoff: 1s, max_backoff: 1s }
periodic: { logs_collection_interval: 100h }`,
    before: (bmcs) => {
      for (const [index, bmc] of bmcs.entries())
        bmc.faults.push({
          ...{ kind: 'status', status: index === 0 ? 429 : 503, path: SSE_PATH, count: 1 },
          headers: { 'retry-after': asked[index]! },
        });
    },
  });
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
  const waits = fleet.bmcs.map((bmc) => {
    const [first, second] = streamRequests(bmc);
    return (second!.at - first!.at) * factor;
  });
  // The BMC notes a request a little after the agent has sent it: a real millisecond is half a second here.
  const slack = 2 * factor;
  assert.ok(waits[0]! >= 120 * SECOND - slack, `${waits[0]} ms`);
  assert.ok(Number(clock.now() / 1_000_000n) >= Math.floor(until / 1_000) * 1_000);
  assert.ok(waits[2]! >= 300 * SECOND - slack && waits[2]! < 36_000 * SECOND, `${waits[2]} ms`);
  const failures = (type: string) => agent.metric('outband.bmc.stream_connects', { 'error.type': type });
  assert.deepEqual([await failures('http_4xx'), await failures('http_5xx')], [1, 2]);
});

test('a busy BMC that says nothing, or zero, is left alone for twenty seconds', async (t) => {
  const factor = 100;
  const { fleet } = await fleetScene(t, {
    count: 2,
    clock: fastClock(factor),
    receiver: `
request_timeout: 1h
body_idle_timeout: 1h
sse: { connect_timeout: 1h, header_timeout: 1h, initial_backoff: 1s, max_backoff: 1s }
periodic: { logs_collection_interval: 100h }`,
    before: ([silent, zero]) => {
      silent!.faults.push({ kind: 'status', status: 503, path: SSE_PATH, count: 1 });
      zero!.faults.push({ kind: 'status', status: 429, path: SSE_PATH, count: 1, headers: { 'retry-after': '0' } });
    },
  });
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
  for (const bmc of fleet.bmcs) {
    const [first, second] = streamRequests(bmc);
    assert.ok(second!.at - first!.at >= (20 * SECOND) / factor - 2);
  }
});

test('a BMC that is busy at its root, before its stream is even known, is left alone all the same', async (t) => {
  const factor = 500;
  const { fleet } = await fleetScene(t, {
    count: 1,
    modes: ['sse'],
    clock: fastClock(factor),
    receiver: `
request_timeout: 1h
body_idle_timeout: 1h
sse: { connect_timeout: 1h, header_timeout: 1h, initial_backoff: 1s, max_backoff: 1s }`,
    before: ([bmc]) =>
      void bmc!.faults.push({
        kind: 'status',
        status: 503,
        exact: EVENT_SERVICE,
        count: 1,
        headers: { 'retry-after': '250' },
      }),
  });
  await fleet.waitFor(() => fleet.bmc(0).openStreams === 1);
  const [first, second] = fleet.bmc(0).journal.filter(({ path }) => path === EVENT_SERVICE);
  assert.ok((second!.at - first!.at) * factor >= 250 * SECOND - 2 * factor);
});

for (const [text, wait] of [
  ['retry: 0', 1 * SECOND],
  ['retry: 99999999', MINUTE],
  ['retry: 45000', 45 * SECOND],
  ['retry: x', 100],
  ['retry: -5', 100],
  ['retry: 1.5', 100],
  ['retry:', 100],
] as const)
  test(`"${text}" in a stream makes the next wait ${wait} ms`, () => {
    const { sse, auto } = bmcLogsConfig.parse({
      endpoints: [{ name: 'r1', address: 'https://10.0.0.1' }],
      sse: { initial_backoff: '100ms' },
    });
    const machine = new ModeMachine({ mode: 'auto', sse, auto });
    const ignore = () => {};
    const reader = new SseReader({ onMessage: ignore, onComment: ignore, onRetry: (ms) => machine.serverRetry(ms) });
    machine.opened(0);
    reader.feed(Buffer.from(`${text}\n\n`));
    machine.ended(10);
    assert.equal(machine.waitBeforeAttempt(0), wait);
  });

test('the wait that a stream asks for is waited, between one second and one minute; nonsense is not', async (t) => {
  const bytes = (text: string) => Buffer.from(`${text}\n\n`);
  const { fleet, agent, downgrade } = await scene(t, {
    count: 3,
    receiver: 'sse: { initial_backoff: 10ms, max_backoff: 20ms }\nperiodic: { logs_collection_interval: 1h }',
    before: (all) => {
      for (const [index, text] of ['retry: 0', 'retry: 99999999', 'retry: x'].entries())
        all.bmc(index).stream = { kind: 'script', bytes: bytes(text), end: 'eof' };
    },
  });
  await downgrade('bmc-2');
  assert.deepEqual(
    fleet.bmcs.map((bmc) => bmc.streamRequests),
    [1, 1, 5],
  );
  await fleet.waitFor(() => fleet.bmc(0).streamRequests === 2);
  const [first, second] = streamRequests(fleet.bmc(0));
  assert.ok(second!.at - first!.at >= SECOND - 2);
  assert.equal(fleet.bmc(1).streamRequests, 1);
  assert.equal(countLines(agent, DOWNGRADED), 1);
});

/** Trials soon, and a stream that must live a while to be believed. */
const TRIALS = `
initial_history: all
periodic: { logs_collection_interval: 50ms, state_refresh_interval: 50ms }
sse: { initial_backoff: 10ms, max_backoff: 20ms, min_stream_lifetime: 50ms, reconcile_interval: 200ms }`;

test('the event stream comes back: polls go on beside the trial until it is believed, and nothing is lost or doubled', async (t) => {
  const { fleet, sink, agent } = await fleetScene(t, {
    count: 1,
    profiles: ['openbmc'],
    receiver: `${TRIALS}\nauto: { sse_retry_interval: 100ms, sse_retry_max_interval: 100ms, trial_lifetime: 700ms }`,
    before: ([bmc]) => {
      bmc!.append();
      bmc!.stream = { kind: 'status', status: 404 };
    },
  });
  const bmc = fleet.bmc(0);
  await agent.itemWhen('bmc-0', ({ mode }) => mode === 'polling');
  bmc.append();
  bmc.stream = { kind: 'live' };
  await fleet.waitFor(() => bmc.openStreams === 1);
  const before = bmc.journal.length;
  bmc.append();
  await agent.itemWhen('bmc-0', ({ mode, lastPoll }) => mode === 'trial' && lastPoll?.outcome === 'success');
  await fleet.waitFor(() => bmc.journal.slice(before).some(({ path }) => path === `${bmc.log().path}/Entries`));
  const restored = await agent.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
  bmc.append();
  bmc.stream = { kind: 'status', status: 404 };
  bmc.cutStreams();
  bmc.append();
  await agent.itemWhen('bmc-0', ({ mode }) => mode === 'polling');
  bmc.append();
  const verdict = () =>
    fleet.truth.compare(sink.records.map(({ body, resource }) => ({ body, endpoint: resource['redfish.endpoint'] })));
  await sink.waitFor(() => verdict().lost.length === 0);
  const { polls } = (await agent.item('bmc-0')).counters;
  await agent.itemWhen('bmc-0', ({ counters }) => counters.polls >= polls + 2);
  assert.deepEqual([verdict().published, verdict().received, verdict().doubled], [6, 6, []]);
  assert.deepEqual(
    restored.transitions.filter(({ from, to }: { from: string; to: string }) => from !== 'polling' || to !== 'trial'),
    restored.transitions.filter(({ to }: { to: string }) => to !== 'trial'),
  );
  assert.deepEqual(
    [restored.transitions[0].to, restored.transitions.at(-2).to, restored.transitions.at(-1).to],
    ['polling', 'trial', 'streaming'],
  );
  assert.equal(restored.reason, null);
  assert.equal(countLines(agent, RESTORED), 1);
  assert.equal(await agent.metric('outband.bmc.trials', { outcome: 'confirmed', trigger: 'interval' }), 1);
});

test('a trial that opens and dies leaves polling as it is, says so to nobody but a debugger, and the next is twice as far', async (t) => {
  const { fleet, agent } = await fleetScene(t, {
    count: 1,
    random: () => 0.5,
    receiver: `${TRIALS}\nauto: { sse_retry_interval: 200ms, sse_retry_max_interval: 1h, trial_lifetime: 10s }`,
    before: ([bmc]) => {
      bmc!.stream = { kind: 'status', status: 404 };
    },
  });
  const bmc = fleet.bmc(0);
  await agent.itemWhen('bmc-0', ({ mode }) => mode === 'polling');
  bmc.stream = { kind: 'live', lifetimeMs: 100 };
  await agent.itemWhen('bmc-0', ({ failedTrials }) => failedTrials >= 2);
  const [, first, second, third] = streamRequests(bmc).map(({ at }) => at);
  assert.ok(second! - first! >= 400 + 100 - 5, `${second! - first!} ms`);
  assert.equal(third, undefined);
  const trials = agent.lines.filter(({ msg }) => msg === 'trial stream failed; polling goes on');
  assert.deepEqual(
    trials.map(({ level }) => level),
    ['debug', 'debug'],
  );
  assert.equal(countLines(agent, DOWNGRADED), 1);
  assert.equal(countLines(agent, 'the logs cannot be read'), 0);
  const { nextTrial } = await agent.item('bmc-0');
  const { polls } = (await agent.item('bmc-0')).counters;
  await agent.itemWhen('bmc-0', ({ counters }) => counters.polls > polls);
  assert.ok(Date.parse(nextTrial) > Date.now() - 10_000);
});

test('another firmware is a reason to try the stream again, long before the next trial would be', async (t) => {
  const { fleet, agent } = await fleetScene(t, {
    count: 1,
    receiver: `${TRIALS}\nauto: { sse_retry_interval: 1h, trial_lifetime: 50ms }`,
    before: ([bmc]) => {
      bmc!.eventService = 'none';
    },
  });
  const bmc = fleet.bmc(0);
  await agent.itemWhen('bmc-0', ({ mode, lastPoll }) => mode === 'polling' && lastPoll?.outcome === 'success');
  bmc.eventService = 'enabled';
  await bmc.reboot({ firmware: '9.9.9' });
  const { firmware } = await agent.itemWhen('bmc-0', ({ mode }) => mode === 'streaming');
  assert.equal(firmware, '9.9.9');
  assert.equal(await agent.metric('outband.bmc.trials', { outcome: 'confirmed', trigger: 'firmware' }), 1);
});

const FLEET = `
initial_history: all
periodic: { logs_collection_interval: 600ms }
sse: { initial_backoff: 4ms, max_backoff: 25ms, min_stream_lifetime: 100ms, reconcile_interval: 1h }
auto: { trial_lifetime: 100ms, connect_failure_window: 800ms, sse_retry_interval: 1h }`;

test('sixty of a hundred fail at once: one warning, nobody is downgraded, all are polled, and all stream again after', async (t) => {
  const { fleet, sink, agent } = await fleetScene(t, { count: 100, receiver: FLEET });
  const failing = fleet.bmcs.slice(0, 60);
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
  for (const bmc of failing) bmc.faults.push({ kind: 'reset', path: SSE_PATH });
  for (const bmc of failing) bmc.cutStreams();
  for (;;) {
    const { body } = await agent.ask('/api/monitoring/bmc?limit=1');
    if (body.byMode.held === 60) {
      assert.ok(body.incident.share > 0.5);
      assert.equal(body.incident.held, 60);
      break;
    }
  }
  for (const bmc of failing) bmc.append();
  const verdict = () =>
    fleet.truth.compare(sink.records.map(({ body, resource }) => ({ body, endpoint: resource['redfish.endpoint'] })));
  await sink.waitFor(() => verdict().lost.length === 0);
  assert.ok(
    failing.every(({ openStreams }) => openStreams === 0),
    'it came by polls',
  );
  for (const bmc of failing) bmc.faults.length = 0;
  await agent.line(({ msg }) => msg === 'fleet incident is over');
  for (let streaming = 0; streaming < 100; )
    streaming = (await agent.ask('/api/monitoring/bmc?limit=1')).body.byMode.streaming;
  const incidents = agent.lines.filter(({ msg }) => msg === 'fleet incident: downgrades held');
  assert.deepEqual(
    incidents.map(({ level }) => level),
    ['warn'],
  );
  assert.equal(countLines(agent, 'fleet incident is over'), 1);
  assert.equal(countLines(agent, DOWNGRADED), 0);
  for (const bmc of fleet.bmcs.slice(60)) assert.equal(bmc.streamRequests, 1);
  assert.deepEqual(verdict().doubled, []);
});

test('five of a hundred fail: those are downgraded, and no other stream is touched', async (t) => {
  const { fleet, agent } = await fleetScene(t, { count: 100, receiver: FLEET });
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
  const failing = fleet.bmcs.slice(20, 25);
  for (const bmc of failing) bmc.faults.push({ kind: 'reset', path: SSE_PATH });
  for (const bmc of failing) bmc.cutStreams();
  await agent.line(() => countLines(agent, DOWNGRADED) === 5);
  const names = agent.lines.filter(({ msg }) => msg === DOWNGRADED).map(({ endpoint }) => endpoint);
  assert.deepEqual(
    names.sort(),
    failing.map(({ name }) => name),
  );
  const { byMode, incident } = (await agent.ask('/api/monitoring/bmc?limit=1')).body;
  assert.deepEqual([byMode.streaming, byMode.polling, incident], [95, 5, null]);
  for (const bmc of fleet.bmcs)
    if (!failing.includes(bmc)) assert.deepEqual([bmc.streamRequests, bmc.openStreams], [1, 1]);
  assert.equal(countLines(agent, 'fleet incident: downgrades held'), 0);
});
