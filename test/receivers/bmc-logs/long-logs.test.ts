import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Positions } from '../../../receivers/bmc-logs/logs/positions.ts';
import { memoryStorage } from '../../../src/testing/fakes.ts';
import { testHost } from '../../../src/testing/host.ts';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { LiveLog } from '../../simulators/bmc/live-log.ts';
import { PROFILES } from '../../simulators/bmc/profiles.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { durableConfig } from '../../support/bmc-config.ts';
import { bmcReaders, pollOf, serviceAt } from '../../support/bmc-readers.ts';
import { agentOf, type TestAgent } from '../../support/run-agent.ts';
import { countLines, scene } from '../../support/scene.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const POLLED = `
mode: periodic
initial_history: all
periodic: { logs_collection_interval: 20ms }`;

/** Resolves when so many reads of the logs have ended that began after this call. */
async function moreReads(agent: TestAgent, reads = 1): Promise<void> {
  const until = countLines(agent, 'logs read') + reads + 1;
  await agent.line(() => countLines(agent, 'logs read') >= until);
}

/** Entries a second apart, the newest of them at this time. */
function spread(count: number, untilMs = Date.now()) {
  return [count, { createdMs: untilMs - count * 1_000, stepMs: 1_000 }] as const;
}

test('a long log, newest first, whose second page fails once: the new entries on that page are read by the next poll', async (t) => {
  const one = await scene(t, {
    receiver: POLLED,
    profiles: ['idrac'],
    before: (all) => {
      all.bmc(0).appendMany(...spread(1_200, Date.now() - 3_600_000));
    },
  });
  const bmc = one.fleet.bmc(0);
  await one.sink.waitFor(({ records }) => records.length === 1_200);
  await moreReads(one.agent, 2);
  bmc.overlay = [
    { path: `${bmc.log().path}/Entries`, merge: { 'Members@odata.nextLink': '/redfish/v1/Gone' }, count: 1 },
  ];
  bmc.appendMany(...spread(120));
  await one.agent.line(({ msg }) => msg === 'a part of the logs cannot be read');
  await one.agent.line(({ msg }) => msg === 'logs are read again');
  await moreReads(one.agent, 10);
  assert.deepEqual(one.verdict().lost.length, 0);
});

test('a log of links with an ETag, one of whose entries fails once: the entry is read by the next poll', async (t) => {
  const one = await scene(t, {
    receiver: POLLED,
    profiles: ['openbmc'],
    before: (all) => {
      Object.assign(all.bmc(0).log(), { linkOnly: true, etag: 'honest' });
      all.bmc(0).appendMany(...spread(5, Date.now() - 60_000));
    },
  });
  const bmc = one.fleet.bmc(0);
  await one.sink.waitFor(({ records }) => records.length === 5);
  await moreReads(one.agent, 2);
  bmc.overlay = [{ path: `${bmc.log().path}/Entries/6`, status: 503, count: 1 }];
  bmc.append();
  await one.agent.line(({ msg }) => msg === 'a part of the logs cannot be read');
  await one.agent.line(({ msg }) => msg === 'logs are read again');
  await moreReads(one.agent, 10);
  assert.deepEqual(one.verdict().lost, []);
});

test('a read that is broken off behind its first page: what it had read is not taken for known', async () => {
  const stop = new AbortController();
  let isSlow = false;
  let newest = 3;
  const { logs, received } = bmcReaders({
    etag: () => `"${newest}"`,
    resource: (path, query) => {
      const page = Number(query.get('page') ?? 0);
      if (isSlow && page === 1) stop.abort(new Error('the time of the run is over'));
      const Members = Array.from({ length: newest }, (_, n) => n + 1)
        .filter((id) => (page === 0) === id > 2)
        .map((id) => ({ Id: String(id), Created: `2026-11-25T10:00:0${id}Z`, Message: `entry ${id}` }));
      return { Members, ...(page === 0 && { '@odata.nextLink': `${path}?page=1` }) };
    },
  });
  const services = [serviceAt('/redfish/v1/Systems/1/LogServices/Log')];
  await logs.poll(pollOf(services));
  assert.equal(received.length, 3);
  newest = 5;
  isSlow = true;
  await logs.poll({ ...pollOf(services), signal: stop.signal }).catch(() => {});
  isSlow = false;
  await logs.poll(pollOf(services));
  assert.equal(received.length, 5);
});

test('the second read of a huge log, newest first, does not walk what the first has left out as too old', async () => {
  const length = 500_000;
  const now = Date.parse('2026-11-25T12:00:00Z');
  const asked: number[] = [];
  const { logs } = bmcReaders({
    history: '2h',
    resource: (path, query) => {
      const skip = Number(query.get('$skip') ?? 0);
      asked.push(skip);
      const Members = Array.from({ length: 1_000 }, (_, n) => ({
        Id: String(length - skip - n),
        Created: new Date(now - (skip + n) * 1_000).toISOString(),
        Message: `entry ${length - skip - n}`,
      }));
      return { Members, ...(skip + 1_000 < length && { '@odata.nextLink': `${path}?$skip=${skip + 1_000}` }) };
    },
  });
  const services = [serviceAt('/redfish/v1/Systems/1/LogServices/Log')];
  await logs.poll(pollOf(services));
  const first = asked.length;
  await logs.poll(pollOf(services));
  assert.ok(asked.length - first <= first, `${asked.length - first} pages`);
});

test('an entry that changes and changes back is told both times', async (t) => {
  const one = await scene(t, {
    receiver: POLLED,
    profiles: ['openbmc'],
    before: (all) => void all.bmc(0).append(),
  });
  await one.sink.waitFor(({ records }) => records.length === 1);
  const log = one.fleet.bmc(0).log();
  log.change(log.entries[0]!, { resolved: true });
  await one.sink.waitFor(({ records }) => records.length === 2);
  log.change(log.entries[0]!, { resolved: false });
  await moreReads(one.agent, 5);
  assert.equal(one.sink.records.length, 3);
});

// --- logs_state_file ---

const SERVICE = '/redfish/v1/Systems/system/LogServices/EventLog';
const fileOf = (directory: string) => join(directory, 'bmc-0.json');
const receiverWith = (directory: string) => `
mode: periodic
initial_history: all
periodic: { logs_collection_interval: 20ms, logs_state_file: "${directory}/{machine_id}.json" }`;
const lastSeen = async (directory: string) =>
  (JSON.parse(await readFile(fileOf(directory), 'utf8')) as { last_seen_ids: Record<string, number> }).last_seen_ids;
const putState = (directory: string, id: number) =>
  writeFile(fileOf(directory), JSON.stringify({ last_seen_ids: { [SERVICE]: id } }));

test('an imported state file is not taken for one of a cleared log because a page fails', async (t) => {
  const directory = await temporaryDirectory(t);
  await putState(directory, 150);
  const one = await scene(t, {
    receiver: receiverWith(directory),
    profiles: ['openbmc'],
    before: (all) => {
      const bmc = all.bmc(0);
      bmc.log().pageSize = 100;
      bmc.appendMany(...spread(160));
      bmc.overlay = [
        { path: `${bmc.log().path}/Entries`, merge: { 'Members@odata.nextLink': '/redfish/v1/Gone' }, count: 1 },
      ];
    },
  });
  await one.agent.line(({ msg }) => msg === 'logs are read again');
  await moreReads(one.agent, 2);
  assert.deepEqual(
    one.sink.records.map(({ attributes }) => Number(attributes['redfish.entry.id'])),
    [151, 152, 153, 154, 155, 156, 157, 158, 159, 160],
  );
});

test('an old entry that changes does not set the state file back', async (t) => {
  const directory = await temporaryDirectory(t);
  const one = await scene(t, {
    receiver: receiverWith(directory),
    profiles: ['openbmc'],
    before: (all) => void all.bmc(0).appendMany(...spread(5)),
  });
  await one.sink.waitFor(({ records }) => records.length === 5);
  await moreReads(one.agent, 3);
  const log = one.fleet.bmc(0).log();
  log.change(log.entries[1]!, { resolved: true });
  await one.sink.waitFor(({ records }) => records.length === 6);
  await moreReads(one.agent, 3);
  assert.deepEqual(await lastSeen(directory), { [SERVICE]: 5 });
});

test('a restart keeps what the state file holds', async (t) => {
  const directory = await temporaryDirectory(t);
  const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'] });
  const sink = await startOtlpSink();
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const yaml = durableConfig({ fleet, sink, directory, receiver: receiverWith(directory) });
  fleet.bmc(0).appendMany(...spread(5));
  for (let start = 0; start < 2; start++) {
    const agent = agentOf(yaml);
    t.after(() => agent.stop());
    await agent.start();
    await sink.waitFor(({ records }) => records.length === 5);
    await moreReads(agent, 3);
    await agent.stop();
    assert.deepEqual(await lastSeen(directory), { [SERVICE]: 5 }, `start ${start}`);
  }
});

test('a first read that fails does not wipe the state file', async (t) => {
  const directory = await temporaryDirectory(t);
  await putState(directory, 3);
  const one = await scene(t, {
    receiver: receiverWith(directory),
    profiles: ['openbmc'],
    before: (all) => {
      all.bmc(0).appendMany(...spread(5));
      all.bmc(0).faults.push({ kind: 'status', status: 500, path: `${SERVICE}/Entries` });
    },
  });
  await moreReads(one.agent, 3);
  await one.agent.stop();
  assert.deepEqual(await lastSeen(directory), { [SERVICE]: 3 });
});

test('a state file that could not be used yet, as the BMC was away, is read at the next start', async (t) => {
  const directory = await temporaryDirectory(t);
  await putState(directory, 3);
  const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'] });
  const sink = await startOtlpSink();
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const bmc = fleet.bmc(0);
  bmc.appendMany(...spread(5));
  const yaml = durableConfig({ fleet, sink, directory, receiver: receiverWith(directory) });
  await bmc.down();
  const first = agentOf(yaml);
  t.after(() => first.stop());
  await first.start();
  await first.line(({ msg }) => msg === 'the logs cannot be read');
  await first.stop();
  await bmc.up();
  const second = agentOf(yaml);
  t.after(() => second.stop());
  await second.start();
  await moreReads(second, 2);
  assert.deepEqual(
    sink.records.map(({ attributes }) => attributes['redfish.entry.id']),
    ['4', '5'],
  );
});

// --- logs that are longer than what is remembered (5,000 entries) ---

interface Long {
  readonly length: number;
  readonly order: 'asc' | 'desc';
  /** Between two entries; undefined: they have no time. */
  readonly stepMs: number | undefined;
  readonly idOf?: (n: number) => string;
}

/** Reads a long log until three whole reads have ended. @returns how many entries came, and how many different ones */
async function threeReads({ length, order, stepMs, idOf = String }: Long) {
  const now = Date.parse('2026-11-25T12:00:00Z');
  const log = { length, jumpMs: 0 };
  const { logs, received } = bmcReaders({
    resource: (path, query) => {
      const skip = Number(query.get('$skip') ?? 0);
      const Members = Array.from({ length: Math.min(1_000, log.length - skip) }, (_, index) => {
        const n = order === 'desc' ? log.length - skip - index : skip + index + 1;
        const jump = n > length ? log.jumpMs : 0;
        const Created =
          stepMs === undefined ? '0000-00-00T00:00:00Z' : new Date(now - (length - n) * stepMs + jump).toISOString();
        return { Id: idOf(n), Created, Message: `entry ${n}` };
      });
      return { Members, ...(skip + 1_000 < log.length && { '@odata.nextLink': `${path}?$skip=${skip + 1_000}` }) };
    },
  });
  const wholeRead = async () => {
    while ((await logs.poll(pollOf([serviceAt('/redfish/v1/Systems/1/LogServices/Log')]))).unfinished);
  };
  for (let n = 0; n < 3; n++) await wholeRead();
  const counts = () => [new Set(received.map(({ body }) => body)).size, received.length];
  return { log, wholeRead, counts };
}

test('the first contact with 25,000 entries, newest first, sends all of them', async () => {
  const { counts } = await threeReads({ length: 25_000, order: 'desc', stepMs: 1_000 });
  assert.deepEqual(counts(), [25_000, 25_000]);
});

test('a long log, oldest first, is sent once, to the last entry', async () => {
  const { counts } = await threeReads({ length: 12_000, order: 'asc', stepMs: 1_000 });
  assert.deepEqual(counts(), [12_000, 12_000]);
});

for (const [what, stepMs] of [
  ['of one second', 0],
  ['without times', undefined],
] as const)
  test(`a long log of entries ${what} is sent once`, async () => {
    const { counts } = await threeReads({ length: 12_000, order: 'asc', stepMs });
    assert.deepEqual(counts(), [12_000, 12_000]);
  });

test('a clock that is set back in a long log whose Ids are texts: what is written then comes', async () => {
  const { log, wholeRead, counts } = await threeReads({
    length: 12_000,
    order: 'asc',
    stepMs: 1_000,
    idOf: (n) => `SEL-${n}`,
  });
  const [before] = counts();
  log.jumpMs = -365 * 86_400_000;
  log.length += 10;
  await wholeRead();
  assert.equal(counts()[0], before! + 10);
});

// --- shrunk from the property test ---

const LOG = serviceAt('/redfish/v1/Systems/1/LogServices/Log');
const logEntry = (Id: string, second: number, Message: string, more: object = {}) => ({
  ...{ '@odata.id': `${LOG.entries}/${Id}`, Id, Message, MessageId: 'T.1.0.E', MessageArgs: [] },
  Created: `2026-11-25T10:00:0${second}Z`,
  ...more,
});
const bodiesOf = ({ received }: ReturnType<typeof bmcReaders>) => received.map(({ body }) => body);

test('a log that is numbered anew, with two entries of one second: nothing comes again', async () => {
  let Members = [logEntry('2', 2, 'fan'), logEntry('3', 2, 'disk')];
  const readers = bmcReaders({ resource: () => ({ Members }) });
  await readers.logs.poll(pollOf([LOG]));
  Members = [logEntry('1', 2, 'fan'), logEntry('2', 2, 'disk')];
  await readers.logs.poll(pollOf([LOG]));
  assert.deepEqual(bodiesOf(readers), ['fan', 'disk']);
});

test('an entry that says what an older one said in its second is new when its vendor number says so', async () => {
  const numbered = (number: number, second: number, text: string) =>
    logEntry('1', second, text, { Oem: { Hpe: { EventNumber: number } } });
  let Members = [numbered(7, 1, 'fan')];
  const readers = bmcReaders({ resource: () => ({ Members }) });
  await readers.logs.poll(pollOf([LOG]));
  Members = [numbered(8, 1, 'fan')];
  await readers.logs.poll(pollOf([LOG]));
  assert.deepEqual(bodiesOf(readers), ['fan', 'fan']);
});

test('a ring of links that are used again: the new entry is read although the stream told the one before', async () => {
  const numbered = (Id: string, number: number) =>
    logEntry(Id, number, `entry ${number}`, { Oem: { Hpe: { EventNumber: number } } });
  let entries = [numbered('1', 1), numbered('2', 2)];
  const readers = bmcReaders({
    resource: (path) =>
      path === LOG.entries
        ? { Members: entries.map((each) => ({ '@odata.id': each['@odata.id'] })) }
        : entries.find((each) => each['@odata.id'] === path),
  });
  const { '@odata.id': _, Id, ...event } = entries[1]!;
  await readers.stream.take([{ data: JSON.stringify({ ...event, EventId: '2' }), id: '2' }]);
  await readers.logs.poll(pollOf([LOG]));
  assert.equal(readers.received.length, 2);
  entries = [numbered('1', 2), numbered('2', 3)];
  await readers.logs.poll(pollOf([LOG]));
  assert.deepEqual(bodiesOf(readers).toSorted(), ['entry 1', 'entry 2', 'entry 3']);
});

test('a ring of links that are used again, and a page that fails: the entry behind the old link is read', async () => {
  const numbered = (Id: string, number: number) =>
    logEntry(Id, number, `entry ${number}`, { Oem: { Hpe: { EventNumber: number } } });
  let entries = [numbered('1', 1), numbered('2', 2)];
  let isBroken = false;
  const readers = bmcReaders({
    resource: (path, query) => {
      if (path !== LOG.entries) return entries.find((each) => each['@odata.id'] === path);
      if (query.has('page')) return isBroken ? undefined : { Members: [] };
      const Members = entries.map((each) => ({ '@odata.id': each['@odata.id'] }));
      return { Members, '@odata.nextLink': `${path}?page=1` };
    },
  });
  await readers.logs.poll(pollOf([LOG]));
  entries = [numbered('1', 3), numbered('2', 4), numbered('3', 5)];
  isBroken = true;
  await readers.logs.poll(pollOf([LOG]));
  isBroken = false;
  for (let n = 0; n < 2; n++) await readers.logs.poll(pollOf([LOG]));
  assert.deepEqual(
    bodiesOf(readers).toSorted(),
    [1, 2, 3, 4, 5].map((number) => `entry ${number}`),
  );
});

test('entries behind links are fetched once, and once more after a restart', async () => {
  const store = memoryStorage().keyValue('r1', 'position');
  const positionsOf = () => new Positions(store, testHost());
  const log = new LiveLog('/redfish/v1/Systems/1/LogServices/Log', PROFILES[0]!.services[0]!);
  log.linkOnly = true;
  log.pageSize = 40;
  for (let n = 0; n < 100; n++)
    log.append({
      createdMs: Date.UTC(2026, 10, 25) + n * 1_000,
      message: `m ${n}`,
      messageArgs: [],
      messageId: 'T.1',
      severity: 'OK',
    });
  let fetched = 0;
  const resource = (path: string, query: URLSearchParams) => {
    const id = /\/Entries\/([^/]+)$/.exec(path)?.[1];
    if (id !== undefined) fetched++;
    return id === undefined ? log.page(Number(query.get('$skip') ?? 0)) : log.entry(id);
  };
  const fetchesOf = async ({ logs }: ReturnType<typeof bmcReaders>) => {
    fetched = 0;
    await logs.poll(pollOf([serviceAt(log.path)]));
    return fetched;
  };
  const first = positionsOf();
  const before = bmcReaders({ resource, positions: first.of('r1') });
  assert.equal(await fetchesOf(before), 100);
  assert.equal(await fetchesOf(before), 1, 'the newest, to see whether links still name the same');
  await first.close();
  const second = positionsOf().of('r1');
  const after = bmcReaders({ resource, positions: second, known: await second.load() });
  assert.equal(await fetchesOf(after), 100);
  assert.equal(await fetchesOf(after), 1);
  assert.equal(after.received.length, 0);
});
