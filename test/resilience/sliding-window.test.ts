import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SlidingWindow } from '../../src/resilience/sliding-window.ts';
import { forAll } from '../support/property.ts';

test('four events before and four after any boundary count together', () => {
  const window = new SlidingWindow<number>(300_000);
  for (const at of [291_000, 293_000, 295_000, 299_000, 301_000, 303_000, 305_000, 309_000]) window.add(at, at);
  assert.equal(window.at(309_000).length, 8);
});

test('an event leaves the window exactly when its age reaches the length', () => {
  const window = new SlidingWindow<string>(100);
  window.add(0, 'a');
  assert.deepEqual(window.at(99), ['a']);
  assert.deepEqual(window.at(100), []);
});

test('the count equals that of a list that is filtered by hand', () =>
  forAll(fc.tuple(fc.array(fc.nat(50), { maxLength: 60 }), fc.integer({ min: 1, max: 200 })), ([gaps, length]) => {
    const window = new SlidingWindow<number>(length);
    const times: number[] = [];
    let now = 0;
    for (const gap of gaps) {
      now += gap;
      times.push(now);
      window.add(now, now);
      assert.deepEqual(
        window.at(now),
        times.filter((at) => at > now - length),
      );
    }
  }));
