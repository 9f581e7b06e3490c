import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SimulatedBmc } from '../../simulators/bmc/bmc.ts';
import type { JournalLine } from '../../simulators/bmc/journal.ts';
import type { LiveLog } from '../../simulators/bmc/live-log.ts';
import { countLines, type Scene, scene } from '../../support/scene.ts';

/** Longer than what is read whole each time. */
const LONG = 1_100;
const HOUR_MS = 3_600_000;

/** @param fullReadInterval after which nothing is trusted */
const polled = (fullReadInterval = '1h') => `
mode: periodic
initial_history: all
periodic: { logs_collection_interval: 50ms, state_refresh_interval: 1h, full_read_interval: ${fullReadInterval} }`;

interface LongLog extends Scene {
  readonly bmc: SimulatedBmc;
  readonly log: LiveLog;
  /** Requests for pages of the log since the last call. */
  pages(): readonly JournalLine[];
  /** Resolves when two reads have ended that began after this call. */
  twoReads(): Promise<void>;
}

interface LongLogOptions {
  readonly log?: Partial<Pick<LiveLog, 'order' | 'pageSize' | 'etag' | 'filter' | 'skip' | 'linkOnly'>>;
  readonly protocol?: SimulatedBmc['protocol'];
  readonly entries?: number;
  readonly receiver?: string;
}

/** A BMC with one long log that was read whole once. */
async function longLog(t: Parameters<typeof scene>[0], options: LongLogOptions): Promise<LongLog> {
  const { entries = LONG, receiver = polled() } = options;
  const one = await scene(t, {
    profiles: ['openbmc'],
    receiver,
    before: (all) => {
      const bmc = all.bmc(0);
      Object.assign(bmc.log(), { pageSize: 100, ...options.log });
      if (options.protocol) bmc.protocol = options.protocol;
      // All before the BMC is asked for its clock: what comes later may be from the same second.
      bmc.appendMany(entries, { createdMs: Date.now() - 2 * HOUR_MS, stepMs: 1_000 });
    },
  });
  const bmc = one.fleet.bmc(0);
  const log = bmc.log();
  let seen = 0;
  const result: LongLog = {
    ...one,
    bmc,
    log,
    pages() {
      const lines = bmc.journal.slice(seen).filter(({ path }) => path.includes(`${log.path}/Entries`));
      seen = bmc.journal.length;
      return lines;
    },
    async twoReads() {
      const reads = countLines(one.agent, 'logs read');
      await one.agent.line(() => countLines(one.agent, 'logs read') >= reads + 3);
    },
  };
  await one.sink.waitFor(({ records }) => records.length === entries);
  await result.twoReads();
  result.pages();
  return result;
}

/** Nothing is lost, and nothing came twice. */
function nothingAmiss({ verdict }: Scene): void {
  const { lost, doubled, strange } = verdict();
  assert.deepEqual({ lost, doubled, strange }, { lost: [], doubled: [], strange: 0 });
}

const optionsOf = (lines: readonly JournalLine[]) => lines.map(({ query }) => decodeURIComponent(query));

describe('cheap reads of a log', { concurrency: 8 }, () => {
  test('a log that has not changed since its ETag costs one request of one line, whatever its length', async (t) => {
    const one = await longLog(t, { log: { etag: 'honest' } });
    await one.twoReads();
    const quiet = one.pages();
    assert.ok(quiet.length >= 2);
    assert.deepEqual(new Set(quiet.map(({ status }) => status)), new Set([304]));
    assert.ok(quiet.every(({ ifNoneMatch }) => ifNoneMatch !== undefined));
    one.bmc.append();
    await one.sink.waitFor(({ records }) => records.length === LONG + 1);
    await one.twoReads();
    nothingAmiss(one);
  });

  test('an ETag that is stuck hides what is new no longer than the time after which nothing is trusted', async (t) => {
    const one = await longLog(t, { log: { etag: 'stuck' }, entries: 50, receiver: polled('400ms') });
    one.bmc.append();
    await one.sink.waitFor(({ records }) => records.length === 51);
    const asked = one.bmc.journal.filter(({ path }) => path === `${one.log.path}/Entries`);
    assert.ok(asked.some(({ status }) => status === 304));
    assert.ok(asked.some(({ ifNoneMatch }) => ifNoneMatch === undefined));
    await one.twoReads();
    nothingAmiss(one);
  });

  test('a long log, newest first, is read no further than the first page that is known', async (t) => {
    const one = await longLog(t, { log: { order: 'desc' } });
    await one.twoReads();
    assert.ok(
      one.pages().every(({ query }) => query === ''),
      'one page each',
    );
    one.bmc.appendMany(250, { createdMs: Date.now() - 600_000, stepMs: 1_000 });
    await one.sink.waitFor(({ records }) => records.length === LONG + 250);
    assert.deepEqual(
      [...new Set(optionsOf(one.pages()))],
      ['', '$skip=100', '$skip=200', '$skip=300'],
      'three pages with something new and one without',
    );
    await one.twoReads();
    nothingAmiss(one);
  });

  test('a change far behind the first known page comes with the read that trusts nothing', async (t) => {
    const one = await longLog(t, { log: { order: 'desc' }, receiver: polled('200ms') });
    const entry = one.log.entries[10]!;
    one.log.change(entry, { resolved: true });
    await one.sink.waitFor(({ records }) => records.length === LONG + 1);
    assert.equal(one.sink.records.at(-1)!.body, entry.message);
  });

  test('a short log is read whole each time: it is not worth any trust', async (t) => {
    const one = await longLog(t, {
      entries: 950,
      log: { order: 'desc', filter: 'honoured' },
      protocol: { filterQuery: true, topSkipQuery: true },
    });
    await one.twoReads();
    const options = new Set(optionsOf(one.pages()));
    assert.equal(options.size, 10);
    assert.ok(![...options].some((query) => query.includes('$filter')));
  });

  for (const [what, protocol] of [
    ['filter', { filterQuery: true, topSkipQuery: false }],
    ['skip', { filterQuery: false, topSkipQuery: true }],
  ] as const)
    test(`a BMC that promises $${what} and keeps its word is asked for the end of a long log only`, async (t) => {
      const one = await longLog(t, { protocol, log: { filter: 'honoured', skip: 'honoured' } });
      await one.twoReads();
      const quiet = one.pages();
      assert.ok(quiet.length >= 2);
      for (const query of optionsOf(quiet))
        assert.match(query, what === 'filter' ? /^\$filter=Created ge '[-0-9T:]+Z'$/ : /^\$skip=1084$/);
      one.bmc.appendMany(20, { createdMs: Date.now() - HOUR_MS / 2, stepMs: 1_000 });
      await one.sink.waitFor(({ records }) => records.length === LONG + 20);
      await one.twoReads();
      nothingAmiss(one);
      assert.ok(
        optionsOf(one.pages()).every((query) => query.startsWith(`$${what}=`)),
        'never the whole log',
      );
    });

  test('a BMC that promises nothing is not asked for a part', async (t) => {
    const one = await longLog(t, { log: { filter: 'honoured' } });
    await one.twoReads();
    const options = new Set(optionsOf(one.pages()));
    assert.equal(options.size, 11, 'all pages');
    assert.ok(![...options].some((query) => query.includes('$filter')));
  });

  test('a log whose clock is behind its newest entry is not asked by time', async (t) => {
    const one = await scene(t, {
      profiles: ['openbmc'],
      receiver: polled(),
      before: (all) => {
        const bmc = all.bmc(0);
        Object.assign(bmc.log(), { pageSize: 100, filter: 'honoured', clockOffsetMs: -24 * HOUR_MS });
        bmc.protocol = { filterQuery: true, topSkipQuery: false };
        bmc.appendMany(LONG, { createdMs: Date.now() - 2 * HOUR_MS, stepMs: 1_000 });
      },
    });
    await one.allSettled();
    one.fleet.bmc(0).append();
    await one.allSettled();
    nothingAmiss(one);
    assert.ok(!one.fleet.bmc(0).journal.some(({ query }) => query.includes('filter')));
  });

  /** What a BMC may make of a query that it has promised to heed. */
  const BROKEN = [
    ['filter', 'ignored'],
    ['filter', 'wrong'],
    ['filter', 400],
    ['filter', 501],
    ['skip', 'ignored'],
    ['skip', 'wrong'],
    ['skip', 400],
    ['skip', 501],
  ] as const;

  for (const [what, treatment] of BROKEN)
    test(`a promised $${what} that is ${typeof treatment === 'number' ? `answered ${treatment}` : treatment}: the same read goes on with the whole log, and does not ask like that again`, async (t) => {
      const protocol = { filterQuery: what === 'filter', topSkipQuery: what === 'skip' };
      const one = await longLog(t, { protocol, log: { filter: 'honoured', [what]: treatment } });
      for (let round = 0; round < 2; round++) {
        one.bmc.appendMany(5, { createdMs: Date.now() - HOUR_MS / 2 + round * 60_000, stepMs: 1_000 });
        await one.sink.waitFor(({ records }) => records.length >= LONG + 5 * (round + 1));
        await one.twoReads();
        nothingAmiss(one);
      }
      const own = (line: JournalLine) =>
        what === 'filter' ? line.query.includes('filter') : /skip=\d*[1-9]\d?$/.test(decodeURIComponent(line.query));
      const asked = one.bmc.journal.filter(own).filter(({ query }) => !/00$/.test(query));
      // A filter that is ignored is carried along in the links to the next pages, and so is seen again.
      const first = asked.filter(({ query }) => !decodeURIComponent(query).includes('&'));
      assert.equal(first.length, 1, optionsOf(first).join(' '));
      assert.equal(countLines(one.agent, 'the logs cannot be read'), 0);
      const fails = await one.agent.metric('outband.bmc.polls', { outcome: 'failure' });
      assert.equal(fails, 0);
    });

  test('a query form that was caught is tried again after the capabilities were read anew', async (t) => {
    const one = await longLog(t, {
      protocol: { filterQuery: false, topSkipQuery: true },
      log: { skip: 400 },
      receiver: polled().replace('state_refresh_interval: 1h', 'state_refresh_interval: 200ms'),
    });
    one.log.skip = 'honoured';
    const isAsked = ({ query, status }: JournalLine) => decodeURIComponent(query) === '$skip=1084' && status === 200;
    await one.fleet.waitFor(() => one.bmc.journal.some(isAsked));
  });

  test('a clock that goes back under a filter hides what is new no longer than the time after which nothing is trusted', async (t) => {
    const one = await longLog(t, {
      protocol: { filterQuery: true, topSkipQuery: false },
      log: { filter: 'honoured' },
      receiver: polled('300ms'),
    });
    one.bmc.appendMany(5, { createdMs: Date.now() - 365 * 24 * HOUR_MS, stepMs: 1_000 });
    await one.sink.waitFor(({ records }) => records.length === LONG + 5);
    await one.twoReads();
    nothingAmiss(one);
  });

  for (const order of ['asc', 'desc'] as const)
    test(`a long log (${order}) that is cleared and filled beyond its former length: all that is new comes`, async (t) => {
      const one = await longLog(t, {
        protocol: { filterQuery: false, topSkipQuery: true },
        log: { order },
        receiver: polled('300ms'),
      });
      one.log.clear();
      one.bmc.appendMany(LONG + 150, { createdMs: Date.now() - HOUR_MS / 2, stepMs: 1_000 });
      await one.sink.waitFor(({ records }) => records.length >= 2 * LONG + 150);
      await one.twoReads();
      nothingAmiss(one);
    });

  test('a long ring that goes on at its full length is still read by $skip, and loses nothing', async (t) => {
    const one = await longLog(t, { protocol: { filterQuery: false, topSkipQuery: true } });
    one.log.maxEntries = LONG;
    for (let round = 0; round < 4; round++) {
      one.bmc.appendMany(10, { createdMs: Date.now() - HOUR_MS / 2 + round * 60_000, stepMs: 1_000 });
      await one.sink.waitFor(({ records }) => records.length >= LONG + 10 * (round + 1));
      await one.twoReads();
    }
    // More than the overlap at once: no entry that is known comes back, so the whole log is read.
    one.bmc.appendMany(40, { createdMs: Date.now() - 60_000, stepMs: 1_000 });
    await one.sink.waitFor(({ records }) => records.length >= LONG + 80);
    await one.twoReads();
    nothingAmiss(one);
  });
});
