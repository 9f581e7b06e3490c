import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextSlot, phaseOf, slotsBetween } from '../../src/resilience/poll-grid.ts';

const grid = { interval: 100, phase: 30 };

test('the next slot lies strictly after the instant', () => {
  assert.equal(nextSlot(grid, 0), 30);
  assert.equal(nextSlot(grid, 29), 30);
  assert.equal(nextSlot(grid, 30), 130);
  assert.equal(nextSlot(grid, 1_000), 1_030);
});

test('slots that passed unused are counted', () => {
  assert.equal(slotsBetween(grid, 30, 130), 0);
  assert.equal(slotsBetween(grid, 30, 131), 1);
  assert.equal(slotsBetween(grid, 30, 431), 4);
});

test('the phase of a target is the same in every process', () => {
  // FNV-1a 64 of "a" is af63dc4c8601ec8c.
  assert.equal(phaseOf('a', 300_000), Number(0xaf63dc4c8601ec8cn % 300_000n));
});

for (const interval of [10_000, 300_000, 900_000])
  test(`a fleet is spread evenly over an interval of ${interval / 1_000} s`, () => {
    const tenths = new Array<number>(10).fill(0);
    for (let n = 0; n < 10_000; n++) {
      const slot = nextSlot({ interval, phase: phaseOf(`bmc::node-${n}`, interval * 4) }, 0);
      tenths[Math.min(9, Math.floor((10 * slot) / interval))]!++;
    }
    for (const count of tenths) assert.ok(count > 900 && count < 1_100, `${tenths}`);
  });
