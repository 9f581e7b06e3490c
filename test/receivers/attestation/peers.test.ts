import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createSecureContext, type SecureVersion } from 'node:tls';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import type { ProbePlan } from '../../../receivers/attestation/probe/probe.ts';
import { runProbe } from '../../../receivers/attestation/probe/probe.ts';
import { systemClock } from '../../../src/platform/system-clock.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const EC = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

interface PeerOptions {
  /** Of `openssl req -newkey`. */
  readonly key?: readonly string[];
  readonly version?: SecureVersion;
  readonly address?: string;
  readonly encoding?: readonly [string, (body: string) => Buffer];
}

/** One server that answers every request, for a client that trusts it. */
async function peerOf(
  t: TestContext,
  { key = EC, version, address = '127.0.0.1', encoding = ['identity', Buffer.from] }: PeerOptions,
) {
  const cwd = await temporaryDirectory(t);
  const names = 'subjectAltName=DNS:peer.localhost,IP:::1,IP:127.0.0.1';
  const files = ['-keyout', 'k.pem', '-out', 'c.pem'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', ...key, '-nodes', ...files, '-subj', '/CN=peer', '-days', '2', '-addext', names],
    { cwd, stdio: 'ignore' },
  );
  const [cert, pem] = await Promise.all([readFile(join(cwd, 'c.pem')), readFile(join(cwd, 'k.pem'))]);
  const hosts: (string | undefined)[] = [];
  const limits = version && { minVersion: version, maxVersion: version };
  const server = createServer({ cert, key: pem, ...limits }, (request, response) => {
    hosts.push(request.headers.host);
    response.writeHead(200, { 'content-encoding': encoding[0] }).end(encoding[1]('{"is":"a report"}'));
  }).listen(0, address);
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const spki = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' });
  const reports: unknown[] = [];
  const probe = (plan: Partial<ProbePlan> = {}, minVersion: SecureVersion = 'TLSv1.2') =>
    runProbe(
      {
        settings: {
          ...{ model: 'm', path: '/report', connectTimeoutMs: 5_000, callTimeoutMs: 10_000, idleTimeoutMs: 10_000 },
          ...{ verifyTimeoutMs: 5_000, bodyLimit: 65_536 },
        },
        verifier: {
          async verify({ report }) {
            reports.push(report);
            return { skipped: [], evidence: {} };
          },
        },
        clock: systemClock,
        secureContext: async () => createSecureContext({ ca: cert, minVersion }),
        headers: async () => ({}),
      },
      { attempt: 0, via: { kind: 'plain' }, algo: 'ecdsa', host: 'peer.localhost', port, ...plan },
      AbortSignal.timeout(20_000),
    );
  return { port, hosts, reports, probe, fingerprint: createHash('sha256').update(spki).digest('hex') };
}

for (const [name, options] of Object.entries({
  'a key of RSA': { key: ['rsa:2048'] },
  'a key of Ed25519': { key: ['ed25519'] },
  'a key on P-384': { key: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'] },
  'TLS 1.2': { version: 'TLSv1.2' },
  'TLS 1.3': { version: 'TLSv1.3' },
} satisfies Record<string, PeerOptions>))
  test(`a live peer with ${name} is seen by its key`, async (t) => {
    const { probe, fingerprint } = await peerOf(t, options);
    const result = await probe();
    assert.equal(result.failure, undefined);
    assert.equal(result.outcome, 'ok');
    assert.equal(result.fingerprint, fingerprint);
  });

test('a peer that is older than it may be is none', async (t) => {
  const { probe, hosts } = await peerOf(t, { version: 'TLSv1.2' });
  const result = await probe({}, 'TLSv1.3');
  assert.deepEqual([result.failure?.category, result.failure?.stage], ['connect', 'tls_alert']);
  assert.equal(result.failure?.detail, 'protocol_version');
  assert.deepEqual(hosts, []);
});

test('a host that is an address of IPv6 is asked as such', async (t) => {
  const { probe, hosts, port, fingerprint } = await peerOf(t, { address: '::1' });
  const result = await probe({ host: '::1' });
  assert.equal(result.failure, undefined);
  assert.equal(result.fingerprint, fingerprint);
  assert.deepEqual(hosts, [`[::1]:${port}`]);
  const named = await probe({ host: 'peer.localhost', address: '::1', via: { kind: 'address', index: 0 } });
  assert.equal(named.outcome, 'ok');
});

for (const [name, encode] of [
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', brotliCompressSync],
] as const)
  test(`a body in ${name} is read, one that is cut is not, and one that unfolds beyond the limit is too large`, async (t) => {
    const whole = await peerOf(t, { encoding: [name, (body) => encode(body)] });
    assert.equal((await whole.probe()).outcome, 'ok');
    assert.deepEqual(whole.reports, [{ is: 'a report' }]);
    const cut = await peerOf(t, { encoding: [name, (body) => encode(body).subarray(0, -6)] });
    assert.equal((await cut.probe()).failure?.stage, 'body_truncated');
    const bomb = await peerOf(t, { encoding: [name, (body) => encode(body + ' '.repeat(70_000))] });
    assert.equal((await bomb.probe()).failure?.stage, 'body_too_large');
  });

test('a label that no name can hold is told without asking anybody', async (t) => {
  const { probe, hosts } = await peerOf(t, {});
  const result = await probe({ host: `${'x'.repeat(62)}-i0.localhost`, via: { kind: 'index', index: 0 } });
  assert.deepEqual([result.failure?.category, result.failure?.stage], ['query_encode', 'query']);
  assert.deepEqual(hosts, []);
});
