import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { writeEvent } from '../../simulators/bmc/event-stream.ts';
import { LiveLog } from '../../simulators/bmc/live-log.ts';
import { PROFILES } from '../../simulators/bmc/profiles.ts';
import { bmcReaders, pollOf, serviceAt } from '../../support/bmc-readers.ts';
import { forAll } from '../../support/property.ts';

/** One endpoint without sockets, over a live log. */
function endpointOver(log: LiveLog, refuse: () => boolean, broken: () => boolean) {
  const { received, logs, stream } = bmcReaders({
    refuse,
    resource: (path, query) => {
      // The first page comes, the next does not.
      if (broken() && query.has('$skip')) return undefined;
      const id = /\/Entries\/([^/]+)$/.exec(path)?.[1];
      return id === undefined ? log.page(Number(query.get('$skip') ?? 0)) : log.entry(id);
    },
  });
  return {
    received,
    poll: () => logs.poll(pollOf([serviceAt(log.path)])),
    tell: (text: string) => {
      const data = text.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : []));
      return stream.take([{ data: data.join('\n'), id: /^id: (.*)$/m.exec(text)?.[1] }]);
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
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reverse' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('poll_and_append' as const) }) },
);

for (const profile of PROFILES)
  test(`${profile.name}: whatever is appended, streamed, replayed, cleared and reordered, nothing is lost and nothing doubled`, () =>
    forAll(
      fc.record({ steps: fc.array(step, { maxLength: 40 }), linkOnly: fc.boolean(), seed: fc.nat() }),
      async ({ steps, linkOnly, seed }) => {
        let order = profile.services[0]!.order;
        const serviceProfile = {
          ...profile.services[0]!,
          pageSize: 3,
          get order() {
            return order;
          },
        };
        const log = new LiveLog('/redfish/v1/Systems/1/LogServices/Log', serviceProfile);
        log.linkOnly = linkOnly;
        let chance = seed;
        const refuse = () => {
          chance = (Math.imul(chance, 1_664_525) + 1_013_904_223) >>> 0;
          return chance < 2 ** 30;
        };
        let broken = false;
        const { received, poll, tell } = endpointOver(log, refuse, () => broken);

        let second = Date.parse('2026-11-25T11:00:00Z');
        const appended: string[] = [];
        const told: string[] = [];
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
          } else if (one.do === 'reverse') order = order === 'asc' ? 'desc' : 'asc';
          else if (one.do === 'clear') {
            // What nobody has read before a clear is lost to everybody; that is not what this is about.
            await poll();
            log.clear();
            second += 1_000;
          } else {
            const reading = poll();
            const event = append('unique');
            await tell(event);
            await reading;
          }
        }
        await poll();
        await poll();
        const bodies = received.map(({ body }) => String(body)).sort();
        assert.deepEqual(bodies, appended.toSorted());
      },
    ));
