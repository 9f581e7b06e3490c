import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromEntry, fromEvent, updatedUid, vendorSequence } from '../../../receivers/bmc-logs/happening.ts';
import type { JsonObject } from '../../../receivers/bmc-logs/json.ts';
import { eventTime } from '../../../receivers/bmc-logs/record/time.ts';

const CONTEXT = { nowNanos: BigInt(Date.parse('2026-11-25T12:00:00Z')) * 1_000_000n, offsetMinutes: 0 };
const SERVICE = '/redfish/v1/Systems/1/LogServices/EventLog';
const ENTRY: JsonObject = {
  '@odata.id': `${SERVICE}/Entries/7`,
  Id: '7',
  Created: '2024-08-21T05:27:15+00:00',
  Message: 'Fan 3 failed',
  MessageArgs: ['3'],
  MessageId: 'Fan.1.0.Failed',
  Severity: 'Critical',
};
const entry = (change: JsonObject = {}, useSequence = true) => {
  const json = { ...ENTRY, ...change };
  const time = eventTime([json.EventTimestamp, json.Created], CONTEXT);
  return fromEntry(json, { endpoint: 'r1', service: SERVICE, time, useSequence, generation: 0 });
};
const event = (change: JsonObject = {}) => {
  const { '@odata.id': link, Id, Created, Severity, ...rest } = ENTRY;
  const json: JsonObject = {
    ...rest,
    EventTimestamp: Created,
    MessageSeverity: Severity,
    LogEntry: { '@odata.id': link },
    ...change,
  };
  return fromEvent(json, 'r1', '41', eventTime([json.EventTimestamp, json.Created], CONTEXT));
};

for (const [what, change] of [
  ['the Id', { Id: '8' }],
  ['the time', { Created: '2024-08-21T05:27:16+00:00' }],
  ['the MessageId', { MessageId: 'Fan.1.0.Restored' }],
] as const)
  test(`${what} alone makes another entry`, () => assert.notEqual(entry(change).base, entry().base));

test('neither Id alone nor time alone is an identity', () => {
  assert.notEqual(entry({ Created: '2025-01-01T00:00:00Z' }).base, entry().base);
  assert.notEqual(entry({ Id: '9' }).base, entry().base);
});

test('with a vendor sequence the Id may move', () => {
  const oem = { Oem: { Hpe: { EventNumber: 352 } } };
  assert.equal(entry({ ...oem, Id: '143' }).base, entry({ ...oem, Id: '142' }).base);
  assert.notEqual(entry({ ...oem, Id: '143' }, false).base, entry({ ...oem, Id: '142' }, false).base);
});

for (const [what, change] of [
  ['a count', { Oem: { Hpe: { Count: 5 } } }],
  ['a resolution', { Resolved: true }],
  ['a severity', { Severity: 'OK' }],
] as const)
  test(`${what} that changes in place is another revision of the same entry`, () => {
    assert.equal(entry(change).base, entry().base);
    assert.notEqual(entry(change).revision, entry().revision);
  });

test('a text that is reworded is no change where MessageId and arguments agree', () => {
  assert.equal(entry({ Message: 'Fan 3 has failed' }).revision, entry().revision);
  const bare = { MessageArgs: null };
  assert.notEqual(entry({ ...bare, Message: 'Fan 3 has failed' }).revision, entry(bare).revision);
});

test('an event that links its log entry has the identity and the uid of that entry', () => {
  assert.equal(event().base, entry().base);
  assert.equal(event().uid, entry().uid);
  assert.equal(event().content, entry().content);
});

test('an event without link has no identity in a log, and a uid of its own', () => {
  const unlinked = event({ LogEntry: undefined, EventId: '7' });
  assert.equal(unlinked.base, undefined);
  assert.notEqual(unlinked.uid, entry().uid);
  assert.equal(unlinked.content, entry().content);
});

test('a uid is 128 bits in hex, the same in every process', () => {
  assert.equal(entry().uid, '5dca483a01c3e49a25ef19b66ae85e28');
  assert.notEqual(updatedUid(entry({ Resolved: true })), entry().uid);
});

test('entries that differ in anything told have different uids', () => {
  const uids = [{}, { Id: '8' }, { Message: 'other' }, { MessageArgs: ['4'] }, { Oem: { Hpe: { Count: 2 } } }].map(
    (change) => entry(change).uid,
  );
  assert.equal(new Set(uids).size, uids.length);
});

for (const [oem, expected] of [
  [{ Hpe: { EventNumber: 210, RecordNumber: 1 } }, '210'],
  [{ Ami: { RecordNumber: 12 } }, '12'],
  [{ Vendor: { LogSequenceNumber: 9 } }, '9'],
  [{ Vendor: { RecordNumber: 'twelve' } }, undefined],
  [{ Nvidia: { Device: '' } }, undefined],
  [[1, 2], undefined],
  [null, undefined],
] as const)
  test(`the vendor sequence of ${JSON.stringify(oem)} is ${expected}`, () => {
    assert.equal(vendorSequence({ Oem: oem } as never), expected);
  });
