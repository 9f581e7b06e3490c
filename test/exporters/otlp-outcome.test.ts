import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeOf } from '../../exporters/otlp-http/outcome.ts';

const answer = (status: number) => outcomeOf({ status, retryAfterMs: undefined, rejected: 0, message: '' });

test('every status has an outcome: 2xx accepts, 400, 413 and 422 blame the data, all others are tried again', () => {
  for (let status = 100; status <= 599; status++) {
    const expected = status >= 200 && status < 300 ? 'accepted' : [400, 413, 422].includes(status) ? 'reject' : 'retry';
    assert.equal(answer(status).kind, expected, `status ${status}`);
  }
});

test('what the server asks for is passed on', () => {
  const outcome = outcomeOf({ status: 429, retryAfterMs: 7_000, rejected: 0, message: 'slow down' });
  assert.deepEqual(outcome, { kind: 'retry', reason: 'HTTP 429: slow down', status: 429, afterMs: 7_000 });
});

test('a partial success keeps count and message', () => {
  const outcome = outcomeOf({ status: 200, retryAfterMs: undefined, rejected: 3, message: 'too old' });
  assert.deepEqual(outcome, { kind: 'accepted', rejected: 3, message: 'too old' });
});
