import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRetryAfter } from '../../src/resilience/retry-after.ts';

const NOW = Date.parse('2026-11-25T12:00:00Z');

for (const [value, expected] of [
  [undefined, undefined],
  ['120', 120_000],
  ['0', 0],
  ['-5', undefined],
  ['1e9', undefined],
  ['soon', undefined],
  ['Wed, 25 Nov 2026 12:02:00 GMT', 120_000],
  ['Wed, 25 Nov 2026 11:00:00 GMT', 0],
  ['2026-11-25T12:02:00Z', undefined],
] as const)
  test(`Retry-After ${value} is ${expected}`, () => assert.equal(parseRetryAfter(value, NOW), expected));
