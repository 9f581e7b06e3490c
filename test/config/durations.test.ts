import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDuration } from '../../src/config/schema/duration.ts';
import { duration } from '../../src/config/schema/values.ts';

for (const [text, ms] of [
  ['0', 0],
  ['300ms', 300],
  ['1.5s', 1_500],
  ['1h30m', 5_400_000],
  ['2us', 0.002],
  ['.5s', 500],
  ['1.s', 1_000],
  ['+5s', 5_000],
  ['3\u00b5s', 0.003],
  ['3\u03bcs', 0.003],
  ['5', undefined],
  ['5 m', undefined],
  ['-1s', undefined],
  ['', undefined],
] as const)
  test(`"${text}" is ${ms} ms`, () => assert.equal(parseDuration(text), ms));

test('a bare number gets the unit suggested', () => {
  const result = duration().safeParse(30);
  assert.equal(result.error?.issues[0]?.message, 'expected a duration, got 30 (did you mean "30s"?)');
});

test('zero is refused where it has no meaning', () => {
  assert.equal(duration().safeParse('0s').error?.issues[0]?.message, 'must be greater than 0');
  assert.equal(duration({ positive: false }).parse('0'), 0);
});
