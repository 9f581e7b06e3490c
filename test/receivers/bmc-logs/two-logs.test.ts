import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeEvent } from '../../simulators/bmc/event-stream.ts';
import { LiveLog } from '../../simulators/bmc/live-log.ts';
import { PROFILES } from '../../simulators/bmc/profiles.ts';
import { bmcReaders, pollOf, serviceAt } from '../../support/bmc-readers.ts';

/** The readers of one endpoint over some logs, that all hold what is appended. */
function scene(profileName: string, count: number) {
  const profile = PROFILES.find(({ name }) => name === profileName)!;
  const names = ['One', 'Two'].slice(0, count);
  const logs = names.map((name) => new LiveLog(`/redfish/v1/Systems/1/LogServices/${name}`, profile.services[0]!));
  const state = { isAway: (_path: string) => false };
  const readers = bmcReaders({
    resource: (path, query) => {
      if (state.isAway(path)) return undefined;
      const log = logs.find((one) => path.startsWith(`${one.path}/`))!;
      const id = /\/Entries\/([^/]+)$/.exec(path)?.[1];
      return id === undefined ? log.page(Number(query.get('$skip') ?? 0)) : log.entry(id);
    },
  });
  let createdMs = Date.parse('2026-11-25T11:00:00Z');
  let events = 0;
  return {
    ...{ logs, state },
    /** @param told place of the log whose entry the event names */
    append(message: string, told = 0) {
      createdMs += 1_000;
      const entry = { createdMs, message, messageArgs: [], messageId: 'T.1.0.E', severity: 'OK' };
      const entries = logs.map((log) => log.append(entry));
      return writeEvent(profile, { ...entries[told]!, id: ++events, entryUri: logs[told]!.uriOf(entries[told]!) });
    },
    poll: () => readers.logs.poll(pollOf(logs.map(({ path }) => serviceAt(path)))),
    tell(text: string) {
      const data = text.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : []));
      return readers.stream.take([{ data: data.join('\n'), id: /^id: (.*)$/m.exec(text)?.[1] }]);
    },
    said: () => readers.received.map(({ body }) => String(body)),
  };
}

for (const { name } of PROFILES) {
  test(`${name}: an event names its entry in the log that is read second, and both logs hold it: told once`, async () => {
    const one = scene(name, 2);
    await one.poll();
    await one.tell(one.append('x', 1));
    await one.poll();
    await one.poll();
    assert.deepEqual(one.said(), ['x']);
  });

  test(`${name}: an event names its entry in a log that cannot be read for once, and the other log holds it: told once`, async () => {
    const one = scene(name, 2);
    await one.poll();
    await one.tell(one.append('x'));
    one.state.isAway = (path) => path.includes('/One/');
    await one.poll();
    one.state.isAway = () => false;
    await one.poll();
    assert.deepEqual(one.said(), ['x']);
  });

  test(`${name}: a poll has told it from one log, and then an event names the entry of the other: told once`, async () => {
    const one = scene(name, 2);
    await one.poll();
    one.state.isAway = (path) => path.includes('/Two/');
    const event = one.append('x', 1);
    await one.poll();
    one.state.isAway = () => false;
    await one.tell(event);
    await one.poll();
    assert.deepEqual(one.said(), ['x']);
  });

  test(`${name}: a log without times is cleared, and its only entry is another one: told`, async () => {
    const one = scene(name, 1);
    one.logs[0]!.extra = () => ({ Created: '0000-00-00T00:00:00Z' });
    one.append('Fan 1 failed');
    await one.poll();
    one.logs[0]!.clear();
    one.append('Power supply 2 lost');
    await one.poll();
    await one.poll();
    assert.deepEqual(one.said(), ['Fan 1 failed', 'Power supply 2 lost']);
  });
}

test('a known link that two pages show, since the log went on between them, counts once', async () => {
  const one = scene('xcc', 2);
  for (const log of one.logs) Object.assign(log, { linkOnly: true, pageSize: 2 });
  const createdMs = Date.parse('2026-11-25T12:00:00Z');
  const entry = { createdMs, message: 'Same', messageArgs: [], messageId: 'T.1.0.E', severity: 'OK' };
  const same = () => {
    for (const log of one.logs) log.append(entry);
  };
  one.append('a');
  one.append('b');
  same();
  one.logs[0]!.append({ ...entry, createdMs: createdMs + 1_000, message: 'd' });
  await one.poll();
  let pages = 0;
  one.state.isAway = (path) => {
    if (path.endsWith('/One/Entries') && ++pages === 2) same();
    return false;
  };
  for (let n = 0; n < 3; n++) await one.poll();
  assert.deepEqual(one.said().sort(), ['Same', 'Same', 'a', 'b', 'd']);
});

for (const linkOnly of [false, true])
  test(`a log without times that is cleared and filled to the same length loses nothing (${linkOnly ? 'links' : 'embedded'})`, async () => {
    const one = scene('openbmc', 1);
    const log = one.logs[0]!;
    Object.assign(log, {
      linkOnly,
      extra: ({ message }: { message: string }) => ({ Created: undefined, MessageArgs: [message] }),
    });
    for (const message of ['A', 'B', 'C']) one.append(message);
    await one.poll();
    log.clear();
    for (const message of ['D', 'E', 'F']) one.append(message);
    await one.poll();
    await one.poll();
    assert.deepEqual(one.said(), ['A', 'B', 'C', 'D', 'E', 'F']);
  });
