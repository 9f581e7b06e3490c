import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodePayload } from '../../../receivers/bmc-logs/stream/decode.ts';

const kinds = (data: string) => decodePayload(data).map(({ kind }) => kind);

for (const [what, data, expected] of [
  ['a list of events', '{"Events":[{"MessageId":"A.1.X"},{"Message":"b"}]}', ['event', 'event']],
  ['one event in place of the list', '{"Events":{"MessageId":"A.1.X"}}', ['event']],
  ['no list but a bare event record', '{"EventId":7,"MessageId":"A.1.X"}', ['event']],
  ['a bare message', '{"@odata.type":"#Message.v1_1_1.Message","Message":"x"}', ['event']],
  ['a null list', '{"Events":null}', []],
  ['an empty list', '{"Events":[]}', []],
  ['a heartbeat', '{"Events":[{"MessageId":"HeartbeatEvent.1.0.RedfishServiceFunctional"}]}', ['heartbeat']],
  ['a metric report', '{"@odata.type":"#MetricReport.v1_3_0.MetricReport","MetricValues":[]}', ['metric_report']],
  ['a member that is only a link', '{"Events":[{"@odata.id":"/redfish/v1/E/1"}]}', ['reference']],
  [
    'a bad member between good ones',
    '{"Events":[{"Message":"a"},7,{"Message":"b"}]}',
    ['event', 'unreadable', 'event'],
  ],
  ['cut JSON', '{"Events":[', ['unreadable']],
  ['HTML', '<html>', ['unreadable']],
  ['a JSON text', '"hello"', ['unreadable']],
  ['an object that tells nothing', '{"Id":"1"}', ['unreadable']],
  ['a raw line break inside a text', '{"Message":"two\nlines"}', ['event']],
  ['nesting beyond the limit', `{"Message":"x","Oem":${'['.repeat(100)}${']'.repeat(100)}}`, ['unreadable']],
] as const)
  test(`${what} gives ${expected.join(', ') || 'nothing'}`, () => assert.deepEqual(kinds(data), expected));

test('a lost buffer is told, under any version of the registry', () => {
  assert.deepEqual(decodePayload('{"MessageId":"Base.1.19.EventBufferExceeded","Message":"lost"}'), [
    { kind: 'event', json: { MessageId: 'Base.1.19.EventBufferExceeded', Message: 'lost' }, loss: true },
  ]);
});

test('a payload of too many events is cut and says so', () => {
  const data = JSON.stringify({ Events: Array.from({ length: 10_003 }, (_, n) => ({ Message: `${n}` })) });
  const decoded = decodePayload(data);
  assert.equal(decoded.length, 10_001);
  assert.deepEqual(decoded.at(-1), { kind: 'cut' });
});

test('a name like __proto__ stays a name', () => {
  const [event] = decodePayload('{"Message":"x","__proto__":{"polluted":true}}');
  assert.equal(event?.kind, 'event');
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
});

test('a broken body costs no more than its length: a mebibyte of escapes is over before the time limit of the tests', () => {
  assert.deepEqual(kinds(`["${'\\"'.repeat(500_000)}`), ['unreadable']);
});
