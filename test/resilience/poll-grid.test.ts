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

test('the phase of a target is the same in every process and below the interval', () => {
  // FNV-1a 64 of "a" is af63dc4c8601ec8c.
  assert.equal(phaseOf('a', 1_000), Number(0xaf63dc4c8601ec8cn % 1_000n));
});

test('phases spread a fleet evenly', () => {
  const tenths = new Array<number>(10).fill(0);
  for (let n = 0; n < 10_000; n++) tenths[Math.floor(phaseOf(`bmc::node-${n}`, 300_000) / 30_000)]!++;
  for (const count of tenths) assert.ok(count > 900 && count < 1_100, `${tenths}`);
});
