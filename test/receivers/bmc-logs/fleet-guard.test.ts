import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetGuard } from '../../../receivers/bmc-logs/fleet-guard.ts';

const WINDOW = 300_000;

/** A guard that was told of failures of the first `failing` of `fleet` endpoints, one per millisecond. */
function guardOf(fleet: number, failing: number, ratio = 0.5) {
  const guard = new FleetGuard(ratio, WINDOW);
  let began: number | undefined;
  for (let n = 0; n < failing; n++) {
    guard.failed(`bmc-${n}`, n);
    if (guard.judge(n, fleet) === 'began') began = n + 1;
  }
  return { guard, began };
}

for (const [what, fleet, failing, expected] of [
  ['half of the fleet is not more than half', 100, 50, undefined],
  ['more than half is an incident, from the first endpoint that makes it so', 100, 60, 51],
  ['a small fleet is no fleet', 9, 9, undefined],
  ['ten endpoints are one', 10, 10, 6],
] as const)
  test(what, () => assert.equal(guardOf(fleet, failing).began, expected));

test('a ratio of 1 turns the guard off', () => assert.equal(guardOf(100, 100, 1).began, undefined));

test('failures count for one window only', () => {
  const { guard } = guardOf(100, 50);
  guard.failed('late', WINDOW + 1_000);
  assert.equal(guard.judge(WINDOW + 1_000, 100), undefined);
});

test('endpoints that have polled for longer than a window are no longer asked', () => {
  const guard = new FleetGuard(0.5, WINDOW);
  for (let n = 0; n < 80; n++) guard.downgraded(`old-${n}`, 0);
  for (let n = 0; n < 11; n++) guard.failed(`bmc-${n}`, WINDOW + 1);
  assert.equal(guard.judge(WINDOW + 1, 100), 'began', '11 of the 20 that are left');
});

test('it is over when the share was below for a whole window, and no sooner', () => {
  const { guard } = guardOf(100, 60);
  for (let n = 0; n < 60; n++) guard.forget(`bmc-${n}`);
  assert.equal(guard.judge(10_000, 100), undefined);
  const { overAt } = guard;
  assert.ok(overAt !== undefined && overAt >= WINDOW);
  assert.equal(guard.judge(overAt - 1, 100), undefined);
  assert.equal(guard.judge(overAt, 100), 'over');
  assert.equal(guard.incident, undefined);
});

test('held endpoints count for as long as they have no stream, however rare their attempts are', () => {
  const { guard } = guardOf(100, 60);
  for (let n = 0; n < 60; n++) guard.held(`bmc-${n}`);
  assert.equal(guard.judge(10 * WINDOW, 100), undefined);
  assert.equal(guard.incident?.failing, 60);
  for (let n = 0; n < 20; n++) guard.forget(`bmc-${n}`);
  assert.equal(guard.judge(10 * WINDOW + 1, 100), undefined);
  assert.equal(guard.judge(11 * WINDOW, 100), 'over');
});
