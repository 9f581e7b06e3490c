import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bmcReaders, pollOf, serviceAt } from '../../support/bmc-readers.ts';
import { forAll } from '../../support/property.ts';

/** JSON in which the names that the reader knows hold anything at all. */
const names = fc.constantFrom(
  ...['@odata.id', '@odata.type', 'Id', 'Created', 'EventTimestamp', 'Message', 'MessageArgs', 'MessageId', 'Severity'],
  ...[
    'MessageSeverity',
    'Events',
    'EventId',
    'MemberId',
    'LogEntry',
    'OriginOfCondition',
    'Links',
    'Oem',
    'Count',
    'CPER',
  ],
  ...['EventNumber', 'Resolved', 'Members', 'Members@odata.nextLink', '__proto__', 'constructor', 'toString', 'Name'],
);
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(
      null,
      true,
      0,
      -1.5,
      1e300,
      '',
      'text',
      '2024-08-21T05:27:15Z',
      '/redfish/v1/X/Entries/1',
      '%1 %2 %9',
    ),
    fc.array(tie('json'), { maxLength: 3 }),
    fc.dictionary(names, tie('json'), { maxKeys: 6 }),
  ),
}));

test('a stream may send any JSON: nothing throws, and every record has a uid and a text', () =>
  forAll(fc.array(json, { maxLength: 5 }), async (payloads) => {
    const { stream, received } = bmcReaders({});
    await stream.take(payloads.map((payload) => ({ data: JSON.stringify(payload), id: undefined })));
    for (const { body, attributes, hrTime } of received) {
      assert.equal(typeof body, 'string');
      assert.match(String(attributes['log.record.uid']), /^[0-9a-f]{32}$/);
      assert.ok(hrTime.every((part) => Number.isSafeInteger(part) && part >= 0));
    }
  }));

test('a log may hold any JSON: nothing throws, and a second read sends nothing again', () =>
  forAll(fc.array(json, { maxLength: 8 }), async (members) => {
    const { logs, received } = bmcReaders({ resource: () => ({ Members: members }) });
    const poll = () => logs.poll(pollOf([serviceAt('/redfish/v1/X')]));
    await poll();
    const first = received.length;
    await poll();
    assert.equal(received.length, first);
  }));
