import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { ExtensionFactory } from '../component/factory.ts';
import { type ContractOptions, notingMeter, patient, type Rules, register, sameMetrics } from './contract.ts';
import { memoryStorage } from './fakes.ts';
import { testHost } from './host.ts';
import { virtualScheduler } from './scheduler.ts';

export interface ExtensionContractOptions extends ContractOptions {
  readonly factory: ExtensionFactory;
  /** As in a configuration, on free ports and in a directory of its own. Called for each rule. */
  settings(t: TestContext): Promise<unknown>;
}

/** Registers a test for each thing that an extension must do, whatever it is for. */
export function extensionContract(name: string, options: ExtensionContractOptions): void {
  register(name, extensionRules(options));
}

/** The rules by themselves. */
export function extensionRules(options: ExtensionContractOptions): Rules {
  const { factory, settings } = options;
  const { settles, leavesNothing } = patient(options);
  const never = new AbortController().signal;
  const scene = async (t: TestContext) => {
    const { meter, made } = notingMeter();
    const { extension: scheduler } = await virtualScheduler({});
    t.after(() => scheduler.shutdown(AbortSignal.abort()));
    const host = testHost({ meter, scheduler, storage: memoryStorage() });
    const id = { type: factory.type, name: '' };
    const extension = factory.create({ id, config: factory.schema.parse(await settings(t)), host });
    t.after(() => void extension.shutdown(AbortSignal.abort()).catch(() => {}));
    return {
      ...{ extension, host, made },
      start: () => settles('start ends', extension.start(host)),
      stop: () => settles('shutdown ends', extension.shutdown(never)),
    };
  };

  return {
    'starts, and stops twice': async (t) => {
      const one = await scene(t);
      await one.start();
      await one.stop();
      await one.stop();
    },

    'stops without a start': async (t) => (await scene(t)).stop(),

    'is alive, and does not call itself ill': async (t) => {
      const { extension, host, start } = await scene(t);
      await start();
      await settles('it answers', extension.alive?.() ?? Promise.resolve());
      assert.deepEqual(
        host.reported.filter(({ status }) => /^(recoverable|permanent|fatal)$/.test(status)),
        [],
      );
    },

    'makes the metrics that it declares, and no others': async (t) => {
      const { start, made } = await scene(t);
      await start();
      sameMetrics(made, factory.metrics);
    },

    'leaves nothing behind': async (t) => {
      const { start, stop } = await scene(t);
      await leavesNothing(async () => {
        await start();
        await stop();
      });
    },
  };
}
