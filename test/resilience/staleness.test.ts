import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectedInterval, LATE_SCORE, stalenessScore } from '../../src/resilience/staleness.ts';

const rows: [string, number, number, number][] = [
  ['never read', Number.NaN, 60_000, 1],
  ['just read', 0, 60_000, 0],
  ['the clock went back', -5, 60_000, 0],
  ['half its time', 30_000, 60_000, 0.25],
  ['due', 60_000, 60_000, 0.5],
  ['three decimals', 20_000, 60_000, 0.167],
  ['long ago', 9e9, 60_000, 1],
];
for (const [name, age, expected, score] of rows)
  test(`staleness: ${name}`, () => assert.equal(stalenessScore(age, expected), score));

test('the slack is a tenth, or a second', () => {
  assert.equal(expectedInterval(60_000), 66_000);
  assert.equal(expectedInterval(1_000), 2_000);
  assert.ok(stalenessScore(66_000, expectedInterval(60_000)) <= LATE_SCORE);
});
