import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Client } from 'undici';
import { createConnector } from '../../../receivers/bmc-logs/client/connector.ts';
import { TlsContexts } from '../../../receivers/bmc-logs/client/tls.ts';
import { bmcLogsConfig } from '../../../receivers/bmc-logs/config.ts';
import { resolveEndpoint } from '../../../receivers/bmc-logs/endpoint-settings.ts';
import { ModeMachine } from '../../../receivers/bmc-logs/mode-machine.ts';
import { type EventStream, openStream } from '../../../receivers/bmc-logs/stream/event-stream.ts';
import { SseReader } from '../../../receivers/bmc-logs/stream/sse-reader.ts';
import { createOwnLogs } from '../../../src/platform/own-logs.ts';
import { systemClock } from '../../../src/platform/system-clock.ts';
import { Semaphore } from '../../../src/resilience/semaphore.ts';
import { FakeClock, settle } from '../../../src/testing/fake-clock.ts';
import type { SimulatedBmc } from '../../simulators/bmc/bmc.ts';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { SSE_PATH } from '../../simulators/bmc/machine.ts';
import { bmcReaders, pollOf, serviceAt } from '../../support/bmc-readers.ts';
import { countLines, scene } from '../../support/scene.ts';

const FAST = `
initial_history: all
periodic: { logs_collection_interval: 100ms }
sse: { initial_backoff: 5ms, max_backoff: 10ms, min_stream_lifetime: 30ms, reconcile_interval: 150ms }
auto: { trial_lifetime: 30ms }`;
/** Nothing is read but what the stream asks for. */
const STREAM_ONLY = `
initial_history: all
periodic: { logs_collection_interval: 1h }
sse: { initial_backoff: 5ms, max_backoff: 10ms, min_stream_lifetime: 20ms, reconcile_interval: 1h }
auto: { trial_lifetime: 20ms }`;

const polled = (extra = '') =>
  `mode: periodic\ninitial_history: all\nperiodic: { logs_collection_interval: 20ms }\n${extra}`;
const record = (text: string, more: object = {}) => ({
  ...{ MessageId: 'Sim.1.0.Told', Message: text, EventId: text, EventTimestamp: '2026-11-25T10:00:00Z' },
  ...more,
});
const payload = (...events: unknown[]) => JSON.stringify({ Events: events });

test('bad JSON between good events costs one raw record; an event that the end cuts off is told once, by its log', async (t) => {
  const { fleet, sink, allSettled, verdict } = await scene(t, { profiles: ['openbmc'], receiver: FAST });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  bmc.append();
  bmc.write('data: {"Events": [{"Message": }]}\n\n');
  bmc.append();
  await sink.waitFor(() => sink.records.length === 3);
  assert.deepEqual(
    sink.records.map(({ attributes }) => attributes['redfish.parse_error'] !== undefined),
    [false, true, false],
  );
  assert.deepEqual([bmc.openStreams, bmc.streamRequests], [1, 1]);
  bmc.mute = true;
  const cut = bmc.append();
  const entry = { '@odata.id': bmc.log(0).uriOf(cut) };
  bmc.write(`data: ${payload(record(cut.message, { LogEntry: entry }))}\n`);
  bmc.cutStreams();
  await allSettled();
  assert.deepEqual(verdict().doubled, []);
  assert.equal(sink.records.length, 4);
  assert.equal(sink.records.at(-1)!.attributes['redfish.transport'], 'poll');
});

const TOLD = `data: ${payload(record('温度 1'))}\nid: 7\n\ndata: ${payload(record('two'))}\n\n`;
const WRITINGS: readonly (readonly [string, string])[] = [
  ['CR', TOLD.replaceAll('\n', '\r')],
  ['CRLF', TOLD.replaceAll('\n', '\r\n')],
  ['a byte order mark', `\ufeff${TOLD}`],
  ['no blank after the colon', TOLD.replaceAll(': {', ':{').replace('id: ', 'id:')],
  ['comments between', `: one\n\n${TOLD.replace('\n\n', '\n\n: two\n')}`],
];

for (const [what, text] of WRITINGS)
  test(`a stream written with ${what}, byte by byte, gives the records of plain LF`, async (t) => {
    const bytes = Buffer.from(text);
    const { sink } = await scene(t, {
      count: 2,
      profiles: ['openbmc'],
      receiver: STREAM_ONLY,
      before: (all) => {
        all.bmc(0).stream = { kind: 'script', bytes: Buffer.from(TOLD), end: 'silence' };
        all.bmc(1).stream = { kind: 'script', bytes, splitAt: [...bytes.keys()].slice(1), end: 'silence' };
      },
    });
    await sink.waitFor(() => sink.records.length === 4);
    const of = (name: string) =>
      sink.records
        .filter(({ resource }) => resource['redfish.endpoint'] === name)
        .map(({ body, severityNumber, timeUnixNano, attributes: { 'log.record.uid': _, ...rest } }) => ({
          ...{ body, severityNumber, timeUnixNano },
          ...rest,
        }));
    assert.deepEqual(of('bmc-1'), of('bmc-0'));
    assert.equal(of('bmc-1')[0]!.body, '温度 1');
  });

const MIB = 1024 * 1024;
/** Pieces that never come to an end of their event. */
const ENDLESS: readonly (readonly [string, string, string])[] = [
  ['one line of data', 'data: ', 'x'.repeat(65_536)],
  ['many lines of data', '', `data: ${'x'.repeat(1_000)}\n`.repeat(64)],
  ['a comment', ': ', 'x'.repeat(65_536)],
  ['an id', 'id: ', '7'.repeat(65_536)],
  ['the name of an event', 'event: ', 'x'.repeat(65_536)],
];

for (const [what, start, piece] of ENDLESS)
  test(`${what} of 100 MiB ends the stream at 1 MiB, and the log is read for what it hid`, async (t) => {
    const { fleet, sink, agent, allDelivered } = await scene(t, { profiles: ['openbmc'], receiver: FAST });
    const bmc = fleet.bmc(0);
    await fleet.waitFor(() => bmc.openStreams === 1);
    bmc.mute = true;
    bmc.append();
    bmc.write(start);
    let written = 0;
    while (written < 100 * MIB && countLines(agent, 'log stream ended') === 0) {
      bmc.write(piece);
      written += piece.length;
      await settle();
    }
    const ended = await agent.line(({ msg }) => msg === 'log stream ended');
    assert.equal(ended.cause, 'size');
    assert.ok(written < 20 * MIB, `ended after ${written} characters`);
    assert.equal(await agent.metric('outband.bmc.limits_hit', { limit: 'sse_event' }), 1);
    await allDelivered();
    assert.equal(sink.records.length, 1);
  });

for (const [text, least, most] of [
  ['0', 1_000, 2_000],
  ['99999999', 60_000, 120_000],
  ['x', 10, 20],
  ['-5', 10, 20],
  ['1e9', 10, 20],
  ['3000', 3_000, 6_000],
] as const)
  test(`"retry: ${text}" makes the next wait ${least} ms to ${most} ms`, () => {
    const { sse, auto } = bmcLogsConfig.parse({
      endpoints: [{ name: 'r1', address: '10.0.0.1' }],
      sse: { initial_backoff: '10ms', max_backoff: '20ms' },
    });
    const machine = new ModeMachine({ mode: 'auto', sse, auto });
    const reader = new SseReader({
      onMessage: () => {},
      onComment: () => {},
      onRetry: (ms) => machine.serverRetry(ms),
    });
    machine.attempted(0);
    machine.opened(0);
    reader.feed(Buffer.from(`retry: ${text}\n\n`));
    machine.ended(100);
    assert.equal(machine.waitBeforeAttempt(0), least);
    assert.equal(machine.waitBeforeAttempt(1), most);
  });

/** One open stream of a real BMC, whose time is the test's. */
async function streamOnFakeClock(
  t: TestContext,
): Promise<{ bmc: SimulatedBmc; clock: FakeClock; stream: EventStream }> {
  const fleet = await startBmcFleet({ count: 1 });
  t.after(() => fleet.close());
  const clock = new FakeClock();
  const bmc = fleet.bmc(0);
  const config = bmcLogsConfig.parse({
    endpoints: [{ name: bmc.name, address: bmc.address, tls: { insecure: true } }],
  });
  const endpoint = resolveEndpoint(config.endpoints[0]!, config);
  const { signal } = new AbortController();
  const opened = await openStream({
    ...{ endpoint, clock, signal, proof: {}, lastEventId: undefined },
    client: new Client(bmc.address, {
      connect: createConnector({
        ...{ tls: await new TlsContexts().optionsFor({}), pins: [], connectTimeoutMs: 5_000 },
        ...{ handshakes: new Semaphore(1), clock, signal: () => signal },
      }),
    }),
    url: new URL(SSE_PATH, bmc.address),
    headerTimeoutMs: config.sse.header_timeout,
    idleTimeoutMs: config.sse.idle_timeout,
    onRetry: () => {},
    onBytes: () => {},
  });
  assert.ok('next' in opened);
  t.after(() => opened.close());
  return { bmc, clock, stream: opened };
}

/** Writes a comment and waits until it has been read. */
async function comment({ bmc, stream }: { readonly bmc: SimulatedBmc; readonly stream: EventStream }): Promise<void> {
  const before = stream.bytes;
  bmc.write(': alive\n\n');
  while (stream.bytes === before) await settle();
}

for (const [what, gapMs, limitMs] of [
  ['10 s', 10_000, 90_000],
  ['60 s', 60_000, 180_000],
  ['15 min', 900_000, 1_800_000],
] as const)
  test(`comments alone every ${what} keep a stream for two hours; when they stop it is closed ${limitMs / 1_000} s later`, async (t) => {
    const all = await streamOnFakeClock(t);
    const { clock, stream } = all;
    for (let passed = 0; passed < 7_200_000; passed += gapMs) {
      await comment(all);
      await clock.advance(gapMs);
      assert.equal(stream.ended.aborted, false);
    }
    await comment(all);
    await clock.advance(limitMs - 1);
    assert.equal(stream.ended.aborted, false);
    await clock.advance(1);
    assert.equal(stream.ended.aborted, true);
    assert.equal(stream.end, 'idle');
  });

test('total silence closes a stream after 30 min and not before', async (t) => {
  const { clock, stream } = await streamOnFakeClock(t);
  await clock.advance(1_799_999);
  assert.equal(stream.ended.aborted, false);
  await clock.advance(1);
  assert.equal(stream.end, 'idle');
});

test('a BMC that sends comments only streams on: no reconnect, no downgrade', async (t) => {
  const { fleet, agent } = await scene(t, {
    receiver: FAST,
    before: (all) => {
      all.bmc(0).stream = { kind: 'live', keepAliveMs: 5 };
    },
  });
  const reads = () => countLines(agent, 'logs read');
  await agent.line(() => reads() >= 4);
  assert.deepEqual([fleet.bmc(0).openStreams, fleet.bmc(0).streamRequests], [1, 1]);
  assert.equal(countLines(agent, 'log stream downgraded to polling'), 0);
});

test('a stream that says nothing of what its logs hold is given up at the second reconcile, and polls bring all', async (t) => {
  const { fleet, agent, downgrade, allDelivered, verdict } = await scene(t, {
    profiles: ['idrac'],
    receiver: FAST,
    before: (all) => {
      all.bmc(0).mute = true;
      all.bmc(0).append();
    },
  });
  const bmc = fleet.bmc(0);
  await allDelivered();
  let isOver = false;
  const line = downgrade('bmc-0').finally(() => {
    isOver = true;
  });
  while (!isOver) {
    const reads = countLines(agent, 'logs read');
    bmc.append();
    await agent.line(() => isOver || countLines(agent, 'logs read') > reads);
  }
  assert.equal((await line).reason, 'silent_stream');
  bmc.append();
  await allDelivered();
  assert.deepEqual(verdict().doubled, []);
});

test('a stream that is silent because nothing happens is opened anew when it is idle, and nobody is warned', async (t) => {
  const { fleet, agent } = await scene(t, {
    receiver: FAST.replace('sse: {', 'sse: { idle_timeout: 60ms,'),
    before: (all) => {
      all.bmc(0).append();
      all.bmc(0).mute = true;
    },
  });
  await fleet.waitFor(() => fleet.bmc(0).streamRequests >= 7);
  const ends = agent.lines.filter(({ msg }) => msg === 'log stream ended').map(({ cause }) => cause);
  assert.deepEqual(new Set(ends), new Set(['idle']));
  assert.deepEqual(
    agent.lines.filter(({ level, component }) => level === 'warn' && component === 'bmc_logs'),
    [],
  );
  assert.equal(countLines(agent, 'log stream downgraded to polling'), 0);
});

test('a stream that tells one log and never the other stays; the other is polled beside it', async (t) => {
  const { fleet, agent, allDelivered, verdict } = await scene(t, {
    profiles: ['idrac'],
    receiver: FAST.replace('reconcile_interval: 150ms', 'reconcile_interval: 400ms'),
    before: (all) => {
      all.bmc(0).covers = new Set([0]);
      for (const log of [0, 1]) all.bmc(0).append({ log });
    },
  });
  const bmc = fleet.bmc(0);
  await allDelivered();
  for (let round = 0; round < 6; round++) {
    const reads = countLines(agent, 'logs read');
    for (const log of [0, 1]) bmc.append({ log });
    await agent.line(() => countLines(agent, 'logs read') > reads);
  }
  await allDelivered();
  const asked = (log: number) => bmc.journal.filter(({ path }) => path === `${bmc.log(log).path}/Entries`).length;
  const before = [asked(0), asked(1)] as const;
  await fleet.waitFor(() => asked(1) >= before[1] + 3);
  assert.ok(asked(0) - before[0] < asked(1) - before[1], 'only the log that the stream leaves out is polled');
  assert.deepEqual([bmc.openStreams, bmc.streamRequests], [1, 1]);
  assert.equal(countLines(agent, 'log stream downgraded to polling'), 0);
  assert.deepEqual(verdict().doubled, []);
});

test('a lost buffer is told with its mark, and the logs are read at once', async (t) => {
  const { fleet, agent, sink, allDelivered } = await scene(t, { profiles: ['openbmc'], receiver: STREAM_ONLY });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  await agent.line(({ msg }) => msg === 'logs read');
  bmc.mute = true;
  bmc.append();
  bmc.event({ MessageId: 'EventService.1.0.EventBufferExceeded', MemberId: '0', MessageSeverity: 'Critical' });
  await sink.waitFor(() => sink.records.length === 2);
  const lost = sink.records.filter(({ attributes }) => attributes['redfish.loss'] === true);
  assert.deepEqual(
    lost.map(({ attributes }) => attributes['redfish.message_id']),
    ['EventService.1.0.EventBufferExceeded'],
  );
  await allDelivered();
});

test('a heartbeat with id 0 is no record, and the id of before is what a reconnect names', async (t) => {
  const { fleet, sink, allDelivered } = await scene(t, { profiles: ['openbmc'], receiver: STREAM_ONLY });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  bmc.append();
  for (let n = 0; n < 5; n++) bmc.heartbeat();
  bmc.append();
  await allDelivered();
  bmc.heartbeat();
  bmc.cutStreams();
  await fleet.waitFor(() => bmc.streamRequests === 2);
  assert.equal(sink.records.length, 2);
  assert.deepEqual(
    bmc.journal.filter(({ path }) => path === SSE_PATH).map(({ lastEventId }) => lastEventId),
    [undefined, '2'],
  );
});

const SHAPES: readonly (readonly [string, unknown, readonly string[]])[] = [
  ['a bare EventRecord', record('bare'), ['bare']],
  ['a bare Message', { MessageId: 'Base.1.0.Said', Message: 'said' }, ['said']],
  ['Events that are null', { Events: null, Id: '1' }, []],
  ['Events that are one object', { Events: record('one') }, ['one']],
  ['Events that are an empty list', { Events: [] }, []],
  ['numbers for ids', { Events: [record('n', { EventId: 7, MemberId: 8, EventGroupId: 9 })] }, ['n']],
  ['an origin that is a text', { Events: [record('o', { OriginOfCondition: '/redfish/v1/Systems/1' })] }, ['o']],
  [
    'a link that leads away',
    { Events: [{ '@odata.id': 'http://127.0.0.1:9/redfish/v1/x' }] },
    ['http://127.0.0.1:9/redfish/v1/x'],
  ],
];

for (const [what, body, expected] of SHAPES)
  test(`a payload with ${what} is told as ${JSON.stringify(expected)}, and the next event too`, async (t) => {
    const { fleet, sink } = await scene(t, { profiles: ['openbmc'], receiver: STREAM_ONLY });
    const bmc = fleet.bmc(0);
    await fleet.waitFor(() => bmc.openStreams === 1);
    bmc.report(body);
    bmc.report({ Events: [record('after')] });
    await sink.waitFor(() => sink.records.some(({ body: text }) => text === 'after'));
    assert.deepEqual(
      sink.records.map(({ body: text }) => text),
      [...expected, 'after'],
    );
    assert.equal(bmc.openStreams, 1);
  });

test('a link that leads nowhere is told as such when its time is over, and the next event too', async () => {
  const { stream, received } = bmcReaders({});
  const data = (body: object) => ({ data: JSON.stringify(body), id: undefined });
  await stream.take([data({ Events: [{ '@odata.id': '/redfish/v1/no/such' }] }), data({ Events: [record('after')] })]);
  assert.deepEqual(
    received.map(({ body }) => body),
    ['/redfish/v1/no/such', 'after'],
  );
});

test('an event that is only a link to its entry is told with what stands there, once', async (t) => {
  const { fleet, sink, allSettled, verdict } = await scene(t, { profiles: ['openbmc'], receiver: FAST });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  bmc.mute = true;
  const entry = bmc.append();
  bmc.report({ Events: [{ '@odata.id': bmc.log(0).uriOf(entry) }] });
  await allSettled();
  assert.deepEqual([sink.records.length, verdict().altered], [1, []]);
});

for (const polls of [0, 1, 2, 12])
  test(`linked events of an outage that ${polls} reads saw are told once when the BMC replays them, in order`, async () => {
    const PATH = '/redfish/v1/Systems/1/LogServices/Log';
    const entries: object[] = [];
    const { logs, stream, received } = bmcReaders({
      resource: (path) => (path === `${PATH}/Entries` ? { Members: entries } : undefined),
    });
    const poll = () => logs.poll(pollOf([serviceAt(PATH)]));
    const happen = (id: number) => {
      const at = { Created: `2026-11-25T10:00:${String(id).padStart(2, '0')}Z` };
      entries.push({ '@odata.id': `${PATH}/Entries/${id}`, Id: String(id), Message: `m${id}`, ...at });
      const event = record(`m${id}`, { MessageId: undefined, EventId: String(id), EventTimestamp: at.Created });
      return { id: String(id), data: payload({ ...event, LogEntry: { '@odata.id': `${PATH}/Entries/${id}` } }) };
    };
    const before = [1, 2, 3].map(happen);
    await stream.take(before);
    const missed = [4, 5, 6].map(happen);
    for (let n = 0; n < polls; n++) await poll();
    await stream.take([...before, ...missed]);
    await poll();
    assert.deepEqual(
      received.map(({ body }) => body),
      ['m1', 'm2', 'm3', 'm4', 'm5', 'm6'],
    );
  });

test('a BMC that replays what it kept, after cut after cut, is told once and in order', async (t) => {
  const { fleet, sink, allSettled, verdict } = await scene(t, {
    count: 2,
    profiles: ['openbmc', 'ilo'],
    receiver: FAST,
    before: (all) => {
      for (const bmc of all.bmcs) bmc.stream = { kind: 'live', ring: 50 };
    },
  });
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
  for (let round = 1; round <= 4; round++) {
    for (const bmc of fleet.bmcs) {
      bmc.append();
      bmc.cutStreams();
      bmc.append();
    }
    await fleet.waitFor(() => fleet.bmcs.every((bmc) => bmc.streamRequests > round && bmc.openStreams === 1));
  }
  await allSettled();
  const { published, received, doubled } = verdict();
  assert.deepEqual([published, received, doubled], [16, 16, []]);
  assert.equal(sink.records.length, 16);
});

for (const kind of ['truncated', 'wrong_length', 'html', 'bad_chunk', 'gzip_bomb', 'deep_json', 'bad_json'] as const)
  test(`a log that answers ${kind} once moves no position: what came meanwhile and what follows arrives once`, async (t) => {
    const { fleet, agent, sink, allSettled, verdict } = await scene(t, {
      profiles: ['openbmc'],
      receiver: polled(),
      before: (all) => void all.bmc(0).append(),
    });
    const bmc = fleet.bmc(0);
    await sink.waitFor(() => sink.records.length === 1);
    bmc.faults.push({ kind, path: `${bmc.log(0).path}/Entries`, count: 1 });
    bmc.append();
    await agent.line(({ msg }) => msg === 'the logs cannot be read');
    await sink.waitFor(() => sink.records.length === 2);
    bmc.append();
    await allSettled();
    assert.deepEqual(verdict().doubled, []);
    assert.equal(sink.records.length, 3);
  });

test('a raw line break inside a text of an answer is repaired', async (t) => {
  const { sink } = await scene(t, {
    profiles: ['openbmc'],
    receiver: polled(),
    before: (all) => {
      const { path } = all.bmc(0).log(0);
      const body = `{"Members":[{"@odata.id":"${path}/Entries/1","Id":"1","Created":"2026-11-25T10:00:00Z","Message":"a\r\nb"}]}`;
      all.bmc(0).faults.push({ kind: 'raw_body', body, path: `${path}/Entries` });
    },
  });
  await sink.waitFor(() => sink.records.length === 1);
  assert.equal(sink.records[0]!.body, 'a\r\nb');
});

test('one event in an event log, in the SEL and on the stream is one record, whichever comes first', async () => {
  const [EVENT_LOG, SEL] = ['/redfish/v1/Systems/1/LogServices/EventLog', '/redfish/v1/Systems/1/LogServices/SEL'];
  const told = { Created: '2026-11-25T10:00:00Z', Message: 'fan failed', MessageId: 'OpenBMC.0.1.FanFailed' };
  const event = { data: payload({ ...told, EventTimestamp: told.Created, EventId: '9' }), id: '9' };
  for (const streamFirst of [true, false]) {
    const { logs, stream, received } = bmcReaders({
      resource: (path) => ({
        Members: [
          { '@odata.id': `${path}/${path.includes('SEL') ? 40 : 7}`, Id: path.includes('SEL') ? '40' : '7', ...told },
        ],
      }),
    });
    const poll = () => logs.poll(pollOf([serviceAt(EVENT_LOG), serviceAt(SEL)]));
    if (streamFirst) await stream.take([event]);
    await poll();
    if (!streamFirst) await stream.take([event]);
    await poll();
    assert.deepEqual(
      received.map(({ body }) => body),
      ['fan failed'],
      streamFirst ? 'stream first' : 'logs first',
    );
  }
});

const HOSTILE = 'bell \u0007, \u001b[31mred\u001b[0m,\nnext line\r#1';

test('hostile keys and texts arrive unchanged by stream and by poll, and poison nothing', async (t) => {
  const { fleet, sink } = await scene(t, {
    profiles: ['openbmc'],
    receiver: FAST,
    before: (all) => {
      all.bmc(0).log(0).extra = () =>
        JSON.parse('{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}');
      all.bmc(0).append({ text: HOSTILE });
    },
  });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  bmc.write(`data: {"__proto__": {"polluted": 1}, "Events": [${JSON.stringify(record(HOSTILE))}]}\n\n`);
  await sink.waitFor(() => sink.records.length === 2);
  assert.deepEqual(
    sink.records.map(({ body }) => body),
    [HOSTILE, HOSTILE],
  );
  assert.equal(({} as { polluted?: number }).polluted, undefined);
});

test('an event of depth 100,000 is one raw record, cut, and the stream goes on', async (t) => {
  const { fleet, sink } = await scene(t, { profiles: ['openbmc'], receiver: STREAM_ONLY });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  bmc.write(`data: ${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}\n\n`);
  bmc.report({ Events: [record('after')] });
  await sink.waitFor(() => sink.records.length === 2);
  const [raw, after] = sink.records;
  assert.match(String(raw!.attributes['redfish.parse_error']), /nested/);
  assert.ok(String(raw!.body).length <= 4_096);
  assert.equal(after!.body, 'after');
  assert.equal(bmc.streamRequests, 1);
});

test('what a BMC says stands on the console without control characters', async (t) => {
  const { agent } = await scene(t, {
    receiver: FAST,
    before: (all) =>
      void all
        .bmc(0)
        .overlay.push({ path: '/redfish/v1/EventService', merge: { ServerSentEventUri: `http://${HOSTILE}` } }),
  });
  const { error } = await agent.line(({ msg }) => msg === 'a link of the BMC was not followed');
  const written: string[] = [];
  createOwnLogs({ level: 'debug', encoding: 'console', clock: systemClock, write: (line) => written.push(line) })
    .logger()
    .warn('a link', { error: String(error) });
  assert.match(String(error), /bell/);
  assert.doesNotMatch(written.join('').replace(/\n$/, ''), /[\u0000-\u0008\u000a-\u001f\u007f]/);
});
