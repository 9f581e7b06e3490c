import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Connect, openConnection } from '../../../receivers/attestation/probe/connection.ts';
import { settle } from '../../../src/testing/fake-clock.ts';
import { startAttestedFleet } from '../../simulators/attested-fleet/fleet.ts';
import { attestedScene, REFRESH_MS } from '../../support/attested-scene.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const BINDING = { verification: { mode: 'binding' } };

/** Counts what is open at once. */
function countOpen() {
  const seen = { open: 0, most: 0 };
  const connect: Connect = async (options) => {
    seen.most = Math.max(seen.most, ++seen.open);
    const leave = () => void seen.open--;
    try {
      const connection = await openConnection(options);
      connection.socket.once('close', leave);
      return connection;
    } catch (error) {
      leave();
      throw error;
    }
  };
  return { seen, connect };
}

test('probes of a round start one after the other', async (t) => {
  const scene = await attestedScene(t, {
    config: { ...BINDING, initial: { calls: 5, max_calls: 5, launch_stagger: '60ms' } },
  });
  await scene.cycle();
  const starts = scene.fleet.ledger().map(({ t: at }) => at);
  assert.equal(starts.length, 5);
  for (const [k, at] of starts.entries()) assert.ok(at - starts[0]! >= 60 * k - 15, `${starts}`);
});

for (const [name, config, most] of [
  ['a host', { per_host_concurrency: 3 }, 3],
  ['everything', { per_host_concurrency: 64, max_inflight_probes: 4 }, 4],
] as const)
  test(`no more probes are open at once than there may be over ${name}`, async (t) => {
    const fleet = await startAttestedFleet({ n: 4, evidenceMs: 5 });
    t.after(() => fleet.stop());
    const { seen, connect } = countOpen();
    const scene = await attestedScene(t, {
      // Two pools behind one name share what there is of it.
      ...{ fleet, parts: { connect }, models: [{}, { model: 'other', url: fleet.url('glm') }] },
      config: { ...BINDING, initial: { calls: 12, max_calls: 12, launch_stagger: '0s' }, ...config },
    });
    await scene.cycle();
    await scene.cycle();
    assert.equal(seen.most, most);
  });

test('a pool that finds no slot waits without a socket, is put off, and is told once', async (t) => {
  const scene = await attestedScene(t, {
    models: [{ name: 'z' }, { name: 'b' }, { name: 'a' }],
    config: {
      ...BINDING,
      ...{ refresh_interval: '20s', call_timeout: '20s', idle_timeout: '20s' },
      initial: { calls: 1, max_calls: 1, model_concurrency: 1, launch_stagger: '0s' },
      cumulative: { model_stagger: '0s', launch_stagger: '0s' },
    },
  });
  scene.fleet.fault('all', 'stallBody');
  const skips = () => scene.events('attestation.cycle.skipped').filter(({ reason }) => reason === 'no_capacity');
  await scene.fleet.waitFor(() => scene.fleet.counters().requests === 1);
  for (let turn = 0; turn < 100; turn++) await settle();
  assert.equal(scene.fleet.ledger().length, 1, 'those that wait hold no socket');
  scene.clock.jump(20_000);
  const first = await scene.cycle();
  assert.equal(first['attestation.cycle.kind'], 'initial');
  await scene.until(() => skips().length === 2);
  const [record] = scene.records.filter(({ eventName }) => eventName?.startsWith('attestation.discovery.'));
  assert.equal(record!.resource.attributes['attestation.pool'], 'z', 'pools start in the order of the list');
  assert.equal(scene.fleet.ledger().length, 1);
  const snapshot = scene.host.scheduler('scheduler').snapshot();
  assert.equal(snapshot.target(snapshot.indexOf('attestation::a')).consecutiveFailures, 0);
  for (let round = 0; round < 4; round++) {
    for (let turn = 0; turn < 200; turn++) await settle();
    scene.clock.jump(20_000);
  }
  for (let turn = 0; turn < 200; turn++) await settle();
  let put = 0;
  for (const pool of ['a', 'b', 'z']) {
    const kinds = scene.records
      .filter(({ resource }) => resource.attributes['attestation.pool'] === pool)
      .map(({ attributes, eventName }) => (attributes.reason === 'no_capacity' ? 'skip' : eventName))
      .filter((kind) => kind === 'skip' || kind?.startsWith('attestation.discovery.'));
    assert.doesNotMatch(kinds.join(' '), /skip skip/, pool);
    put += await scene.metrics.value('outband.attestation.discovery.cycles', { pool, result: 'skipped' });
  }
  assert.ok(put > skips().length, `${put} were put off, ${skips().length} told`);
});

test('pools are due one stagger apart in the order of their names, all off the grid by one share of jitter', async (t) => {
  const scene = await attestedScene(t, {
    models: [
      { name: 'c', strategy: 'index_sni' },
      { name: 'a', strategy: 'index_sni' },
      { name: 'b', strategy: 'index_sni' },
    ],
    config: { ...BINDING, jitter: 0.1, cumulative: { launch_stagger: '0s', model_stagger: '2s' } },
  });
  for (let n = 0; n < 3; n++) await scene.cycle();
  await scene.pass(0);
  const snapshot = scene.host.scheduler('scheduler').snapshot();
  const due = ['a', 'b', 'c'].map(
    (name) => snapshot.target(snapshot.indexOf(`attestation::${name}`)).nextRun! % REFRESH_MS,
  );
  // Half of a tenth: the random number of the test is 0.5.
  assert.deepEqual(due.map(Math.round), [15_000, 17_000, 19_000]);
});

test('an authority that can no longer be read is no fault of the peer, and nothing heals it but a person', async (t) => {
  const folder = await temporaryDirectory(t);
  const file = join(folder, 'ca.pem');
  const fleet = await startAttestedFleet({ n: 1 });
  t.after(() => fleet.stop());
  await writeFile(file, fleet.tlsCa);
  const scene = await attestedScene(t, { fleet, config: { ...BINDING, tls: { ca_file: file } } });
  await scene.cycle();
  const asked = fleet.ledger().length;
  const broken = '-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n';
  for (const spoil of [() => writeFile(file, broken), () => rm(file)]) {
    await spoil();
    const cycle = await scene.next(1.2 * REFRESH_MS);
    assert.deepEqual(new Set(cycle.failure_reasons), new Set(['client_build: tls client could not be built']));
    await scene.pass(0);
    const snapshot = scene.host.scheduler('scheduler').snapshot();
    assert.equal(snapshot.target(snapshot.indexOf('attestation::glm')).parked, 'permanent_failure');
  }
  assert.equal(fleet.ledger().length, asked);
  await writeFile(file, fleet.tlsCa);
  assert.ok((await scene.next(1.2 * REFRESH_MS)).successful_calls > 0);
});

test('several algorithms are turned from cycle to cycle, so each index is asked for each', async (t) => {
  const scene = await attestedScene(t, {
    ...{ fleet: { n: 2 }, models: [{ strategy: 'index_sni' }] },
    config: { ...BINDING, records: { probes: true } },
  });
  await scene.cycle();
  await scene.next();
  await scene.until(() => scene.events('attestation.probe').length === 4);
  assert.deepEqual(
    scene.events('attestation.probe').map((probe) => [probe['via.index'], probe.algo]),
    [
      [0, 'ecdsa'],
      [1, 'ed25519'],
      [0, 'ed25519'],
      [1, 'ecdsa'],
    ],
  );
});

test('a sample goes on in rounds until its bound is met, and no further', async (t) => {
  const calls = async (config: Record<string, unknown>, fault = false, declared?: number) => {
    const fleet = await startAttestedFleet({ n: 3 });
    t.after(() => fleet.stop());
    if (fault) fleet.fault('all', { status: 500 });
    const scene = await attestedScene(t, {
      ...{ fleet, models: [{ declared }] },
      config: { ...BINDING, per_host_concurrency: 1, initial: { launch_stagger: '0s' }, ...config },
    });
    return (await scene.cycle()).calls;
  };
  assert.equal(await calls({}), 20, 'at most max_calls');
  assert.equal(await calls({ sampling: { adaptive: false } }), 5, 'one round');
  assert.equal(await calls({}, false, 3), 5, 'all that are declared');
  assert.equal(await calls({}, true), 5, 'a round without success is the last');
  // After three new keys: 1 - 0.05^(1/n) <= 0.3 from 9 draws in vain on, which are there after three rounds.
  assert.equal(await calls({ sampling: { unseen_mass: 0.3 } }), 15, 'little is left to expect');
});
