import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Connect, openConnection } from '../../../receivers/attestation/probe/connection.ts';
import { settle } from '../../../src/testing/fake-clock.ts';
import { type AttestedFleet, startAttestedFleet } from '../../simulators/attested-fleet/fleet.ts';
import { collapsing, leastConnections, roundRobin, starve, uniform } from '../../simulators/attested-fleet/policies.ts';
import { attestedScene, REFRESH_MS } from '../../support/attested-scene.ts';

const ENUMERATED = { models: [{ strategy: 'index_sni' }] };
const HOUR_MS = 3_600_000;

test('an enumeration is complete after one cycle of as many probes as there are backends', async (t) => {
  const scene = await attestedScene(t, ENUMERATED);
  const cycle = await scene.cycle();
  assert.equal(cycle.calls, 5);
  assert.equal(cycle.total_pinned, 5);
  assert.equal(cycle['attestation.coverage'], 'complete');
  assert.equal(cycle.event, 'attestation.discovery.initial');
  assert.deepEqual([...(await scene.pins())].sort(), [...scene.fleet.truth().keys()].sort());
  await scene.pass(0);
  const snapshot = scene.host.scheduler('scheduler').snapshot();
  const { facts } = snapshot.target(snapshot.indexOf('attestation::glm'));
  assert.deepEqual(facts, { pinned: 5, declared: 5, coverage: 'complete' });
});

test('a sample stops when it has seen as many backends as are declared', async (t) => {
  const scene = await attestedScene(t, {
    models: [{ declared: 5 }],
    config: { per_host_concurrency: 1 },
  });
  const cycle = await scene.cycle();
  assert.equal(cycle.calls, 5);
  assert.equal(cycle.total_pinned, 5);
  assert.equal(cycle['attestation.coverage'], 'complete');
});

test('a balancer that sends every call to the same backend is told in the first cycle', async (t) => {
  const scene = await attestedScene(t, {
    fleet: { policy: leastConnections() },
    models: [{ declared: 5 }],
    config: { per_host_concurrency: 1 },
  });
  const cycle = await scene.cycle();
  assert.equal(cycle.calls, 20);
  assert.equal(cycle.total_pinned, 1);
  assert.equal(cycle['attestation.balance'], 'collapsed');
  assert.equal(cycle['attestation.coverage'], 'incomplete');
  await scene.until(() => scene.events('attestation.pool.stalled').length === 1);
  assert.equal(scene.events('attestation.pool.stalled')[0]!.cause, 'collapsed');
  const { explain } = await scene.view();
  assert.equal(
    explain,
    '1 of 5 declared backends pinned. The last 20 probes reached only 1 of them (effective size 1.0): the balancer collapses. Use index_sni or addresses.',
  );
});

test('one backend that nobody contradicts is never called complete', async (t) => {
  const scene = await attestedScene(t, { fleet: { policy: leastConnections() }, config: { per_host_concurrency: 1 } });
  for (const cycle of [await scene.cycle(), await scene.next(), await scene.next(), await scene.next()])
    assert.equal(cycle['attestation.coverage'], 'unknown');
});

test('a backend that was killed and one that was renewed', async (t) => {
  const scene = await attestedScene(t, ENUMERATED);
  await scene.cycle();
  const [killed, renewed] = scene.fleet.backends.map(({ fingerprint }) => fingerprint);
  scene.fleet.kill(0);
  await scene.fleet.rotate(1);
  const first = await scene.next();
  assert.equal(first.new_fingerprints, 1);
  assert.deepEqual(first['attestation.coverage_blockers'], ['declared_shrank']);
  assert.equal((await scene.pins()).length, 6);
  const second = await scene.next();
  assert.equal(second['attestation.coverage'], 'complete');
  const pins = await scene.pins();
  assert.deepEqual([...pins].sort(), [...scene.fleet.truth().keys()].sort());
  assert.ok(!pins.includes(killed!) && !pins.includes(renewed!));
  await scene.until(() => scene.events('attestation.backend.evicted').length === 2);
  for (const { reason } of scene.events('attestation.backend.evicted')) assert.equal(reason, 'not_in_complete_set');
});

test('a renewed key alone takes one enumeration', async (t) => {
  const scene = await attestedScene(t, ENUMERATED);
  await scene.cycle();
  await scene.fleet.rotate(1);
  const cycle = await scene.next();
  assert.equal(cycle.event, 'attestation.discovery.expanded');
  assert.equal(cycle['attestation.evicted_count'], 1);
  assert.deepEqual([...(await scene.pins())].sort(), [...scene.fleet.truth().keys()].sort());
});

test('a sample lets a key go that it has not met for its time to live, and never serves nothing', async (t) => {
  const scene = await attestedScene(t, { config: { per_host_concurrency: 1 } });
  await scene.cycle();
  const old = scene.fleet.backends[1]!.fingerprint;
  await scene.fleet.rotate(1);
  let passed = 0;
  while ((await scene.pins()).includes(old)) {
    await scene.next();
    passed += REFRESH_MS;
    assert.ok((await scene.pins()).length >= 5);
  }
  assert.ok(passed <= HOUR_MS + REFRESH_MS, `${passed}`);
});

test('a backend that never proves itself does not keep the others from being renewed', async (t) => {
  const scene = await attestedScene(t, ENUMERATED);
  await scene.cycle();
  scene.fleet.fault(4, 'badSignature');
  const retired = scene.fleet.backends.slice(0, 4).map(({ fingerprint }) => fingerprint);
  for (const index of [0, 1, 2, 3]) await scene.fleet.rotate(index);
  let passed = 0;
  while ((await scene.pins()).some((pin) => retired.includes(pin))) {
    const cycle = await scene.next();
    passed += REFRESH_MS;
    assert.equal(cycle.verify_failures, 1);
  }
  assert.ok(passed <= HOUR_MS + REFRESH_MS);
  assert.equal((await scene.pins()).length, 4);
});

test('two backends that share a key are five all the same when they say who they are', async (t) => {
  const scene = await attestedScene(t, { ...ENUMERATED, fleet: { sharedKeys: [[1, 2]] } });
  const cycle = await scene.cycle();
  assert.equal(cycle['attestation.coverage'], 'complete');
  assert.equal(cycle.total_pinned, 4);
  assert.equal(cycle['attestation.declared'], 5);
  assert.equal(cycle['attestation.shared_keys'], true);
  assert.equal(await scene.metrics.value('outband.attestation.pool.pinned'), 5);
  assert.equal((await scene.view()).stall.stalled, false);
});

test('a proxy that ignores the index is told, and evicts nothing', async (t) => {
  const scene = await attestedScene(t, ENUMERATED);
  await scene.cycle();
  scene.fleet.ignoreIndex = true;
  scene.fleet.setPolicy(collapsing(2, 0));
  for (let n = 0; n < 3; n++) {
    const cycle = await scene.next();
    assert.ok(cycle['attestation.coverage_blockers'].includes('identities_below_declared'));
  }
  assert.equal((await scene.pins()).length, 5);
  assert.match((await scene.view()).explain, /shared keys \(set pins::shared_keys\), or the proxy ignores the index/);
});

test('tickets are not taken up: every probe sees a certificate', async (t) => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    await t.test(version, async (inner) => {
      const scene = await attestedScene(inner, {
        fleet: { tickets: true, tls: { minVersion: version, maxVersion: version } },
        config: {
          initial: { calls: 100, max_calls: 100, launch_stagger: '0s' },
          sampling: { adaptive: false },
          verification: { mode: 'none' },
        },
      });
      const cycle = await scene.cycle();
      assert.equal(cycle.observed_fingerprints.length, 100);
      assert.equal(scene.fleet.counters().resumed, 0);
    });
});

test('one backend that stalls costs one probe and no other result', async (t) => {
  const scene = await attestedScene(t, {
    models: [{ name: 'glm' }, { name: 'other' }],
    config: { sampling: { adaptive: false }, request: { signing_algos: ['ecdsa'] }, per_host_concurrency: 5 },
  });
  await scene.cycle();
  await scene.cycle();
  scene.fleet.fault(2, 'stallBody');
  await scene.pass(REFRESH_MS);
  await scene.fleet.waitFor(() => scene.fleet.counters().requests === 20);
  // The others come to their end.
  for (let turn = 0; turn < 300; turn++) await settle();
  scene.clock.jump(10_200);
  const cycles = [await scene.cycle(), await scene.cycle()];
  for (const cycle of cycles) {
    assert.equal(cycle.observed_fingerprints.length, 4);
    assert.deepEqual(cycle.failure_reasons, ['timeout: 10000 ms in body']);
    assert.ok(cycle['attestation.cycle.duration_ms'] <= 10_800 + 500, `${cycle['attestation.cycle.duration_ms']}`);
  }
});

for (const [declared, calls] of [
  [4, 4],
  [6, 6],
  ['error', 10],
  [404, 10],
  [0, 10],
  [10_000, 256],
] as const)
  test(`one count of backends that is wrong (${declared}) evicts nothing and is not complete`, async (t) => {
    const scene = await attestedScene(t, { ...ENUMERATED, config: { verification: { mode: 'binding' } } });
    assert.equal((await scene.cycle())['attestation.coverage'], 'complete');
    scene.fleet.setDeclared(declared);
    const wrong = await scene.next();
    assert.ok(wrong.calls <= calls, `${wrong.calls}`);
    assert.notEqual(wrong['attestation.coverage'], 'complete');
    assert.equal(wrong.total_pinned, 5);
    scene.fleet.setDeclared(undefined);
    const right = await scene.next();
    assert.equal(right['attestation.coverage'], 'complete');
    assert.equal(right.total_pinned, 5);
  });

test('one backend is asked for both keys, which are kept with its pin', async (t) => {
  const scene = await attestedScene(t, { ...ENUMERATED, fleet: { n: 1 } });
  const cycle = await scene.cycle();
  assert.equal(cycle.calls, 2);
  assert.equal(cycle.total_pinned, 1);
  const { pins } = await scene.view();
  const { identities } = scene.fleet.backends[0]!;
  assert.deepEqual(pins[0].algos, {
    ecdsa: identities.ecdsa.address,
    ed25519: identities.ed25519.address,
  });
});

test('keys of different backends stay apart', async (t) => {
  const scene = await attestedScene(t, ENUMERATED);
  await scene.cycle();
  await scene.next();
  const { pins } = await scene.view();
  for (const pin of pins) {
    const backend = scene.fleet.backends.find(({ fingerprint }) => fingerprint === pin.fingerprint)!;
    assert.equal(pin.algos.ecdsa, backend.identities.ecdsa.address);
    assert.equal(pin.algos.ed25519, backend.identities.ed25519.address);
  }
});

test('a backend that the balancer never chooses: what is seen, when it is called a stall, and when it is over', async (t) => {
  const scene = await attestedScene(t, {
    fleet: { policy: starve([4]) },
    models: [{ declared: 5 }],
    config: { sampling: { adaptive: false }, per_host_concurrency: 1 },
  });
  const first = await scene.cycle();
  assert.equal(first.total_pinned, 4);
  assert.equal(first.observed_fingerprints.length, 5);
  for (let cumulative = 1; cumulative <= 4; cumulative++) {
    const cycle = await scene.next();
    assert.equal(cycle.event, 'attestation.discovery.unchanged');
    assert.equal(cycle.observed_fingerprints.length, 5);
    assert.equal(new Set(cycle.observed_fingerprints).size, 4);
    await scene.pass(0);
    assert.equal(scene.events('attestation.pool.stalled').length, cumulative < 4 ? 0 : 1, `${cumulative}`);
  }
  assert.equal(scene.events('attestation.pool.stalled')[0]!.cause, 'unseen');
  scene.fleet.setPolicy(roundRobin());
  const healed = await scene.next();
  assert.equal(healed.total_pinned, 5);
  await scene.until(() => scene.events('attestation.pool.recovered').length === 1);
});

test('each address of a host is a backend', async (t) => {
  const scene = await attestedScene(t, {
    models: [{ strategy: 'addresses', addresses: ['127.0.0.1', '127.0.0.2'] }],
    fleet: { policy: uniform() },
  });
  const cycle = await scene.cycle();
  assert.equal(cycle['attestation.strategy'], 'addresses');
  assert.equal(cycle['attestation.declared'], 2);
  assert.equal(cycle['attestation.declared_source'], 'addresses');
  assert.equal(cycle.calls, 2);
});

test('hashes without measurements are warned about, and measurements are held', async (t) => {
  const isWarning = ({ message }: { message: string }) => message.startsWith('no measurements are listed');
  const fleet = await startAttestedFleet({ n: 1 });
  t.after(() => fleet.stop());
  const loose = await attestedScene(t, { fleet });
  assert.equal(loose.host.lines.filter(isWarning).length, 1);
  const { mrtd, ...rest } = fleet.measurements;
  const listed = Object.fromEntries(Object.entries({ mrtd, ...rest }).map(([name, value]) => [name, [value]]));
  const strict = await attestedScene(t, { fleet, config: { verification: { policy: { measurements: listed } } } });
  assert.equal(strict.host.lines.filter(isWarning).length, 0);
  assert.equal((await strict.cycle()).total_pinned, 1);
  fleet.fault('all', 'wrongMeasurement');
  const cycle = await strict.next();
  assert.match(cycle.failure_reasons[0], /^verify: measurement: (mrtd|rtmr[012])$/);
  assert.deepEqual(await strict.pins(), []);
});

test('an address that is listed in two ways is one backend', async (t) => {
  const fleet = await startAttestedFleet({ n: 1 });
  t.after(() => fleet.stop());
  const scene = await attestedScene(t, {
    ...{ fleet, models: [{ strategy: 'addresses', addresses: ['127.0.0.1', `127.0.0.1:${fleet.port}`] }] },
    config: { verification: { mode: 'binding' } },
  });
  const cycle = await scene.cycle();
  assert.deepEqual([cycle.calls, cycle['attestation.declared']], [1, 1]);
  assert.equal(cycle['attestation.coverage'], 'complete');
});

test('numbers that contradict each other stand against completeness', async (t) => {
  const blockersOf = async (fleet: AttestedFleet, model: Record<string, unknown>, onConnect = () => {}) => {
    const connect: Connect = (options) => {
      onConnect();
      return openConnection(options);
    };
    const scene = await attestedScene(t, {
      ...{ fleet, parts: { connect }, models: [model] },
      config: { verification: { mode: 'binding' } },
    });
    const blockers = (await scene.cycle())['attestation.coverage_blockers'];
    await scene.stop();
    return blockers;
  };
  const fleet = await startAttestedFleet({ n: 2 });
  t.after(() => fleet.stop());
  const index = { strategy: 'index_sni' };
  assert.deepEqual(await blockersOf(fleet, { ...index, declared: 2 }), []);
  assert.deepEqual(await blockersOf(fleet, { ...index, declared: 1 }), ['declared_disagrees']);
  const listed = { strategy: 'addresses', addresses: ['127.0.0.1'] };
  assert.deepEqual(await blockersOf(fleet, { ...listed, declared: 2 }), ['declared_disagrees']);
  assert.deepEqual(await blockersOf(fleet, index, () => fleet.setDeclared(3)), ['count_changed']);
});
