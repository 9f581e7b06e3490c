import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromEntry } from '../../../receivers/bmc-logs/happening.ts';
import { ServiceCursor } from '../../../receivers/bmc-logs/logs/cursor.ts';
import { Positions } from '../../../receivers/bmc-logs/logs/positions.ts';
import { RetryableError } from '../../../src/component/errors.ts';
import type { KeyValue } from '../../../src/component/storage.ts';
import { FakeClock, settle } from '../../../src/testing/fake-clock.ts';
import { testHost } from '../../../src/testing/host.ts';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { durableConfig } from '../../support/bmc-config.ts';
import { agentOf } from '../../support/run-agent.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const entry = (id: number) =>
  fromEntry(
    { Id: String(id), Message: `entry ${id}` },
    {
      ...{ endpoint: 'bmc-1', service: '/log', useSequence: true, generation: 0 },
      time: { epochNanos: BigInt(id) * 1_000_000_000n, zoneAssumed: false },
    },
  );

/** A store in memory that counts its writes, and may refuse. */
function memoryStore() {
  const values = new Map<string, string>();
  const store = {
    values,
    writes: 0,
    refuses: false,
    async set(changes: Readonly<Record<string, string | undefined>>) {
      store.writes++;
      if (store.refuses) throw new RetryableError('storage_full', 'no');
      for (const [key, value] of Object.entries(changes)) {
        if (value === undefined) values.delete(key);
        else values.set(key, value);
      }
    },
    list: async (prefix: string) => new Map([...values].filter(([key]) => key.startsWith(prefix)).sort()),
  };
  return store satisfies KeyValue & { values: unknown };
}

test('a cursor comes back as it was, however large, and a smaller one is not mixed with its pieces', async () => {
  const store = memoryStore();
  const clock = new FakeClock();
  const positions = new Positions(store, testHost({ clock }));
  const cursor = new ServiceCursor();
  for (let id = 0; id < 9_000; id++) cursor.mark(entry(id), undefined);
  cursor.firstContact = false;
  positions.of('bmc-1').saveCursor('log', '/log', cursor);
  await positions.close();
  assert.ok(store.values.size > 1, 'in pieces');
  const known = (await new Positions(store, testHost({ clock })).of('bmc-1').load()).cursors.get('/log')!;
  assert.equal(known.firstContact, false);
  for (const id of [0, 8_000, 8_999]) assert.equal(known.judge(entry(id)), 'known');
  assert.equal(known.judge(entry(9_000)), 'new');

  const small = new Positions(store, testHost({ clock }));
  const { cursors } = await small.of('bmc-1').load();
  assert.equal(cursors.size, 1);
  const fresh = new ServiceCursor();
  fresh.mark(entry(1), undefined);
  small.of('bmc-1').saveCursor('log', '/log', fresh);
  await small.close();
  const again = (await new Positions(store, testHost({ clock })).of('bmc-1').load()).cursors.get('/log')!;
  assert.equal(again.judge(entry(2)), 'new');
});

test('many changes while a write is under way are one write, and endpoints do not see each other', async () => {
  const store = memoryStore();
  const positions = new Positions(store, testHost());
  const cursor = new ServiceCursor();
  for (let n = 0; n < 100; n++) {
    cursor.mark(entry(n), undefined);
    positions.of('bmc-1').saveCursor('log', '/log', cursor);
    positions.of('bmc-10').saveCursor('log', '/log', cursor);
  }
  await positions.close();
  assert.ok(store.writes <= 2, `${store.writes} writes`);
  assert.equal((await positions.of('bmc-1').load()).cursors.size, 1);
});

test('what a stream told is stored until each of it was released', async () => {
  const store = memoryStore();
  const positions = new Positions(store, testHost());
  const part = positions.of('bmc-1').saveTold([entry(1), entry(2)]);
  await settle();
  const { told } = await new Positions(store, testHost()).of('bmc-1').load();
  assert.deepEqual(
    told.map(([keys]) => keys.content),
    [entry(1).content, entry(2).content],
  );
  part.release();
  await settle();
  assert.equal(store.values.size, 1);
  part.release();
  await positions.close();
  assert.equal(store.values.size, 0);
});

test('a position that cannot be read is as if it were not there', async () => {
  const store = memoryStore();
  store.values.set('bmc-1/service/x', '{"path":');
  store.values.set('bmc-1/told/3', 'null');
  const host = testHost();
  const { cursors, told } = await new Positions(store, host).of('bmc-1').load();
  assert.deepEqual([cursors.size, told.length, host.lines.length], [0, 0, 2]);
});

test('a store that refuses is asked again, with what has changed since; one warning', async () => {
  const store = memoryStore();
  const clock = new FakeClock();
  const host = testHost({ clock });
  const positions = new Positions(store, host);
  const cursor = new ServiceCursor();
  store.refuses = true;
  cursor.mark(entry(1), undefined);
  positions.of('bmc-1').saveCursor('log', '/log', cursor);
  await clock.advance(20_000);
  assert.ok(store.writes >= 3);
  assert.equal(host.lines.length, 1);
  store.refuses = false;
  await clock.advance(5_000);
  assert.equal(store.values.size, 1);
  await positions.close();
});

test('an agent that is stopped and started again sends nothing twice, and nothing less', async (t) => {
  const directory = await temporaryDirectory(t);
  const fleet = await startBmcFleet({ count: 3, profiles: ['openbmc', 'idrac', 'ilo'] });
  const sink = await startOtlpSink();
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const yaml = durableConfig({ fleet, sink, directory });
  const verdict = () =>
    fleet.truth.compare(sink.records.map(({ body, resource }) => ({ body, endpoint: resource['redfish.endpoint'] })));
  for (let round = 0; round < 3; round++) {
    const agent = agentOf(yaml);
    t.after(() => agent.stop());
    for (const bmc of fleet.bmcs) for (let n = 0; n < 5; n++) bmc.append();
    await agent.start();
    await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams > 0));
    for (const bmc of fleet.bmcs) for (let n = 0; n < 5; n++) bmc.append();
    await sink.waitFor(() => verdict().lost.length === 0);
    assert.deepEqual(await agent.stop(), []);
  }
  const { published, received, doubled } = verdict();
  assert.deepEqual([published, received, doubled], [90, 90, []]);
});
