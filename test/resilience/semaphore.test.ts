import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Semaphore } from '../../src/resilience/semaphore.ts';

test('waiters are served in order of arrival, never more than the permits', async () => {
  const semaphore = new Semaphore(2);
  const log: string[] = [];
  const hold = async (name: string) => {
    const release = await semaphore.acquire();
    log.push(name);
    return release;
  };
  const first = await hold('a');
  await hold('b');
  const third = hold('c');
  const fourth = hold('d');
  assert.deepEqual(log, ['a', 'b']);
  first();
  (await third)();
  await fourth;
  assert.deepEqual(log, ['a', 'b', 'c', 'd']);
});

test('a waiter that gives up takes no permit', async () => {
  const semaphore = new Semaphore(1);
  const release = await semaphore.acquire();
  const stop = new AbortController();
  const waiting = semaphore.acquire(stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  release();
  await semaphore.acquire();
});

test('releasing twice frees one permit', async () => {
  const semaphore = new Semaphore(1);
  const release = await semaphore.acquire();
  release();
  release();
  await semaphore.acquire();
  const stop = AbortSignal.abort(new Error('none left'));
  await assert.rejects(semaphore.acquire(stop), /none left/);
});
