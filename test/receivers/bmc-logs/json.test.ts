import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cutDeep, parseJson, parseLargeJson } from '../../../receivers/bmc-logs/json.ts';
import { forAll } from '../../support/property.ts';

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

const none = async () => {};

test('a large text gives what a small one gives, in turns', () =>
  forAll(
    fc.record({ value: fc.jsonValue({ maxDepth: 4 }), cut: fc.option(fc.nat(200)), twice: fc.boolean() }),
    async ({ value, cut, twice }) => {
      const list = `[${JSON.stringify(value)},{"a":${JSON.stringify(value)}},7,"[{"]`;
      let text = `{"Members":${list},${twice ? `"Members":[{"b":1}],` : ''}"more":{"list":${list}}}`;
      if (cut !== null) text = text.slice(0, cut);
      let expected: unknown;
      try {
        expected = parseJson(text);
      } catch {
        return assert.rejects(parseLargeJson(text, none), SyntaxError);
      }
      assert.deepEqual(await parseLargeJson(text, none), expected);
      const whole = JSON.stringify(value);
      assert.deepEqual(await parseLargeJson(whole, none), parseJson(whole));
    },
  ));

test('others get a turn for each quarter of a megabyte', async () => {
  let turns = 0;
  const members = Array.from({ length: 20_000 }, (_, n) => ({ Id: String(n), Message: 'x'.repeat(200) }));
  const parsed = await parseLargeJson(JSON.stringify({ Members: members }), async () => void turns++);
  assert.deepEqual(parsed, { Members: members });
  assert.ok(turns >= 16, `${turns} turns`);
});

test('what is nested too deep is cut out, and nothing else', () =>
  forAll(
    fc.record({ value: fc.jsonValue({ maxDepth: 4 }), depth: fc.integer({ min: 1, max: 300 }) }),
    ({ value, depth }) => {
      const deep = `${'[{"a":'.repeat(depth)}1${'}]'.repeat(depth)}`;
      const text = `{"before":${JSON.stringify(value)},"deep":${deep},"after":${JSON.stringify(value)}}`;
      const read = parseJson(cutDeep(text)) as Record<string, unknown>;
      assert.deepEqual(
        [read.before, read.after],
        [value, value].map((one) => JSON.parse(JSON.stringify(one))),
      );
      assert.equal(cutDeep(text) === text, depth <= 31);
    },
  ));
