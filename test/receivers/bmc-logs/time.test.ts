import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventTime, parseOffset, timeKey } from '../../../receivers/bmc-logs/record/time.ts';

const NOW = BigInt(Date.parse('2026-11-25T12:00:00Z')) * 1_000_000n;
const context = { nowNanos: NOW, offsetMinutes: 0 };
const utc = (text: string) => BigInt(Date.parse(text)) * 1_000_000n;

for (const [text, expected] of [
  ['2024-08-21T05:27:15Z', utc('2024-08-21T05:27:15Z')],
  ['2024-08-21T05:27:15+00:00', utc('2024-08-21T05:27:15Z')],
  ['2021-09-14T02:28:55+0300', utc('2021-09-13T23:28:55Z')],
  ['2024-06-11T00:13:00-05:00', utc('2024-06-11T05:13:00Z')],
  ['2023-08-16T19:42:58.033389+00:00', utc('2023-08-16T19:42:58Z') + 33_389_000n],
  ['2024-02-29 10:00:00Z', utc('2024-02-29T10:00:00Z')],
  ['2026-11-26T11:59:59Z', utc('2026-11-26T11:59:59Z')],
] as const)
  test(`${text} is read to the nanosecond`, () => {
    assert.deepEqual(eventTime([text], context), { epochNanos: expected, zoneAssumed: false });
  });

for (const raw of [
  '0000-00-00T00:00:00Z',
  '1970-01-01T00:00:00Z',
  '2024-02-30T00:00:00Z',
  '2024-13-01T00:00:00Z',
  '2024-01-01T25:00:00Z',
  '2026-11-26T12:00:01Z',
  'yesterday',
  '',
])
  test(`"${raw}" is unusable and kept as text`, () => {
    assert.deepEqual(eventTime([raw], context), { epochNanos: undefined, raw });
  });

test('a number, null and nothing are unusable', () => {
  assert.deepEqual(eventTime([1_700_000_000], context), { epochNanos: undefined, raw: '1700000000' });
  assert.deepEqual(eventTime([null], context), { epochNanos: undefined, raw: undefined });
  assert.deepEqual(eventTime([], context), { epochNanos: undefined, raw: undefined });
});

test('the second field is used when the first is unusable', () => {
  const time = eventTime(['0000-00-00T00:00:00Z', '2024-08-21T05:27:15Z'], context);
  assert.equal(time.epochNanos, utc('2024-08-21T05:27:15Z'));
});

test('without a zone the offset of the service counts, and the record says so', () => {
  const time = eventTime(['2024-08-21T05:27:15'], { ...context, offsetMinutes: -300 });
  assert.deepEqual(time, { epochNanos: utc('2024-08-21T10:27:15Z'), zoneAssumed: true });
});

test('a clock of ours that is not set judges nothing as future', () => {
  const time = eventTime(['2026-11-25T12:00:00Z'], { nowNanos: 0n, offsetMinutes: 0 });
  assert.equal(time.epochNanos, NOW);
});

test('offsets are read in both spellings', () => {
  assert.equal(parseOffset('+05:30'), 330);
  assert.equal(parseOffset('-0500'), -300);
  assert.equal(parseOffset('CET'), undefined);
});

test('two tellings agree within the second', () => {
  const key = (text: string) => timeKey(eventTime([text], context));
  assert.equal(key('2024-08-21T05:27:15.9Z'), key('2024-08-21T08:27:15+03:00'));
  assert.notEqual(key('0000-00-00T00:00:00Z'), key('0000-00-00T00:00:01Z'));
});
