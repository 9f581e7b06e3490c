import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classifyAnswer, classifyError } from '../../../receivers/bmc-logs/classify-connect.ts';
import type { ErrorCode } from '../../../src/component/error-codes.ts';
import { OutbandError } from '../../../src/component/errors.ts';

const answer = (status: number, contentType?: string, contentEncoding?: string, retryAfterMs?: number) =>
  classifyAnswer({ status, contentType, contentEncoding, retryAfterMs });

test('200 with an event stream opens it, whatever parameters stand behind the type', () => {
  assert.equal(answer(200, 'text/event-stream'), undefined);
  assert.equal(answer(200, 'Text/Event-Stream; charset=utf-8', 'identity'), undefined);
});

for (const [status, type, encoding] of [
  [200, 'text/html', undefined],
  [200, undefined, undefined],
  [200, 'text/event-stream', 'gzip'],
  [404, undefined, undefined],
  [405, undefined, undefined],
  [406, undefined, undefined],
  [501, undefined, undefined],
] as const)
  test(`${status} ${type ?? ''} ${encoding ?? ''} means that this BMC does not stream`, () => {
    assert.equal(answer(status, type, encoding)?.kind, 'unsupported');
  });

for (const [status, type] of [
  [401, 'auth'],
  [403, 'auth'],
  [400, 'http_4xx'],
  [408, 'http_4xx'],
  [500, 'http_5xx'],
  [302, 'http_4xx'],
] as const)
  test(`${status} is a failure of type ${type}`, () => {
    const outcome = answer(status);
    assert.ok(outcome?.kind === 'failure' && outcome.type === type);
  });

for (const [asked, expected] of [
  [undefined, 20_000],
  [5_000, 20_000],
  [120_000, 120_000],
  [36_000_000, 300_000],
] as const)
  test(`a busy BMC that asks for ${asked} ms gets ${expected} ms`, () => {
    for (const status of [429, 503]) {
      const outcome = answer(status, undefined, undefined, asked);
      assert.ok(outcome?.kind === 'failure' && outcome.retryAfterMs === expected);
    }
  });

for (const [code, type] of [
  ['deadline_exceeded', 'timeout_headers'],
  ['bmc_tls', 'tls'],
  ['bmc_unreachable', 'refused'],
  ['auth_rejected', 'auth'],
  ['bmc_bad_body', 'body'],
] as const satisfies readonly (readonly [ErrorCode, string])[])
  test(`an attempt that ends with ${code} is a failure of type ${type}, never "unsupported"`, () => {
    const outcome = classifyError(new OutbandError(code, 'x'));
    assert.ok(outcome.kind === 'failure' && outcome.type === type);
  });

for (const code of ['auth_hold', 'config_source', 'config_reference'] as const satisfies readonly ErrorCode[])
  test(`an attempt that ends with ${code} was not sent: it says nothing of the stream`, () => {
    assert.equal(classifyError(new OutbandError(code, 'x')).kind, 'not_sent');
  });
