import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import fc from 'fast-check';
import { Positions } from '../../../receivers/bmc-logs/logs/positions.ts';
import { memoryStorage } from '../../../src/testing/fakes.ts';
import { testHost } from '../../../src/testing/host.ts';
import { writeEvent } from '../../simulators/bmc/event-stream.ts';
import { LiveLog } from '../../simulators/bmc/live-log.ts';
import { PROFILES } from '../../simulators/bmc/profiles.ts';
import { bmcReaders, pollOf, serviceAt } from '../../support/bmc-readers.ts';
import { forAll } from '../../support/property.ts';

/** One endpoint without sockets, over a live log, with a store that outlives its readers. */
async function endpointOver(log: LiveLog, refuse: () => boolean, broken: () => boolean) {
  const store = memoryStorage().keyValue('r1', 'position');
  const received: ReadableLogRecord[] = [];
  const begin = async () => {
    const all = new Positions(store, testHost());
    const positions = all.of('r1');
    const known = await positions.load();
    const readers = bmcReaders({
      ...{ refuse, known, positions },
      resource: (path, query) => {
        // The first page comes, the next does not.
        if (broken() && query.has('$skip')) return undefined;
        const id = /\/Entries\/([^/]+)$/.exec(path)?.[1];
        return id === undefined ? log.page(Number(query.get('$skip') ?? 0)) : log.entry(id);
      },
    });
    return { all, readers };
  };
  let life = await begin();
  const tell = (text: string) => {
    const data = text.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : []));
    return life.readers.stream.take([{ data: data.join('\n'), id: /^id: (.*)$/m.exec(text)?.[1] }]);
  };
  return {
    received: () => [...received, ...life.readers.received],
    poll: () => life.readers.logs.poll(pollOf([serviceAt(log.path)])),
    tell,
    /** A stop, and a start with what was stored. */
    async restart() {
      await life.all.close();
      received.push(...life.readers.received);
      life = await begin();
    },
  };
}

/** What happens to a BMC. */
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      streamed: fc.boolean(),
      text: fc.constantFrom('unique', 'same'),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('poll' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('poll_then_tell' as const), text: fc.constantFrom('unique', 'same') }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('failed_poll' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('replay' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('reverse' as const, 'shuffle' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wrap' as const), by: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('change' as const), place: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('renumber' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('poll_and_append' as const) }) },
);

const histories = fc.record({ steps: fc.array(step, { maxLength: 40 }), linkOnly: fc.boolean(), seed: fc.nat() });
type History = typeof histories extends fc.Arbitrary<infer T> ? T : never;

const append = (text: 'unique' | 'same') => ({ do: 'append', streamed: false, text }) as const;
const pollThenTell = (text: 'unique' | 'same') => ({ do: 'poll_then_tell', text }) as const;
const wrap = { do: 'wrap', by: 1 } as const;
/** Histories that lost or doubled an entry once. */
const EXAMPLES: readonly History[] = [
  // Equal entries behind known links were not counted.
  {
    steps: [
      append('unique'),
      wrap,
      wrap,
      append('same'),
      ...[pollThenTell('same'), pollThenTell('same')],
      { do: 'renumber' },
    ],
    ...{ linkOnly: true, seed: 0 },
  },
  // A new entry, equal to one that was known, passed for that one under another Id.
  {
    steps: [
      append('same'),
      { do: 'poll' },
      append('same'),
      ...[1, 2, 3].map(() => append('unique')),
      { do: 'failed_poll' },
    ],
    ...{ linkOnly: false, seed: 0 },
  },
  // The link by which a log is known to have moved on named another known entry.
  {
    steps: [wrap, pollThenTell('unique'), wrap, { do: 'change', place: 0 }, wrap],
    ...{ linkOnly: true, seed: 0 },
  },
];

for (const profile of PROFILES)
  test(`${profile.name}: whatever is appended, streamed, replayed, cleared, wrapped, renumbered, changed and reordered, over restarts too, nothing is lost and nothing doubled`, () =>
    forAll(
      histories,
      async ({ steps, linkOnly, seed }) => {
        const log = new LiveLog('/redfish/v1/Systems/1/LogServices/Log', profile.services[0]!);
        log.pageSize = 3;
        log.linkOnly = linkOnly;
        let chance = seed;
        const refuse = () => {
          chance = (Math.imul(chance, 1_664_525) + 1_013_904_223) >>> 0;
          return chance < 2 ** 30;
        };
        let broken = false;
        const { received, poll, tell, restart } = await endpointOver(log, refuse, () => broken);

        let second = Date.parse('2026-11-25T11:00:00Z');
        const appended: string[] = [];
        let told: string[] = [];
        let changes = 0;
        const append = (text: string) => {
          // Equal texts share a second; an own text has one of its own.
          if (text === 'unique') second += 1_000;
          const message = text === 'unique' ? `Event #${appended.length}` : 'Same event';
          const entry = log.append({
            createdMs: second,
            message,
            messageArgs: [],
            messageId: 'T.1.0.E',
            severity: 'OK',
          });
          appended.push(message);
          return writeEvent(profile, { ...entry, id: appended.length, entryUri: log.uriOf(entry) });
        };
        for (const one of steps) {
          if (one.do === 'append') {
            const event = append(one.text);
            if (one.streamed) {
              told.push(event);
              await tell(event);
            }
          } else if (one.do === 'poll') await poll();
          else if (one.do === 'replay') for (const event of told.slice(-3)) await tell(event);
          else if (one.do === 'poll_then_tell') {
            // The order that a gap-fill makes: the log is read before the stream comes to it.
            const event = append(one.text);
            await poll();
            told.push(event);
            await tell(event);
          } else if (one.do === 'failed_poll') {
            broken = true;
            await poll();
            broken = false;
          } else if (one.do === 'reverse') log.order = log.order === 'asc' ? 'desc' : 'asc';
          else if (one.do === 'shuffle') log.order = 'shuffle';
          else if (one.do === 'wrap') {
            await poll();
            log.maxEntries = Math.max(1, log.entries.length + 1 - one.by);
            append('unique');
            log.maxEntries = Number.POSITIVE_INFINITY;
          } else if (one.do === 'change') {
            await poll();
            const entry = log.entries[one.place % log.entries.length];
            if (!entry) continue;
            log.change(entry, { count: entry.count + 1 });
            // A member that is known by its link is not fetched again.
            if (!linkOnly) changes++;
            await poll();
          } else if (one.do === 'renumber') {
            await poll();
            log.renumber();
            await poll();
          } else if (one.do === 'restart') {
            await restart();
            // Replays are known by what the process remembers of its stream.
            told = [];
          } else if (one.do === 'clear') {
            // What nobody has read before a clear is lost to everybody; that is not what this is about.
            await poll();
            log.clear();
            second += 1_000;
          } else if (log.order === 'shuffle') await poll();
          else {
            const reading = poll();
            const event = append('unique');
            await tell(event);
            await reading;
          }
        }
        await poll();
        await poll();
        const isChange = ({ attributes }: ReadableLogRecord) => attributes['redfish.entry.change'] === 'updated';
        const [news, updates] = [received().filter((each) => !isChange(each)), received().filter(isChange)];
        assert.deepEqual(news.map(({ body }) => String(body)).sort(), appended.toSorted());
        if (!linkOnly) assert.equal(updates.length, changes);
      },
      EXAMPLES,
    ));
