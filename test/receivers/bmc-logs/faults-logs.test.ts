import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import type { LiveLog } from '../../simulators/bmc/live-log.ts';
import type { SinkRecord } from '../../simulators/otlp-sink/decode.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { startAgentProcess } from '../../support/agent-process.ts';
import { durableConfig } from '../../support/bmc-config.ts';
import { bmcReaders, pollOf, serviceAt } from '../../support/bmc-readers.ts';
import { agentOf, type TestAgent } from '../../support/run-agent.ts';
import { countLines, type Scene, scene } from '../../support/scene.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const POLLED = `
mode: periodic
initial_history: all
periodic: { logs_collection_interval: 50ms }`;
const RESETS = 'outband.bmc.log_resets';
const DAY_MS = 86_400_000;

const bodies = (records: readonly SinkRecord[]) => records.map(({ body }) => String(body));

/** Resolves when so many reads of the logs have ended that began after this call. */
async function moreReads(agent: TestAgent, reads = 1): Promise<void> {
  const until = countLines(agent, 'logs read') + reads + 1;
  await agent.line(() => countLines(agent, 'logs read') >= until);
}

/** Everything that was offered has come, once, and two more reads brought nothing. */
async function onceEach({ allSettled, verdict }: Scene): Promise<void> {
  await allSettled();
  const { lost, doubled, strange, altered } = verdict();
  assert.deepEqual({ lost, doubled, strange, altered }, { lost: [], doubled: [], strange: 0, altered: [] });
}

/** Entries a second apart, so that nothing is left to chance. */
function spread(count: number, untilMs = Date.now()) {
  return [count, { createdMs: untilMs - count * 1_000, stepMs: 1_000 }] as const;
}

describe('faults of logs', { concurrency: 4 }, () => {
  // --- a killed agent ---

  test('an agent that is killed while records wait for the sink loses none, and remembers who has no stream', async (t) => {
    const directory = await temporaryDirectory(t);
    const fleet = await startBmcFleet({ count: 3, profiles: ['openbmc', 'ilo', 'xcc'] });
    const sink = await startOtlpSink();
    t.after(() => Promise.all([fleet.close(), sink.close()]));
    fleet.bmc(1).stream = { kind: 'status', status: 404 };
    const yaml = durableConfig({ fleet, sink, directory });
    const verdict = () =>
      fleet.truth.compare(sink.records.map(({ body, resource }) => ({ body, endpoint: resource['redfish.endpoint'] })));
    const write = () => {
      for (const bmc of fleet.bmcs) bmc.appendMany(20, { log: 0 });
    };

    write();
    const first = await startAgentProcess(directory, yaml);
    t.after(() => first.kill());
    await first.line('log stream downgraded to polling');
    await sink.waitFor(() => verdict().lost.length === 0);
    sink.fault = 'hang';
    write();
    const waiting = sink.requests;
    await sink.waitFor(({ requests }) => requests > waiting);
    await first.kill();
    write();
    sink.fault = undefined;

    const asked = fleet.bmc(1).streamRequests;
    const second = await startAgentProcess(directory, yaml);
    t.after(() => second.kill());
    await second.line('log stream stays downgraded to polling');
    await sink.waitFor(() => verdict().lost.length === 0);
    // In the middle of its work, without a word to the sink.
    write();
    await second.kill();

    const third = await startAgentProcess(directory, yaml);
    t.after(() => third.kill());
    await sink.waitFor(() => verdict().lost.length === 0);
    assert.equal(await third.stop(), 0, third.log());
    assert.equal(fleet.bmc(1).streamRequests, asked, 'no stream is asked for before the trial is due');
    assert.equal(verdict().strange, 0);
    // Whoever has the log's own names on both ways can be freed of duplicates by uid.
    for (const name of ['bmc-0', 'bmc-1', 'bmc-2']) {
      const own = sink.records.filter(({ resource }) => resource['redfish.endpoint'] === name);
      const uids = new Set(own.map(({ attributes }) => attributes['log.record.uid']));
      assert.equal(uids.size, 80, name);
    }
  });

  // --- logs that do not just go on ---

  test('a log that is cleared, with Ids from 1 again: the new ones come, the old ones do not, and they say which log they are of', async (t) => {
    const one = await scene(t, { receiver: POLLED, profiles: ['openbmc'] });
    const bmc = one.fleet.bmc(0);
    bmc.appendMany(...spread(10, Date.now() - 60_000));
    await onceEach(one);
    bmc.log().clear();
    bmc.appendMany(...spread(3));
    await onceEach(one);
    const told = one.sink.records.map(({ attributes }) => [
      attributes['redfish.entry.id'],
      Number(attributes['redfish.entry.generation']),
    ]);
    assert.deepEqual(told.slice(10), [
      ['1', 1],
      ['2', 1],
      ['3', 1],
    ]);
    assert.ok(told.slice(0, 10).every(([, generation]) => generation === 0));
    assert.ok((await one.agent.metric(RESETS, { kind: 'cleared' })) >= 1);
    assert.equal(await one.agent.metric(RESETS, { kind: 'overrun' }), 0);
  });

  test('a log that is empty for several reads after a clear: what is written then comes, the old ones do not', async (t) => {
    const one = await scene(t, { receiver: POLLED, profiles: ['xcc'] });
    const bmc = one.fleet.bmc(0);
    bmc.appendMany(...spread(45, Date.now() - 60_000));
    await onceEach(one);
    bmc.log().clear();
    await moreReads(one.agent, 3);
    assert.equal(await one.agent.metric(RESETS, { kind: 'cleared' }), 1, 'told once, however often it is read');
    bmc.appendMany(...spread(60));
    await onceEach(one);
  });

  for (const profile of ['ilo', 'idrac', 'megarac'] as const)
    test(`a ring that wraps (${profile}): only new entries come`, async (t) => {
      const one = await scene(t, {
        receiver: POLLED,
        profiles: [profile],
        before: (all) => {
          all.bmc(0).log().maxEntries = 30;
          all.bmc(0).log().pageSize = 7;
        },
      });
      const bmc = one.fleet.bmc(0);
      for (let round = 0; round < 5; round++) {
        bmc.appendMany(...spread(12, Date.now() - (5 - round) * 60_000));
        await one.allDelivered();
        await moreReads(one.agent);
      }
      await onceEach(one);
      assert.equal(await one.agent.metric(RESETS), 0);
    });

  test('a ring that turned over between two reads: all that is there comes, and the hole is told with its size', async (t) => {
    const one = await scene(t, {
      receiver: POLLED,
      profiles: ['ilo'],
      before: (all) => {
        all.bmc(0).log().maxEntries = 10;
        all.bmc(0).appendMany(...spread(10, Date.now() - 600_000));
      },
    });
    await onceEach(one);
    // Written at once, so that no read comes between.
    one.fleet.bmc(0).appendMany(...spread(25));
    await one.sink.waitFor(() => one.verdict().lost.length === 15);
    const line = await one.agent.line(({ msg }) => String(msg).startsWith('a log turned over'));
    assert.deepEqual([line.level, line.missed], ['warn', 15]);
    await moreReads(one.agent, 2);
    assert.equal(countLines(one.agent, String(line.msg)), 1);
    assert.equal(await one.agent.metric(RESETS, { kind: 'overrun' }), 1);
    const { lost, doubled } = one.verdict();
    assert.ok(lost.every(({ to }) => to !== undefined));
    assert.deepEqual(doubled, []);
  });

  for (const linkOnly of [false, true])
    test(`a log that is numbered anew (${linkOnly ? 'as links' : 'embedded'}): nothing comes again, and the new ones do`, async (t) => {
      const one = await scene(t, {
        receiver: POLLED,
        profiles: ['openbmc'],
        before: (all) => {
          const log = all.bmc(0).log();
          Object.assign(log, { maxEntries: 20, linkOnly });
          all.bmc(0).appendMany(...spread(20, Date.now() - 600_000));
          all.bmc(0).appendMany(...spread(10, Date.now() - 300_000));
          // What has left before anybody came is nobody's.
          log.maxEntries = 100;
        },
      });
      const bmc = one.fleet.bmc(0);
      await one.sink.waitFor(({ records }) => records.length === 20);
      await moreReads(one.agent, 2);
      bmc.log().renumber();
      bmc.appendMany(...spread(4));
      await one.sink.waitFor(({ records }) => records.length >= 24);
      await moreReads(one.agent, 3);
      assert.equal(one.sink.records.length, 24);
      assert.deepEqual(one.verdict().doubled, []);
      assert.equal(await one.agent.metric(RESETS, { kind: 'renumbered' }), 1);
    });

  // --- odd Ids ---

  const ODD_IDS: readonly (readonly [string, (n: number) => unknown])[] = [
    ['B1-3', (n) => `B1-${n}`],
    ['hex_123_1', (n) => `hex_${(n * 291).toString(16)}_${n}`],
    ['2^40 and beyond', (n) => String(2 ** 40 + n)],
    ['beyond 2^64', (n) => `18446744073709551616${n}`],
    ['numbers', (n) => n],
    ['all the same', () => 'X'],
    ['__proto__', (n) => ['__proto__', 'constructor', 'toString'][n % 3]],
  ];

  for (const [what, idOf] of ODD_IDS)
    test(`Ids like ${what} are texts that tell entries apart`, async (t) => {
      const one = await scene(t, {
        receiver: POLLED,
        profiles: ['openbmc'],
        before: (all) => {
          const { path } = all.bmc(0).log();
          all.bmc(0).log().extra = ({ sequence }) => {
            const id = idOf(sequence);
            return { Id: id, '@odata.id': `${path}/Entries/${id}` };
          };
          all.bmc(0).appendMany(...spread(9, Date.now() - 60_000));
        },
      });
      await one.allDelivered();
      one.fleet.bmc(0).appendMany(...spread(4));
      await onceEach(one);
      assert.deepEqual(
        one.sink.records.map(({ attributes }) => attributes['redfish.entry.id']),
        Array.from({ length: 13 }, (_, index) => String(idOf(index + 1))),
        'in the order in which they were written',
      );
    });

  test('an Id that stands twice on a page: both come when they say different things, one when they are the same', async (t) => {
    const one = await scene(t, {
      receiver: POLLED,
      before: (all) => {
        const { path } = all.bmc(0).log();
        const entry = (Id: string, Message: string, Created = '2026-01-02T03:04:05Z') => ({ Id, Message, Created });
        const Members = [entry('7', 'fan'), entry('7', 'disk'), entry('7', 'fan'), entry('8', 'fan')];
        all.bmc(0).overlay = [{ path: `${path}/Entries`, replace: { Members } }];
      },
    });
    await one.sink.waitFor(({ records }) => records.length >= 3);
    await moreReads(one.agent, 3);
    assert.deepEqual(bodies(one.sink.records), ['fan', 'disk', 'fan']);
    assert.equal(one.sink.unique, 3);
  });

  test('members that are no entries, and links that lead to none, are counted; the entries beside them come', async (t) => {
    const one = await scene(t, {
      receiver: POLLED,
      before: (all) => {
        const { path } = all.bmc(0).log();
        const good = { Id: '1', Message: 'fan', Created: '2026-01-02T03:04:05Z' };
        const Members = [good, 'nonsense', null, 7, { '@odata.id': `${path}/Entries/gone` }];
        all.bmc(0).overlay = [{ path: `${path}/Entries`, replace: { Members } }];
      },
    });
    await one.sink.waitFor(({ records }) => records.length >= 1);
    await moreReads(one.agent, 3);
    assert.deepEqual(bodies(one.sink.records), ['fan']);
    const errored = await one.agent.metric('otelcol_scraper_errored_log_records', { scraper: 'poll' });
    assert.ok(errored >= 8 && errored % 4 === 0, `${errored}: four at every read`);
    assert.equal(await one.agent.metric('outband.bmc.decode_errors', { stage: 'entry' }), errored);
    assert.equal(await one.agent.metric('otelcol_scraper_scraped_log_records', { scraper: 'poll' }), 1);
  });

  // --- odd times ---

  const ODD_TIMES: readonly (readonly [string, unknown, string | undefined, object?])[] = [
    ['month 0', '0000-00-00T00:00:00Z', undefined, { 'redfish.time.raw': '0000-00-00T00:00:00Z' }],
    ['1970', '1970-01-01T00:00:09Z', undefined, { 'redfish.time.raw': '1970-01-01T00:00:09Z' }],
    ['a date that is none', '2026-02-30T00:00:00Z', undefined, { 'redfish.time.raw': '2026-02-30T00:00:00Z' }],
    ['a far future', '2999-01-01T00:00:00Z', undefined, { 'redfish.time.raw': '2999-01-01T00:00:00Z' }],
    ['null', null, undefined],
    ['a number', 1_700_000_000, undefined, { 'redfish.time.raw': '1700000000' }],
    ['an object', { s: 1 }, undefined, { 'redfish.time.raw': '{"s":1}' }],
    ['words', 'yesterday', undefined, { 'redfish.time.raw': 'yesterday' }],
    ['an offset without colon', '2026-03-04T05:06:07+0300', '2026-03-04T02:06:07Z'],
    ['an offset with colon', '2026-03-04T05:06:07-08:00', '2026-03-04T13:06:07Z'],
    ['no zone', '2026-03-04T05:06:07', '2026-03-04T05:06:07Z', { 'redfish.time.zone_assumed': true }],
    ['fractions', '2026-03-04T05:06:07.123456789Z', '2026-03-04T05:06:07.123456789Z'],
  ];

  test('times that cannot be are told as they are, the others are understood; every entry comes once', async (t) => {
    const one = await scene(t, {
      receiver: POLLED,
      profiles: ['openbmc'],
      before: (all) => {
        all.bmc(0).log().extra = ({ sequence }) => ({ Created: ODD_TIMES[sequence - 1]?.[1] });
        all.bmc(0).appendMany(ODD_TIMES.length);
      },
    });
    await onceEach(one);
    assert.equal(one.sink.records.length, ODD_TIMES.length);
    for (const [index, [what, , time, attributes = {}]] of ODD_TIMES.entries()) {
      const record = one.sink.records.find((each) => each.attributes['redfish.entry.id'] === String(index + 1))!;
      assert.equal(record.timeUnixNano, time === undefined ? 0n : nanosOf(time), what);
      assert.ok(record.observedTimeUnixNano > 0n, what);
      for (const name of ['redfish.time.raw', 'redfish.time.zone_assumed'])
        assert.equal(record.attributes[name], (attributes as Record<string, unknown>)[name], `${what}: ${name}`);
    }
  });

  /** Nanoseconds since the epoch. */
  function nanosOf(time: string): bigint {
    const [, whole, fraction = ''] = /^([^.]+?)(?:\.(\d+))?Z$/.exec(time)!;
    return BigInt(Date.parse(`${whole}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
  }

  for (const profile of ['openbmc', 'idrac', 'ilo', 'megarac'] as const)
    test(`a clock that is set back a year (${profile}): what is written then comes once, and the jump is counted`, async (t) => {
      const one = await scene(t, { receiver: POLLED, profiles: [profile] });
      const bmc = one.fleet.bmc(0);
      bmc.appendMany(...spread(12));
      await onceEach(one);
      bmc.log().clockOffsetMs = -365 * DAY_MS;
      bmc.appendMany(...spread(5, Date.now() - 365 * DAY_MS));
      await onceEach(one);
      assert.equal(await one.agent.metric(RESETS, { kind: 'clock_jump' }), 1);
      assert.equal(await one.agent.metric(RESETS, { kind: 'cleared' }), 0);
      bmc.log().clockOffsetMs = 0;
      bmc.appendMany(...spread(5));
      await onceEach(one);
      assert.ok(one.sink.records.every(({ timeUnixNano }) => timeUnixNano > 0n));
    });

  // --- changes in place ---

  for (const [what, profile, patch, shown] of [
    ['a count', 'ilo', { count: 5 }, { 'redfish.entry.count': 5n }],
    ['a resolution', 'openbmc', { resolved: true }, { 'redfish.entry.resolved': true }],
    ['a severity', 'idrac', { severity: 'Critical' }, {}],
  ] as const)
    test(`${what} that changes in place is one more record, marked, under a uid of its own`, async (t) => {
      const one = await scene(t, {
        receiver: POLLED,
        profiles: [profile],
        before: (all) => void all.bmc(0).appendMany(...spread(5, Date.now() - 60_000)),
      });
      await one.sink.waitFor(({ records }) => records.length === 5);
      await moreReads(one.agent);
      const log = one.fleet.bmc(0).log();
      const entry = log.entries[2]!;
      log.change(entry, patch);
      await one.sink.waitFor(({ records }) => records.length > 5);
      await moreReads(one.agent, 3);
      const more = one.sink.records.slice(5);
      assert.deepEqual(bodies(more), [entry.message]);
      assert.equal(more[0]!.attributes['redfish.entry.change'], 'updated');
      for (const [name, value] of Object.entries(shown))
        assert.equal(String(more[0]!.attributes[name]), String(value), name);
      assert.equal(one.sink.unique, one.sink.records.length);
    });

  test('a text that alone is worded anew is no change, and counted', async (t) => {
    const one = await scene(t, {
      receiver: POLLED,
      profiles: ['openbmc'],
      before: (all) => void all.bmc(0).appendMany(...spread(3, Date.now() - 60_000)),
    });
    await onceEach(one);
    const log = one.fleet.bmc(0).log();
    log.change(log.entries[1]!, { message: `The same, in other words #${log.entries[1]!.number}` });
    await moreReads(one.agent, 3);
    assert.equal(one.sink.records.length, 3);
    assert.equal(await one.agent.metric('outband.bmc.entries', { reason: 'reworded' }), 1);
  });

  // --- orders of pages ---

  for (const order of ['asc', 'desc', 'shuffle'] as const)
    for (const linkOnly of [false, true])
      test(`${order} over pages, ${linkOnly ? 'as links' : 'embedded'}: the oldest leaves first, none is lost`, async (t) => {
        const one = await scene(t, {
          receiver: POLLED,
          profiles: ['openbmc'],
          before: (all) => {
            Object.assign(all.bmc(0).log(), { order, linkOnly, pageSize: 6 });
            all.bmc(0).appendMany(...spread(40, Date.now() - 600_000));
          },
        });
        await one.allDelivered();
        one.fleet.bmc(0).appendMany(...spread(15));
        await onceEach(one);
        const ids = one.sink.records.map(({ attributes }) => Number(attributes['redfish.entry.id']));
        assert.deepEqual(
          ids.slice(0, 40),
          ids.slice(0, 40).toSorted((a, b) => a - b),
        );
        // A shuffled log is in another order when something comes between two pages: then two reads bring what is new.
        if (order !== 'shuffle')
          assert.deepEqual(
            ids.slice(40),
            ids.slice(40).toSorted((a, b) => a - b),
          );
      });

  test('a log that changes its order between reads sends nothing again', async (t) => {
    const one = await scene(t, {
      receiver: POLLED,
      profiles: ['openbmc'],
      before: (all) => {
        all.bmc(0).log().pageSize = 5;
        all.bmc(0).appendMany(...spread(30, Date.now() - 600_000));
      },
    });
    await onceEach(one);
    for (const order of ['desc', 'shuffle', 'asc', 'shuffle'] as const) {
      one.fleet.bmc(0).log().order = order;
      one.fleet.bmc(0).append();
      await onceEach(one);
    }
  });

  // --- pages that do not end ---

  /** Lets pages of a log lead on as `next` says; the page without a number is page 0. */
  function pagesOf(log: LiveLog, next: (page: number) => number | undefined) {
    return (page: number) => {
      const to = next(page);
      return {
        path: `${log.path}/Entries${page === 0 ? '' : `/Page/${page}`}`,
        replace: {
          Members: [
            {
              '@odata.id': `${log.path}/Entries/${page}`,
              Id: String(page),
              Created: '2026-01-02T03:04:05Z',
              Message: `page ${page}`,
            },
          ],
          ...(to !== undefined && { 'Members@odata.nextLink': `${log.path}/Entries${to === 0 ? '' : `/Page/${to}`}` }),
        },
      };
    };
  }

  for (const [what, next, told] of [
    ['itself', (page: number) => page, 1],
    ['the page before, in a circle of two', (page: number) => (page === 0 ? 1 : 0), 2],
    ['the middle, in a circle of three', (page: number) => (page < 3 ? page + 1 : 1), 4],
  ] as const)
    test(`a next page that is ${what} ends the read; what was read comes once`, async (t) => {
      const one = await scene(t, {
        receiver: POLLED,
        profiles: ['openbmc'],
        before: (all) => {
          const page = pagesOf(all.bmc(0).log(), next);
          all.bmc(0).overlay = [0, 1, 2, 3].map(page);
        },
      });
      await one.sink.waitFor(({ records }) => records.length >= told);
      await moreReads(one.agent, 3);
      assert.equal(one.sink.records.length, told);
      const { journal } = one.fleet.bmc(0);
      const reads = journal.filter(({ path }) => path.endsWith('/Entries')).length;
      const pages = journal.filter(({ path }) => path.includes('/Entries')).length;
      assert.ok(pages <= reads * (told + 1), `${pages} pages in ${reads} reads`);
      assert.ok((await one.agent.metric('outband.bmc.limits_hit', { limit: 'page_loop' })) >= 3);
    });

  test('a million pages: so many per read, and the next read goes on where the last one ended', async () => {
    const asked: number[] = [];
    const { logs, received } = bmcReaders({
      resource: (path, query) => {
        const page = Number(query.get('page') ?? 0);
        asked.push(page);
        const Members = [{ Id: String(page), Created: '2026-01-02T03:04:05Z', Message: `page ${page}` }];
        return { Members, ...(page < 1e6 && { '@odata.nextLink': `${path}?page=${page + 1}` }) };
      },
    });
    const service = serviceAt('/redfish/v1/Systems/1/LogServices/Log');
    for (let poll = 1; poll <= 3; poll++) {
      const result = await logs.poll(pollOf([service]));
      assert.deepEqual([result.unfinished, result.complete, result.failed], [true, false, 0]);
      assert.equal(asked.length, poll * 1_000);
      assert.equal(asked.at(-1), poll * 1_000 - 1);
      assert.equal(received.length, poll * 1_000);
    }
  });

  test('a next page that is not there: what was read comes once, and the rest as soon as it is there', async (t) => {
    const one = await scene(t, {
      receiver: POLLED,
      profiles: ['openbmc'],
      before: (all) => {
        const page = pagesOf(all.bmc(0).log(), (from) => (from < 2 ? from + 1 : undefined));
        all.bmc(0).overlay = [page(0), page(1)];
      },
    });
    await one.sink.waitFor(({ records }) => records.length >= 2);
    await moreReads(one.agent, 3);
    const line = await one.agent.line(({ msg }) => msg === 'the logs cannot be read');
    assert.match(String(line.error), /Page\/2 answered 404/);
    assert.equal(one.sink.records.length, 2);
    const page = pagesOf(one.fleet.bmc(0).log(), () => undefined);
    one.fleet.bmc(0).overlay.push(page(2));
    await one.agent.line(({ msg }) => msg === 'logs are read again');
    await moreReads(one.agent, 2);
    assert.deepEqual(bodies(one.sink.records), ['page 0', 'page 1', 'page 2']);
  });

  // --- one of many fails ---

  test('one of ten logs answers 500: the nine others are read each time, and the read counts as partial', async (t) => {
    const own = '/redfish/v1/Systems/system/LogServices';
    const one = await scene(t, {
      receiver: POLLED,
      profiles: ['openbmc'],
      before: (all) => {
        const names = Array.from({ length: 10 }, (_, n) => `${own}/Log${n}`);
        all.bmc(0).overlay = [
          { path: own, replace: { Members: names.map((name) => ({ '@odata.id': name })) } },
          ...names.flatMap((name, n) => [
            { path: name, replace: { '@odata.id': name, Entries: { '@odata.id': `${name}/Entries` } } },
            n === 4
              ? { path: `${name}/Entries`, status: 500 }
              : { path: `${name}/Entries`, replace: { Members: [entryOf(n)] } },
          ]),
        ];
      },
    });
    await one.sink.waitFor(({ records }) => records.length >= 9);
    await moreReads(one.agent, 3);
    assert.equal(one.sink.records.length, 9);
    const line = await one.agent.line(({ msg }) => msg === 'a part of the logs cannot be read');
    assert.match(String(line.error), /Log4\/Entries answered 500/);
    assert.ok((await one.agent.metric('outband.bmc.polls', { outcome: 'partial' })) >= 3);
    assert.equal(await one.agent.metric('outband.bmc.polls', { outcome: 'failure' }), 0);
    assert.equal(countLines(one.agent, 'a part of the logs cannot be read'), 1);
    const { overlay } = one.fleet.bmc(0);
    overlay.push({ path: `${own}/Log4/Entries`, replace: { Members: [entryOf(4)] } });
    await one.sink.waitFor(({ records }) => records.length >= 10);
    await one.agent.line(({ msg }) => msg === 'logs are read again');
  });

  /** An entry of a log of its own. */
  function entryOf(n: number) {
    return { Id: '1', Created: `2026-01-02T03:04:0${n}Z`, Message: `log ${n}` };
  }

  // --- a first contact with a huge log ---

  const NEWEST_MS = Date.parse('2026-11-25T12:00:00Z');
  /** A log of entries one second apart, the newest of them now, whose pages are made when they are asked for. */
  function hugeLog(length: number, order: 'asc' | 'desc') {
    const pageSize = 1_000;
    const asked: number[] = [];
    const readers = bmcReaders({
      history: '2h',
      resource: (path, query) => {
        const skip = Number(query.get('$skip') ?? 0);
        asked.push(skip);
        const Members = Array.from({ length: Math.min(pageSize, length - skip) }, (_, index) => {
          const id = order === 'asc' ? skip + index + 1 : length - skip - index;
          const Created = new Date(NEWEST_MS - (length - id) * 1_000).toISOString();
          return { Id: String(id), Created, Message: `entry ${id}` };
        });
        return { Members, ...(skip + pageSize < length && { '@odata.nextLink': `${path}?$skip=${skip + pageSize}` }) };
      },
    });
    const service = serviceAt('/redfish/v1/Systems/1/LogServices/Log');
    return { ...readers, asked, poll: () => readers.logs.poll(pollOf([service])) };
  }

  test('the first contact with half a million entries, newest first, stops at the cut-off', async () => {
    const { poll, received, asked } = hugeLog(500_000, 'desc');
    while ((await poll()).unfinished);
    assert.equal(asked.length, 9, 'the last of them is too old');
    assert.equal(received.length, 7_201);
    assert.equal(received[0]!.body, 'entry 492800');
    assert.ok(received.every(({ attributes }) => attributes['redfish.history'] === true));
    assert.equal(new Set(received.map(({ body }) => body)).size, 7_201);
  });

  test('the first contact with a huge log, oldest first, walks it a piece at a time and sends only what is young', async () => {
    const { poll, received, asked } = hugeLog(50_000, 'asc');
    let polls = 0;
    for (let goesOn = true; goesOn; polls++) {
      const before = asked.length;
      goesOn = (await poll()).unfinished;
      assert.ok(asked.length - before <= 20, 'pages in one poll');
    }
    assert.equal(polls, 3);
    assert.deepEqual([asked.length, new Set(asked).size], [50, 50], 'each page once');
    assert.equal(received.length, 7_201);
    assert.equal(received[0]!.body, 'entry 42800');
  });

  // --- a sink that is away ---

  test('a sink that is down for long: no log is read on, the position stays, and everything comes after', async (t) => {
    const one = await scene(t, {
      count: 2,
      profiles: ['openbmc', 'idrac'],
      receiver: POLLED,
      exporter: 'sending_queue: { enabled: false }',
      before: (all) => {
        for (const bmc of all.bmcs) bmc.appendMany(...spread(5, Date.now() - 600_000));
      },
    });
    await one.allDelivered();
    const refused = new Set<unknown>();
    let isUp = false;
    one.sink.judge = (records) => {
      for (const { resource } of records) refused.add(resource['redfish.endpoint']);
      return isUp ? undefined : { status: 503 };
    };
    for (const bmc of one.fleet.bmcs) bmc.appendMany(...spread(30, Date.now() - 300_000));
    await one.sink.waitFor(() => refused.size === 2);
    const offered = one.sink.requests;
    const requests = () => one.fleet.bmcs.map(({ journal }) => journal.length);
    const before = requests();
    for (const bmc of one.fleet.bmcs) bmc.appendMany(...spread(30));
    // Retries are 25 ms apart and more: by then each log would have been read many times.
    await one.sink.waitFor(({ requests: now }) => now >= offered + 6);
    assert.deepEqual(requests(), before, 'no page is asked for');
    assert.equal(one.sink.records.length, 10);
    isUp = true;
    await one.sink.waitFor(() => one.verdict().lost.length === 0);
    await moreReads(one.agent, 4);
    assert.deepEqual(one.verdict().doubled, []);
    assert.equal(one.sink.records.length, 130);
  });

  test('a stop while the sink is away leaves what was not taken behind the position: the next start sends it, and nothing else', async (t) => {
    const directory = await temporaryDirectory(t);
    const fleet = await startBmcFleet({ count: 1, profiles: ['ilo'] });
    const sink = await startOtlpSink();
    t.after(() => Promise.all([fleet.close(), sink.close()]));
    const exporter = 'sending_queue: { enabled: false }';
    const yaml = durableConfig({ fleet, sink, directory, exporter });
    const bmc = fleet.bmc(0);
    bmc.stream = { kind: 'status', status: 404 };
    bmc.appendMany(...spread(8, Date.now() - 60_000));
    const first = agentOf(yaml);
    t.after(() => first.stop());
    await first.start();
    await sink.waitFor(({ records }) => records.length === 8);
    sink.fault = { status: 503 };
    const refused = sink.requests;
    bmc.appendMany(...spread(4));
    await sink.waitFor(({ requests }) => requests > refused);
    await first.stop();
    assert.equal(sink.records.length, 8);
    sink.fault = undefined;
    const second = agentOf(yaml);
    t.after(() => second.stop());
    await second.start();
    await sink.waitFor(({ records }) => records.length >= 12);
    await moreReads(second, 2);
    assert.deepEqual([sink.records.length, sink.unique], [12, 12]);
  });
});
