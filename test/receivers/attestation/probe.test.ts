import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import fc from 'fast-check';
import { derChildren, readDer, readRevocationList, spkiOf } from '../../../receivers/attestation/der.ts';
import { brokenSums, tally } from '../../../receivers/attestation/outcome.ts';
import { poolKey, poolName } from '../../../receivers/attestation/pool-name.ts';
import { peerOf } from '../../../receivers/attestation/probe/connection.ts';
import {
  badStatus,
  callTimeout,
  checkFailed,
  connectFailure,
  handshakeFailure,
  headFailure,
  reasonOf,
  STAGES,
} from '../../../receivers/attestation/probe/failure.ts';
import type { ProbeResult } from '../../../receivers/attestation/probe/result.ts';
import { redact } from '../../../receivers/attestation/redact.ts';
import { settle } from '../../../src/testing/fake-clock.ts';
import { attestedScene } from '../../support/attested-scene.ts';
import { forAll } from '../../support/property.ts';

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'outband-spki-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const openssl = (...args: string[]) =>
  execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] });

for (const [name, algorithm] of [
  ['P-256', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256']],
  ['P-384', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384']],
  ['RSA', ['rsa:2048']],
  ['Ed25519', ['ed25519']],
] as const)
  test(`the pin of a key is what openssl says: ${name}`, () => {
    openssl(
      'req',
      '-x509',
      '-newkey',
      ...algorithm,
      '-nodes',
      '-keyout',
      'k.pem',
      '-out',
      'c.pem',
      '-subj',
      '/CN=x',
      '-days',
      '2',
    );
    const der = openssl('x509', '-in', 'c.pem', '-outform', 'DER');
    openssl('x509', '-in', 'c.pem', '-pubkey', '-noout', '-out', 'pub.pem');
    const expected = createHash('sha256')
      .update(openssl('pkey', '-pubin', '-in', 'pub.pem', '-outform', 'DER'))
      .digest('hex');
    assert.equal(createHash('sha256').update(spkiOf(der)).digest('hex'), expected);
  });

test('bytes that are no certificate are refused, whatever they are', () =>
  forAll(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    for (const read of [spkiOf, readRevocationList, (one: Uint8Array) => derChildren(one, readDer(one))])
      try {
        read(bytes);
      } catch (error) {
        assert.ok(error instanceof RangeError || error instanceof TypeError, String(error));
      }
  }));

test('what ended a connection, by the code of the system', () => {
  const coded = (code: string) => Object.assign(new Error('https://secret.example 10.0.0.1'), { code });
  const table = [
    [connectFailure(coded('ECONNREFUSED')), 'tcp_refused'],
    [
      connectFailure(Object.assign(new AggregateError([coded('EHOSTUNREACH'), coded('ECONNREFUSED')]), {})),
      'tcp_refused',
    ],
    [connectFailure(coded('EHOSTUNREACH')), 'tcp_unreachable'],
    [connectFailure(coded('ENOTFOUND')), 'dns'],
    [handshakeFailure(coded('CERT_HAS_EXPIRED')), 'tls_expired'],
    [handshakeFailure(coded('CERT_NOT_YET_VALID')), 'tls_expired'],
    [handshakeFailure(coded('ERR_TLS_CERT_ALTNAME_INVALID')), 'tls_name'],
    [handshakeFailure(coded('UNABLE_TO_VERIFY_LEAF_SIGNATURE')), 'tls_untrusted'],
    [handshakeFailure(coded('DEPTH_ZERO_SELF_SIGNED_CERT')), 'tls_untrusted'],
    [handshakeFailure(coded('SELF_SIGNED_CERT_IN_CHAIN')), 'tls_untrusted'],
    [handshakeFailure(coded('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA')), 'tls_alert'],
    [handshakeFailure(coded('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION')), 'tls_alert'],
    [handshakeFailure(coded('ERR_SSL_WRONG_VERSION_NUMBER')), 'tls_closed'],
    [handshakeFailure(coded('ECONNRESET')), 'tls_closed'],
    [handshakeFailure(undefined), 'tls_closed'],
    [headFailure(coded('UND_ERR_SOCKET')), 'closed'],
    [headFailure(coded('ECONNRESET')), 'reset'],
    [headFailure(coded('HPE_INVALID_CONSTANT')), 'http'],
    [headFailure(coded('UND_ERR_HEADERS_OVERFLOW')), 'http'],
    [headFailure(undefined), 'closed'],
  ] as const;
  for (const [failure, stage] of table) {
    assert.equal(failure.stage, stage);
    assert.doesNotMatch(reasonOf(failure), /secret|10\.0/);
  }
  assert.equal(handshakeFailure(coded('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA')).detail, 'unknown_ca');
});

const REASON =
  /^(connect|send_timeout|timeout|request|send|malformed_json|query_encode|client_build|verify|status:\d{3}): .+$/;

test('every reason has its form and its length', () => {
  for (const failure of [badStatus(503), badStatus(799), callTimeout('body', 10_000), checkFailed('x'.repeat(300))]) {
    assert.match(reasonOf(failure), REASON);
    assert.ok(reasonOf(failure).length <= 120);
  }
  assert.equal(new Set(STAGES).size, STAGES.length);
});

test('numbers of a cycle agree, whatever its probes came to, and a wrong one is noticed', () => {
  const outcome = fc.constantFrom<ProbeResult['outcome']>('ok', 'failed', 'verify_failed', 'unbound', 'cancelled');
  return forAll(fc.array(outcome, { minLength: 1, maxLength: 30 }), (outcomes) => {
    const results = outcomes.map(
      (one, attempt): ProbeResult => ({
        ...{ attempt, via: { kind: 'plain' }, algo: 'ecdsa', outcome: one, checksSkipped: [], evidence: {} },
        ...{ elapsed: { total: 1 } },
        ...(one !== 'failed' && { fingerprint: String(attempt).padStart(64, '0') }),
        ...((one === 'failed' || one === 'verify_failed') && { failure: badStatus(500) }),
      }),
    );
    const shuffled = [...results].reverse();
    const counts = tally(shuffled);
    assert.deepEqual(brokenSums(results.length, results, counts), []);
    assert.deepEqual(
      counts.observedAttempts,
      [...counts.observedAttempts].sort((a, b) => a - b),
    );
    assert.notDeepEqual(brokenSums(results.length + 1, results, counts), []);
    const twice = [...results, results[0]!];
    assert.notDeepEqual(brokenSums(twice.length, twice, tally(twice)), []);
    const [first] = results;
    if (first!.outcome !== 'ok') return;
    const { fingerprint: _, ...bare } = first!;
    const broken = [bare, ...results.slice(1)];
    assert.deepEqual(brokenSums(results.length, broken, tally(broken)), ['observed_fingerprints']);
  });
});

test('names of pools', () => {
  const table: readonly (readonly [Parameters<typeof poolName>[0], string])[] = [
    [{ model: 'glm', url: 'https://pool.example.org' }, 'glm@pool.example.org'],
    [{ model: 'glm', url: 'https://pool.example.org:443/' }, 'glm@pool.example.org'],
    [{ model: 'glm', url: 'https://pool.example.org:8443' }, 'glm@pool.example.org:8443'],
    [{ model: 'glm', url: 'https://pool.example.org', name: 'mine' }, 'mine'],
  ];
  for (const [model, name] of table) assert.equal(poolName(model), name);
  for (const url of ['https://10.0.0.1', 'https://[fd00::1]:8443']) {
    const name = poolName({ model: 'glm', url });
    assert.match(name, /^glm@ip-[0-9a-f]{8}(:8443)?$/);
  }
  assert.ok(poolName({ model: 'm'.repeat(256), url: 'https://pool.example.org' }).length <= 256);
  assert.notEqual(poolKey({ model: 'a', url: 'https://b' }), poolKey({ model: 'a', url: 'https://c' }));
});

test('what must not be in a text is taken out of it', () => {
  const table: readonly (readonly [string, string])[] = [
    ['see https://u:p@h/x?y#z now', 'see [url] now'],
    ['at 10.1.2.3:443', 'at [ip]:443'],
    ['at [fd00::1]:443', 'at [[ip]]:443'],
    ['at ::1', 'at [ip]'],
    ['key deadbeefdeadbeef', 'key [hex]'],
    ['key deadbeef', 'key deadbeef'],
    ['connect: no answer in 5000 ms', 'connect: no answer in 5000 ms'],
    ['status:503: Service Unavailable', 'status:503: Service Unavailable'],
    ['glm@pool.example.org:8443', 'glm@pool.example.org:8443'],
    ['2026-11-26T10:20:30.000Z', '2026-11-26T10:20:30.000Z'],
  ];
  for (const [text, expected] of table) assert.equal(redact(text), expected);
});

test('a connection that took up a session of before gets no byte of a request', async (t) => {
  let session: Buffer | undefined;
  const scene = await attestedScene(t, {
    fleet: { n: 1, tls: { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } },
    config: {
      initial: { calls: 2, max_calls: 2, launch_stagger: '0s' },
      per_host_concurrency: 1,
      sampling: { adaptive: false },
    },
    parts: {
      async connect({ host, port, secureContext }) {
        const socket = connect({
          host: '127.0.0.1',
          port,
          servername: host,
          secureContext,
          ...(session && { session }),
        });
        socket.on('session', (fresh) => {
          session = fresh;
        });
        await once(socket, 'secureConnect');
        const reused = socket.isSessionReused();
        return {
          socket,
          reused,
          peer: peerOf(socket),
          localPort: socket.localPort,
          elapsed: { dns: 0, tcp: 0, tls: 0 },
        };
      },
    },
  });
  const cycle = await scene.cycle();
  assert.equal(cycle.calls, 2);
  assert.equal(cycle['attestation.unbound_calls'], 1);
  assert.deepEqual(cycle.unbound_attempts, [1]);
  assert.deepEqual(cycle.failure_reasons, []);
  for (let turn = 0; turn < 50; turn++) await settle();
  assert.deepEqual(
    scene.fleet.ledger().map(({ requestBytes }) => requestBytes > 0),
    [true, false],
  );
  assert.equal(await scene.metrics.value('outband.attestation.handshake.rejected', { reason: 'session_reused' }), 1);
});
