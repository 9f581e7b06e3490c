import assert from 'node:assert/strict';
import { rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { shardOf } from '../../../receivers/bmc-logs/sources/shard.ts';
import type { SimulatedBmc } from '../../simulators/bmc/bmc.ts';
import { type Discovery, fleetTargets, writeEndpointsFile } from '../../simulators/bmc/discovery.ts';
import { type BmcFleet, startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { bmcConfig } from '../../support/bmc-config.ts';
import { discoveryOf, group, MemoryKeyValue, sourcesOf } from '../../support/endpoint-sources.ts';
import { fastClock } from '../../support/fast-clock.ts';
import { forAll } from '../../support/property.ts';
import { agentOf } from '../../support/run-agent.ts';
import { scene } from '../../support/scene.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const UNUSABLE = 'a source of endpoints cannot be used; its last good list stays';
const TWICE = 'two sources name the same endpoint; the earlier one counts';
const endpointAt = (name: string, address = 'https://10.0.0.1') => ({ name, address });

test('a file may be YAML or JSON, and hold endpoints or http_sd groups', async (t) => {
  const folder = await temporaryDirectory(t);
  const [yaml, json] = [join(folder, 'a.yaml'), join(folder, 'b.json')];
  await writeFile(
    yaml,
    '- { name: r1, address: "https://10.0.0.1", labels: { rack: a }, auth: { username: ro, password: x } }',
  );
  await writeFile(json, JSON.stringify([{ targets: ['10.0.0.2:8443', '10.0.0.3'], labels: { rack: 'b' } }]));
  const { read, names, endpoint } = await sourcesOf({ endpoint_files: [yaml, json] });
  await Promise.all([read(0), read(1)]);
  assert.deepEqual(names(), ['r1', '10.0.0.2:8443', '10.0.0.3']);
  assert.equal(endpoint('r1')?.labels.rack, 'a');
  assert.equal(endpoint('10.0.0.2:8443')?.address, 'https://10.0.0.2:8443');
  assert.equal(endpoint('10.0.0.3')?.labels.rack, 'b');
});

test('a glob reads all files that match, and sees those that come, change and go', async (t) => {
  const folder = await temporaryDirectory(t);
  const file = (name: string) => join(folder, name);
  const { read, names } = await sourcesOf({ endpoint_files: [file('*.yaml')] });
  await read();
  assert.deepEqual(names(), []);
  await writeFile(file('b.yaml'), '[{ name: b, address: 10.0.0.2 }]');
  await writeFile(file('a.yaml'), '[{ name: a, address: 10.0.0.1 }]');
  await writeFile(file('c.txt'), 'not for us');
  await read();
  assert.deepEqual(names(), ['a', 'b']);
  await writeFile(file('a.yaml'), '[{ name: a2, address: 10.0.0.1 }]');
  await read();
  assert.deepEqual(names(), ['a2', 'b']);
  await rm(file('a.yaml'));
  await read();
  assert.deepEqual(names(), ['b']);
});

test('one bad file of a glob leaves what it has named before, and does not keep the others from changing', async (t) => {
  const folder = await temporaryDirectory(t);
  await writeFile(join(folder, 'a.yaml'), '[{ name: a, address: 10.0.0.1 }]');
  await writeFile(join(folder, 'b.yaml'), '[{ name: b, address: 10.0.0.2 }]');
  const { read, names } = await sourcesOf({ endpoint_files: [join(folder, '*.yaml')] });
  await read();
  await writeFile(join(folder, 'a.yaml'), '[{ name: c, address: 10.0.0.3 }]');
  await writeFile(join(folder, 'b.yaml'), '[{ name: b');
  await read();
  assert.deepEqual(names(), ['c', 'b']);
});

test('a mistake in a file is told with the place where it stands', async (t) => {
  const folder = await temporaryDirectory(t);
  const path = join(folder, 'a.yaml');
  await writeFile(path, '- { name: a, address: 10.0.0.1 }\n- name: b\n  adress: 10.0.0.2\n  mode: atuo\n');
  const { read, lines, names } = await sourcesOf({ endpoint_files: [path] });
  await read();
  const [line] = lines('a source of endpoints cannot be used, and there is no earlier list of it');
  const { error } = line!.fields as { error: Error };
  assert.match(error.message, /a\.yaml:2:3 address: is required/);
  assert.match(error.message, /a\.yaml:4:9 mode: must be one of auto, sse, periodic/);
  assert.deepEqual(names(), []);
});

test('labels of a discovery map to fields; other double underscores are dropped, the rest stays', async (t) => {
  const labels = {
    ...{ __name: 'r1-n1', __machine_id: 'm-1', __mode: 'periodic', __auth_ref: 'basicauth/bmc', __scheme: 'https' },
    ...{ __meta_rack: 'x', __address__: 'y', rack: 'r1', row: '7' },
  };
  const discovery = await discoveryOf(t, [
    { targets: ['10.0.0.1:443'], labels },
    { targets: ['10.0.0.2:443', '[fd00::1]:443'] },
  ]);
  const { read, names, endpoint } = await sourcesOf({ http_discovery: [{ url: discovery.url }] });
  await read();
  assert.deepEqual(names(), ['r1-n1', '10.0.0.2:443', 'fd00::1:443']);
  const { auth, ...rest } = endpoint('r1-n1')!;
  assert.equal(auth?.authenticator, 'basicauth/bmc');
  assert.deepEqual(
    { ...rest },
    {
      ...{ name: 'r1-n1', address: 'https://10.0.0.1:443', mode: 'periodic', machine_id: 'm-1' },
      labels: { rack: 'r1', row: '7' },
    },
  );
  assert.equal(endpoint('fd00::1:443')?.address, 'https://[fd00::1]:443');
});

test('a discovery is asked with the headers and the account that it needs', async (t) => {
  const discovery = await discoveryOf(t, group('r1'));
  const { read } = await sourcesOf({
    http_discovery: [{ url: discovery.url, headers: { 'x-tenant': 'a' }, auth: { username: 'u', password: 'p' } }],
  });
  await read();
  const { 'x-tenant': tenant, authorization, accept } = discovery.lastHeaders;
  assert.deepEqual([tenant, authorization, accept], ['a', `Basic ${btoa('u:p')}`, 'application/json']);
});

test('files are looked at every 5 s, a discovery as often as it says, and neither counts as a target of the fleet', async (t) => {
  const discovery = await discoveryOf(t);
  const { registered } = await sourcesOf({
    endpoint_files: ['/nowhere/a.yaml'],
    http_discovery: [{ url: discovery.url, interval: '90s' }],
  });
  assert.deepEqual(
    registered.map(({ interval, internal, firstRun }) => [interval, internal, firstRun]),
    [
      [5_000, true, 'now'],
      [90_000, true, 'now'],
    ],
  );
});

/** What a list may be instead of good. */
const BAD_LISTS: readonly (readonly [string, unknown])[] = [
  ['an object', { targets: ['10.0.0.1'] }],
  ['a list with one item without an address', [endpointAt('new'), { name: 'x' }]],
  ['a list with one unknown field', [endpointAt('new'), { ...endpointAt('x'), colour: 'red' }]],
  ['a list with one name twice', [endpointAt('new'), endpointAt('new')]],
  ['a list with plain http', [endpointAt('new'), endpointAt('x', 'http://10.0.0.2')]],
  ['a list with an address that has a path', [endpointAt('new'), endpointAt('x', 'https://10.0.0.2/redfish')]],
  ['a list with a label that is ours', [endpointAt('new'), { ...endpointAt('x'), labels: { 'host.name': 'forged' } }]],
  ['a list with a text in it', [endpointAt('new'), 'https://10.0.0.2']],
  ['null', null],
];

for (const [what, list] of BAD_LISTS)
  test(`${what} leaves the last good list in force whole, and is told once; no item of it is taken`, async (t) => {
    const file = join(await temporaryDirectory(t), 'endpoints.json');
    const discovery = await discoveryOf(t, group('kept-http'));
    await writeFile(file, JSON.stringify([endpointAt('kept-file')]));
    const { read, names, lines, stale } = await sourcesOf({
      endpoint_files: [file],
      http_discovery: [{ url: discovery.url }],
    });
    const readBoth = () => Promise.all([read(0), read(1)]);
    await readBoth();
    await writeFile(file, JSON.stringify(list));
    discovery.answer({ body: list });
    await readBoth();
    await readBoth();
    assert.deepEqual(names(), ['kept-file', 'kept-http']);
    assert.equal(lines(UNUSABLE).length, 2, 'once per source');
    assert.ok(lines(UNUSABLE).every(({ level }) => level === 'warn'));
    assert.deepEqual(stale(), [file, discovery.url]);
    await writeFile(file, JSON.stringify([endpointAt('next-file')]));
    discovery.answer(group('next-http'));
    await readBoth();
    assert.deepEqual(names(), ['next-file', 'next-http']);
    assert.deepEqual(stale(), []);
  });

test('a discovery that fails keeps its list; each new cause is told once, the same again is not', async (t) => {
  const discovery = await discoveryOf(t, group('r1', 'r2'));
  const { read, names, lines, stale } = await sourcesOf({ http_discovery: [{ url: discovery.url }] });
  await read();
  const big = `["${'x'.repeat(17 * 1024 * 1024)}"]`;
  for (const answer of [
    500,
    500,
    404,
    { body: '[{"targets": ' },
    { status: 204 },
    { status: 302 },
    { body: big },
    500,
  ]) {
    discovery.answer(answer);
    await read();
    assert.deepEqual(names(), ['r1', 'r2']);
    assert.equal(stale().length, 1);
  }
  assert.equal(lines(UNUSABLE).length, 7);
  await discovery.close();
  await read();
  assert.deepEqual(names(), ['r1', 'r2']);
  assert.equal(lines(UNUSABLE).length, 8);
});

test('a file that is away, unreadable or too large keeps its list', async (t) => {
  const file = join(await temporaryDirectory(t), 'endpoints.yaml');
  await writeFile(file, '[{ name: r1, address: 10.0.0.1 }]');
  const { read, names, lines } = await sourcesOf({ endpoint_files: [file] });
  await read();
  await rename(file, `${file}.old`);
  await read();
  await writeFile(file, '- [unclosed');
  await read();
  await writeFile(file, '');
  await read();
  await truncate(file, 17 * 1024 * 1024);
  await read();
  assert.deepEqual(names(), ['r1']);
  assert.equal(lines(UNUSABLE).length, 4);
});

test('an empty list is believed at the second pass in a row, of a file as of a discovery', async (t) => {
  const file = join(await temporaryDirectory(t), 'endpoints.yaml');
  const discovery = await discoveryOf(t, group('r2'));
  const { read, names, lines } = await sourcesOf({ endpoint_files: [file], http_discovery: [{ url: discovery.url }] });
  const passes = async (list: readonly string[], expected: readonly string[]) => {
    await writeFile(file, JSON.stringify(list.map((name) => endpointAt(`file-${name}`))));
    discovery.answer(group(...list));
    await Promise.all([read(0), read(1)]);
    assert.deepEqual(names(), [...expected.map((name) => `file-${name}`), ...expected]);
  };
  await passes(['a'], ['a']);
  await passes([], ['a']);
  await passes(['a'], ['a']);
  await passes([], ['a']);
  await passes(['b'], ['b']);
  await passes([], ['b']);
  await passes([], []);
  await passes(['c'], ['c']);
  assert.equal(lines(UNUSABLE).length, 0);
});

test('a discovery that answers 500, then an empty list once, then a list never lets an endpoint go', async (t) => {
  const discovery = await discoveryOf(t, group('r1', 'r2'));
  const { read, history } = await sourcesOf({ http_discovery: [{ url: discovery.url }] });
  await read();
  const known = history().length;
  for (const answer of [500, [], group('r1', 'r2')]) {
    discovery.answer(answer);
    await read();
  }
  for (const names of history().slice(known - 1)) assert.deepEqual(names, ['r1', 'r2']);
});

test('the last good list is used at the next start when the discovery is down, and goes on to be when it is empty once', async (t) => {
  const store = new MemoryKeyValue();
  const discovery = await discoveryOf(t, group('r1', 'r2'));
  const config = { http_discovery: [{ url: discovery.url }] };
  await (await sourcesOf(config, store)).read();
  discovery.answer(500);
  const second = await sourcesOf(config, store);
  await second.read();
  assert.deepEqual(second.names(), ['r1', 'r2']);
  assert.equal(second.lines(UNUSABLE).length, 1);
  discovery.answer(group('r3'));
  await second.read();
  assert.deepEqual(second.names(), ['r3']);
  discovery.answer([]);
  const third = await sourcesOf(config, store);
  await third.read();
  assert.deepEqual(third.names(), ['r3']);
});

test('a stored list that nobody can read is as none', async (t) => {
  const discovery = await discoveryOf(t, 500);
  const store = new MemoryKeyValue();
  await store.set({ [`~source/${discovery.url}`]: '[{"name":' });
  const { read, names } = await sourcesOf({ http_discovery: [{ url: discovery.url }] }, store);
  await read();
  assert.deepEqual(names(), []);
});

test('of one name in several sources the configuration wins, then files, then discoveries; told once', async (t) => {
  const file = join(await temporaryDirectory(t), 'endpoints.json');
  const discovery = await discoveryOf(t, group('all', 'two', 'http'));
  await writeFile(file, JSON.stringify([endpointAt('all', '10.0.0.2'), endpointAt('two', '10.0.0.2')]));
  const { read, names, endpoint, lines } = await sourcesOf({
    endpoints: [endpointAt('all', 'https://10.0.0.9')],
    endpoint_files: [file],
    http_discovery: [{ url: discovery.url }],
  });
  // The later kind answers first.
  await read(1);
  await read(0);
  await read(1);
  assert.deepEqual(names().sort(), ['all', 'http', 'two']);
  assert.equal(endpoint('all')?.address, 'https://10.0.0.9');
  assert.equal(endpoint('two')?.address, '10.0.0.2');
  assert.equal(lines(TWICE).length, 2);
});

test('a discovery that never answers delays no other source', async (t) => {
  const file = join(await temporaryDirectory(t), 'endpoints.json');
  await writeFile(file, JSON.stringify([endpointAt('r1')]));
  const fleet = await startBmcFleet({ count: 1 });
  t.after(() => fleet.close());
  fleet.bmc(0).faults.push({ kind: 'hang' });
  const { read, names, stop } = await sourcesOf({
    endpoint_files: [file],
    http_discovery: [{ url: fleet.bmc(0).address }],
  });
  const hanging = read(1);
  await fleet.waitFor(() => fleet.bmc(0).journal.length === 1);
  await read(0);
  assert.deepEqual(names(), ['r1']);
  stop();
  await hanging;
});

const RACKS = fc.array(
  fc.record({ name: fc.stringMatching(/^[a-z0-9-]{1,12}$/), rack: fc.option(fc.stringMatching(/^r[0-9]{1,3}$/)) }),
  {
    minLength: 1,
    maxLength: 60,
  },
);

test('one shard more moves endpoints only to the new shard, and keeps racks together', () =>
  forAll(fc.tuple(RACKS, fc.integer({ min: 1, max: 40 })), ([fleet, shards]) => {
    const shardOfRack = new Map<string, number>();
    for (const { name, rack } of fleet) {
      const labels: Record<string, string> = rack === null ? {} : { rack };
      const one = { name, labels };
      const [before, after] = [shardOf(one, shards), shardOf(one, shards + 1)];
      assert.ok(after === before || after === shards, `${before} -> ${after}`);
      assert.ok(before >= 0 && before < shards);
      if (rack === null) continue;
      assert.equal(after, shardOfRack.get(rack) ?? after, 'one rack, one shard');
      shardOfRack.set(rack, after);
    }
  }));

test('shards share a fleet about evenly', () => {
  const counts = new Array<number>(8).fill(0);
  for (let n = 0; n < 8_000; n++) counts[shardOf({ name: `r${n}`, labels: {} }, 8)]!++;
  for (const count of counts) assert.ok(count > 850 && count < 1_150, String(counts));
});

test('endpoints of other shards are not contacted', async (t) => {
  const { fleet, allDelivered } = await scene(t, {
    count: 8,
    receiver: 'initial_history: all\nshard: 1\nshards_count: 2',
    before: (all) => {
      for (const bmc of all.bmcs) if (isOurs(bmc)) bmc.append();
    },
  });
  function isOurs({ name }: SimulatedBmc): boolean {
    return shardOf({ name, labels: {} }, 2) === 1;
  }
  await allDelivered();
  const contacted = fleet.bmcs.filter(({ journal }) => journal.length > 0);
  assert.deepEqual(contacted, fleet.bmcs.filter(isOurs));
  assert.ok(contacted.length > 0 && contacted.length < 8);
});

/** Files are looked at every 5 s: so many times faster that is a fraction of a second. */
const SPEED = 50;

/** An agent whose first BMC stands in the configuration and the others in a file or a discovery. */
async function sourcedAgent(t: TestContext, fleet: BmcFleet, receiver: string) {
  const sink = await startOtlpSink();
  const agent = agentOf(
    bmcConfig({
      sink,
      endpoints: [fleet.bmc(0)].map(({ name, address }) => ({ name, address })),
      receiver: `
initial_history: none
tls: { insecure: true }
auth: { username: ro, password: secret }
periodic: { logs_collection_interval: 10m }
sse: { connect_timeout: 10m, header_timeout: 10m, min_stream_lifetime: 30s, initial_backoff: 1s }
request_timeout: 10m
body_idle_timeout: 10m
${receiver}`,
    }),
    { clock: fastClock(SPEED) },
  );
  t.after(async () => {
    await agent.stop();
    await Promise.all([fleet.close(), sink.close()]);
  });
  await agent.start();
  return { agent, sink };
}

async function fleetWithSessions(count: number): Promise<BmcFleet> {
  const fleet = await startBmcFleet({ count, profiles: ['openbmc'] });
  for (const bmc of fleet.bmcs) bmc.auth = { username: 'ro', password: 'secret', sessions: { slots: 4 } };
  return fleet;
}

test('a change of one endpoint restarts that one alone, a removal ends its stream, and the others see nothing', async (t) => {
  const file = join(await temporaryDirectory(t), 'endpoints.yaml');
  const fleet = await fleetWithSessions(4);
  const [, second, third, fourth] = fleet.bmcs as [SimulatedBmc, SimulatedBmc, SimulatedBmc, SimulatedBmc];
  await writeEndpointsFile(file, fleet, { bmcs: [second, third, fourth] });
  await sourcedAgent(t, fleet, `endpoint_files: ["${file}"]`);
  const requests = () => fleet.bmcs.map(({ streamRequests }) => streamRequests);
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
  assert.deepEqual(requests(), [1, 1, 1, 1]);

  await writeEndpointsFile(file, fleet, {
    bmcs: [second, third, fourth],
    fields: ({ name }) => (name === third.name ? { labels: { rack: 'moved' } } : {}),
  });
  await fleet.waitFor(() => third.streamRequests === 2 && third.openStreams === 1);
  assert.deepEqual(requests(), [1, 1, 2, 1]);

  await writeEndpointsFile(file, fleet, {
    bmcs: [second, third],
    fields: ({ name }) => (name === third.name ? { labels: { rack: 'moved' } } : {}),
  });
  await fleet.waitFor(() => fourth.openStreams === 0);
  assert.deepEqual(requests(), [1, 1, 2, 1]);
  assert.deepEqual(
    fleet.bmcs.map(({ openStreams }) => openStreams),
    [1, 1, 1, 0],
  );

  await writeEndpointsFile(file, fleet, { bmcs: [second] });
  const asked = fourth.streamRequests;
  await fleet.waitFor(() => third.openStreams === 0);
  assert.equal(fourth.streamRequests, asked, 'nobody asks an endpoint that is gone');
});

test('a password of one endpoint that changes in a file restarts that one', async (t) => {
  const file = join(await temporaryDirectory(t), 'endpoints.yaml');
  const fleet = await fleetWithSessions(3);
  const [, second, third] = fleet.bmcs as [SimulatedBmc, SimulatedBmc, SimulatedBmc];
  const write = (password: string) =>
    writeEndpointsFile(file, fleet, {
      bmcs: [second, third],
      fields: ({ name }) => (name === second.name ? { auth: { username: 'ro', password } } : {}),
    });
  await write('secret');
  await sourcedAgent(t, fleet, `endpoint_files: ["${file}"]`);
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
  second.auth = { username: 'ro', password: 'other', sessions: { slots: 4 } };
  await write('other');
  await fleet.waitFor(() => second.streamRequests === 2 && second.openStreams === 1);
  assert.deepEqual([fleet.bmc(0).streamRequests, third.streamRequests], [1, 1]);
});

test('while a discovery answers 500, an empty list, rubbish and its list again no stream is disconnected', async (t) => {
  const fleet = await fleetWithSessions(3);
  const list = fleetTargets({ bmcs: fleet.bmcs.slice(1) });
  const discovery = await discoveryOf(t, list);
  const { agent } = await sourcedAgent(t, fleet, `http_discovery: [{ url: "${discovery.url}", interval: 5s }]`);
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
  const pass = async (answer: Parameters<Discovery['answer']>[0]) => {
    discovery.answer(answer);
    const asked = discovery.requests;
    while (discovery.requests === asked) await new Promise((resolve) => setImmediate(resolve));
    discovery.answer(list);
    while (discovery.requests === asked + 1) await new Promise((resolve) => setImmediate(resolve));
  };
  for (const answer of [500, [], { body: '{' }]) await pass(answer);
  assert.deepEqual(
    fleet.bmcs.map(({ openStreams, streamRequests }) => [openStreams, streamRequests]),
    [
      [1, 1],
      [1, 1],
      [1, 1],
    ],
  );
  assert.equal(agent.lines.filter(({ msg }) => msg === 'log stream ended').length, 0);
});
