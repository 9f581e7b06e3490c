import assert from 'node:assert/strict';
import { test } from 'node:test';
import { severityOf } from '../../../receivers/bmc-logs/record/severity.ts';

for (const [json, number, text] of [
  [{ Severity: 'OK' }, 9, 'OK'],
  [{ Severity: 'Warning' }, 13, 'Warning'],
  [{ Severity: 'critical' }, 17, 'critical'],
  [{ MessageSeverity: 'Critical', Severity: 'OK' }, 17, 'Critical'],
  [{ MessageSeverity: '', Severity: 'OK' }, 9, 'OK'],
  [{ Severity: 'Repaired' }, 0, 'Repaired'],
  [{ Severity: null }, 0, undefined],
  [{ Severity: 3 }, 0, undefined],
  [{}, 0, undefined],
] as const)
  test(`${JSON.stringify(json)} is ${number}`, () => assert.deepEqual(severityOf(json, 'error'), { number, text }));

test('Critical is fatal when the operator says so', () => {
  assert.equal(severityOf({ Severity: 'Critical' }, 'fatal').number, 21);
});
