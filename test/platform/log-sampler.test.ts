import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogSampler } from '../../src/platform/log-sampler.ts';

test('the first of a window pass, then every so-manieth, and the next that passes tells how many did not', () => {
  const sampler = new LogSampler({ tick: 10_000, initial: 2, thereafter: 3 });
  const admitted = Array.from({ length: 9 }, (_, n) => sampler.admit('warn', 'away', undefined, n));
  assert.deepEqual(admitted, [0, 0, undefined, undefined, 2, undefined, undefined, 2, undefined]);
  assert.equal(sampler.admit('warn', 'away', undefined, 10_000), 1, 'a new window');
  assert.equal(sampler.admit('info', 'away', undefined, 5), 0, 'another level');
  assert.equal(sampler.admit('warn', 'other', undefined, 5), 0, 'another message');
});

test('the first line with a code passes whatever came before', () => {
  const sampler = new LogSampler({ tick: 10_000, initial: 1, thereafter: 0 });
  assert.equal(sampler.admit('error', 'failed', 'a', 0), 0);
  assert.equal(sampler.admit('error', 'failed', 'a', 1), undefined);
  assert.equal(sampler.admit('error', 'failed', 'b', 2), 1);
  assert.equal(sampler.admit('error', 'failed', 'b', 3), undefined);
});

test('messages that never repeat do not fill the memory', () => {
  const sampler = new LogSampler({ tick: 10_000, initial: 1, thereafter: 0 });
  for (let n = 0; n < 100_000; n++) assert.equal(sampler.admit('info', `message ${n}`, undefined, 0), 0);
});
