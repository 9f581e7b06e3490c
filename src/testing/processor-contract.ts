import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type OutbandError, PermanentError, RetryableError } from '../component/errors.ts';
import type { ProcessorFactory } from '../component/factory.ts';
import { type ContractOptions, notingMeter, patient, type Rules, register, sameMetrics } from './contract.ts';
import { TestConsumer } from './fakes.ts';
import { testHost } from './host.ts';
import { batch } from './records.ts';

export interface ProcessorContractOptions extends ContractOptions {
  readonly factory: ProcessorFactory;
  /** As in a configuration, such that it passes on every record that it is given. */
  readonly settings: unknown;
}

/** Registers a test for each thing that a processor of logs must do, whatever it changes. */
export function processorContract(name: string, options: ProcessorContractOptions): void {
  register(name, processorRules(options));
}

/** The rules by themselves. */
export function processorRules(options: ProcessorContractOptions): Rules {
  const { factory, settings } = options;
  const { until, settles, leavesNothing } = patient(options);
  const never = new AbortController().signal;
  const scene = (t: TestContext) => {
    const next = new TestConsumer();
    const { meter, made } = notingMeter();
    const host = testHost({ meter });
    const id = { type: factory.type, name: '' };
    const processor = factory.create({ id, config: factory.schema.parse(settings), host, next: { logs: next } });
    t.after(() => void processor.shutdown(AbortSignal.abort()).catch(() => {}));
    return {
      ...{ next, made },
      start: () => settles('start ends', processor.start(host)),
      stop: () => settles('shutdown ends', processor.shutdown(never)),
      shutDown: (signal: AbortSignal) => processor.shutdown(signal),
      give: (...bodies: string[]) => processor.logs?.consumeLogs(batch(...bodies), { signal: never }),
      consumer: processor.logs!,
    };
  };

  return {
    'starts, and stops twice': async (t) => {
      const one = scene(t);
      await one.start();
      await one.stop();
      await one.stop();
    },

    'stops without a start': async (t) => scene(t).stop(),

    'passes records on in their order, and changes none that it was given': async (t) => {
      const { start, give, next } = scene(t);
      await start();
      const bodies = Array.from({ length: 30 }, (_, n) => `record ${n}`);
      await give(...bodies.slice(0, 20));
      await give(...bodies.slice(20));
      assert.deepEqual(next.bodies, bodies);
    },

    'acknowledges only what was acknowledged behind it': async (t) => {
      const { start, give, next } = scene(t);
      await start();
      let release: (() => void) | undefined;
      next.answer = () =>
        new Promise((resolve) => {
          release = resolve;
        });
      let isAcknowledged = false;
      const given = give('a')!.then(() => {
        isAcknowledged = true;
      });
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(isAcknowledged, false);
      await until('it calls what is behind it', () => release !== undefined);
      release!();
      await given;
    },

    'tells its caller of a refusal as it was told, and passes the same batch on again': async (t) => {
      const { start, consumer, next } = scene(t);
      await start();
      const one = batch('a');
      for (const error of [new RetryableError('queue_full', 'later'), new PermanentError('export_rejected', 'never')]) {
        next.answer = () => Promise.reject(error);
        await assert.rejects(
          consumer.consumeLogs(one, { signal: never }),
          (told) => told instanceof error.constructor && (told as OutbandError).code === error.code,
        );
      }
      next.answer = () => {};
      await consumer.consumeLogs(one, { signal: never });
      assert.deepEqual(next.bodies, ['a']);
    },

    'passes its caller’s signal and labels on': async (t) => {
      const { start, consumer, next } = scene(t);
      await start();
      const caller = new AbortController();
      next.answer = (_, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      const labels = { transport: 'poll' };
      consumer.consumeLogs(batch('a'), { signal: caller.signal, labels }).catch(() => {});
      await until('it calls what is behind it', () => next.contexts.length > 0);
      assert.deepEqual(next.contexts[0]!.labels, labels);
      caller.abort(new RetryableError('queue_full', 'the caller gave up'));
      await until('the signal of that call aborts', () => next.contexts[0]!.signal.aborted);
    },

    'stops while what is behind it takes nothing': async (t) => {
      const { start, consumer, next, shutDown } = scene(t);
      await start();
      next.answer = (_, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      const caller = new AbortController();
      t.after(() => caller.abort());
      consumer.consumeLogs(batch('a'), { signal: caller.signal }).catch(() => {});
      await until('it calls what is behind it', () => next.contexts.length > 0);
      await settles('shutdown ends: who asked will give up by itself', shutDown(AbortSignal.abort()));
    },

    'says where records came from, as it was told': async (t) => {
      const { start, consumer, next } = scene(t);
      await start();
      const one = batch('a');
      let origin: unknown;
      next.answer = (_call, _context, passed) => {
        origin = passed?.origin;
      };
      await consumer.consumeLogs(one, { signal: never });
      assert.deepEqual(origin, one.origin);
    },

    'makes the metrics that it declares, and no others': async (t) => {
      const { start, give, made } = scene(t);
      await start();
      await give('a');
      sameMetrics(made, factory.metrics);
    },

    'leaves nothing behind': async (t) => {
      const { start, stop, give } = scene(t);
      await leavesNothing(async () => {
        await start();
        await give('a');
        await stop();
      });
    },
  };
}
