// Each of these tests shows a fault of the product; none of them passes before it is cured.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
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

// A read that stops early at known entries trusts that all behind a known page are known. After a read that broke off
// behind its first page that is not so: the entries of the second page are new, but the next read stops at the first,
// which is known by now. They come with the next whole read, after `full_read_interval` (6h), if the ring still has
// them. The same for `$filter`, whose anchor is the newest entry of the page that came. `planRead` in logs/read-plan.ts
// must ask for a whole read after one that was not complete (log-reader.ts, behind `#read`).
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

// `walk` in logs/read-service.ts keeps the ETag of the first page although a member behind a link could not be fetched
// (only a page that fails clears it). Every later read is answered 304, so the entry comes with the next whole read,
// after 6h. It must be cleared wherever `error` is set, also for "200 with an error in place of entries".
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
  await one.agent.line(({ msg }) => msg === 'the logs cannot be read');
  await one.agent.line(({ msg }) => msg === 'logs are read again');
  await moreReads(one.agent, 10);
  assert.deepEqual(one.verdict().lost, []);
});

// When the run of a target is aborted in the middle of a walk (its time is over), `walk` throws what it has read away
// although `PollOptions.signal` promises "what was read by then is delivered all the same". With the ETag of the
// first page already noted in the cursor, the next read is answered 304: the entries come after 6h.
// logs/read-service.ts, `if (signal.aborted) throw cause`.
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

// A first contact that stops at the cut-off counts as nothing: `end(true, { isShort: true })` in `walk` leaves
// `wholeAt`, `newestFirst` and `count` as they were, so `planRead` asks for the whole log in the next poll: a log of
// half a million entries is walked to its end all the same, one interval later, in 25 polls.
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

// A state that comes back is not told: its revision is among those that were once seen (`#revisions` in logs/cursor.ts),
// so `judge` finds it known. A fault that is resolved and then is not any more looks resolved for ever.
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

// `importedRule` in logs/history.ts judges "the log was cleared" by the largest Id of the entries of this read. A read
// that broke off, or ended at a limit (a log of more than 20,000 entries, oldest first), has not seen the largest.
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

// `lastId` in logs/cursor.ts is the Id of the entry that was marked last, not the largest: an old one that changes in
// place is marked last.
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

// `lastId` is not among what `ServiceCursor.stored` holds: after a restart the first read that brings nothing writes a
// file that names no service at all, and whoever goes back to the other tool starts from nothing.
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

// `#poll` in endpoint.ts writes the file after every read, also after one that failed: before the first read that
// works it names nothing, and without a store the next start has lost the imported position.
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

// endpoint.ts notes "imported" in the store at the start, before any log was read by it. If the BMC is away then, the
// next start finds the note and no cursor: the file is not read again, and the logs are sent from their beginning.
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

// --- logs that are longer than what is remembered (20,000 entries) ---

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

// Keys leave in the order in which they came (`KeySet.dropOldest`), and the floor is the highest entry among the first
// that came (`#noteHeight`, `#raiseFloor` in logs/cursor.ts). Both take it that the oldest entries come first. A walk
// newest first that ends at the limit of a poll hands its pieces on newest piece first: from the second piece on, the
// floor lies above all that is still to be read, and `#isBelowFloor` takes it for known. Lost for good.
test('the first contact with 45,000 entries, newest first, sends all of them', async () => {
  const { counts } = await threeReads({ length: 45_000, order: 'desc', stepMs: 1_000 });
  assert.deepEqual(counts(), [45_000, 45_000]);
});

// `#isBelowFloor` takes only what is strictly older than the floor for known: the entry that the floor was made of, and
// all of its second, are new again with the next whole read.
test('a long log, oldest first, is sent once, to the last entry', async () => {
  const { counts } = await threeReads({ length: 30_000, order: 'asc', stepMs: 1_000 });
  assert.deepEqual(counts(), [30_000, 30_000]);
});

// The same, and here it is the whole log, with each whole read, for ever.
for (const [what, stepMs] of [
  ['of one second', 0],
  ['without times', undefined],
] as const)
  test(`a long log of entries ${what} is sent once`, async () => {
    const { counts } = await threeReads({ length: 25_000, order: 'asc', stepMs });
    assert.deepEqual(counts(), [25_000, 25_000]);
  });

// Without a number in its Id an entry is known by its time alone, once there is a floor. A clock that is set back makes
// all that is written then known: lost, and no `clock_jump` is counted.
test('a clock that is set back in a long log whose Ids are texts: what is written then comes', async () => {
  const { log, wholeRead, counts } = await threeReads({
    length: 25_000,
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

// `resetOf` in logs/cursor.ts takes a log for numbered anew only when more entries are found by content than are known
// by name. Where entries of one second and MessageId stand next to each other, each is known by the name that its
// neighbour had, so the rest of the log is sent again.
test('a log that is numbered anew, with two entries of one second: nothing comes again', async () => {
  let Members = [logEntry('2', 2, 'fan'), logEntry('3', 2, 'disk')];
  const readers = bmcReaders({ resource: () => ({ Members }) });
  await readers.logs.poll(pollOf([LOG]));
  Members = [logEntry('1', 2, 'fan'), logEntry('2', 2, 'disk')];
  await readers.logs.poll(pollOf([LOG]));
  assert.deepEqual(bodiesOf(readers), ['fan', 'disk']);
});

// The same rule the other way round: nothing that was known is there, and one of the new entries says what a known one
// said in the same second. Its vendor number is larger than any that was known, so it cannot be that one; it is lost.
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

// `#deliver` in log-reader.ts marks entries that the stream has told while it sorts out what to send, before the older
// ones of the same slice. `ServiceCursor.mark` keeps the link of the last one marked as the newest, so the probe of the
// next read is an older entry, finds nothing amiss, and skips the new entry behind the link that was used again.
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
