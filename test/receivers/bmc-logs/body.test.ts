import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bodyOf } from '../../../receivers/bmc-logs/record/body.ts';

for (const [json, body] of [
  [{ Message: 'Fan %1 failed at %2', MessageArgs: ['3', 900] }, 'Fan 3 failed at 900'],
  [{ Message: 'Fan %1 failed at %2', MessageArgs: ['3'] }, 'Fan 3 failed at %2'],
  [{ Message: 'Load is 90%' }, 'Load is 90%'],
  [{ Message: ' ', MessageId: 'Base.1.0.X' }, 'Base.1.0.X'],
  [{ Message: null, Name: 'Log Entry' }, 'Log Entry'],
  [{ Message: {} }, ''],
  [{}, ''],
] as const)
  test(`${JSON.stringify(json)} reads "${body}"`, () => assert.equal(bodyOf(json as never).text, body));

test('a short template cannot multiply a long argument', () => {
  const body = bodyOf({ Message: '%1'.repeat(10_000), MessageArgs: ['x'.repeat(600_000)] });
  assert.equal(body.text.length, 65_536);
  assert.equal(body.truncated, true);
});
