import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Clock } from '../component/clock.ts';
import { PermanentError, RetryableError } from '../component/errors.ts';
import type { ReceiverFactory } from '../component/factory.ts';
import { systemClock } from '../platform/system-clock.ts';
import { type ContractOptions, notingMeter, patient, type Rules, register, sameMetrics } from './contract.ts';
import { FakeClock, settle } from './fake-clock.ts';
import { memoryStorage, TestConsumer } from './fakes.ts';
import { testHost } from './host.ts';
import { schedulerOn } from './scheduler.ts';

/** Time that passes in a turn on a fake clock; milliseconds. */
const TURN_MS = 100;
const RECORDS = 12;
const RESTING_TURNS = 100;
const LOST = 'the position moved past what the pipeline did not take (see the cursor rule of LogsConsumer)';

/** What a receiver reads, and how more comes into it. */
export interface ReceiverSource {
  /** Of a receiver that reads it, as in a configuration. `scheduler` and `storage` may name any id. */
  readonly settings: unknown;
  /** @returns bodies of the records that a receiver is to make of them, in order */
  add(count: number): Promise<readonly string[]>;
}

export interface ReceiverContractOptions extends ContractOptions {
  readonly factory: ReceiverFactory;
  /** A source with nothing in it. Called for each rule. */
  source(t: TestContext): Promise<ReceiverSource>;
  /** Whether a restart goes on where the one before ended. Default true; false for what reads its source anew, such as a list in memory. */
  readonly keepsPosition?: boolean;
  /** `fake` (default): time passes as fast as the work is done. `real`: for sources behind sockets, whose time nobody else moves. */
  readonly clock?: 'fake' | 'real';
}

/** Registers a test for each thing that a receiver of logs must do, whatever it reads. */
export function receiverContract(name: string, options: ReceiverContractOptions): void {
  register(name, receiverRules(options));
}

/** The rules by themselves. */
export function receiverRules(options: ReceiverContractOptions): Rules {
  const { factory, source: makeSource, clock: kind = 'fake', keepsPosition = true } = options;
  const { until, settles, leavesNothing } = patient(options);
  const never = new AbortController().signal;

  const scene = async (t: TestContext) => {
    const source = await makeSource(t);
    const clock = kind === 'fake' ? new FakeClock() : undefined;
    const time: Clock = clock ?? systemClock;
    const storage = memoryStorage();
    const { meter, made } = notingMeter();
    const consumer = new TestConsumer();
    const turn = async () => {
      await clock?.advance(TURN_MS);
      await settle();
    };
    const make = async () => {
      const { extension: scheduler } = await schedulerOn(time);
      t.after(() => scheduler.shutdown(AbortSignal.abort()));
      const host = testHost({ clock: time, scheduler, storage, meter });
      const id = { type: factory.type, name: '' };
      const receiver = factory.create({
        id,
        config: factory.schema.parse(source.settings),
        host,
        next: { logs: consumer },
      });
      t.after(() => void receiver.shutdown(AbortSignal.abort()).catch(() => {}));
      return {
        ...{ receiver, host, scheduler },
        start: () => settles('start ends', receiver.start(host), turn),
        stop: (signal = never, what = 'shutdown ends: whatever waits must heed a signal that the component owns') =>
          settles(what, receiver.shutdown(signal), turn),
      };
    };
    const arrived = (bodies: readonly string[], why = 'records that the source has did not come') =>
      until(
        () => `${why}: ${bodies.filter((body) => !consumer.bodies.includes(body)).join(', ')}`,
        () => bodies.every((body) => consumer.bodies.includes(body)),
        turn,
      );
    /** So long that every poll has come several times. */
    const rest = async () => {
      for (let n = 0; n < RESTING_TURNS; n++) await turn();
    };
    return { source, clock, consumer, made, make, arrived, turn, rest };
  };

  /** A receiver whose pipeline neither takes nor refuses what it offers. */
  const stuck = async (t: TestContext) => {
    const { source, make, consumer, turn } = await scene(t);
    consumer.answer = (_, { signal }) => hang(signal);
    const one = await make();
    await one.start();
    await source.add(1);
    await until('it offers what its source has', () => consumer.contexts.length > 0, turn);
    return { one, consumer, turn };
  };

  return {
    'starts, and stops twice': async (t) => {
      const one = await (await scene(t)).make();
      await one.start();
      await one.stop();
      await one.stop(never, 'the second shutdown ends');
    },

    'stops without a start': async (t) => {
      await (await (await scene(t)).make()).stop();
    },

    'sends what its source has, in its order': async (t) => {
      const { source, make, arrived, consumer } = await scene(t);
      const one = await make();
      await one.start();
      const bodies = [...(await source.add(RECORDS)), ...(await source.add(1))];
      await arrived(bodies);
      await one.stop();
      assert.deepEqual(consumer.bodies, bodies, 'records came in another order, or more than once');
    },

    'offers again what was refused for now': async (t) => {
      const { source, make, arrived, consumer } = await scene(t);
      consumer.answer = (call) => {
        if (call % 2 === 1) throw new RetryableError('queue_full', 'every second call is taken');
      };
      const one = await make();
      await one.start();
      const bodies: string[] = [];
      for (let n = 0; n < 2; n++) {
        const more = await source.add(3);
        bodies.push(...more);
        await arrived(more, LOST);
      }
      await one.stop();
      assert.deepEqual([...consumer.bodies].sort(), bodies.sort(), 'what was taken came again');
    },

    'passes on when what it offered will never be taken': async (t) => {
      const { source, make, arrived, consumer, turn } = await scene(t);
      let never: string | undefined;
      consumer.answer = (_call, _context, batch) => {
        if (never === undefined || batch?.records.some(({ body }) => body === never))
          throw new PermanentError('export_rejected', 'this will never be taken');
      };
      const one = await make();
      await one.start();
      const [first] = await source.add(1);
      await until('it offers what its source has', () => consumer.contexts.length > 0, turn);
      never = first;
      await arrived(await source.add(1), 'after a PermanentError nothing else came');
      await one.stop();
    },

    'takes a refusal by the pipeline for no failure of its source': async (t) => {
      const { source, make, consumer, turn, rest } = await scene(t);
      consumer.answer = () => {
        throw new RetryableError('queue_full', 'nothing is taken');
      };
      const one = await make();
      await one.start();
      await source.add(1);
      await until('it offers what its source has', () => consumer.contexts.length > 0, turn);
      await rest();
      const snapshot = one.scheduler.snapshot();
      const failed = Array.from({ length: snapshot.size }, (_, n) => snapshot.target(n)).filter(
        ({ consecutiveFailures }) => consecutiveFailures > 0,
      );
      assert.deepEqual(
        failed.map(({ key, lastError }) => `${key}: ${lastError?.message}`),
        [],
        'let a RetryableError of the pipeline end the run as it is: the run is deferred then, and has not failed',
      );
      await one.stop(AbortSignal.abort());
    },

    'moves no position past what was refused, over a restart too': async (t) => {
      const { source, make, arrived, consumer, turn } = await scene(t);
      let refused = 0;
      consumer.answer = () => {
        refused++;
        throw new RetryableError('queue_full', 'nothing is taken');
      };
      const first = await make();
      await first.start();
      const bodies = await source.add(3);
      await until('it offers what its source has', () => refused > 0, turn);
      await first.stop(AbortSignal.abort());
      // Neither past what it took back itself.
      consumer.answer = (_, { signal }) => hang(signal);
      const offers = consumer.contexts.length;
      const second = await make();
      await second.start();
      await until('it offers again', () => consumer.contexts.length > offers, turn);
      second.receiver.shutdown(AbortSignal.abort()).catch(() => {});
      await turn();
      consumer.answer = () => {};
      const third = await make();
      await third.start();
      await arrived(bodies, LOST);
      await third.stop();
    },

    'sends nothing again that was taken': async (t) => {
      const { source, make, arrived, rest, consumer } = await scene(t);
      const first = await make();
      await first.start();
      const bodies = await source.add(3);
      await arrived(bodies);
      await rest();
      await first.stop();
      assert.deepEqual(
        [...consumer.bodies].sort(),
        [...bodies].sort(),
        'sent again while it went on: the position did not move',
      );
      if (!keepsPosition) return;
      const second = await make();
      await second.start();
      const more = await source.add(1);
      await arrived(more);
      await rest();
      await second.stop();
      const all = [...bodies, ...more].sort();
      assert.deepEqual([...consumer.bodies].sort(), all, 'sent again after a restart: the position was not kept');
    },

    'stops while the pipeline takes nothing': async (t) => {
      const { one } = await stuck(t);
      await one.stop(AbortSignal.abort());
    },

    'takes its offers back when it stops': async (t) => {
      const { one, consumer, turn } = await stuck(t);
      one.receiver.shutdown(AbortSignal.abort()).catch(() => {});
      await until(
        'the signal of its call aborts: pass the run’s signal on to consumeLogs',
        () => consumer.contexts[0]!.signal.aborted,
        turn,
      );
    },

    'does not call itself ill while its source and its pipeline are well': async (t) => {
      const { source, make, arrived } = await scene(t);
      const one = await make();
      await one.start();
      await arrived(await source.add(3));
      await one.stop();
      const ill = one.host.reported.filter(({ status }) => /^(recoverable|permanent|fatal)$/.test(status));
      assert.deepEqual(ill, []);
    },

    'refers to the extensions that it asks for': async (t) => {
      const { source, make, arrived } = await scene(t);
      const one = await make();
      await one.start();
      await arrived(await source.add(1));
      await one.stop();
      const named = (factory.references?.(factory.schema.parse(source.settings) as object) ?? []).map(({ id }) => id);
      const unnamed = [...one.host.asked].filter((id) => !named.includes(id));
      assert.deepEqual(
        unnamed,
        [],
        '`references` of the factory does not name them: a configuration without them is found at start only',
      );
    },

    'makes the metrics that it declares, and no others': async (t) => {
      const { source, make, arrived, made } = await scene(t);
      const one = await make();
      await one.start();
      await arrived(await source.add(3));
      await one.stop();
      sameMetrics(made, factory.metrics);
    },

    'leaves nothing behind': async (t) => {
      const { source, make, arrived, clock } = await scene(t);
      await leavesNothing(async () => {
        const one = await make();
        await one.start();
        await arrived(await source.add(3));
        await one.stop();
        assert.equal(one.scheduler.snapshot().size, 0, 'targets are unregistered');
        await one.scheduler.shutdown(never);
      });
      if (clock) assert.equal(clock.sleeping, 0, 'nobody sleeps on');
    },
  };
}

/** Never ends by itself. */
function hang(signal: AbortSignal): Promise<void> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
