import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFlapping, opened, STEADY } from '../../src/resilience/flapping.ts';

const settings = { threshold: 3, windowMs: 1_000 };
const after = (...openings: number[]) => openings.reduce((last, at) => opened(last, at, settings), STEADY);

const rows: [string, number[], number, boolean][] = [
  ['two openings', [0, 100], 100, false],
  ['three inside the window', [0, 100, 999], 999, true],
  ['three that no window holds', [0, 500, 1_000], 1_000, false],
  ['two are left', [0, 100, 200], 1_099, true],
  ['fewer than two are left', [0, 100, 200], 1_100, false],
  ['it goes on with two left and one more', [0, 100, 200, 1_050], 1_100, true],
  ['calm again, two openings are two', [0, 100, 200, 5_000, 5_100], 5_100, false],
];
for (const [name, openings, now, flaps] of rows)
  test(`flapping: ${name}`, () => assert.equal(isFlapping(after(...openings), now, settings.windowMs), flaps));
