import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { TlsContexts } from '../../../receivers/bmc-logs/client/tls.ts';
import { KeptList } from '../../../receivers/bmc-logs/sources/kept-list.ts';
import { makeCertificates } from '../../simulators/bmc/certificates.ts';
import { writeEndpointsFile } from '../../simulators/bmc/discovery.ts';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { bmcConfig, durableConfig } from '../../support/bmc-config.ts';
import { bmcReaders, pollOf, serviceAt } from '../../support/bmc-readers.ts';
import { discoveryOf, group, MemoryKeyValue, sourcesOf } from '../../support/endpoint-sources.ts';
import { fastClock } from '../../support/fast-clock.ts';
import { agentOf } from '../../support/run-agent.ts';
import { scene } from '../../support/scene.ts';
import { temporaryDirectory } from '../../support/storage.ts';

/** Files are looked at every 5 s: so many times faster that is a fraction of a second. */
const SPEED = 50;

test('a session is ended at the stop when no idle connection is left', async (t) => {
  const { fleet, agent } = await scene(t, {
    profiles: ['openbmc'],
    receiver: `
mode: periodic
initial_history: all
bmc_request_concurrency: 1
auth: { username: ro, password: secret }
periodic: { logs_collection_interval: 1h }`,
    before: (all) => {
      all.bmc(0).auth = { username: 'ro', password: 'secret', sessions: { slots: 4 } };
      all.bmc(0).faults.push({ kind: 'reset', path: `${all.bmc(0).log(0).path}/Entries` });
    },
  });
  await agent.line(({ msg }) => msg === 'the logs cannot be read');
  assert.equal(fleet.bmc(0).liveSessions, 1);
  await agent.stop();
  assert.equal(fleet.bmc(0).liveSessions, 0);
});

test('groups without targets are an empty list, believed at the second pass', async (t) => {
  const discovery = await discoveryOf(t, group('r1'));
  const { read, names } = await sourcesOf({ http_discovery: [{ url: discovery.url }] });
  await read();
  discovery.answer([{ targets: [], labels: { job: 'bmc' } }]);
  for (let pass = 0; pass < 3; pass++) await read();
  assert.deepEqual(names(), []);
});

test('an empty list that is not believed does not replace the stored one', async (t) => {
  const store = new MemoryKeyValue();
  const discovery = await discoveryOf(t, group('r1'));
  const config = { http_discovery: [{ url: discovery.url }] };
  const first = await sourcesOf(config, store);
  await first.read();
  discovery.answer([]);
  await first.read();
  assert.deepEqual(first.names(), ['r1']);
  discovery.answer(500);
  const second = await sourcesOf(config, store);
  await second.read();
  assert.deepEqual(second.names(), ['r1']);
});

test('a list of more than 1 MiB is used at the next start, too', async (t) => {
  const store = new MemoryKeyValue();
  const names = Array.from({ length: 12_000 }, (_, n) => `rack-${n}-${'x'.repeat(60)}`);
  const discovery = await discoveryOf(t, group(...names));
  const config = { http_discovery: [{ url: discovery.url }] };
  await (await sourcesOf(config, store)).read();
  discovery.answer(500);
  const second = await sourcesOf(config, store);
  await second.read();
  assert.equal(second.names().length, names.length);
});

test('an empty list, an error and an empty list are not two empty lists in a row', () => {
  const kept = new KeptList();
  kept.take({ list: [{ name: 'r1', address: '10.0.0.1', labels: {} }] });
  kept.take({ list: [] });
  kept.take({ error: 'answered 500' });
  kept.take({ list: [] });
  assert.equal(kept.list?.length, 1);
});

for (const label of ['constructor', 'toString', 'valueOf'])
  test(`a label of the name "${label}" is a label`, async (t) => {
    const discovery = await discoveryOf(t, [{ targets: ['10.0.0.1'], labels: { __name: 'r1', [label]: 'x' } }]);
    const { read, endpoint } = await sourcesOf({ http_discovery: [{ url: discovery.url }] });
    await read();
    assert.equal(endpoint('r1')?.labels[label], 'x');
  });

test('a target that is no text makes a list invalid', async (t) => {
  const discovery = await discoveryOf(t, [{ targets: [null, 7] }]);
  const { read, names } = await sourcesOf({ http_discovery: [{ url: discovery.url }] });
  await read();
  assert.deepEqual(names(), []);
});

for (const [what, auth] of [
  ['a password', { username: 'ro', password: 'from-outside' }],
  ['a password_file', { username: 'ro', password_file: '/etc/hostname' }],
] as const)
  test(`${what} never comes from a discovery, and is not stored`, async (t) => {
    const store = new MemoryKeyValue();
    const discovery = await discoveryOf(t, [{ name: 'r1', address: '10.0.0.1', auth }]);
    const { read, endpoint } = await sourcesOf({ http_discovery: [{ url: discovery.url }] }, store);
    await read();
    assert.equal(endpoint('r1')?.auth, undefined);
    assert.doesNotMatch([...store.values.values()].join(''), /from-outside|hostname/);
  });

test('a ca_file that could not be read is read again when it is asked for again', async (t) => {
  const file = join(await temporaryDirectory(t), 'ca.pem');
  const contexts = new TlsContexts();
  await assert.rejects(contexts.optionsFor({ ca_file: file }), { code: 'config_source' });
  await writeFile(file, (await makeCertificates()).ca);
  assert.ok((await contexts.optionsFor({ ca_file: file })).secureContext);
});

test('an event that is only a link is asked for again when its entry is not there at first', async (t) => {
  const { fleet, sink } = await scene(t, {
    profiles: ['openbmc'],
    receiver: 'initial_history: all\nperiodic: { logs_collection_interval: 1h }\nsse: { reconcile_interval: 1h }',
  });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  const path = '/redfish/v1/Systems/system/Told/1';
  bmc.overlay.push({ path, replace: { '@odata.id': path, Id: '1', MessageId: 'Sim.1.0.X', Message: 'what happened' } });
  bmc.overlay.push({ path, status: 404, count: 1 });
  bmc.report({ Events: [{ '@odata.id': path }] });
  await sink.waitFor(() => sink.records.length === 1);
  assert.equal(sink.records[0]!.body, 'what happened');
});

for (const polls of [2, 3, 12])
  test(`unlinked events of an outage that ${polls} reads saw are told once when the BMC replays them`, async () => {
    const PATH = '/redfish/v1/Systems/1/LogServices/Log';
    const told = { Message: 'm1', MessageId: 'Sim.1.0.X', Created: '2026-11-25T10:00:01Z' };
    const { logs, stream, received } = bmcReaders({
      resource: () => ({ Members: [{ '@odata.id': `${PATH}/Entries/1`, Id: '1', ...told }] }),
    });
    for (let n = 0; n < polls; n++) await logs.poll(pollOf([serviceAt(PATH)]));
    const event = { Events: [{ ...told, EventId: '41', EventTimestamp: told.Created }] };
    await stream.take([{ data: JSON.stringify(event), id: '41' }]);
    assert.equal(received.length, 1);
  });

test('an endpoint of a file that cannot start does not leave the receiver failed when the file is put right', async (t) => {
  const folder = await temporaryDirectory(t);
  const file = join(folder, 'endpoints.json');
  const fleet = await startBmcFleet({ count: 3 });
  const sink = await startOtlpSink();
  const [first, second, third] = fleet.bmcs.map(({ name, address }) => ({ name, address, tls: { insecure: true } }));
  const bad = { name: 'bad', address: '127.0.0.1:9', tls: { ca_file: join(folder, 'ca.pem') } };
  await writeFile(file, JSON.stringify([bad, second]));
  const receiver = `endpoint_files: ["${file}"]\nsse: { connect_timeout: 10m, header_timeout: 10m }`;
  const agent = agentOf(bmcConfig({ endpoints: [first!], sink, receiver }), { clock: fastClock(SPEED) });
  t.after(async () => {
    await agent.stop();
    await Promise.all([fleet.close(), sink.close()]);
  });
  await agent.start();
  const statuses = () =>
    agent.lines
      .filter((line) => line.msg === 'component status' && line['otelcol.component.id'] === 'bmc_logs')
      .map(({ status }) => status);
  await agent.line(() => statuses().at(-1) === 'permanent');
  await writeFile(file, JSON.stringify([second, third]));
  await fleet.waitFor(() => fleet.bmc(2).openStreams === 1);
  await writeFile(file, JSON.stringify([third]));
  await fleet.waitFor(() => fleet.bmc(1).openStreams === 0);
  await writeFile(file, JSON.stringify([second, third]));
  await fleet.waitFor(() => fleet.bmc(1).openStreams === 1);
  assert.notEqual(statuses().at(-1), 'permanent');
});

test('a changed endpoint goes on where it was: nothing is sent twice', async (t) => {
  const directory = await temporaryDirectory(t);
  const file = join(directory, 'endpoints.yaml');
  const fleet = await startBmcFleet({ count: 2, profiles: ['openbmc'] });
  const sink = await startOtlpSink();
  const [other, bmc] = [fleet.bmc(0), fleet.bmc(1)];
  await writeEndpointsFile(file, fleet, { bmcs: [bmc] });
  const config = durableConfig({ fleet: { ...fleet, bmcs: [other] }, sink, directory })
    .replace('    storage: file_storage\n', `    storage: file_storage\n    endpoint_files: ["${file}"]\n`)
    .replace('interval: 250ms', 'interval: 30s')
    .replace('500ms, reconcile_interval: 1s', '2s, reconcile_interval: 10s, connect_timeout: 10m, header_timeout: 10m')
    .replace('trial_lifetime: 500ms', 'trial_lifetime: 2s');
  const agent = agentOf(config, { clock: fastClock(SPEED) });
  t.after(async () => {
    await agent.stop();
    await Promise.all([fleet.close(), sink.close()]);
  });
  await agent.start();
  await fleet.waitFor(() => bmc.openStreams === 1);
  for (let round = 1; round <= 16; round++) {
    const before = bmc.streamRequests;
    await writeEndpointsFile(file, fleet, { bmcs: [bmc], fields: () => ({ labels: { round: String(round) } }) });
    while (bmc.streamRequests === before) {
      const taken = sink.records.length;
      bmc.append();
      await sink.waitFor(() => sink.records.length > taken);
    }
    await fleet.waitFor(() => bmc.openStreams === 1);
  }
  const verdict = () =>
    fleet.truth.compare(sink.records.map(({ body, resource }) => ({ body, endpoint: resource['redfish.endpoint'] })));
  await sink.waitFor(() => verdict().lost.length === 0);
  const reads = agent.lines.length;
  await agent.line(() => agent.lines.slice(reads).filter(({ msg }) => msg === 'logs read').length >= 4);
  assert.deepEqual(
    verdict().doubled.map(({ number }) => number),
    [],
  );
});
