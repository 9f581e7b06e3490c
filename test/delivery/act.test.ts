import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SendResult } from '../../src/component/exporter.ts';
import { type Action, act, type BackendState, judge, type RequestState } from '../../src/delivery/act.ts';

const NOW = 1_000_000;
const REQUEST: RequestState = { size: 8, serverErrors: 0, timeouts: 0, failingSince: NOW - 10_000 };
const TRUSTED: BackendState = { acceptedAt: NOW - 1, canProbe: true };
const SILENT: BackendState = { acceptedAt: NOW - 60_001, canProbe: true };
const SILENT_WITHOUT_PROBE: BackendState = { acceptedAt: Number.NEGATIVE_INFINITY, canProbe: false };

const REJECT: SendResult = { kind: 'reject', reason: 'HTTP 400', status: 400 };
const SERVER: SendResult = { kind: 'suspect', cause: 'server_error', reason: 'HTTP 500', status: 500 };
const TIMEOUT: SendResult = { kind: 'suspect', cause: 'timeout', reason: 'no answer' };
const TOO_LARGE: SendResult = { kind: 'too_large', reason: 'HTTP 413' };

const TABLE: readonly [what: string, SendResult, Partial<RequestState>, BackendState, Action][] = [
  ['2xx', { kind: 'accepted' }, {}, TRUSTED, { do: 'settle' }],
  ['2xx with a message', { kind: 'accepted', message: 'soon full' }, {}, TRUSTED, { do: 'settle' }],
  ['2xx, some refused', { kind: 'accepted', rejected: 2 }, {}, TRUSTED, { do: 'set_aside', reason: 'partial_success' }],
  ['2xx, unreadable', { kind: 'unknown', reason: '' }, {}, TRUSTED, { do: 'set_aside', reason: 'reply_unreadable' }],
  ['503', { kind: 'retry', reason: '' }, { serverErrors: 99 }, TRUSTED, { do: 'retry' }],
  ['401', { kind: 'hold', reason: '' }, {}, TRUSTED, { do: 'hold' }],
  ['400, trusted', REJECT, {}, TRUSTED, { do: 'split' }],
  ['400, one record', REJECT, { size: 1 }, TRUSTED, { do: 'set_aside', reason: 'rejected' }],
  ['400, no 2xx for a minute', REJECT, {}, SILENT, { do: 'prove', wait: false }],
  ['400, nothing to prove with', REJECT, {}, SILENT_WITHOUT_PROBE, { do: 'split' }],
  ['413', TOO_LARGE, {}, SILENT, { do: 'split' }],
  ['413, one record', TOO_LARGE, { size: 1 }, SILENT, { do: 'set_aside', reason: 'too_large' }],
  ['500, fourth time', SERVER, { serverErrors: 4 }, TRUSTED, { do: 'retry' }],
  ['500, fifth time, others pass', SERVER, { serverErrors: 5 }, TRUSTED, { do: 'split' }],
  ['500, alone', SERVER, { serverErrors: 5, size: 1 }, TRUSTED, { do: 'set_aside', reason: 'server_error' }],
  ['500, fifth time, nothing passes', SERVER, { serverErrors: 5 }, SILENT, { do: 'prove', wait: true }],
  ['500 for everybody, no probe', SERVER, { serverErrors: 99 }, SILENT_WITHOUT_PROBE, { do: 'retry' }],
  ['timeout, fifth time, others pass', TIMEOUT, { timeouts: 5 }, TRUSTED, { do: 'split' }],
  ['timeout, alone', TIMEOUT, { timeouts: 5, size: 1 }, TRUSTED, { do: 'set_aside', reason: 'timeout' }],
  ['timeouts do not count as 500s', TIMEOUT, { timeouts: 1, serverErrors: 9 }, TRUSTED, { do: 'retry' }],
];

for (const [what, result, request, backend, expected] of TABLE)
  test(`${what}: ${Object.values(expected).join(' ')}`, () => {
    assert.deepEqual(act(result, { ...REQUEST, ...request }, backend, NOW), expected);
  });

test('an empty request tells bad data from a bad set-up, and both from an outage', () => {
  assert.equal(judge({ kind: 'accepted' }), 'data');
  assert.equal(judge(REJECT), 'setup');
  assert.equal(judge({ kind: 'hold', reason: '' }), 'setup');
  for (const result of [SERVER, TIMEOUT, { kind: 'retry', reason: '' }] as const) assert.equal(judge(result), 'outage');
});
