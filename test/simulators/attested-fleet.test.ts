import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { QuoteVerifier } from '@phala/dcap-qvl';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { systemClock } from '../../src/platform/system-clock.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { readyLine, startChild } from '../support/child.ts';
import { readClientHello } from './attested-fleet/client-hello.ts';
import { type LoggedEvent, replay, runtimeEvent } from './attested-fleet/event-log.ts';
import type { Fault } from './attested-fleet/faults.ts';
import { type AttestedFleet, type AttestedFleetOptions, startAttestedFleet } from './attested-fleet/fleet.ts';
import { Ledger } from './attested-fleet/ledger.ts';
import * as policies from './attested-fleet/policies.ts';
import { SniProxy } from './attested-fleet/proxy.ts';
import { seededRandom } from './attested-fleet/random.ts';
import { TCB_STATUSES } from './attested-fleet/tcb-levels.ts';
import { mrConfigId } from './attested-fleet/workload.ts';

// biome-ignore lint/suspicious/noExplicitAny: reports are looked into at any depth
type Json = Record<string, any>;

const NONCE = 'ab'.repeat(32);
const REPORT = `/v1/attestation/report?model=m&signing_algo=ecdsa&nonce=${NONCE}&include_tls_fingerprint=true`;

async function startFleet(t: TestContext, options: AttestedFleetOptions = {}): Promise<AttestedFleet> {
  const fleet = await startAttestedFleet({ n: 1, ...options });
  t.after(() => fleet.stop());
  return fleet;
}

const trust = ({ port, tlsCa }: AttestedFleet, servername: string): ConnectionOptions & { port: number } => ({
  ...{ port, servername, ca: tlsCa, host: '127.0.0.1' },
});

/** All that comes back for a GET, up to the end or the error. */
async function get(fleet: AttestedFleet, label: string, path = REPORT): Promise<string> {
  const name = label === '' ? fleet.domain : `${label}.${fleet.domain}`;
  const socket = connectTls(trust(fleet, name));
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`);
  return Buffer.concat(await socket.toArray()).toString('latin1');
}

/** The JSON of an answer that is one chunk. */
const bodyOf = (answer: string): Json => JSON.parse(answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1));

const derOf = (pem: string) => Buffer.from(pem.replace(/-----.*-----/g, ''), 'base64');

/** Collateral as a client of the PCCS puts it together. */
async function collateralOf(fleet: AttestedFleet) {
  const fetched = (path: string) => fetch(`${fleet.pccs}/${path}`);
  const chain = ({ headers }: Response, name: string) => decodeURIComponent(headers.get(name) ?? '');
  const pckCrl = await fetched('sgx/certification/v4/pckcrl?ca=platform&encoding=der');
  const rootCrl = await fetched('sgx/certification/v4/rootcacrl');
  const tcb = await fetched('tdx/certification/v4/tcb?fmspc=B0C06F000000');
  const qe = await fetched('tdx/certification/v4/qe/identity?update=standard');
  const [tcbBody, qeBody] = [(await tcb.json()) as Json, (await qe.json()) as Json];
  return {
    pck_crl_issuer_chain: chain(pckCrl, 'SGX-PCK-CRL-Issuer-Chain'),
    root_ca_crl: Buffer.from(await rootCrl.text(), 'hex'),
    pck_crl: Buffer.from(await pckCrl.arrayBuffer()),
    tcb_info_issuer_chain: chain(tcb, 'TCB-Info-Issuer-Chain'),
    tcb_info: JSON.stringify(tcbBody.tcbInfo),
    tcb_info_signature: Buffer.from(tcbBody.signature, 'hex'),
    qe_identity_issuer_chain: chain(qe, 'SGX-Enclave-Identity-Issuer-Chain'),
    qe_identity: JSON.stringify(qeBody.enclaveIdentity),
    qe_identity_signature: Buffer.from(qeBody.signature, 'hex'),
  };
}

const seconds = () => Math.floor(Date.now() / 1_000);

/** A report with what the real verifier says of its quote. */
async function verified(fleet: AttestedFleet, root = fleet.rootCa, atSecs = seconds()) {
  const report = bodyOf(await get(fleet, 'pool'));
  const verifier = QuoteVerifier.newWithRootCa(derOf(root));
  const result = verifier.verify(Buffer.from(report.intel_quote, 'hex'), (await collateralOf(fleet)) as never, atSecs);
  return { report, result, td: result.report.asTd10()! };
}

test('a stopped fleet leaves nothing behind', async () => {
  const before = process.getActiveResourcesInfo();
  const fleet = await startAttestedFleet({ n: 2 });
  fleet.fault(0, 'stallBody');
  const hanging = connectTls(trust(fleet, 'a.fleet.localhost'))
    .on('error', () => {})
    .resume();
  hanging.write(`GET ${REPORT} HTTP/1.1\r\nHost: a\r\n\r\n`);
  const hole = connectTcp(await fleet.blackholePort(), '127.0.0.1').on('connect', () => assert.fail('was answered'));
  await fleet.waitFor(() => fleet.counters().reports === 1);
  assert.equal(hole.connecting, true);
  await once(hole.destroy(), 'close');
  await fleet.stop();
  if (!hanging.closed) await once(hanging, 'close');
  // Handles close at the end of a turn of the event loop, after what was set for that turn.
  for (let turn = 0; turn < 2; turn++) await new Promise(setImmediate);
  assert.deepEqual(process.getActiveResourcesInfo(), before);
});

test('a good report verifies, and only beneath its own root', async (t) => {
  const [fleet, other] = [await startFleet(t, { gpu: true }), await startFleet(t)];
  const { report, result, td } = await verified(fleet);
  assert.equal(result.status, 'UpToDate');
  assert.equal(report.tls_cert_fingerprint, fleet.backends[0]!.fingerprint);
  assert.equal(Buffer.from(td.reportData.subarray(32)).toString('hex'), NONCE);
  const events: LoggedEvent[] = JSON.parse(report.event_log);
  for (const { event, event_payload, digest } of events)
    assert.equal(runtimeEvent(event, Buffer.from(event_payload, 'hex')).digest, digest);
  assert.deepEqual(replay(events), Buffer.from(td.rtMr3));
  assert.deepEqual(mrConfigId(fleet.composeHash), Buffer.from(td.mrConfigId));
  assert.equal(JSON.parse(report.nvidia_payload).nonce, NONCE);
  await assert.rejects(verified(fleet, other.rootCa), /certificate chain/);
});

test('what is wrong with a quote is what the verifier says of it', async (t) => {
  const fleet = await startFleet(t);
  const cases: readonly (readonly [Fault, RegExp | string])[] = [
    ['badSignature', /signature is invalid/],
    ['foreignRoot', /certificate chain/],
    ['debugBit', /Debug mode/],
    ['unknownTcb', /No matching TCB level/],
    ...TCB_STATUSES.map((tcb) => [{ tcb }, tcb === 'Revoked' ? /Revoked/ : tcb] as const),
  ];
  for (const [fault, said] of cases) {
    fleet.fault(0, fault, { times: 1 });
    if (typeof said === 'string') assert.equal((await verified(fleet)).result.status, said);
    else await assert.rejects(verified(fleet), said);
  }
  fleet.fault(0, 'quoteV5', { times: 1 });
  assert.match(bodyOf(await get(fleet, 'pool')).intel_quote, /^0500/);
});

test('what is wrong with a report beside its quote', async (t) => {
  const fleet = await startFleet(t, { gpu: true });
  const good = await verified(fleet);
  const half = (td: typeof good.td) => Buffer.from(td.reportData.subarray(0, 32)).toString('hex');
  const cases: readonly [Fault, (seen: typeof good) => unknown, boolean][] = [
    ['wrongNonce', ({ report }) => report.request_nonce, false],
    ['replay', ({ td }) => Buffer.from(td.reportData.subarray(32)).toString('hex'), false],
    ['replay', ({ report }) => report.request_nonce, true],
    ['padded', ({ td, report }) => half(td) === report.signing_address + '0'.repeat(24), false],
    ['wrongFingerprint', ({ report }) => report.tls_cert_fingerprint, false],
    ['wrongBinding', ({ td }) => half(td), false],
    ['wrongRtmr3', ({ td, report }) => replay(JSON.parse(report.event_log)).equals(Buffer.from(td.rtMr3)), false],
    [
      'duplicateImageHash',
      ({ td, report }) => replay(JSON.parse(report.event_log)).equals(Buffer.from(td.rtMr3)),
      true,
    ],
    ['duplicateImageHash', ({ report }) => report.event_log.match(/os-image-hash/g).length, false],
    ['lateImageHash', ({ report }) => JSON.parse(report.event_log).at(-1).event, false],
    ['unlistedImage', ({ report }) => report.event_log.includes(fleet.osImageHash), false],
    ['wrongCompose', ({ report }) => report.info.tcb_info.app_compose, false],
    ['wrongMrConfig', ({ td }) => td.mrConfigId, false],
    ['wrongMeasurement', ({ td }) => td.mrTd, false],
    ['noGpu', ({ report }) => report.nvidia_payload, false],
    ['gpuNonce', ({ report }) => JSON.parse(report.nvidia_payload).nonce, false],
    [{ dropField: 'signing_algo' }, ({ report }) => 'signing_algo' in report, false],
  ];
  for (const [fault, look, isSame] of cases) {
    fleet.fault('all', fault, { times: 1, algo: 'ecdsa' });
    const hasSame = isDeepStrictEqual(look(await verified(fleet)), look(good));
    assert.equal(hasSame, isSame, JSON.stringify(fault));
  }
});

test('what goes wrong before and in an answer', async (t) => {
  const clock = new FakeClock(new Date().toISOString());
  const fleet = await startFleet(t, { clock });
  const cases: readonly (readonly [Fault, RegExp])[] = [
    ['handshakeAlert', /alert handshake failure/],
    ['expiredLeaf', /CERT_HAS_EXPIRED/],
    ['wrongName', /ALTNAME_INVALID/],
    ['foreignCa', /UNABLE_TO_VERIFY_LEAF_SIGNATURE/],
    ['resetBeforeHead', /ECONNRESET/],
    ['finBeforeHead', /^$/],
    ['notHttp', /^SSH/],
    ['hugeHead', /x-padding: a{16384}/],
    ['html', /<title>/],
    ['truncated', /content-length.*[^}]$/s],
    ['array', /\r\n\[{.*}]\r\n/s],
    ['body3MB', /a{3145728}/],
    ['gzipBomb', /encoding: gzip/],
    ['unknownEncoding', /encoding: x-unknown/],
    ['notJson', /,\r\n0\r\n/],
    [{ status: 302 }, /^HTTP\/1.1 302 .*location/s],
    [{ status: 429 }, /^HTTP\/1.1 429 /],
  ];
  for (const [fault, expected] of cases) {
    fleet.fault(0, fault, { times: 1 });
    assert.match(
      await get(fleet, 'pool').catch(({ code, message }) => `${code} ${message}`),
      expected,
      JSON.stringify(fault),
    );
  }
  for (const fault of [{ delayHeaders: 11_000 }, 'trickleBody', 'stallBody', 'handshakeStall'] as const) {
    fleet.fault(0, fault, { times: 1 });
    const before = fleet.counters().connections;
    const socket = connectTls(trust(fleet, 'pool.fleet.localhost')).on('error', () => {});
    socket.write(`GET ${REPORT} HTTP/1.1\r\nHost: pool\r\n\r\n`);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    if (fault === 'handshakeStall') await fleet.waitFor(() => fleet.ledger()[before]?.backend === 0);
    else await fleet.waitFor(() => fleet.ledger()[before]?.requests === 1);
    if (fault === 'stallBody' || fault === 'trickleBody')
      while (!text.includes('\r\n\r\n{')) await once(socket, 'data');
    if (typeof fault === 'object') {
      assert.equal(text, '');
      await clock.advance(11_000);
      await once(socket, 'data');
    }
    socket.destroy();
    await fleet.waitFor(() => fleet.counters().open === 0);
  }
});

test('the proxy goes by the name in the ClientHello', async (t) => {
  const fleet = await startFleet(t, { n: 3 });
  const went = async (label: string) => {
    await get(fleet, label, '/v1/models');
    return fleet.ledger().at(-1)!.backend;
  };
  assert.deepEqual([await went('a'), await went('b'), await went('a'), await went('a-i5')], [0, 0, 1, 2]);
  fleet.kill(1);
  assert.deepEqual([await went('a-i1'), await went('a-i2')], [2, 0]);
  assert.deepEqual(bodyOf(await get(fleet, '', '/backends/count?domain=a')), { healthy: 2, total: 3 });
  fleet.setDeclared('stale');
  assert.equal(bodyOf(await get(fleet, '', '/backends/count')).healthy, 3);
  fleet.setDeclared('error');
  assert.match(await get(fleet, '', '/backends/count'), /^HTTP\/1.1 500/);
  fleet.ignoreIndex = true;
  fleet.setPolicy(policies.scripted([2]));
  assert.equal(await went('a-i0'), 2);
  assert.equal(await get(fleet, 'a.b').catch(() => ''), '');
  assert.equal((await fleet.add()).index, 3);
  assert.equal(fleet.truth().size, 3);
  fleet.refuse();
  await assert.rejects(get(fleet, 'a'), { code: 'ECONNREFUSED' });
  await fleet.accept();
  assert.match(await get(fleet, 'a'), /^HTTP\/1.1 200/);
});

test('the ledger tells requests, and sessions that were resumed', async (t) => {
  for (const [version, tickets] of [
    ['TLSv1.2', true],
    ['TLSv1.3', true],
    ['TLSv1.3', false],
  ] as const) {
    const fleet = await startFleet(t, { tickets, tls: { minVersion: version, maxVersion: version } });
    const sessions: Buffer[] = [];
    for (const session of [undefined, ...(tickets ? [0] : [])]) {
      const options = session === undefined ? {} : { session: sessions.at(-1)! };
      const socket: TLSSocket = connectTls({ ...trust(fleet, 'a.fleet.localhost'), ...options });
      socket.on('session', (one) => sessions.push(one));
      socket.write('GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      await socket.toArray();
    }
    await fleet.waitFor(() => fleet.counters().open === 0);
    const [first, second] = fleet.ledger();
    assert.partialDeepStrictEqual(first, { seq: 0, requests: 1, requestBytes: 55, resumed: false, backend: 0 });
    assert.equal(second?.resumed, tickets ? true : undefined);
    const silent = connectTls(trust(fleet, 'a.fleet.localhost'));
    await once(silent, 'secureConnect');
    silent.destroy();
    assert.equal(fleet.ledger().at(-1)!.requestBytes, 0);
  }
});

test('keys are shared, renewed and kept', async (t) => {
  const fleet = await startFleet(t, { n: 3, sharedKeys: [[0, 1]], instanceIds: ['aa'.repeat(20)] });
  assert.deepEqual([...fleet.truth().values()], [[0, 1], [2]]);
  assert.equal(fleet.backends[0]!.instanceId, 'aa'.repeat(20));
  const old = fleet.backends[2]!.fingerprint;
  await fleet.rotate(2, { reuseKey: true });
  assert.equal(fleet.backends[2]!.fingerprint, old);
  await fleet.rotate(2, { staleReport: true });
  assert.notEqual(fleet.backends[2]!.fingerprint, old);
  assert.equal(bodyOf(await get(fleet, 'a-i2')).tls_cert_fingerprint, old);
  assert.match(await get(fleet, 'a', REPORT.replace(NONCE, 'ab')), /^HTTP\/1.1 400/);
});

test('collateral expires by the clock of the fleet', async (t) => {
  const clock = new FakeClock(new Date().toISOString());
  const fleet = await startFleet(t, { clock });
  fleet.pccsControl.setExpiry(Date.now() + 60_000);
  await verified(fleet);
  await assert.rejects(verified(fleet, fleet.rootCa, seconds() + 61), /expired/);
  fleet.pccsControl.setExpiry(undefined);
  await clock.advance(60 * 86_400_000);
  fleet.pccsControl.setTcb('SWHardeningNeeded', ['INTEL-SA-00001']);
  const { result } = await verified(fleet, fleet.rootCa, seconds() + 60 * 86_400);
  assert.deepEqual([result.status, result.advisory_ids], ['SWHardeningNeeded', ['INTEL-SA-00001']]);
  assert.equal(fleet.pccsControl.requests().tcbInfo, 3);
  fleet.pccsControl.outage(true);
  assert.equal((await fetch(`${fleet.pccs}/sgx/certification/v4/rootcacrl`)).status, 503);
});

test('tokens about GPUs say what they are told to', async (t) => {
  const fleet = await startFleet(t, { gpu: true });
  const keys = createLocalJWKSet((await (await fetch(fleet.jwksUrl)).json()) as never);
  const attest = async () => {
    const { nvidia_payload: body } = bodyOf(await get(fleet, 'pool'));
    const answer = (await (await fetch(fleet.nrasUrl, { method: 'POST', body })).json()) as [[string, string], Json];
    const { payload } = await jwtVerify(answer[0][1], keys, { issuer: fleet.nrasIssuer });
    assert.equal(answer[0][0], 'JWT');
    assert.ok(answer[1]['GPU-0']);
    return [payload['x-nvidia-overall-att-result'], payload.eat_nonce === NONCE];
  };
  for (const [verdict, expected] of [
    ['true', true],
    ['false', false],
    ['PASS', 'PASS'],
  ] as const) {
    fleet.nrasControl.verdict = verdict;
    assert.deepEqual(await attest(), [expected, true]);
  }
  for (const verdict of ['wrongKid', 'wrongIssuer', 'expired', 'outage'] as const) {
    fleet.nrasControl.verdict = verdict;
    await assert.rejects(attest(), verdict);
  }
  fleet.nrasControl.verdict = 'wrongNonce';
  assert.deepEqual(await attest(), [true, false]);
  fleet.nrasControl.verdict = 'true';
  fleet.fault(0, 'gpuFail');
  assert.deepEqual(await attest(), [false, true]);
});

test('each policy picks as it says', () => {
  const { weighted, leastConnections, hashSource, sticky, collapsing, starve, scripted } = policies;
  const cases: readonly (readonly [policies.Policy, string])[] = [
    [policies.roundRobin(), '01201201'],
    [policies.uniform(), '10122012'],
    [weighted([0, 1, 0]), '11111111'],
    [weighted([8, 1, 1]), '00022000'],
    [leastConnections(), '00000000'],
    [leastConnections({ background: [2, 1, 1] }), '11111111'],
    [hashSource('ip'), '00000000'],
    [hashSource('ip+port'), '01200220'],
    [sticky(10_000), '11111111'],
    [sticky(1_000), '10122012'],
    [collapsing(2, 3), '01210101'],
    [starve([1]), '02020202'],
    [starve([0, 1, 2]), '01201201'],
    [scripted([2, 0, 9]), '20020020'],
  ];
  for (const [policy, expected] of cases) {
    const pick = policy.start(seededRandom(1));
    const healthy = [0, 1, 2].map((index) => ({ index, open: 0 }));
    const picked = Array.from(expected, (_, n) =>
      pick({ healthy, source: { ip: '127.0.0.1', port: 40_000 + n }, nowMs: n * 1_000 }),
    );
    assert.equal(picked.join(''), expected, policy.name);
  }
  const busy = [2, 1, 1].map((open, index) => ({ index, open }));
  const view = { healthy: busy, source: { ip: '127.0.0.1', port: 1 }, nowMs: 0 };
  assert.equal(leastConnections().start(Math.random)(view), 1);
  assert.throws(() => policies.policyNamed('none'), /no policy none/);
});

test('a ClientHello is read from any pieces, and nothing else is', async () => {
  const server = createServer((socket) => socket.once('data', (bytes) => socket.emit('hello', bytes))).listen(0);
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const helloOf = async (servername?: string) => {
    const client = connectTls({ port, ...(servername && { servername }) }).on('error', () => {});
    const [socket] = await once(server, 'connection');
    const [hello] = (await once(socket, 'hello')) as [Buffer];
    client.destroy();
    return hello;
  };
  const hello = await helloOf('Pool-i1.fleet.localhost');
  const nameless = await helloOf();
  server.close();
  const inRecords = Array.from(hello.subarray(5), (byte) => [22, 3, 1, 0, 1, byte]).flat();
  for (const whole of [hello, Buffer.from(inRecords)]) {
    for (let end = 0; end < whole.length; end++)
      assert.equal(readClientHello(whole.subarray(0, end)).kind, 'more', String(end));
    assert.deepEqual(readClientHello(whole), { kind: 'hello', name: 'pool-i1.fleet.localhost' });
  }
  assert.deepEqual(readClientHello(nameless), { kind: 'hello', name: undefined });
  const withLength = (length: number) =>
    Buffer.concat([Buffer.from([22, 3, 1, 64, 0, 1, 0, length >> 8, length & 255])]);
  assert.equal(readClientHello(withLength(16_380)).kind, 'more');
  assert.equal(readClientHello(withLength(16_381)).kind, 'bad');
  assert.equal(readClientHello(Buffer.from('GET / HTTP/1.1\r\n')).kind, 'bad');
  const broken = Buffer.from(hello);
  broken[5 + 4 + 2 + 32] = 255;
  assert.equal(readClientHello(broken).kind, 'bad');
});

test('the proxy passes a hello that comes byte by byte, and gives up on one that does not come', async (t) => {
  const clock = new FakeClock();
  const fleet = await startFleet(t, { clock });
  const through = createServer(async (socket) => {
    const upstream = connectTcp({ port: fleet.port, host: '127.0.0.1', noDelay: true });
    upstream.pipe(socket);
    for await (const chunk of socket)
      for (const byte of chunk as Buffer) await new Promise((done) => upstream.write(Buffer.of(byte), done));
    upstream.end();
  }).listen(0, '127.0.0.1');
  await once(through, 'listening');
  const { port } = through.address() as { port: number };
  const slow = connectTls({ ...trust(fleet, 'a.fleet.localhost'), port });
  slow.write('GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(Buffer.concat(await slow.toArray()).toString(), /^HTTP\/1.1 200/);
  through.close();
  const silent = connectTcp(fleet.port, '127.0.0.1').resume();
  await fleet.waitFor(() => fleet.ledger().length === 2);
  await clock.advance(1_999);
  assert.equal(silent.closed, false);
  await clock.advance(1);
  await once(silent, 'close');
});

test('the proxy passes half-closes and resets, both ways', async (t) => {
  const upstream = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const port = (upstream.address() as { port: number }).port;
  const proxy = new SniProxy(systemClock, new Ledger(() => {}), () => port);
  await proxy.accept();
  t.after(() => Promise.all([proxy.stop(), upstream.close()]));
  const hello = Buffer.from(`160301002d010000290303${'00'.repeat(33)}000213010100`, 'hex');
  const ends = async () => {
    const client = connectTcp({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true });
    client.write(hello);
    const [server] = (await once(upstream, 'connection')) as [Socket];
    await once(server, 'data');
    return [client, server] as const;
  };
  for (const [one, other] of [[0, 1] as const, [1, 0] as const]) {
    const closing = await ends();
    closing[one].end('asked');
    assert.equal(Buffer.concat(await closing[other].toArray()).toString(), 'asked');
    closing[other].end('answered');
    assert.equal(Buffer.concat(await closing[one].toArray()).toString(), 'answered');
    const resetting = await ends();
    resetting[one].resetAndDestroy();
    await assert.rejects(once(resetting[other].resume(), 'close'), { code: 'ECONNRESET' });
  }
});

test('a fleet as a process takes commands', async () => {
  const child = startChild(new URL('attested-fleet/main.ts', import.meta.url), ['--n', '2', '--policy', 'uniform']);
  const { ready, control, proxy } = await readyLine<Json>(child);
  assert.ok(ready && proxy);
  const command = async (verb: string, body: object) =>
    (await fetch(`${control}/control/${verb}`, { method: 'POST', body: JSON.stringify(body) })).status;
  assert.equal(await command('kill', { i: 1 }), 200);
  assert.equal(await command('fault', { i: 0, fault: { status: 500 }, options: { times: 1 } }), 200);
  assert.equal(await command('setPolicy', { policy: 'sticky', args: [60_000] }), 200);
  assert.equal(await command('fault', { i: 0, fault: 'no such' }), 400);
  const truth = (await (await fetch(`${control}/truth`)).json()) as Json;
  assert.deepEqual(Object.values(truth), [[0]]);
  assert.equal(await child.stop(), 0);
});
