import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeOf, outcomeOfError } from '../../exporters/otlp-http/outcome.ts';

const answer = (status: number) => outcomeOf({ status, retryAfterMs: undefined, reply: { rejected: 0, message: '' } });

/** Everything that is not `hold`, which all other statuses are. */
const KINDS: Readonly<Record<string, readonly number[]>> = {
  retry: [408, 425, 429, 502, 503, 504],
  reject: [400, 422],
  too_large: [413],
};

test('every status from 100 to 599 has one outcome', () => {
  for (let status = 100; status <= 599; status++) {
    const listed = Object.keys(KINDS).find((kind) => KINDS[kind]!.includes(status));
    const expected =
      listed ?? (status < 200 ? 'retry' : status < 300 ? 'accepted' : status >= 500 ? 'suspect' : 'hold');
    assert.equal(answer(status).kind, expected, `status ${status}`);
  }
});

test('what the server asks for is passed on', () => {
  const outcome = outcomeOf({ status: 429, retryAfterMs: 7_000, reply: { rejected: 0, message: 'slow down' } });
  assert.deepEqual(outcome, { kind: 'retry', reason: 'HTTP 429: slow down', status: 429, afterMs: 7_000 });
});

test('a partial success keeps count and message', () => {
  const outcome = outcomeOf({ status: 200, retryAfterMs: undefined, reply: { rejected: 3, message: 'too old' } });
  assert.deepEqual(outcome, { kind: 'accepted', rejected: 3, message: 'too old' });
});

test('a 2xx that cannot be read says neither yes nor no', () => {
  const outcome = outcomeOf({ status: 200, retryAfterMs: undefined, reply: { unreadable: 'its reply is HTML' } });
  assert.deepEqual(outcome, { kind: 'unknown', reason: 'HTTP 200, but its reply is HTML', status: 200 });
});

test('only a certificate that is not to be trusted holds; in 1970 the clock is blamed, not the certificate', () => {
  const now = BigInt(Date.parse('2026-01-01')) * 1_000_000n;
  const failure = (code: string) => Object.assign(new Error(code), { code });
  for (const code of ['CERT_HAS_EXPIRED', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'ERR_TLS_CERT_ALTNAME_INVALID']) {
    assert.deepEqual(outcomeOfError(failure(code), now), { kind: 'hold', reason: `the certificate: ${code}` });
    assert.deepEqual(outcomeOfError(failure(code), 0n), { kind: 'hold', reason: `the clock of this machine: ${code}` });
  }
  for (const code of ['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'UND_ERR_SOCKET', 'EPROTO'])
    assert.equal(outcomeOfError(failure(code), now).kind, 'retry', code);
});
