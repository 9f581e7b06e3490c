import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json, JsonObject } from '../../../receivers/bmc-logs/json.ts';
import { bmcReaders, pollOf, serviceAt } from '../../support/bmc-readers.ts';

const PATH = '/redfish/v1/Systems/1/LogServices/Log';
const SERVICE = serviceAt(PATH);

const entry = (id: number, change: JsonObject = {}): JsonObject => ({
  '@odata.id': `${PATH}/Entries/${id}`,
  Id: String(id),
  Created: `2026-11-25T10:00:${String(id).padStart(2, '0')}Z`,
  Message: `entry ${id}`,
  ...change,
});
const link = (id: number) => ({ '@odata.id': `${PATH}/Entries/${id}` });

/** A log over pages that the test can change between polls. */
function logOf(state: { pages: Json[][]; entries?: Map<string, JsonObject | undefined> }, history = 'all') {
  const { logs, stream, received } = bmcReaders({
    history,
    resource: (path, query) => {
      if (path !== `${PATH}/Entries`) return state.entries?.get(path);
      const page = Number(query.get('page') ?? 0);
      const next = page + 1 < state.pages.length && { 'Members@odata.nextLink': `${PATH}/Entries?page=${page + 1}` };
      return { Members: state.pages[page] ?? [], ...next };
    },
  });
  return {
    poll: (allServices = true) => logs.poll(pollOf([SERVICE], allServices)),
    tell: (event: JsonObject) => stream.take([{ data: JSON.stringify(event), id: undefined }]),
    received,
    bodies: () => received.map(({ body }) => body),
  };
}

/** Pages of ten links, and the entries behind them. */
function linkedLog(ids: readonly number[]) {
  const pages: Json[][] = [];
  for (let start = 0; start < ids.length; start += 10) pages.push(ids.slice(start, start + 10).map(link));
  const entries = new Map<string, JsonObject | undefined>(ids.map((id) => [`${PATH}/Entries/${id}`, entry(id)]));
  return { pages, entries };
}
const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

test('a link that leads nowhere hides no other entry, and comes when it can be read', async () => {
  const state = linkedLog(upTo(30));
  const third = `${PATH}/Entries/3`;
  state.entries.set(third, undefined);
  const log = logOf(state);
  const { failed, error } = await log.poll();
  assert.deepEqual([failed, error === undefined], [0, false]);
  assert.equal(log.received.length, 29);
  state.entries.set(third, entry(3));
  await log.poll();
  assert.equal(log.received.length, 30);
});

test('a dead link does not make history of what comes after the first read', async () => {
  const state = linkedLog(upTo(9));
  state.entries.set(`${PATH}/Entries/3`, undefined);
  const log = logOf(state, 'none');
  await log.poll();
  assert.equal(log.received.length, 0);
  state.pages[0]!.push(link(10));
  state.entries.set(`${PATH}/Entries/10`, entry(10));
  await log.poll();
  assert.deepEqual(log.bodies(), ['entry 10']);
});

test('a log of more links than one poll may fetch is read to its end, each entry once', async () => {
  const log = logOf(linkedLog(upTo(1_200)));
  for (let n = 0; n < 4; n++) await log.poll();
  assert.equal(new Set(log.bodies()).size, 1_200);
  assert.equal(log.received.length, 1_200);
});

test('an entry of a linked log that does not name itself is known by its link', async () => {
  const state = linkedLog(upTo(12));
  for (const [path, json] of state.entries) {
    const { '@odata.id': _, ...rest } = json!;
    state.entries.set(path, rest);
  }
  const log = logOf(state);
  for (let n = 0; n < 4; n++) await log.poll();
  assert.equal(log.received.length, 12);
});

test('the newest entry of a linked log may go without the others being sent again', async () => {
  const state = linkedLog(upTo(5));
  const log = logOf(state);
  for (let n = 0; n < 4; n++) await log.poll();
  state.pages[0]!.pop();
  for (let n = 0; n < 4; n++) await log.poll();
  assert.equal(log.received.length, 5);
});

test('a log that shows nothing for a while is not sent again when it is back', async () => {
  const state = { pages: [upTo(20).map((id) => entry(id))] as Json[][] };
  const log = logOf(state);
  await log.poll();
  const { pages } = state;
  state.pages = [[]];
  for (let n = 0; n < 5; n++) await log.poll();
  state.pages = pages;
  await log.poll();
  assert.equal(log.received.length, 20);
});

test('a log that was cleared of undated entries and filled with equal ones tells the new ones, under uids of their own', async () => {
  const undated = (id: number) => entry(id, { Created: '0000-00-00T00:00:00Z', Message: 'Fan failed' });
  const state = { pages: [upTo(5).map(undated)] as Json[][] };
  const log = logOf(state);
  await log.poll();
  state.pages = [upTo(2).map(undated)];
  await log.poll();
  assert.equal(log.received.length, 7);
  assert.equal(new Set(log.received.map(({ attributes }) => attributes['log.record.uid'])).size, 7);
});

test('arguments that change in place are a change', async () => {
  const reading = (value: string) =>
    entry(1, { MessageId: 'T.1.0.Temp', MessageArgs: [value], Message: `temp ${value}` });
  const state = { pages: [[reading('81')]] as Json[][] };
  const log = logOf(state);
  await log.poll();
  state.pages = [[reading('95')]];
  await log.poll();
  assert.deepEqual(log.bodies(), ['temp 81', 'temp 95']);
  assert.equal(log.received[1]!.attributes['redfish.entry.change'], 'updated');
});

test('a vendor number that repeats all at once does not send the log again', async () => {
  const numbered = (id: number, number = id) => entry(id, { Oem: { Hpe: { EventNumber: number } } });
  const state = { pages: [upTo(20).map((id) => numbered(id))] as Json[][] };
  const log = logOf(state);
  await log.poll();
  state.pages[0]!.push(numbered(21, 7));
  await log.poll();
  await log.poll();
  assert.equal(log.received.length, 21);
});

test('an entry under the URI of an older event with the same text is another one when its time says so', async () => {
  const cleared = (time: string) => ({ Message: 'The log was cleared', MessageId: 'L.1.0.Cleared', Created: time });
  const state = { pages: [[]] as Json[][] };
  const log = logOf(state);
  await log.tell({ ...cleared('2026-11-25T10:00:00Z'), LogEntry: { '@odata.id': `${PATH}/Entries/1` } });
  state.pages = [[entry(1, cleared('2026-11-25T10:07:00Z'))]];
  await log.poll();
  assert.equal(log.received.length, 2);
});

test('what the stream told waits for its entry while a part of the logs cannot be read', async () => {
  const state = { pages: [[]] as Json[][] };
  const log = logOf(state);
  await log.tell({ Message: 'entry 1', MessageId: 'X', EventId: '9', EventTimestamp: '2026-11-25T10:00:01Z' });
  for (let n = 0; n < 4; n++) await log.poll(false);
  state.pages = [[entry(1, { MessageId: 'X' })]];
  await log.poll();
  assert.equal(log.received.length, 1);
});

test('an answer of 200 that holds an error is a failure, not an empty log', async () => {
  const { logs } = bmcReaders({ resource: () => ({ error: { code: 'Base.1.0.GeneralError' } }) });
  const result = await logs.poll(pollOf([SERVICE]));
  assert.equal(result.failed, 1);
});

test('a page of more members than a poll may look at ends there, and others get a turn meanwhile', async () => {
  const log = logOf({ pages: [Array.from({ length: 100_000 }, () => ({}))] });
  let turns = 0;
  let reading = true;
  const others = (async () => {
    for (; reading; turns++) await new Promise((resolve) => setImmediate(resolve));
  })();
  await log.poll();
  reading = false;
  await others;
  assert.ok(turns >= 50, `${turns} turns`);
});
