import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { SendResult } from '../component/exporter.ts';
import type { ExporterFactory } from '../component/factory.ts';
import { type ContractOptions, notingMeter, patient, type Rules, register, sameMetrics } from './contract.ts';
import { testHost } from './host.ts';
import { batch, record } from './records.ts';

const KINDS: readonly SendResult['kind'][] = ['accepted', 'retry', 'suspect', 'reject', 'too_large', 'hold', 'unknown'];

export interface ExporterContractOptions extends ContractOptions {
  readonly factory: ExporterFactory;
  /** Settings for a backend that is well, as in a configuration. Called for each rule. */
  settings(t: TestContext): Promise<unknown>;
  /** Settings for a backend that is away; without it, that is not looked at. */
  away?(t: TestContext): Promise<unknown>;
  /** Bodies that the backend of the last `settings` has, in any order; without it, what arrived is not looked at. */
  received?(): Promise<readonly string[]>;
}

/** Registers a test for each thing that an exporter of logs must do, whatever it sends to. */
export function exporterContract(name: string, options: ExporterContractOptions): void {
  register(name, exporterRules(options));
}

/** The rules by themselves. */
export function exporterRules(options: ExporterContractOptions): Rules {
  const { factory, settings, away, received } = options;
  const { settles, leavesNothing } = patient(options);
  const never = new AbortController().signal;
  const scene = async (t: TestContext, makeSettings = settings) => {
    const { meter, made } = notingMeter();
    const host = testHost({ meter });
    const id = { type: factory.type, name: '' };
    const sender = factory.create({ id, config: factory.schema.parse(await makeSettings(t)), host });
    t.after(() => void sender.shutdown?.(AbortSignal.abort()).catch(() => {}));
    return {
      ...{ sender, made },
      start: async () => sender.start?.(host),
      stop: () => settles('shutdown ends', sender.shutdown?.(never) ?? Promise.resolve()),
    };
  };

  return {
    'stops twice': async (t) => {
      const { start, stop } = await scene(t);
      await start();
      await stop();
      await stop();
    },

    'stops without a start': async (t) => (await scene(t)).stop(),

    'takes what is well, many at once, and changes nothing of it': async (t) => {
      const { sender, start } = await scene(t);
      await start();
      // Frozen: whoever writes to what it is given throws here.
      const given = Array.from({ length: 10 }, (_, n) => batch(`a ${n}`, `b ${n}`).records);
      const results = await Promise.all(given.map((records) => sender.sendLogs!(records, { signal: never })));
      assert.deepEqual(
        results,
        given.map(() => ({ kind: 'accepted' })),
      );
      if (!received) return;
      const sent = given.flat().map(({ body }) => String(body));
      assert.deepEqual([...(await received())].sort(), sent.sort(), 'it said that it had sent these');
    },

    ...(away && {
      'tells by a result that its backend is away': async (t) => {
        const { sender, start } = await scene(t, away);
        await start();
        const { kind } = await sender.sendLogs!([record('a')], { signal: never });
        assert.ok(KINDS.includes(kind) && kind !== 'accepted', `it answered "${kind}"`);
      },
    }),

    'ends an attempt whose time is over, with a result or with the reason': async (t) => {
      const { sender, start } = await scene(t);
      await start();
      const attempt = sender.sendLogs!([record('a')], { signal: AbortSignal.abort(new Error('time is over')) });
      const result = attempt.catch((error: Error) => error);
      await settles(
        'the end of the attempt',
        result.then(() => {}),
      );
      const given = await result;
      assert.ok(given instanceof Error || KINDS.includes(given.kind), String(given));
    },

    'makes the metrics that it declares, and no others': async (t) => {
      const { sender, start, made } = await scene(t);
      await start();
      await sender.sendLogs!([record('a')], { signal: never });
      sameMetrics(made, factory.metrics);
    },

    'leaves nothing behind': async (t) => {
      const { sender, start, stop } = await scene(t);
      await leavesNothing(async () => {
        await start();
        await sender.sendLogs!([record('a')], { signal: never });
        await stop();
      });
    },
  };
}
