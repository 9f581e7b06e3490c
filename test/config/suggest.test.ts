import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editDistance, suggest } from '../../src/config/suggest.ts';

const NAMES = ['endpoint', 'queue_size', 'mode', 'sse'];

for (const [name, expected] of [
  ['endpont', '(did you mean "endpoint"?)'],
  ['queueSize', '(did you mean "queue_size"?)'],
  ['queue-size', '(did you mean "queue_size"?)'],
  ['mdoe', '(did you mean "mode"?)'],
  ['xyz', '(valid values: [endpoint mode queue_size sse])'],
] as const)
  test(`${name} gets ${expected}`, () => assert.equal(suggest(name, NAMES), expected));

test('at most twelve names are listed', () => {
  const many = Array.from({ length: 20 }, (_, n) => `a_long_name_${String.fromCharCode(97 + n)}`);
  assert.equal(suggest('zzzzzzzz', many).split(' ').length, 2 + 12 + 1);
});

test('a swap of neighbours is one edit', () => assert.equal(editDistance('recieve', 'receive'), 1));
