import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import attestation from '../../../receivers/attestation/index.ts';
import { settle } from '../../../src/testing/fake-clock.ts';
import { startAttestedFleet } from '../../simulators/attested-fleet/fleet.ts';
import { attestedScene, type Cycle, REFRESH_MS } from '../../support/attested-scene.ts';
import { MemoryKeyValue } from '../../support/endpoint-sources.ts';
import { jumpClock } from '../../support/jump-clock.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const { RUNS = 100, SEED = Date.now() % 1_000_000 } = process.env;
const HOUR_MS = 3_600_000;
const BINDING = { verification: { mode: 'binding' } };

test('an hour of eleven pools: one line per pool and cycle, no other at INFO, each within its size', async (t) => {
  const models = Array.from({ length: 11 }, () => ({ strategy: 'index_sni' }));
  const scene = await attestedScene(t, { models, fleet: { n: 2 }, config: BINDING });
  const isInfo = ({ level }: { level: string }) => level === 'info';
  await scene.until(() => scene.events('attestation.discovery.initial').length === 11);
  const before = scene.host.lines.filter(isInfo).length;
  for (let passed = 0; passed < HOUR_MS; passed += 10_000) {
    await scene.pass(10_000);
    for (let turn = 0; turn < 3; turn++) await settle();
  }
  await scene.pass(0);
  const cycles = scene.events('attestation.discovery.unchanged');
  assert.ok(cycles.length >= 11 * 11 && cycles.length <= 11 * 13, `${cycles.length}`);
  assert.equal(scene.host.lines.filter(isInfo).length - before, cycles.length);
  for (const cycle of cycles) {
    const size = JSON.stringify(cycle).length;
    assert.ok(size <= 4_096 + 192 * Number(cycle.calls), `${size}`);
  }
  assert.equal(new Set(cycles.map((cycle) => cycle['log.record.uid'])).size, cycles.length);
});

test('whatever faults there are, each cycle writes one record whose numbers agree', async (t) => {
  const fleet = await startAttestedFleet({ n: 3 });
  t.after(() => fleet.stop());
  const scene = await attestedScene(t, {
    fleet,
    config: {
      initial: { calls: 3, max_calls: 3, launch_stagger: '0s' },
      cumulative: { calls: 3, max_calls: 3, launch_stagger: '0s' },
      ...BINDING,
    },
  });
  await scene.cycle();
  const fault = fc.constantFrom(
    ...([
      'handshakeAlert',
      'wrongName',
      'resetBeforeHead',
      'finBeforeHead',
      'notHttp',
      'html',
      'truncated',
      'array',
    ] as const),
    ...(['wrongNonce', 'replay', 'padded', 'wrongFingerprint', 'wrongBinding', 'quoteV5', 'debugBit'] as const),
    ...([{ status: 500 }, { status: 401 }, { dropField: 'intel_quote' }] as const),
  );
  const plan = fc.array(fc.tuple(fc.nat(2), fault, fc.double({ min: 0.1, max: 1, noNaN: true })), { maxLength: 5 });
  const plans = fc.sample(plan, { numRuns: Number(RUNS), seed: Number(SEED) });
  t.diagnostic(`SEED=${SEED}`);
  let cycles = 0;
  for (const faults of plans) {
    fleet.clearFaults();
    for (const [backend, one, probability] of faults) fleet.fault(backend, one, { probability });
    // With an open breaker a retry comes an interval later, and a little more.
    const cycle = await scene.next(1.2 * REFRESH_MS);
    cycles++;
    assertSums(cycle, JSON.stringify(faults));
  }
  assert.equal(
    scene.records.filter(({ eventName }) => eventName?.startsWith('attestation.discovery.')).length,
    cycles + 1,
  );
});

function assertSums(cycle: Cycle, plan: string): void {
  const { calls, successful_calls, failed_calls, verify_failures } = cycle;
  const [unbound, cancelled] = [cycle['attestation.unbound_calls'], cycle['attestation.cancelled_calls']];
  const ok = successful_calls - verify_failures;
  assert.equal(calls, ok + failed_calls + verify_failures + unbound + cancelled, plan);
  assert.equal(cycle.observed_fingerprints.length, ok, plan);
  assert.equal(cycle.observed_attempts.length, ok, plan);
  for (const list of ['failure_reasons', 'failure_attempts', 'failure_stages'])
    assert.equal(cycle[list].length, failed_calls + verify_failures, plan);
  const attempts = [...cycle.observed_attempts, ...cycle.failure_attempts, ...cycle.unbound_attempts];
  assert.equal(new Set(attempts).size, calls - cancelled, plan);
  assert.ok(
    attempts.every((attempt) => attempt >= 0 && attempt < calls),
    plan,
  );
}

test('without verification everything is seen and nothing is served', async (t) => {
  const scene = await attestedScene(t, { config: { verification: { mode: 'none' }, per_host_concurrency: 1 } });
  const cycle = await scene.cycle();
  assert.equal(cycle.total_pinned, 5);
  assert.equal(cycle['tee.verification.outcome'], 'unverified');
  assert.equal('tee.report_data.bound_to_tls' in cycle, false);
  const answer = await scene.ask('GET', '/api/monitoring/attestation/glm/pins');
  assert.equal(answer.status, 409);
  assert.equal((answer.body as { code: string }).code, 'unverified_pool');
});

test('keys that only a report names are served when somebody says so', async (t) => {
  for (const [serve_binding, status] of [
    [false, 409],
    [true, 200],
  ] as const)
    await t.test(String(serve_binding), async (inner) => {
      const scene = await attestedScene(inner, { config: { ...BINDING, pins: { serve_binding } } });
      await scene.cycle();
      assert.equal((await scene.ask('GET', '/api/monitoring/attestation/glm/pins')).status, status);
    });
});

test('probes of the pipeline: one record each, when asked for', async (t) => {
  const scene = await attestedScene(t, { models: [{ strategy: 'index_sni' }], config: { records: { probes: true } } });
  await scene.cycle();
  await scene.until(() => scene.events('attestation.probe').length === 5);
  const [probe] = scene.events('attestation.probe');
  assert.equal(probe!.outcome, 'ok');
  assert.equal(probe!['via.kind'], 'index');
  assert.equal(typeof probe!['elapsed_ms.total'], 'number');
});

test('a request that no right can mend parks the pool; the scheduler says why', async (t) => {
  const scene = await attestedScene(t, { fleet: { n: 1 }, models: [{ strategy: 'index_sni' }] });
  scene.fleet.fault('all', { status: 403 });
  await scene.cycle();
  await scene.pass(0);
  const snapshot = scene.host.scheduler('scheduler').snapshot();
  const target = snapshot.target(snapshot.indexOf('attestation::glm'));
  assert.equal(target.lastError?.code, 'config_invalid');
  assert.equal(target.parked, 'permanent_failure');
  assert.equal(target.lastError?.message, 'no probe of 2 proved a backend (status:403: Forbidden)');
});

test('no cycle waits for a pipeline that takes nothing, and what waits arrives in order', async (t) => {
  let isDown = true;
  const scene = await attestedScene(t, {
    ...{ config: BINDING, models: [{ strategy: 'index_sni' }] },
    onBatch: () => {
      if (isDown) throw new Error('down');
    },
  });
  const done = () => scene.host.lines.filter(({ message }) => message.includes('iscovery c')).length;
  for (let cycles = 1; cycles <= 4; cycles++) {
    while (done() < cycles) await settle();
    await scene.pass(REFRESH_MS);
  }
  isDown = false;
  scene.clock.jump(60_000);
  const waiting = [await scene.cycle(), await scene.cycle(), await scene.cycle(), await scene.cycle()];
  assert.deepEqual(
    waiting.map((cycle) => cycle['attestation.cycle.seq']),
    [0, 1, 2, 3],
  );
  assert.ok((await scene.metrics.value('otelcol_receiver_failed_log_records', { transport: 'probe' })) > 0);
  assert.equal(await scene.metrics.value('otelcol_receiver_accepted_log_records'), scene.records.length);
});

test('models of a service: kept while it is away, believed when it changes, asked with the tag of before', async (t) => {
  const fleet = await startAttestedFleet({ n: 1 });
  const listed = (...labels: string[]) => ({ data: { models: labels.map((id) => ({ id, endpoint: fleet.url(id) })) } });
  let body: unknown = listed('glm');
  let status = 200;
  const tags: unknown[] = [];
  const server = createServer((request, response) => {
    tags.push(request.headers['if-none-match']);
    const tag = `"${JSON.stringify(body).length}"`;
    if (status === 200 && request.headers['if-none-match'] === tag) return void response.writeHead(304).end();
    response.writeHead(status, { etag: tag }).end(typeof body === 'string' ? body : JSON.stringify(body));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    await fleet.stop();
    server.close();
    server.closeAllConnections();
  });
  const store = new MemoryKeyValue();
  const scene = await attestedScene(t, {
    ...{ fleet, store, models: [] },
    config: {
      ...BINDING,
      sources: [
        {
          http: {
            ...{ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, items: 'data.models' },
            ...{ model: 'id', url_field: 'endpoint' },
          },
        },
      ],
    },
  });
  const pools = async () => {
    const { body: page } = await scene.ask('GET', '/api/monitoring/attestation');
    return (page as { pools: { model: string }[] }).pools.map(({ model }) => model);
  };
  const read = async () => {
    const before = tags.length;
    await scene.pass(REFRESH_MS);
    while (tags.length === before) await settle();
    for (let turn = 0; turn < 50; turn++) await settle();
  };
  await scene.cycle();
  assert.deepEqual(await pools(), ['glm']);
  await read();
  assert.match(String(tags.at(-1)), /^"\d+"$/);
  body = listed('glm', 'other');
  await read();
  assert.deepEqual(await pools(), ['glm', 'other']);
  assert.deepEqual(
    scene
      .events('attestation.source.loaded')
      .map(({ total, added, removed }) => [total, added, removed])
      .at(-1),
    [2, 1, 0],
  );
  for (const wrong of [
    { data: {} },
    'no JSON',
    { data: { models: [{ id: 'a', endpoint: 'http://plain.example.org' }] } },
    listed(),
  ]) {
    body = wrong;
    await read();
    assert.deepEqual(await pools(), ['glm', 'other'], JSON.stringify(wrong));
  }
  status = 500;
  await read();
  assert.deepEqual(await pools(), ['glm', 'other']);
  assert.equal(scene.events('attestation.source.failed').length, 1, 'a failure is told once');
  status = 200;
  body = listed('other');
  assert.equal(store.values.size, 2);
  await read();
  assert.deepEqual(await pools(), ['other']);
  assert.equal(store.values.size, 1);
  assert.ok(scene.events('attestation.backend.evicted').every(({ reason }) => reason === 'pool_removed'));
});

test('models of a file, an empty one that is to be believed, names that are taken, and more than there may be', async (t) => {
  const folder = await temporaryDirectory(t);
  const file = join(folder, 'models.yaml');
  const entry = (model: string, host: string, name = model) =>
    `- { model: ${model}, name: ${name}, url: "https://${host}.fleet.localhost:1" }\n`;
  await writeFile(file, entry('a', 'a') + entry('b', 'b') + entry('c', 'c', 'a') + entry('d', 'd'));
  const scene = await attestedScene(t, {
    fleet: { n: 1 },
    config: { ...BINDING, max_pools: 3, sources: [{ file, allow_empty: true }] },
  });
  for (let n = 0; n < 3; n++) await scene.cycle();
  const names = async () => {
    const { body: page } = await scene.ask('GET', '/api/monitoring/attestation');
    return (page as { pools: { pool: string }[] }).pools.map(({ pool }) => pool);
  };
  assert.deepEqual(await names(), ['a', 'b', 'd']);
  assert.equal(await scene.metrics.value('outband.attestation.pools.skipped'), 2);
  await writeFile(file, '[]');
  const loaded = scene.events('attestation.source.loaded').length;
  await scene.pass(REFRESH_MS);
  await scene.until(() => scene.events('attestation.source.loaded').length > loaded);
  for (let turn = 0; turn < 50; turn++) await settle();
  assert.deepEqual(await names(), ['glm']);
});

test('what changes about one pool disturbs no other, and keeps its pins', async (t) => {
  const folder = await temporaryDirectory(t);
  const file = join(folder, 'models.json');
  const fleet = await startAttestedFleet({ n: 2 });
  t.after(() => fleet.stop());
  const one = (name: string, more = {}) => ({
    model: name,
    name,
    url: fleet.url(name),
    strategy: 'index_sni',
    ...more,
  });
  await writeFile(file, JSON.stringify([one('a'), one('b')]));
  const store = new MemoryKeyValue();
  const scene = await attestedScene(t, {
    ...{ fleet, store, models: [] },
    config: { ...BINDING, sources: [{ file }], pins: { serve_binding: true } },
  });
  await scene.cycle();
  await scene.cycle();
  await scene.pass(0);
  await writeFile(file, JSON.stringify([one('a', { declared: 2 }), one('b')]));
  const before = scene.events('attestation.source.loaded').length;
  await scene.pass(REFRESH_MS);
  await scene.until(() => scene.events('attestation.source.loaded').length > before);
  const later = [await scene.cycle(), await scene.cycle(), await scene.cycle()].slice(-3);
  assert.ok(later.every((cycle) => cycle.total_pinned === 2));
  const { body: page } = await scene.ask('GET', '/api/monitoring/attestation/a/pins');
  assert.equal((page as { pins: string[] }).pins.length, 2);
  assert.deepEqual(scene.events('attestation.backend.evicted'), []);
});

test('a source that is away at a start costs no pool its pins', async (t) => {
  const fleet = await startAttestedFleet({ n: 2 });
  let status = 200;
  let requests = 0;
  const server = createServer((_, response) => {
    requests++;
    response.writeHead(status).end(JSON.stringify([{ model: 'glm', url: fleet.url('glm') }]));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    await fleet.stop();
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const store = new MemoryKeyValue();
  const options = {
    ...{ fleet, store, models: [] },
    config: { ...BINDING, strategy: 'index_sni', sources: [{ http: { url } }] },
  };
  const first = await attestedScene(t, options);
  assert.equal((await first.cycle()).total_pinned, 2);
  await first.stop();
  status = 500;
  const second = await attestedScene(t, options);
  await second.until(() => second.events('attestation.source.failed').length === 1);
  await second.pass(0);
  assert.equal(store.values.size, 1);
  status = 200;
  const before = requests;
  await second.pass(REFRESH_MS);
  while (requests === before) await settle();
  assert.equal((await second.cycle()).new_fingerprints, 0);
});

test('what is told of sources says what was skipped, and no record passes for another', async (t) => {
  const folder = await temporaryDirectory(t);
  const files = ['one.yaml', 'two.yaml'].map((name) => join(folder, name));
  const entry = (model: string) => `- { model: ${model}, name: a, url: "https://${model}.fleet.localhost:1" }\n`;
  await writeFile(files[0]!, entry('a') + entry('b'));
  await writeFile(files[1]!, entry('c'));
  const clock = jumpClock();
  const still = { ...clock, now: () => 1_764_000_000_000_000_000n };
  const scene = await attestedScene(t, {
    ...{ fleet: { n: 1 }, models: [], clock: still },
    config: { ...BINDING, sources: files.map((file) => ({ file })) },
  });
  await scene.until(() => scene.events('attestation.source.loaded').length === 2);
  const loaded = scene.events('attestation.source.loaded');
  assert.equal(loaded.at(-1)!.skipped, 2);
  assert.equal(new Set(loaded.map((one) => one['log.record.uid'])).size, 2);
});

test('each attempt to deliver a record gives it the same uid', async (t) => {
  const offered = new Map<string, Set<unknown>>();
  let refused = 0;
  const scene = await attestedScene(t, {
    config: BINDING,
    onBatch: (records) => {
      for (const { attributes } of records) {
        const id = String(attributes['attestation.cycle.id'] ?? '');
        if (id !== '') offered.set(id, (offered.get(id) ?? new Set()).add(attributes['log.record.uid']));
      }
      if (refused++ < 2) throw new Error('down');
    },
  });
  while (refused < 1) await settle();
  while (refused < 3) {
    scene.clock.jump(30_000);
    await settle();
  }
  await scene.cycle();
  for (const uids of offered.values()) assert.equal(uids.size, 1);
});

test('pools are shown by name, whatever the order of their list', async (t) => {
  const fleet = await startAttestedFleet({ n: 1 });
  t.after(() => fleet.stop());
  const names = ['c', 'a', 'd', 'b'];
  const models = names.map((name) => ({ name, model: `m-${name}` }));
  const scene = await attestedScene(t, { fleet, models, config: { ...BINDING, cumulative: { model_stagger: '0s' } } });
  for (const _ of names) await scene.cycle();
  const { body } = await scene.ask('GET', '/api/monitoring/attestation');
  const { pools } = body as { pools: { pool: string; state: string }[] };
  assert.deepEqual(
    pools.map(({ pool, state }) => `${pool} ${state}`),
    names.toSorted().map((name) => `${name} pinned`),
  );
});

test('a platform below the newest level is accepted when somebody says so, and its advisories are told', async (t) => {
  const fleet = await startAttestedFleet({ n: 1 });
  t.after(() => fleet.stop());
  fleet.pccsControl.setTcb('SWHardeningNeeded', ['INTEL-SA-00615']);
  const scene = await attestedScene(t, {
    ...{ fleet, models: [{ strategy: 'index_sni' }] },
    config: { records: { probes: true }, verification: { accept_tcb: ['UpToDate', 'SWHardeningNeeded'] } },
  });
  const cycle = await scene.cycle();
  assert.deepEqual(cycle.failure_reasons, []);
  await scene.until(() => scene.events('attestation.backend.discovered').length === 1);
  assert.equal(scene.events('attestation.backend.discovered')[0]!['tee.tcb.status'], 'SWHardeningNeeded');
  const [probe] = scene.events('attestation.probe');
  assert.deepEqual([probe!.tcb_status, probe!.advisory_ids], ['SWHardeningNeeded', ['INTEL-SA-00615']]);
  const [pin] = (await scene.view()).pins;
  assert.deepEqual([pin.tcbStatus, pin.advisoryIds], ['SWHardeningNeeded', ['INTEL-SA-00615']]);
});

test('keys that prove tokens are not taken from a wire that others may write on', () => {
  const gpu = (jwks_url: string) => ({ mode: 'required', nras_url: 'https://a.example', jwks_url, issuer: 'x' });
  const isAccepted = (jwks_url: string) =>
    attestation.schema.safeParse({
      models: [{ model: 'm', url: 'https://a.b.example' }],
      verification: { mode: 'binding', gpu: gpu(jwks_url) },
    }).success;
  assert.equal(isAccepted('http://keys.example/jwks'), false);
  assert.equal(isAccepted('https://keys.example/jwks'), true);
  assert.equal(isAccepted('http://127.0.0.1:1/jwks'), true);
});

test('a name that no URL can hold is a mistake', () => {
  const isAccepted = (model: string) =>
    attestation.schema.safeParse({
      models: [{ model, url: 'https://a.b.example' }],
      verification: { mode: 'none' },
    }).success;
  assert.equal(isAccepted('glm-\u{1f600}'), true);
  for (const wrong of ['glm-\ud83d', 'a\nb', '', 'x'.repeat(257)]) assert.equal(isAccepted(wrong), false);
});
