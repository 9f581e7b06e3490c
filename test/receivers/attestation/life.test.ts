import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Component } from '../../../src/component/component.ts';
import { settle } from '../../../src/testing/fake-clock.ts';
import { startAttestedFleet } from '../../simulators/attested-fleet/fleet.ts';
import { collapsing, starve } from '../../simulators/attested-fleet/policies.ts';
import { type AttestedScene, attestedScene, REFRESH_MS } from '../../support/attested-scene.ts';
import { MemoryKeyValue } from '../../support/endpoint-sources.ts';
import { jumpClock } from '../../support/jump-clock.ts';

const MADE_UP = 'ab'.repeat(32);
const CANDIDATES = '/api/monitoring/attestation/glm/candidates';
const HOUR_MS = 3_600_000;
/** Resolves when so many reports were asked for since the start. */
function asked(fleet: AttestedScene['fleet'], times: number): Promise<void> {
  return fleet.waitFor(
    () => fleet.ledger().filter(({ policy, requests }) => policy === 'index' && requests > 0).length >= times,
  );
}

const NOTHING = { start: async () => {}, shutdown: async () => {} };

const ENUMERATED = { models: [{ strategy: 'index_sni' }] };

test('a key that a client met is looked for at once, and pinned only when it is proven', async (t) => {
  const scene = await attestedScene(t, {
    fleet: { policy: starve([4]) },
    config: { sampling: { adaptive: false }, per_host_concurrency: 1, candidates: { min_interval: '1s' } },
  });
  await scene.cycle();
  const missing = scene.fleet.backends[4]!.fingerprint;
  await scene.pass(1_000);
  const answer = await scene.ask('POST', CANDIDATES, { fingerprint: missing.toUpperCase() });
  assert.equal(answer.status, 202);
  assert.equal((await scene.ask('POST', CANDIDATES, { fingerprint: missing })).status, 200);
  const missed = await scene.cycle();
  assert.equal(missed['attestation.cycle.kind'], 'targeted');
  assert.equal(missed['attestation.cycle.trigger'], 'candidate');
  assert.ok(missed['attestation.coverage_blockers'].includes('candidate_open'));
  scene.fleet.setPolicy(starve([0, 1, 2, 3]));
  const found = await scene.next();
  assert.ok(found.observed_fingerprints.includes(missing));
  assert.ok((await scene.pins()).includes(missing));
  await scene.until(() => scene.events('attestation.backend.candidate').length === 3);
  assert.deepEqual(
    scene.events('attestation.backend.candidate').map(({ result, fingerprint }) => [result, fingerprint]),
    [
      ['received', missing],
      ['not_seen', missing],
      ['pinned', missing],
    ],
  );
  assert.equal((await scene.ask('POST', CANDIDATES, { fingerprint: missing })).status, 200);
  assert.deepEqual((await scene.view()).candidates, []);
});

test('a key that somebody made up is not seen, and a complete cycle closes it', async (t) => {
  const scene = await attestedScene(t, ENUMERATED);
  await scene.cycle();
  await scene.pass(20_000);
  assert.equal((await scene.ask('POST', CANDIDATES, { fingerprint: MADE_UP })).status, 202);
  const cycle = await scene.cycle();
  assert.equal(cycle['attestation.coverage'], 'complete');
  await scene.until(() => scene.events('attestation.backend.candidate').length === 2);
  assert.equal(scene.events('attestation.backend.candidate')[1]!.result, 'not_seen');
  assert.deepEqual((await scene.view()).candidates, []);
  assert.ok(!(await scene.pins()).includes(MADE_UP));
});

test('a backend that does not prove the reported key rejects it', async (t) => {
  const scene = await attestedScene(t, ENUMERATED);
  await scene.cycle();
  await scene.fleet.rotate(3);
  scene.fleet.fault(3, 'badSignature');
  await scene.pass(20_000);
  await scene.ask('POST', CANDIDATES, { fingerprint: scene.fleet.backends[3]!.fingerprint });
  await scene.cycle();
  await scene.until(() => scene.events('attestation.backend.candidate').length === 2);
  assert.equal(scene.events('attestation.backend.candidate')[1]!.result, 'rejected');
});

test('a thousand reports in ten seconds are two cycles at most, and the list is bounded', async (t) => {
  const scene = await attestedScene(t, { ...ENUMERATED, config: { candidates: { max: 64 } } });
  await scene.cycle();
  const statuses = new Map<number, number>();
  for (let n = 0; n < 1_000; n++) {
    const fingerprint = n.toString(16).padStart(64, '0');
    const { status } = await scene.ask('POST', CANDIDATES, { fingerprint });
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if (n % 10 === 9) {
      scene.clock.jump(100);
      await settle();
    }
  }
  await scene.pass(0);
  assert.ok(scene.events('attestation.discovery.unchanged').length <= 2);
  assert.ok((statuses.get(429) ?? 0) > 0);
  assert.equal(await scene.metrics.value('outband.attestation.candidates.refused'), statuses.get(429));
});

test('what is no key is refused', async (t) => {
  const scene = await attestedScene(t, ENUMERATED);
  await scene.cycle();
  for (const body of [
    undefined,
    null,
    [],
    {},
    { fingerprint: 7 },
    { fingerprint: 'ab' },
    { fingerprint: `0x${MADE_UP}` },
  ])
    assert.equal((await scene.ask('POST', CANDIDATES, body)).status, 400);
  const unknown = await scene.ask('POST', '/api/monitoring/attestation/nobody/candidates', { fingerprint: MADE_UP });
  assert.equal(unknown.status, 404);
});

test('collateral serves until it expires, fetched once; then nothing is proven, and the pins leave by the rules', async (t) => {
  const clock = jumpClock();
  const fleet = await startAttestedFleet({ clock });
  t.after(() => fleet.stop());
  fleet.pccsControl.setExpiry(Number(clock.now() / 1_000_000n) + 2 * HOUR_MS);
  const scene = await attestedScene(t, {
    ...{ ...ENUMERATED, fleet, clock },
    config: { pins: { ttl: '15m', max_age: '1h' } },
  });
  await scene.cycle();
  assert.deepEqual(Object.values(fleet.pccsControl.requests()), [1, 1, 1, 1]);
  fleet.pccsControl.outage(true);
  for (let passed = 0; passed < 6_900_000; passed += REFRESH_MS) assert.equal((await scene.next()).verify_failures, 0);
  assert.ok((await scene.metrics.value('outband.attestation.collateral.min_ttl')) < 600);
  let cycle = await scene.next();
  while (cycle.verify_failures === 0) cycle = await scene.next();
  assert.deepEqual(new Set(cycle.failure_reasons), new Set(['verify: collateral: none that holds now']));
  assert.equal((await scene.pins()).length, 5);
  // Its breaker is open: a retry comes an interval later, and a little more.
  const later = () => scene.next(1.2 * REFRESH_MS);
  while ((await scene.pins()).length > 1) await later();
  const [last] = (await scene.view()).pins;
  assert.equal(last.overTtl, true);
  while ((await scene.pins()).length > 0) await later();
  const view = await scene.view();
  assert.equal(view.state, 'blocked');
  assert.deepEqual(
    new Set(scene.events('attestation.backend.evicted').map(({ reason }) => reason)),
    new Set(['ttl', 'max_age']),
  );
  await scene.until(() => scene.events('attestation.pool.blocked').length === 1);
  fleet.pccsControl.outage(false);
  fleet.pccsControl.setExpiry(Number(clock.now() / 1_000_000n) + HOUR_MS);
  await later();
  assert.equal((await scene.pins()).length, 5);
});

test('collateral is renewed while the old still serves', async (t) => {
  const clock = jumpClock();
  const fleet = await startAttestedFleet({ clock, n: 1 });
  t.after(() => fleet.stop());
  const expiry = () => fleet.pccsControl.setExpiry(Number(clock.now() / 1_000_000n) + HOUR_MS);
  expiry();
  const scene = await attestedScene(t, { ...ENUMERATED, fleet, clock });
  await scene.cycle();
  for (let n = 0; n < 9; n++) await scene.next();
  assert.equal(Object.values(fleet.pccsControl.requests())[0], 1);
  for (let n = 0; n < 8; n++) {
    expiry();
    assert.equal((await scene.next()).verify_failures, 0);
  }
  assert.equal(Object.values(fleet.pccsControl.requests())[0], 2);
});

test('after a restart the pins serve at once when the rules are the same, and not otherwise', async (t) => {
  const store = new MemoryKeyValue();
  const clock = jumpClock();
  const fleet = await startAttestedFleet({ clock });
  t.after(() => fleet.stop());
  const first = await attestedScene(t, { ...ENUMERATED, fleet, clock, store });
  await first.cycle();
  await first.next();
  const pins = await first.pins();
  await first.stop();
  fleet.refuse();

  const second = await attestedScene(t, { ...ENUMERATED, fleet, clock, store });
  assert.deepEqual(await second.pins(), pins);
  assert.deepEqual(
    new Set((await second.view()).pins.map((pin: { source: string }) => pin.source)),
    new Set(['restored']),
  );
  const failing = await second.cycle();
  assert.equal(failing['attestation.cycle.kind'], 'initial');
  assert.deepEqual(await second.pins(), pins);
  await second.stop();

  const other = { verification: { policy: { accept_any_workload: true, os_images: [], compose_hashes: [] } } };
  const third = await attestedScene(t, { ...ENUMERATED, fleet, clock, store, config: other });
  assert.deepEqual(await third.pins(), []);
  await third.cycle();
  for (const { reason } of third.events('attestation.backend.evicted')) assert.equal(reason, 'policy_changed');
  await third.stop();
});

test('pins that are too old, or not readable, do not come back', async (t) => {
  const store = new MemoryKeyValue();
  const clock = jumpClock();
  const fleet = await startAttestedFleet({ clock });
  t.after(() => fleet.stop());
  const first = await attestedScene(t, { ...ENUMERATED, fleet, clock, store });
  await first.cycle();
  await first.stop();
  fleet.refuse();
  clock.jump(HOUR_MS);
  const second = await attestedScene(t, { ...ENUMERATED, fleet, clock, store });
  assert.deepEqual(await second.pins(), []);
  await second.cycle();
  await second.stop();
  const [key] = [...store.values.keys()];
  for (const text of ['', '{}', '[1', '{"version":2}', store.values.get(key!)!.replace(/"seq":\d+/, '"seq":-1')]) {
    store.values.set(key!, text);
    const scene = await attestedScene(t, { ...ENUMERATED, fleet, clock, store });
    assert.deepEqual(await scene.pins(), []);
    assert.equal(
      scene.host.lines.filter(({ message }) => message.startsWith('stored pins are not readable')).length,
      1,
    );
    await scene.cycle();
    await scene.stop();
  }
});

test('a stall is told once over a restart, and again when nobody took the first', async (t) => {
  const store = new MemoryKeyValue();
  const clock = jumpClock();
  const fleet = await startAttestedFleet({ clock, policy: collapsing(1, 0) });
  t.after(() => fleet.stop());
  let isRefusing = true;
  const options = {
    ...{ fleet, clock, store, models: [{ declared: 5 }] },
    onBatch: () => {
      if (isRefusing) throw new Error('down');
    },
  };
  const told = (lines: readonly { message: string }[]) =>
    lines.filter(({ message }) => message === 'Backend discovery stalled').length;
  const first = await attestedScene(t, options);
  while (told(first.host.lines) === 0) await settle();
  await first.stop();
  isRefusing = false;
  const second = await attestedScene(t, options);
  await second.until(() => second.events('attestation.pool.stalled').length === 1);
  await second.pass(0);
  await second.stop();
  const third = await attestedScene(t, options);
  await third.cycle();
  await third.next();
  await third.pass(0);
  assert.equal(third.events('attestation.pool.stalled').length, 0);
  assert.equal((await third.view()).stall.stalled, true);
});

test('after a long halt there is one cycle, and the ones that did not happen are told once', async (t) => {
  const scene = await attestedScene(t, ENUMERATED);
  await scene.cycle();
  await scene.next();
  const cycle = await scene.next(17 * 60_000);
  assert.equal(cycle.event, 'attestation.discovery.unchanged');
  await scene.pass(0);
  assert.equal(scene.events('attestation.discovery.unchanged').length, 2);
  const [skipped, ...more] = scene.events('attestation.cycle.skipped');
  assert.equal(skipped!.reason, 'overlap');
  assert.deepEqual(more, []);
});

test('a pool from which nothing may be served is tried at least once a minute, also when its breaker is open', async (t) => {
  const scene = await attestedScene(t, ENUMERATED);
  await scene.cycle();
  scene.fleet.fault('all', 'debugBit');
  await scene.next();
  assert.equal((await scene.view()).state, 'blocked');
  for (let minute = 0; minute < 12; minute++) {
    const before = scene.records.length;
    for (let second = 0; second < 75 && scene.records.length === before; second++) {
      await scene.pass(1_000);
      for (let turn = 0; turn < 20; turn++) await settle();
    }
    await scene.cycle();
  }
  assert.ok(
    scene.events('attestation.cycle.skipped').every(({ reason }) => reason === 'breaker_open' || reason === 'overlap'),
  );
  assert.equal(scene.events('attestation.pool.blocked').length, 1);
});

test('a stop in the middle of a cycle cuts its probes, writes its record and leaves nothing open', async (t) => {
  const scene = await attestedScene(t, ENUMERATED);
  await scene.cycle();
  scene.fleet.fault('all', 'stallBody');
  await scene.pass(REFRESH_MS);
  await asked(scene.fleet, 10);
  const began = performance.now();
  await scene.stop();
  assert.ok(performance.now() - began < 2_000);
  const last = scene.records.filter(({ eventName }) => eventName?.startsWith('attestation.discovery.')).at(-1)!;
  assert.equal(last.attributes['attestation.cancelled_calls'], 5);
  assert.equal(last.attributes.calls, 5);
});

test('a cycle that takes too long is cut, and what it has seen counts', async (t) => {
  const scene = await attestedScene(t, {
    ...ENUMERATED,
    config: { cycle_timeout: '5s', call_timeout: '10s', verification: { mode: 'binding' } },
  });
  await scene.cycle();
  scene.fleet.fault(1, 'stallBody');
  await scene.pass(REFRESH_MS);
  await asked(scene.fleet, 10);
  for (let turn = 0; turn < 300; turn++) await settle();
  scene.clock.jump(5_000);
  const cycle = await scene.cycle();
  assert.equal(cycle.observed_fingerprints.length, 4);
  assert.equal(cycle['attestation.cancelled_calls'], 1);
  assert.equal(cycle.failed_calls, 0);
});

test('a key that a client met just now is no stall of long ago', async (t) => {
  const scene = await attestedScene(t, { config: { per_host_concurrency: 1 } });
  await scene.cycle();
  for (let n = 0; n < 6; n++) await scene.next();
  await scene.pass(20_000);
  await scene.ask('POST', CANDIDATES, { fingerprint: MADE_UP });
  const cycle = await scene.cycle();
  assert.ok(cycle['attestation.coverage_blockers'].includes('candidate_open'));
  await scene.pass(0);
  assert.deepEqual(scene.events('attestation.pool.stalled'), []);
});

test('no cycle is told as skipped while none is, whatever the share of jitter', async (t) => {
  const scene = await attestedScene(t, {
    ...ENUMERATED,
    config: { jitter: 0.123_456, verification: { mode: 'binding' } },
  });
  await scene.cycle();
  for (let n = 0; n < 5; n++) await scene.next();
  await scene.pass(0);
  assert.deepEqual(scene.events('attestation.cycle.skipped'), []);
});

test('a service of collateral that is away is told once, with its reason and without its address', async (t) => {
  const fleet = await startAttestedFleet({ n: 2 });
  t.after(() => fleet.stop());
  fleet.pccsControl.outage(true);
  const scene = await attestedScene(t, { ...ENUMERATED, fleet });
  await scene.cycle();
  await scene.next(90_000);
  const told = scene.host.lines.filter(({ message }) => message.startsWith('collateral is not to be had'));
  assert.deepEqual(
    told.map(({ fields }) => fields),
    [{ why: 'a document was answered with status 503' }],
  );
});

test('a stop in the first cycle says nothing about the pool', async (t) => {
  const scene = await attestedScene(t, { ...ENUMERATED, config: { stall: { cycles: 1 } } });
  scene.fleet.fault('all', 'stallBody');
  await asked(scene.fleet, 5);
  await scene.stop();
  const [cycle] = scene.events('attestation.discovery.initial');
  assert.equal(cycle!['attestation.cancelled_calls'], 5);
  assert.equal(cycle!['attestation.pool.state'], 'bootstrap');
  assert.deepEqual(scene.events('attestation.pool.blocked'), []);
  assert.deepEqual(scene.events('attestation.pool.stalled'), []);
});

test('an account that never comes holds neither a cycle nor a stop', async (t) => {
  const scene = await attestedScene(t, {
    ...ENUMERATED,
    config: { request: { auth: { authenticator: 'mute' } }, cycle_timeout: '5s', call_timeout: '10s' },
    extension: { ...NOTHING, authorization: () => new Promise(() => {}) } as Component,
  });
  await scene.fleet.waitFor(() => scene.fleet.counters().counts > 0);
  for (let turn = 0; turn < 100; turn++) await settle();
  scene.clock.jump(5_000);
  assert.equal((await scene.cycle())['attestation.cancelled_calls'], 5);
});

test('a candidate is forgotten in time, and a stall that it made is over', async (t) => {
  const scene = await attestedScene(t, { config: { per_host_concurrency: 1, candidates: { ttl: '20m' } } });
  await scene.cycle();
  await scene.pass(20_000);
  await scene.ask('POST', CANDIDATES, { fingerprint: MADE_UP });
  let cycle = await scene.cycle();
  for (let n = 0; n < 3; n++) {
    assert.ok(cycle['attestation.coverage_blockers'].includes('candidate_open'));
    cycle = await scene.next();
  }
  assert.equal(await scene.metrics.value('outband.attestation.pool.candidates'), 1);
  cycle = await scene.next();
  cycle = await scene.next();
  assert.deepEqual(cycle['attestation.coverage_blockers'], []);
  assert.deepEqual((await scene.view()).candidates, []);
  assert.equal(await scene.metrics.value('outband.attestation.pool.candidates'), 0);
});

test('draws of before a restart count after it', async (t) => {
  const store = new MemoryKeyValue();
  const clock = jumpClock();
  const fleet = await startAttestedFleet({ clock });
  t.after(() => fleet.stop());
  const options = { fleet, clock, store, config: { sampling: { adaptive: false }, per_host_concurrency: 1 } };
  const first = await attestedScene(t, options);
  assert.equal((await first.cycle())['attestation.balance'], 'unknown', 'five draws say nothing');
  await first.stop();
  const second = await attestedScene(t, options);
  const cycle = await second.cycle();
  assert.equal(cycle['attestation.balance'], 'balanced');
  assert.equal(cycle['attestation.unseen_mass_upper'], Number((1 - 0.05 ** (1 / 5)).toPrecision(6)));
});
