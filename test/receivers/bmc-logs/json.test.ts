import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseJson } from '../../../receivers/bmc-logs/json.ts';

test('a byte order mark and raw control characters inside texts are read', () => {
  assert.deepEqual(parseJson('\ufeff{"Message":"two\nlines\tand a tab"}'), { Message: 'two\nlines\tand a tab' });
});

test('brackets inside texts are text', () => {
  assert.deepEqual(parseJson(`{"Message":"${'[{'.repeat(100_000)}"}`), { Message: '[{'.repeat(100_000) });
});

test('nesting beyond 64 is refused before anything is built', () => {
  assert.doesNotThrow(() => parseJson('['.repeat(64) + ']'.repeat(64)));
  assert.throws(() => parseJson('['.repeat(65) + ']'.repeat(65)), /nested deeper than 64/);
});

test('a page of more objects than any log has is refused before anything is built', () => {
  const page = (objects: number) => `{"Members":[${'{},'.repeat(objects - 1)}{}]}`;
  assert.doesNotThrow(() => parseJson(page(400_000)));
  assert.throws(() => parseJson(page(600_000)), /more than 500000 objects and lists/);
});
