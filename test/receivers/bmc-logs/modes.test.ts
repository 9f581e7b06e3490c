import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SSE_PATH } from '../../simulators/bmc/machine.ts';
import { countLines, scene } from '../../support/scene.ts';

const DOWNGRADED = 'log stream downgraded to polling';
const RESTORED = 'log stream restored';

for (const eventService of ['none', 'disabled', 'null_uri'] as const)
  test(`an EventService that is "${eventService}" means polling, and no stream is asked for`, async (t) => {
    const { fleet, agent, downgrade, allDelivered, verdict } = await scene(t, {
      before: (all) => {
        all.bmc(0).eventService = eventService;
        all.bmc(0).append();
      },
    });
    const line = await downgrade('bmc-0');
    assert.deepEqual([line.level, line.reason, line.failures], ['warn', 'sse_not_available', 1]);
    fleet.bmc(0).append();
    await allDelivered();
    assert.equal(fleet.bmc(0).streamRequests, 0);
    assert.equal(countLines(agent, DOWNGRADED), 1);
    assert.deepEqual(verdict().doubled, []);
  });

for (const [what, stream] of [
  ['404', { kind: 'status', status: 404 }],
  ['a login page', { kind: 'status', status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' }],
  ['JSON', { kind: 'status', status: 200, headers: { 'content-type': 'application/json' }, body: '{}' }],
] as const)
  test(`a stream URI that answers ${what} means polling`, async (t) => {
    const { fleet, downgrade, allDelivered } = await scene(t, {
      before: (all) => {
        all.bmc(0).stream = stream;
      },
    });
    assert.equal((await downgrade('bmc-0')).reason, 'sse_not_available');
    fleet.bmc(0).append();
    await allDelivered();
  });

test('a BMC that keeps failing is polled, the others keep their streams', async (t) => {
  const { fleet, agent, downgrade, allDelivered, verdict } = await scene(t, {
    count: 3,
    before: (all) => {
      all.bmc(1).stream = { kind: 'status', status: 500 };
    },
  });
  const line = await downgrade('bmc-1');
  assert.deepEqual([line.reason, line.failures], ['connect_failure_budget', 5]);
  assert.match(String(line.last_error), /answers 500/);
  await fleet.waitFor(() => fleet.bmc(0).openStreams === 1 && fleet.bmc(2).openStreams === 1);
  for (const bmc of fleet.bmcs) bmc.append();
  await allDelivered();
  assert.deepEqual(verdict().doubled, []);
  assert.equal(fleet.bmc(0).streamRequests + fleet.bmc(2).streamRequests, 2);
  assert.equal(countLines(agent, DOWNGRADED), 1);
});

test('a stream that ends at once, for ever, is flapping', async (t) => {
  const { fleet, downgrade } = await scene(t, {
    before: (all) => {
      all.bmc(0).stream = { kind: 'eof' };
    },
  });
  assert.equal((await downgrade('bmc-0')).reason, 'stream_flapping');
  assert.equal(fleet.bmc(0).streamRequests, 5);
});

test('a BMC that takes the request and never answers is left after the header timeout', async (t) => {
  const { downgrade } = await scene(t, {
    receiver:
      'sse: { header_timeout: 50ms, initial_backoff: 10ms, max_backoff: 20ms }\nperiodic: { logs_collection_interval: 200ms }',
    before: (all) => {
      all.bmc(0).stream = { kind: 'hang' };
    },
  });
  const line = await downgrade('bmc-0');
  assert.match(String(line.last_error), /took longer than 0.05s/);
});

test('a silent stream is closed after the idle timeout and opened again, without a word of warning', async (t) => {
  const { fleet, agent } = await scene(t, {
    receiver:
      'sse: { idle_timeout: 300ms, min_stream_lifetime: 100ms, initial_backoff: 10ms, max_backoff: 20ms }\nauto: { trial_lifetime: 100ms }',
    before: (all) => {
      all.bmc(0).stream = { kind: 'silent' };
    },
  });
  await fleet.waitFor(() => fleet.bmc(0).streamRequests >= 8);
  assert.equal(countLines(agent, DOWNGRADED), 0);
  const ends = agent.lines.filter(({ msg }) => msg === 'log stream ended').map(({ cause }) => cause);
  assert.deepEqual(new Set(ends), new Set(['idle']));
});

test('polling starts at once when a stream is given up, and sends what the stream did not', async (t) => {
  const { fleet, sink, agent, downgrade, allDelivered, verdict } = await scene(t, {
    receiver: `
initial_history: all
periodic: { logs_collection_interval: 1h }
sse: { initial_backoff: 10ms, max_backoff: 20ms, min_stream_lifetime: 100ms, reconcile_interval: 1h }
auto: { trial_lifetime: 100ms }`,
    before: (all) => void all.bmc(0).append(),
  });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  await allDelivered();
  await agent.line(({ msg }) => msg === 'logs read');
  for (let n = 0; n < 5; n++) bmc.append();
  await allDelivered();
  bmc.mute = true;
  for (let n = 0; n < 5; n++) bmc.append();
  bmc.stream = { kind: 'status', status: 404 };
  bmc.cutStreams();
  await downgrade('bmc-0');
  await allDelivered();
  const { published, received, doubled } = verdict();
  assert.deepEqual([published, received, doubled], [11, 11, []]);
  assert.ok(sink.records.some(({ attributes }) => attributes['redfish.transport'] === 'sse'));
});

test('the stream comes back: a trial next to polling, confirmed, restored; nothing lost or doubled over many switches', async (t) => {
  const { fleet, agent, allSettled, verdict } = await scene(t, {
    profiles: ['idrac', 'openbmc', 'megarac'],
    count: 3,
    receiver: `
initial_history: all
periodic: { logs_collection_interval: 100ms }
sse: { initial_backoff: 10ms, max_backoff: 20ms, min_stream_lifetime: 30ms, reconcile_interval: 200ms }
auto: { sse_retry_interval: 50ms, sse_retry_max_interval: 50ms, trial_lifetime: 50ms }`,
  });
  for (let round = 1; round <= 5; round++) {
    for (const bmc of fleet.bmcs) {
      bmc.append();
      bmc.stream = { kind: 'status', status: 404 };
      bmc.cutStreams();
      bmc.append();
    }
    await agent.line(() => countLines(agent, DOWNGRADED) >= 3 * round);
    for (const bmc of fleet.bmcs) {
      bmc.append();
      bmc.stream = { kind: 'live' };
      bmc.append();
    }
    await agent.line(() => countLines(agent, RESTORED) >= 3 * round);
    for (const bmc of fleet.bmcs) for (let n = 0; n < 3; n++) bmc.append({ log: n % bmc.machine.logs.length });
  }
  await allSettled();
  const { published, received, doubled, strange } = verdict();
  assert.deepEqual([published, received, doubled, strange], [105, 105, [], 0]);
  assert.equal(countLines(agent, DOWNGRADED), 15, 'one WARN per transition');
});

test('a reconnect tells the BMC where it was', async (t) => {
  const { fleet, allDelivered } = await scene(t, { profiles: ['openbmc'] });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  bmc.append();
  await allDelivered();
  bmc.heartbeat();
  bmc.cutStreams();
  await fleet.waitFor(() => bmc.streamRequests === 2);
  const asked = bmc.journal.filter(({ path }) => path === SSE_PATH).map(({ lastEventId }) => lastEventId);
  assert.deepEqual(asked, [undefined, '1']);
});

test('mode periodic never asks for a stream, mode sse never reads a log before a stream was open', async (t) => {
  const { fleet, agent, allDelivered } = await scene(t, {
    count: 2,
    modes: ['periodic', 'sse'],
    receiver:
      'initial_history: all\nperiodic: { logs_collection_interval: 100ms }\nsse: { initial_backoff: 20ms, max_backoff: 50ms }',
    before: (all) => {
      all.bmc(1).stream = { kind: 'status', status: 500 };
      all.bmc(0).append();
    },
  });
  await fleet.waitFor(() => fleet.bmc(1).streamRequests >= 7);
  assert.equal(countLines(agent, DOWNGRADED), 0);
  assert.equal(fleet.bmc(1).journal.filter(({ path }) => path.endsWith('/Entries')).length, 0);
  assert.equal(fleet.bmc(0).streamRequests, 0);
  fleet.bmc(1).append();
  fleet.bmc(1).stream = { kind: 'live' };
  await allDelivered();
});

test('a stream URI that redirects within the BMC is followed, one that leaves it is not', async (t) => {
  const { fleet } = await scene(t, {
    count: 2,
    receiver: 'sse: { initial_backoff: 10ms, max_backoff: 20ms }\nperiodic: { logs_collection_interval: 200ms }',
    before: (all) => {
      all.bmc(0).faults.push({ kind: 'redirect', location: `${SSE_PATH}?moved=1`, path: SSE_PATH, count: 1 });
      all
        .bmc(1)
        .faults.push({ kind: 'redirect', location: `${all.bmc(0).address}${SSE_PATH}`, path: SSE_PATH, count: 1 });
    },
  });
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
  assert.equal(fleet.bmc(0).streamRequests, 2, 'the redirect and its target');
});

test('a stream that ended while its records waited for the sink has not survived', async (t) => {
  const { fleet, sink, agent, downgrade } = await scene(t, {
    profiles: ['openbmc'],
    receiver: `
periodic: { logs_collection_interval: 100ms }
sse: { initial_backoff: 10ms, max_backoff: 20ms, min_stream_lifetime: 100ms }
auto: { trial_lifetime: 200ms, sse_retry_interval: 50ms, sse_retry_max_interval: 50ms }`,
    before: (all) => {
      all.bmc(0).stream = { kind: 'status', status: 404 };
    },
  });
  const bmc = fleet.bmc(0);
  await downgrade('bmc-0');
  bmc.stream = { kind: 'live' };
  await fleet.waitFor(() => bmc.openStreams === 1);
  sink.fault = { status: 503 };
  bmc.append();
  await sink.waitFor(() => sink.requests > 0);
  bmc.stream = { kind: 'status', status: 404 };
  bmc.cutStreams();
  // Retries are at least 25 ms apart: the trial would be over by now, had its stream lived.
  const cut = sink.requests;
  await sink.waitFor(() => sink.requests > cut + 15);
  sink.fault = undefined;
  assert.equal(countLines(agent, RESTORED), 0);
});
