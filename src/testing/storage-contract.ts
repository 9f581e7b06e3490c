import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Storage } from '../component/storage.ts';
import { type Rules, register } from './contract.ts';

/** A store that can be stopped, and opened again where it was. */
export interface OpenStorage {
  readonly storage: Storage;
  /** Stops it. */
  close(): Promise<void>;
}

/** Opens the store of one test: an empty one at first, and then the one that was closed. */
export type OpenStorageOf = (t: TestContext) => Promise<() => Promise<OpenStorage>>;

/** Registers a test for each thing that a store must do, whatever it keeps its values in. */
export function storageContract(name: string, store: OpenStorageOf): void {
  register(name, storageRules(store));
}

/** The rules by themselves. */
export function storageRules(store: OpenStorageOf): Rules {
  const never = new AbortController().signal;
  const name = { exporter: 'mine', signal: 'logs' } as const;
  const twice = async (t: TestContext, first: (storage: Storage) => Promise<void>) => {
    const open = await store(t);
    const before = await open();
    await first(before.storage);
    await before.close();
    const after = await open();
    t.after(() => after.close());
    return after.storage;
  };
  const once = async (t: TestContext) => twice(t, async () => {});

  return {
    'gives the values of a prefix, in the order of their keys': async (t) => {
      const values = (await once(t)).keyValue('mine', 'keep');
      await values.set({ 'b/2': 'two', 'b/1': 'one', a: 'zero' });
      assert.deepEqual(
        [...(await values.list('b/'))],
        [
          ['b/1', 'one'],
          ['b/2', 'two'],
        ],
      );
    },

    'keeps the values of one namespace from those of another': async (t) => {
      const storage = await once(t);
      await storage.keyValue('mine', 'keep').set({ a: 'mine' });
      await storage.keyValue('other', 'keep').set({ a: 'other' });
      assert.deepEqual([...(await storage.keyValue('mine', 'keep').list(''))], [['a', 'mine']]);
    },

    'deletes what is set to undefined': async (t) => {
      const values = (await once(t)).keyValue('mine', 'keep');
      await values.set({ a: 'one', b: 'two' });
      await values.set({ a: undefined });
      assert.deepEqual([...(await values.list(''))], [['b', 'two']]);
    },

    'keeps values over a restart': async (t) => {
      const storage = await twice(t, (first) => first.keyValue('mine', 'keep').set({ a: 'one' }));
      assert.deepEqual([...(await storage.keyValue('mine', 'keep').list(''))], [['a', 'one']]);
    },

    'gives rows in the order in which they came, from any of them on': async (t) => {
      const queue = await (await once(t)).queue(name);
      const seq = await queue.append('{}', ['a', 'b'], 2, never);
      await queue.append('{}', ['c'], 1, never);
      const rows = await queue.read(0, Number.POSITIVE_INFINITY);
      assert.deepEqual(
        rows.map(({ body }) => body),
        ['a', 'b', 'c'],
      );
      const later = await queue.read(seq, Number.POSITIVE_INFINITY);
      assert.deepEqual(
        later.map(({ body }) => body),
        ['b', 'c'],
      );
    },

    'keeps rows and their numbers over a restart, and nothing that was removed': async (t) => {
      let last = 0;
      const storage = await twice(t, async (first) => {
        const queue = await first.queue(name);
        const seq = await queue.append('{}', ['a', 'b'], 2, never);
        await queue.remove([seq], { points: 1, bytes: 1 });
        last = seq + 1;
      });
      const queue = await storage.queue(name);
      const [row, ...others] = await queue.read(0, Number.POSITIVE_INFINITY);
      assert.deepEqual([row?.seq, row?.body, others.length], [last, 'b', 0]);
      assert.equal(queue.totals.queued, 1);
      assert.ok((await queue.append('{}', ['c'], 1, never)) > last);
    },

    'sets aside with a reason, and puts back behind all others': async (t) => {
      const queue = await (await once(t)).queue(name);
      const seq = await queue.append('{}', ['a'], 1, never);
      assert.equal(await queue.setAside([seq], { reason: 'server_error', message: 'no', attempts: 1 }), true);
      assert.deepEqual([queue.totals.queued, queue.totals.deadLetters], [0, 1]);
      await queue.append('{}', ['b'], 1, never);
      await queue.redrive('server_error', Number.MAX_SAFE_INTEGER, 3);
      const rows = await queue.read(0, Number.POSITIVE_INFINITY);
      assert.deepEqual(
        rows.map(({ body }) => body),
        ['b', 'a'],
      );
      assert.equal(queue.totals.deadLetters, 0);
    },

    'keeps what was set aside over a restart': async (t) => {
      const storage = await twice(t, async (first) => {
        const queue = await first.queue(name);
        const seq = await queue.append('{}', ['a', 'b'], 2, never);
        await queue.setAside([seq], { reason: 'server_error', message: 'no', attempts: 1 });
      });
      const { totals } = await storage.queue(name);
      assert.deepEqual([totals.queued, totals.deadLetters], [1, 1]);
    },
  };
}
