import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { type Connect, openConnection } from '../../../receivers/attestation/probe/connection.ts';
import { settle } from '../../../src/testing/fake-clock.ts';
import type { Fault } from '../../simulators/attested-fleet/faults.ts';
import type { AttestedFleet } from '../../simulators/attested-fleet/fleet.ts';
import { FMSPC } from '../../simulators/attested-fleet/hierarchy.ts';
import { type AttestedScene, attestedScene, type Cycle, REFRESH_MS } from '../../support/attested-scene.ts';
import { temporaryDirectory } from '../../support/storage.ts';

/** One backend, one call per cycle: what happens to that call is what happens to the cycle. */
const ONE = {
  fleet: { n: 1 },
  config: {
    initial: { calls: 1, max_calls: 1, launch_stagger: '0s' },
    cumulative: { calls: 1, max_calls: 1, launch_stagger: '0s' },
    request: { signing_algos: ['ecdsa'] },
  },
};

/** With an open breaker a retry comes an interval later, and a little more. */
const LATER_MS = 1.2 * REFRESH_MS;

interface Row {
  readonly fault: Fault;
  readonly reason: string;
  readonly stage: string;
  /** The pin goes at once. */
  readonly revokes?: true;
  /** Keeps the call until its time is over: so long, in milliseconds, once the backend has got this far. */
  readonly waits?: { readonly ms: number; readonly until: 'connected' | 'asked' | 'answering' };
}

const verify = (fault: Fault, check: string, more: Partial<Row> & { readonly text?: string } = {}): Row => {
  const { text, ...rest } = more;
  return {
    fault,
    reason: `verify: ${check}${text === undefined ? '' : `: ${text}`}`,
    stage: `verify.${check}`,
    ...rest,
  };
};
const revokes = true as const;

const ROWS: readonly Row[] = [
  {
    ...{ fault: 'handshakeStall', reason: 'connect: no answer in 5000 ms', stage: 'tls_timeout' },
    waits: { ms: 5_000, until: 'connected' },
  },
  { fault: 'handshakeAlert', reason: 'connect: handshake_failure', stage: 'tls_alert' },
  { fault: 'expiredLeaf', reason: 'connect: certificate outside its dates', stage: 'tls_expired' },
  { fault: 'wrongName', reason: 'connect: certificate for another name', stage: 'tls_name' },
  { fault: 'foreignCa', reason: 'connect: certificate not trusted', stage: 'tls_untrusted' },
  {
    ...{ fault: { delayHeaders: 11_000 }, reason: 'timeout: 10000 ms in headers', stage: 'header_timeout' },
    waits: { ms: 10_500, until: 'asked' },
  },
  {
    ...{ fault: 'stallBody', reason: 'timeout: 10000 ms in body', stage: 'body_timeout' },
    waits: { ms: 10_500, until: 'answering' },
  },
  {
    ...{ fault: 'trickleBody', reason: 'timeout: 10000 ms in body', stage: 'body_timeout' },
    waits: { ms: 10_500, until: 'answering' },
  },
  { fault: 'resetBeforeHead', reason: 'send: reset before the answer', stage: 'reset' },
  { fault: 'finBeforeHead', reason: 'send: closed before the answer', stage: 'closed' },
  { fault: 'notHttp', reason: 'request: answer is not HTTP/1.1', stage: 'http' },
  { fault: 'hugeHead', reason: 'request: answer is not HTTP/1.1', stage: 'http' },
  ...[
    ...([
      [302, 'Found'],
      [401, 'Unauthorized'],
      [404, 'Not Found'],
      [429, 'Too Many Requests'],
    ] as const),
    ...([
      [500, 'Internal Server Error'],
      [503, 'Service Unavailable'],
    ] as const),
  ].map(([status, phrase]) => ({ fault: { status }, reason: `status:${status}: ${phrase}`, stage: 'status' })),
  { fault: 'html', reason: 'malformed_json: not JSON', stage: 'json' },
  { fault: 'notJson', reason: 'malformed_json: not JSON', stage: 'json' },
  { fault: 'truncated', reason: 'malformed_json: body cut short', stage: 'body_truncated' },
  { fault: 'array', reason: 'malformed_json: not an object', stage: 'json_shape' },
  { fault: 'body3MB', reason: 'malformed_json: over 2097152 bytes', stage: 'body_too_large' },
  { fault: 'gzipBomb', reason: 'malformed_json: over 2097152 bytes', stage: 'body_too_large' },
  { fault: 'unknownEncoding', reason: 'malformed_json: unknown content encoding', stage: 'encoding' },
  ...['request_nonce', 'signing_address', 'signing_algo', 'signing_public_key', 'intel_quote', 'event_log', 'info'].map(
    (name) => verify({ dropField: name }, 'report_schema'),
  ),
  verify({ dropField: 'tls_cert_fingerprint' }, 'fingerprint_missing'),
  verify('wrongNonce', 'nonce_echo'),
  verify('replay', 'quote_nonce'),
  verify('padded', 'padded_address'),
  verify('wrongFingerprint', 'spki_mismatch'),
  verify('wrongBinding', 'key_binding'),
  verify('quoteV5', 'quote_version'),
  verify('badSignature', 'quote_signature'),
  verify('foreignRoot', 'pck_chain', { text: 'of another authority' }),
  verify('debugBit', 'debug', { revokes }),
  verify({ tcb: 'OutOfDate' }, 'tcb_status', { text: 'OutOfDate', revokes }),
  verify({ tcb: 'Revoked' }, 'tcb_status', { text: 'Revoked', revokes }),
  verify('unknownTcb', 'tcb_status', { text: 'no matching level', revokes }),
  verify('wrongRtmr3', 'rtmr3'),
  verify('duplicateImageHash', 'event_log_order'),
  verify('lateImageHash', 'event_log_order'),
  verify('unlistedImage', 'os_image', { revokes }),
  verify('wrongCompose', 'compose_hash', { text: 'differs from the event', revokes }),
  verify('wrongMrConfig', 'mr_config_id', { revokes }),
];

/** Moves time on when the call has got as far as the row says. */
async function passTime(
  { fleet, clock, pass }: AttestedScene,
  { ms, until }: NonNullable<Row['waits']>,
): Promise<void> {
  const before = fleet.ledger().length;
  await pass(LATER_MS);
  const last = () => fleet.ledger()[before];
  await fleet.waitFor(() => {
    const entry = last();
    if (until === 'connected') return entry?.backend !== undefined;
    return (entry?.requests ?? 0) > 0 && (until === 'asked' || entry!.bytesOut > 1_500);
  });
  // What is on its way arrives.
  for (let turn = 0; turn < 100; turn++) await settle();
  clock.jump(ms);
}

test('each fault of a backend has its words, pins nothing, and harms only the pin that it is about', async (t) => {
  const scene = await attestedScene(t, ONE);
  const [good] = (await scene.cycle()).observed_fingerprints;
  for (const row of ROWS)
    await t.test(JSON.stringify(row.fault), async () => {
      scene.fleet.fault(0, row.fault, { times: 1 });
      if (row.waits) await passTime(scene, row.waits);
      else await scene.pass(LATER_MS);
      const cycle: Cycle = await scene.cycle();
      assert.deepEqual(cycle.failure_reasons, [row.reason]);
      assert.deepEqual(cycle.failure_stages, [row.stage]);
      assert.equal(cycle.calls, 1);
      assert.equal(cycle.failed_calls, row.stage.startsWith('verify.') ? 0 : 1);
      assert.equal(cycle.verify_failures, row.stage.startsWith('verify.') ? 1 : 0);
      assert.equal(cycle.new_fingerprints, 0);
      assert.deepEqual(await scene.pins(), row.revokes ? [] : [good]);
      assert.equal(cycle['attestation.pool.state'], row.revokes ? 'blocked' : 'pinned');
      scene.fleet.clearFaults();
      if (!row.revokes) return;
      const healed = await scene.next(LATER_MS);
      assert.deepEqual(healed.observed_fingerprints, [good]);
      assert.deepEqual(await scene.pins(), [good]);
    });
  assert.deepEqual(
    scene.host.lines.filter(({ level, fields }) => level === 'error' && JSON.stringify(fields).includes('internal')),
    [],
  );
});

test('a body is read up to its limit and no further', async (t) => {
  const sockets: TLSSocket[] = [];
  const connect: Connect = async (options) => {
    const connection = await openConnection(options);
    sockets.push(connection.socket);
    return connection;
  };
  const scene = await attestedScene(t, { ...ONE, parts: { connect } });
  await scene.cycle();
  for (const fault of ['body3MB', 'gzipBomb'] as const) {
    scene.fleet.fault(0, fault, { times: 1 });
    await scene.next();
    const { bytesRead } = sockets.at(-1)!;
    assert.ok(bytesRead <= (2 * 1024 + 64) * 1024, `${fault}: ${bytesRead}`);
  }
});

test('TCP that is refused or never answers', async (t) => {
  const scene = await attestedScene(t, ONE);
  await scene.cycle();
  scene.fleet.refuse();
  const refused = await scene.next();
  assert.deepEqual(refused.failure_reasons, ['connect: refused']);
  assert.deepEqual(refused.failure_stages, ['tcp_refused']);
});

test('a SYN that nobody answers ends after the connect timeout', async (t) => {
  const fleet = await fleetOf(t);
  const port = await fleet.blackholePort();
  const scene = await attestedScene(t, {
    ...ONE,
    fleet,
    models: [{ url: `https://glm.fleet.localhost:${port}` }],
  });
  for (let turn = 0; turn < 100; turn++) await settle();
  scene.clock.jump(5_000);
  const cycle = await scene.cycle();
  assert.deepEqual(cycle.failure_reasons, ['connect: no answer in 5000 ms']);
  assert.deepEqual(cycle.failure_stages, ['tcp_timeout']);
  assert.equal(cycle.event, 'attestation.discovery.initial');
  assert.equal(cycle.total_pinned, 0);
});

test('silence is told as silence when its limit is below that of the call', async (t) => {
  const scene = await attestedScene(t, { ...ONE, config: { ...ONE.config, idle_timeout: '4s' } });
  await scene.cycle();
  scene.fleet.fault(0, 'stallBody', { times: 1 });
  await passTime(scene, { ms: 4_500, until: 'answering' });
  const cycle = await scene.cycle();
  assert.deepEqual(cycle.failure_reasons, ['send_timeout: no byte in 4000 ms of body']);
  assert.deepEqual(cycle.failure_stages, ['body_timeout']);
});

test('a key that was renewed while the report was not is a mismatch, and its old pin goes by its age', async (t) => {
  const scene = await attestedScene(t, ONE);
  const [old] = (await scene.cycle()).observed_fingerprints;
  await scene.fleet.rotate(0, { staleReport: true });
  const cycle = await scene.next();
  assert.deepEqual(cycle.failure_reasons, ['verify: spki_mismatch']);
  assert.deepEqual(cycle.unverified_fingerprints, [...scene.fleet.truth().keys()]);
  assert.equal(await scene.metrics.value('outband.attestation.peer_report_mismatch'), 1);
  assert.deepEqual(await scene.pins(), [old]);
});

for (const [verdict, reason, revoked] of [
  ['gpuNonce', 'verify: gpu_nonce', false],
  ['gpuFail', 'verify: gpu_verdict', true],
  ['noGpu', 'verify: gpu_missing', false],
] as const)
  test(`evidence of a GPU: ${verdict}`, async (t) => {
    const scene = await gpuScene(t, 'required');
    assert.equal((await scene.cycle()).total_pinned, 1);
    scene.fleet.fault(0, verdict, { times: 1 });
    const cycle = await scene.next();
    assert.deepEqual(cycle.failure_reasons, [reason]);
    assert.equal((await scene.pins()).length, revoked ? 0 : 1);
  });

for (const [verdict, reason, revoked] of [
  ['false', 'verify: gpu_verdict', true],
  ['PASS', 'verify: gpu_verdict', true],
  ['wrongKid', 'verify: gpu_token: unknown key', false],
  ['wrongIssuer', 'verify: gpu_token: issuer', false],
  ['expired', 'verify: gpu_token: expired', false],
  ['wrongNonce', 'verify: gpu_token: nonce', false],
  ['outage', 'verify: gpu_service', false],
] as const)
  test(`verifier of GPUs: ${verdict}`, async (t) => {
    const scene = await gpuScene(t, 'required');
    assert.equal((await scene.cycle()).total_pinned, 1);
    scene.fleet.nrasControl.verdict = verdict;
    const cycle = await scene.next();
    assert.deepEqual(cycle.failure_reasons, [reason]);
    assert.equal((await scene.pins()).length, revoked ? 0 : 1);
    assert.equal(scene.fleet.nrasControl.requests.jwks, verdict === 'wrongKid' ? 2 : 1);
  });

test('evidence of a GPU that is optional may be away, but not wrong', async (t) => {
  const scene = await gpuScene(t, 'optional');
  await scene.cycle();
  scene.fleet.fault(0, 'noGpu', { times: 1 });
  assert.equal((await scene.next()).verify_failures, 0);
  scene.fleet.nrasControl.verdict = 'outage';
  assert.equal((await scene.next()).verify_failures, 0);
  scene.fleet.nrasControl.verdict = 'false';
  assert.deepEqual((await scene.next()).failure_reasons, ['verify: gpu_verdict']);
});

async function fleetOf(t: { after(fn: () => Promise<void>): void }): Promise<AttestedFleet> {
  const { startAttestedFleet } = await import('../../simulators/attested-fleet/fleet.ts');
  const fleet = await startAttestedFleet({ n: 1 });
  t.after(() => fleet.stop());
  return fleet;
}

async function gpuScene(t: Parameters<typeof attestedScene>[0], mode: 'required' | 'optional') {
  const { startAttestedFleet } = await import('../../simulators/attested-fleet/fleet.ts');
  const { jumpClock } = await import('../../support/jump-clock.ts');
  const clock = jumpClock();
  const fleet = await startAttestedFleet({ n: 1, gpu: true, clock });
  t.after(() => fleet.stop());
  return attestedScene(t, {
    ...{ fleet, clock },
    config: {
      ...ONE.config,
      verification: {
        gpu: { mode, nras_url: fleet.nrasUrl, jwks_url: fleet.jwksUrl, issuer: fleet.nrasIssuer },
      },
    },
  });
}

test('keys of tokens are held for an hour, and looked for anew once in five minutes, however many miss one', async (t) => {
  const { startAttestedFleet } = await import('../../simulators/attested-fleet/fleet.ts');
  const { jumpClock } = await import('../../support/jump-clock.ts');
  const clock = jumpClock();
  const fleet = await startAttestedFleet({ n: 5, gpu: true, clock });
  t.after(() => fleet.stop());
  const scene = await attestedScene(t, {
    ...{ fleet, clock, models: [{ strategy: 'index_sni' }] },
    config: {
      refresh_interval: '2m',
      verification: {
        gpu: { mode: 'required', nras_url: fleet.nrasUrl, jwks_url: fleet.jwksUrl, issuer: fleet.nrasIssuer },
      },
    },
  });
  const { requests } = fleet.nrasControl;
  assert.equal((await scene.cycle()).total_pinned, 5);
  assert.equal(requests.jwks, 1, 'five ask at once');
  for (let n = 0; n < 20; n++) await scene.next(120_000);
  assert.equal(requests.jwks, 1);
  fleet.nrasControl.verdict = 'wrongKid';
  for (let n = 0; n < 3; n++)
    assert.deepEqual(new Set((await scene.next(120_000)).failure_reasons), new Set(['verify: gpu_token: unknown key']));
  assert.equal(requests.jwks, 2, 'once in five minutes');
  await scene.next(180_000);
  assert.equal(requests.jwks, 3);
  fleet.nrasControl.verdict = 'true';
  await scene.next(61 * 60_000);
  assert.equal(requests.jwks, 4, 'after an hour');
});

test('collateral of a folder proves as that of a service does', async (t) => {
  const fleet = await fleetOf(t);
  const folder = await temporaryDirectory(t);
  const { rootCrl, pckCrl, tcbInfo, qeIdentity, pckChain, tcbChain } = await fleet.pccsControl.collateral();
  const documents = {
    ...{ pck_crl_issuer_chain: pckChain, pck_crl: pckCrl.toString('hex'), root_ca_crl: rootCrl.toString('hex') },
    ...{ tcb_info_issuer_chain: tcbChain, tcb_info: tcbInfo.text, tcb_info_signature: tcbInfo.signature },
    ...{ qe_identity_issuer_chain: tcbChain, qe_identity: qeIdentity.text },
    qe_identity_signature: qeIdentity.signature,
  };
  const file = join(folder, `${FMSPC.toString('hex')}-platform.json`);
  await writeFile(file, JSON.stringify(documents));
  const scene = await attestedScene(t, {
    ...{ ...ONE, fleet },
    config: { ...ONE.config, verification: { collateral: { pccs: undefined, directory: folder } } },
  });
  const cycle = await scene.cycle();
  assert.deepEqual(cycle.failure_reasons, []);
  assert.equal(cycle['tee.verification.outcome'], 'verified');
  assert.deepEqual(Object.values(fleet.pccsControl.requests()), [0, 0, 0, 0]);
});

test('a verification that takes too long costs its own probe', async (t) => {
  const fleet = await fleetOf(t);
  const mute = createServer(() => {}).listen(0, '127.0.0.1');
  await once(mute, 'listening');
  t.after(() => mute.close());
  const url = `http://127.0.0.1:${(mute.address() as AddressInfo).port}`;
  const sockets: Socket[] = [];
  mute.on('connection', (socket) => sockets.push(socket.on('error', () => {})));
  const scene = await attestedScene(t, {
    ...{ ...ONE, fleet },
    config: { ...ONE.config, verify_timeout: '2s', verification: { collateral: { pccs: { url } } } },
  });
  while (sockets.length < 4) await settle();
  scene.clock.jump(2_000);
  const cycle = await scene.cycle();
  assert.deepEqual(cycle.failure_reasons, ['verify: collateral: none that holds now']);
  assert.ok(cycle['attestation.cycle.duration_ms'] < 5_000);
});

test('an account that is refused parks the pool', async (t) => {
  const scene = await attestedScene(t, ONE);
  await scene.cycle();
  scene.fleet.fault('all', { status: 401 });
  await scene.next();
  await scene.pass(0);
  const snapshot = scene.host.scheduler('scheduler').snapshot();
  const { parked, lastError } = snapshot.target(snapshot.indexOf('attestation::glm'));
  assert.deepEqual([parked, lastError?.code], ['permanent_failure', 'config_invalid']);
});
