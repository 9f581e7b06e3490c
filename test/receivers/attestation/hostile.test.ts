import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import type { Collateral } from '@phala/dcap-qvl';
import { ProbeGates } from '../../../receivers/attestation/cycle.ts';
import { fetchDocument } from '../../../receivers/attestation/fetch-document.ts';
import { parseJson } from '../../../receivers/attestation/parse-json.ts';
import { applyCycle, type Pin, type Pins } from '../../../receivers/attestation/pins/pin-set.ts';
import { readPool } from '../../../receivers/attestation/pool-state.ts';
import { checkCollateral } from '../../../receivers/attestation/verification/collateral.ts';
import { CollateralCache } from '../../../receivers/attestation/verification/collateral-cache.ts';
import { verification } from '../../../receivers/attestation/verification/config.ts';
import { GpuVerifier } from '../../../receivers/attestation/verification/gpu.ts';
import { ReportVerifier } from '../../../receivers/attestation/verification/verifier.ts';
import { systemClock } from '../../../src/platform/system-clock.ts';
import { Semaphore } from '../../../src/resilience/semaphore.ts';
import { settle } from '../../../src/testing/fake-clock.ts';
import { type Certified, certify, pemChain } from '../../simulators/attested-fleet/certify.ts';
import { makeCollateral } from '../../simulators/attested-fleet/collateral.ts';
import { type LoggedEvent, replay, runtimeEvent } from '../../simulators/attested-fleet/event-log.ts';
import { FMSPC, makeHierarchy } from '../../simulators/attested-fleet/hierarchy.ts';
import { makeIdentities } from '../../simulators/attested-fleet/identity.ts';
import { NRAS_ISSUER, Nras } from '../../simulators/attested-fleet/nras.ts';
import { Quoter } from '../../simulators/attested-fleet/quote.ts';
import { makeReport } from '../../simulators/attested-fleet/report.ts';
import { teeTcbSvn } from '../../simulators/attested-fleet/tcb-levels.ts';
import { OTHER, WORKLOAD } from '../../simulators/attested-fleet/workload.ts';
import { attestedScene } from '../../support/attested-scene.ts';

const NOW = Date.now();
const DAY_MS = 86_400_000;
const FINGERPRINT = 'ab'.repeat(32);
const hierarchy = await makeHierarchy(NOW);
const quoter = new Quoter(hierarchy);
const rootDer = Buffer.from(hierarchy.root.cert.rawData);
const identity = makeIdentities().ecdsa;

/** Collateral as dcap-qvl writes it. */
async function documentsOf(
  pckCa: Certified = hierarchy.pckCa,
  revoked: readonly Certified[] = [],
): Promise<Collateral> {
  const made = await makeCollateral(hierarchy, {
    ...{ nowMs: NOW, nextUpdateMs: NOW + 30 * DAY_MS, status: 'UpToDate', advisories: [] },
  });
  return {
    pck_crl_issuer_chain: pemChain(pckCa, hierarchy.root),
    pck_crl: (await listOf(pckCa, revoked)).toString('hex'),
    root_ca_crl: made.rootCrl.toString('hex'),
    tcb_info_issuer_chain: made.tcbChain,
    tcb_info: made.tcbInfo.text,
    tcb_info_signature: made.tcbInfo.signature,
    qe_identity_issuer_chain: made.tcbChain,
    qe_identity: made.qeIdentity.text,
    qe_identity_signature: made.qeIdentity.signature,
  };
}

async function listOf(issuer: Certified, revoked: readonly Certified[]): Promise<Buffer> {
  const list = await x509.X509CrlGenerator.create({
    ...{ thisUpdate: new Date(NOW - DAY_MS), nextUpdate: new Date(NOW + 30 * DAY_MS), issuer: issuer.cert.subject },
    entries: revoked.map(({ cert }) => ({
      ...{ serialNumber: cert.serialNumber, revocationDate: new Date(NOW - DAY_MS) },
      reason: x509.X509CrlReason.keyCompromise,
    })),
    signingAlgorithm: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
    signingKey: issuer.keys.privateKey as never,
  });
  return Buffer.from(list.rawData);
}

/** A verifier whose collateral is what it is given, by CA. */
async function verifierOf(
  t: TestContext,
  documents: Partial<Record<'platform' | 'processor', Collateral>>,
  policy: object = { os_images: [WORKLOAD.osImageHash], compose_hashes: [WORKLOAD.composeHash] },
) {
  const directory = await mkdtemp(join(tmpdir(), 'outband-hostile-'));
  t.after(() => rm(directory, { recursive: true }));
  for (const [ca, one] of Object.entries(documents))
    await writeFile(join(directory, `${FMSPC.toString('hex')}-${ca}.json`), JSON.stringify(one));
  const config = verification.parse({ collateral: { directory }, policy });
  const verifier = new ReportVerifier(
    {
      ...{ config, clock: systemClock, resolvePath: (path) => path, turns: new Semaphore(1) },
      ...{ onStage: () => {}, onCollateralFailed: () => {}, signal: new AbortController().signal },
    },
    rootDer,
  );
  const nonce = randomBytes(32);
  return {
    report: () =>
      makeReport(
        { own: quoter, foreign: quoter },
        {
          ...{ model: 'glm', algo: 'ecdsa', nonce: nonce.toString('hex'), identity, fingerprint: FINGERPRINT },
          ...{ instanceId: '01'.repeat(20), hasGpu: false },
        },
      ) as Record<string, unknown>,
    reportData: () =>
      Buffer.concat([
        createHash('sha256')
          .update(Buffer.from(identity.address, 'hex'))
          .update(Buffer.from(FINGERPRINT, 'hex'))
          .digest(),
        nonce,
      ]),
    verdictOf: (report: Record<string, unknown>) =>
      verifier.verify({ report, nonce, fingerprint: FINGERPRINT, signal: new AbortController().signal }),
  };
}

/** The quote with other certificates behind its signature. */
function withChain(quote: Buffer, pem: string): Buffer {
  const [size, outer, inner, chain] = [632, 766, 1_254, 1_258];
  const made = Buffer.concat([quote.subarray(0, chain), Buffer.from(pem)]);
  for (const place of [size, outer, inner]) made.writeUInt32LE(made.length - place - 4, place);
  return made;
}

/** As OpenSSL reads it, too. */
const spaced = ({ cert }: Certified) => `${cert.toString('pem').replace('\n', ' \n')}\n`;

test('what makes up these tests verifies', async (t) => {
  const { report, verdictOf } = await verifierOf(t, { platform: await documentsOf() });
  const good = report();
  assert.deepEqual((await verdictOf(good)).failed, undefined);
  const again = withChain(
    Buffer.from(good.intel_quote as string, 'hex'),
    pemChain(hierarchy.pck, hierarchy.pckCa, hierarchy.root),
  );
  assert.deepEqual((await verdictOf({ ...good, intel_quote: again.toString('hex') })).failed, undefined);
});

test('a workload cannot hide what was measured of it behind bare digests, and log what it likes afterwards', async (t) => {
  const { report, reportData, verdictOf } = await verifierOf(t, { platform: await documentsOf() });
  const bytes = (hex: string) => Buffer.from(hex, 'hex');
  const start = [
    runtimeEvent('compose-hash', bytes(OTHER.composeHash)),
    runtimeEvent('instance-id', bytes('02'.repeat(20))),
    runtimeEvent('os-image-hash', bytes(WORKLOAD.osImageHash)),
    runtimeEvent('system-ready', Buffer.alloc(0)),
  ];
  const later = [
    runtimeEvent('compose-hash', bytes(WORKLOAD.composeHash)),
    runtimeEvent('instance-id', bytes('01'.repeat(20))),
    runtimeEvent('os-image-hash', bytes(WORKLOAD.osImageHash)),
    runtimeEvent('system-ready', Buffer.alloc(0)),
  ];
  const hidden = start.map((event): LoggedEvent => ({ ...event, event_type: 1, event: '' }));
  const { mrtd, rtmr0, rtmr1, rtmr2 } = WORKLOAD.measurements;
  const quote = quoter.quote({
    ...{ reportData: reportData(), teeTcbSvn: teeTcbSvn('UpToDate'), mrtd: bytes(mrtd), mrConfigId: Buffer.alloc(48) },
    rtmrs: [bytes(rtmr0), bytes(rtmr1), bytes(rtmr2), replay([...start, ...later])],
  });
  const shown = { ...report(), intel_quote: quote.toString('hex'), event_log: [...hidden, ...later] };
  assert.deepEqual((await verdictOf(shown)).failed, { check: 'rtmr3' });
});

test('a domain that another TDX module measured is not judged by the levels of that of Intel', async (t) => {
  const { report, reportData, verdictOf } = await verifierOf(t, { platform: await documentsOf() });
  const events = JSON.parse(report().event_log as string) as LoggedEvent[];
  const quoteOf = (mrSignerSeam: Buffer) =>
    quoter.quote({
      ...{ reportData: reportData(), teeTcbSvn: teeTcbSvn('UpToDate'), mrtd: Buffer.alloc(48), mrSignerSeam },
      ...{
        mrConfigId: Buffer.alloc(48),
        rtmrs: [...Array.from({ length: 3 }, () => Buffer.alloc(48)), replay(events)],
      },
    });
  const verdictWith = async (mrSignerSeam: Buffer) =>
    (await verdictOf({ ...report(), intel_quote: quoteOf(mrSignerSeam).toString('hex') })).failed;
  assert.equal(await verdictWith(Buffer.alloc(48)), undefined);
  assert.deepEqual(await verdictWith(Buffer.alloc(48, 1)), { check: 'tcb_status', text: 'another TDX module' });
});

test('a revoked platform does not pass by a list that only one of two readers can read', async (t) => {
  const revoking = await documentsOf(hierarchy.pckCa, [hierarchy.pck]);
  const proper = await verifierOf(t, { platform: revoking });
  assert.deepEqual((await proper.verdictOf(proper.report())).failed, { check: 'pck_chain', text: 'revoked' });
  const list = Buffer.from(revoking.pck_crl as string, 'hex');
  const signature = list.lastIndexOf(
    Buffer.from([0x03, list.length - list.lastIndexOf(Buffer.from([0x00, 0x30])), 0x00, 0x30]),
  );
  assert.ok(signature > 0);
  list[signature] = 0x04;
  const { report, verdictOf } = await verifierOf(t, { platform: { ...revoking, pck_crl: list.toString('hex') } });
  assert.deepEqual((await verdictOf(report())).failed, { check: 'collateral', text: 'none that holds now' });
});

test('a revoked platform does not pass by certificates of another authority that only one of two readers sees', async (t) => {
  const validity = { notBefore: new Date(NOW - DAY_MS), notAfter: new Date(NOW + 365 * DAY_MS) };
  const processorCa = await certify({
    ...{ name: 'Intel SGX PCK Processor CA', signer: hierarchy.root, isAuthority: true, ...validity },
  });
  // What is never proven need not be genuine.
  const extensions = hierarchy.pck.cert.extensions.filter(({ type }) => type.startsWith('1.2.840.113741'));
  const decoy = await certify({
    ...{ name: 'decoy', signer: { ...processorCa, keys: hierarchy.pck.keys }, extensions, ...validity },
  });
  const { report, verdictOf } = await verifierOf(t, {
    platform: await documentsOf(hierarchy.pckCa, [hierarchy.pck]),
    processor: await documentsOf(processorCa),
  });
  const good = report();
  const chain = spaced(decoy) + spaced(processorCa) + pemChain(hierarchy.pck, hierarchy.pckCa, hierarchy.root);
  const quote = withChain(Buffer.from(good.intel_quote as string, 'hex'), chain).toString('hex');
  assert.equal((await verdictOf({ ...good, intel_quote: quote })).failed?.check, 'pck_chain');
});

test('collateral that is not signed, or of another platform, is not kept until it expires', async () => {
  const documents = await documentsOf();
  const key = { fmspc: FMSPC.toString('hex'), ca: 'platform' } as const;
  assert.ok(checkCollateral(documents, rootDer, key));
  const spoilt = (name: 'tcb_info' | 'qe_identity') => ({
    ...documents,
    [name]: documents[name].replace('UpToDate', 'Revoked'),
  });
  for (const [name, one, wanted] of [
    ['levels', spoilt('tcb_info'), key],
    ['quoting enclave', spoilt('qe_identity'), key],
    ['another platform', documents, { ...key, fmspc: '00'.repeat(6) }],
    ['another authority', documents, { ...key, ca: 'processor' }],
    ['no signature', { ...documents, tcb_info_signature: 'undefined' }, key],
  ] as const)
    assert.throws(() => checkCollateral(one, rootDer, wanted), Error, name);
});

test('collateral that dcap-qvl wrote for one machine serves all of its platform', async (t) => {
  const other = await makeHierarchy(NOW);
  const chain = pemChain(other.pck, other.pckCa, other.root);
  const documents = { ...(await documentsOf()), pck_certificate_chain: chain };
  const { report, verdictOf } = await verifierOf(t, { platform: documents });
  assert.deepEqual((await verdictOf(report())).failed, undefined);
});

test('a document from a peer that never ends its handshake ends in time, and leaves no socket', async (t) => {
  const sockets = new Set<unknown>();
  const peer = createServer((socket) => {
    sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)));
    socket.resume();
  });
  await new Promise<void>((resolve) => peer.listen(0, '127.0.0.1', resolve));
  t.after(() => peer.close());
  const url = `https://mute.localhost:${(peer.address() as AddressInfo).port}/`;
  const stop = new AbortController();
  const read = (timeoutMs: number) => fetchDocument({ url, timeoutMs, clock: systemClock, signal: stop.signal });
  await assert.rejects(read(50), { fault: 'timeout' });
  const stopped = assert.rejects(read(60_000), /no longer wanted/);
  setTimeout(() => stop.abort(new Error('no longer wanted')), 50);
  await stopped;
  while (sockets.size > 0) await settle();
});

test('a stop ends at once whoever is mute: backends, count, or collateral', async (t) => {
  const mute = createServer((socket) => void socket.on('error', () => {}).resume());
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  t.after(() => mute.close());
  const url = `https://a.mute.localhost:${(mute.address() as AddressInfo).port}`;
  for (const [name, config, models] of [
    ['backends', {}, [{ url }]],
    ['count', { strategy: 'index_sni' }, [{ url }]],
    ['collateral', { verification: { collateral: { pccs: { url } } } }, [{}]],
  ] as const) {
    const scene = await attestedScene(t, { fleet: { n: 1 }, config, models });
    const began = scene.clock.monotonic();
    await new Promise((resolve) => mute.once('connection', resolve));
    await scene.stop();
    assert.ok(scene.clock.monotonic() - began < 2_000, name);
    assert.deepEqual(
      scene
        .events('attestation.discovery.initial')
        .map(({ calls, 'attestation.cancelled_calls': cut }) => calls === cut),
      [true],
      name,
    );
  }
});

test('a clock that is set back does not make a proof last longer', () => {
  const rules = { ttl: 3_600_000, maxAge: DAY_MS, floor: 1, sharedKeys: false };
  const pin: Pin = {
    ...{ fingerprint: FINGERPRINT, firstSeen: NOW, lastSeen: NOW, lastVerified: NOW, notAfter: NOW + 365 * DAY_MS },
    ...{ advisoryIds: [], identities: { [FINGERPRINT]: NOW }, algos: {}, source: 'initial' },
  };
  const cycleAt = (pins: Pins, now: number) =>
    applyCycle(pins, { results: [], isFull: false, source: 'cumulative', now }, rules);
  const { pins } = cycleAt(new Map([[FINGERPRINT, pin]]), NOW - 300 * DAY_MS);
  assert.equal(pins.size, 1);
  assert.deepEqual(
    cycleAt(pins, NOW - 299 * DAY_MS).evicted.map(({ reason }) => reason),
    ['max_age'],
  );
});

test('a store with times that are no dates is foreign', () => {
  const stored = (lastVerified: number, notAfter: number) => {
    const pin = { fingerprint: FINGERPRINT, firstSeen: NOW, lastSeen: NOW, lastVerified, notAfter };
    return readPool(
      JSON.stringify({
        ...{ version: 1, mode: 'dcap', policyDigest: '', seq: 0, generation: 0, lastCount: null },
        pins: [{ ...pin, advisoryIds: [], identities: {}, algos: {}, source: 'initial' }],
        ...{ draws: [], keys: [], sinceChange: 0, sinceNew: 0, told: { stalled: null, blocked: false } },
      }),
    );
  };
  assert.ok(stored(NOW, NOW));
  assert.equal(stored(NOW, 1e300), undefined);
  assert.equal(stored(1e300, NOW), undefined);
});

test('a clock that is set back does not keep collateral from being asked for', async () => {
  let [now, fetches] = [NOW, 0];
  const clock = { ...systemClock, now: () => BigInt(now) * 1_000_000n };
  const cache = new CollateralCache(
    async () => {
      fetches++;
      throw new Error('unknown');
    },
    clock,
    () => {},
  );
  for (let n = 0; n < 3; n++) await cache.get({ fmspc: 'aa', ca: 'platform' });
  assert.equal(fetches, 1);
  now -= 3_600_000;
  await cache.get({ fmspc: 'aa', ca: 'platform' });
  assert.equal(fetches, 2);
});

test('JSON of too many parts is not parsed; as much in texts is', () => {
  const size = 2 ** 20;
  for (const text of [
    '['.repeat(size) + ']'.repeat(size),
    `[${'{},'.repeat(size / 2)}1]`,
    `{${'"a":1,'.repeat(size / 3)}"b":1}`,
  ])
    assert.throws(() => parseJson(text), SyntaxError);
  const texts = ['\\"[,', '\\', ',\\\\', '{'.repeat(size)];
  assert.deepEqual(parseJson(JSON.stringify({ texts })), { texts });
});

test('without keys a token proves nothing: evidence that may be away is skipped, evidence that must not fails', async (t) => {
  const nonce = randomBytes(32).toString('hex');
  const nras = await Nras.make(() => NOW);
  let keys: string | undefined;
  const service = createHttpServer((request, response) => {
    if (request.method === 'POST') void nras.handle(request, response);
    else response.writeHead(keys === undefined ? 503 : 200).end(keys);
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  t.after(() => service.close());
  const url = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
  const judged = (mode: 'required' | 'optional') =>
    new GpuVerifier(
      { mode, nras_url: `${url}/v3/attest/gpu`, jwks_url: `${url}/keys`, issuer: NRAS_ISSUER, timeout: 5_000 },
      systemClock,
      t.signal,
    ).verify({ nonce, body: { nonce, evidence_list: [{}] } }, nonce, new AbortController().signal);
  for (keys of [undefined, '[]', '{"keys":1}', '<html>']) {
    assert.deepEqual(await judged('required'), { check: 'gpu_service', text: 'no keys' });
    assert.equal(await judged('optional'), 'skipped');
  }
  keys = '{"keys":[]}';
  assert.deepEqual(await judged('optional'), { check: 'gpu_token', text: 'unknown key' });
});

test('gates are forgotten when the last has left, and not before', async () => {
  const gates = new ProbeGates(10, 1);
  const { signal } = new AbortController();
  const leave = await gates.enter('a', 'index-0', signal);
  const waiting = gates.enter('a', 'index-1', signal);
  const cut = new AbortController();
  const refused = assert.rejects(gates.enter('a', 'index-2', cut.signal));
  cut.abort(new Error('cut'));
  await refused;
  leave();
  (await waiting)();
  assert.equal(gates.size, 0);
});

test('a store that fails is told without its path, and keeps no pin from being served', async (t) => {
  const store = {
    list: async () => new Map<string, string>(),
    set: async () => {
      throw new Error("ENOSPC: no space left, write '/var/lib/secret'");
    },
  };
  const scene = await attestedScene(t, { fleet: { n: 1 }, store: store as never });
  await scene.cycle();
  assert.equal((await scene.pins()).length, 1);
  const told = () => scene.host.lines.filter(({ level }) => level === 'warn');
  while (told().length === 0) await settle();
  assert.doesNotMatch(inspect(told(), { depth: 9 }), /secret/);
});
