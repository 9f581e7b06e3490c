import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConnectOutcome } from '../../../receivers/bmc-logs/classify-connect.ts';
import { ModeMachine, type ModeSettings, type Transition } from '../../../receivers/bmc-logs/mode-machine.ts';

const MINUTE = 60_000;
const SETTINGS: ModeSettings = {
  mode: 'auto',
  sse: {
    min_stream_lifetime: 30_000,
    reconcile_interval: 15 * MINUTE,
    connect_timeout: 5_000,
    header_timeout: 30_000,
    idle_timeout: 30 * MINUTE,
    initial_backoff: 1_000,
    max_backoff: 30_000,
    filter: '',
  },
  auto: {
    sse_not_available_threshold: 1,
    connect_failure_window: 5 * MINUTE,
    connect_failure_threshold: 5,
    sse_retry_interval: 30 * MINUTE,
    sse_retry_max_interval: 360 * MINUTE,
    trial_lifetime: MINUTE,
    persist_downgrade: true,
    fleet_guard_ratio: 0.5,
  },
};
const FAILURE: ConnectOutcome = { kind: 'failure', type: 'refused', why: 'ECONNREFUSED' };
const UNSUPPORTED: ConnectOutcome = { kind: 'unsupported', why: 'no ServerSentEventUri' };

const machineWith = (extra: Partial<ModeSettings> = {}, auto: Partial<ModeSettings['auto']> = {}) =>
  new ModeMachine({ ...SETTINGS, ...extra, auto: { ...SETTINGS.auto, ...auto } });
/** The transition if polling took over by it. */
const downgradeOf = (transition: Transition | undefined) => (transition?.to === 'polling' ? transition : undefined);
/** Downgraded by an answer that says "no stream". */
const polling = () => {
  const machine = machineWith();
  machine.refused(0, UNSUPPORTED);
  return machine;
};

test('one answer that says "no stream" is enough, by default', () => {
  assert.deepEqual(machineWith().refused(0, UNSUPPORTED), {
    from: 'connecting',
    to: 'polling',
    reason: 'sse_not_available',
    failures: 1,
  });
});

test('with a higher threshold such answers must come in a row', () => {
  const machine = machineWith({}, { sse_not_available_threshold: 3 });
  assert.equal(machine.refused(0, UNSUPPORTED), undefined);
  assert.equal(machine.refused(1, UNSUPPORTED), undefined);
  assert.equal(machine.refused(2, FAILURE), undefined);
  assert.equal(machine.refused(3, UNSUPPORTED), undefined);
  assert.equal(machine.refused(4, UNSUPPORTED), undefined);
  assert.equal(machine.refused(5, UNSUPPORTED)?.reason, 'sse_not_available');
});

test('the fifth failure within one window downgrades, wherever the window lies', () => {
  const machine = machineWith();
  const at = [290, 293, 296, 299].map((seconds) => seconds * 1_000);
  for (const now of at) assert.equal(machine.refused(now, FAILURE), undefined);
  const transition = machine.refused(301_000, FAILURE);
  assert.deepEqual(transition, { from: 'connecting', to: 'polling', reason: 'connect_failure_budget', failures: 5 });
});

test('five failures of which any window holds four do not downgrade', () => {
  const machine = machineWith();
  for (let n = 0; n < 50; n++) assert.equal(machine.refused(n * 76_000, FAILURE), undefined);
});

test('streams that are accepted and closed at once are flapping: acceptance clears nothing', () => {
  const machine = machineWith();
  for (let n = 0; n < 4; n++) {
    machine.opened(n * 1_000);
    assert.equal(downgradeOf(machine.ended(n * 1_000 + 10)), undefined);
  }
  machine.opened(5_000);
  assert.equal(machine.ended(5_010)?.reason, 'stream_flapping');
});

test('a stream that lived long enough clears all failures', () => {
  const machine = machineWith();
  for (let n = 0; n < 4; n++) machine.refused(n, FAILURE);
  machine.opened(100);
  assert.equal(machine.survived(30_100), undefined);
  assert.equal(downgradeOf(machine.ended(31_000)), undefined);
  for (let n = 0; n < 4; n++) assert.equal(machine.refused(31_001 + n, FAILURE), undefined);
});

test('the end of a long stream is no failure', () => {
  const machine = machineWith({}, { connect_failure_threshold: 1 });
  machine.opened(0);
  machine.survived(30_000);
  assert.equal(downgradeOf(machine.ended(40_000)), undefined);
  assert.equal(machine.mode.kind, 'connecting');
});

test('the wait doubles from the initial to the longest back-off, with up to the same again at random', () => {
  const machine = machineWith({ mode: 'sse' });
  assert.equal(machine.waitBeforeAttempt(0.5), 0);
  const waits = Array.from({ length: 8 }, (_, n) => {
    machine.refused(n, FAILURE);
    return [machine.waitBeforeAttempt(0), machine.waitBeforeAttempt(0.999_999)!.toFixed(0)];
  });
  assert.deepEqual(
    waits.map(([least]) => least),
    [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000],
  );
  assert.deepEqual(waits[0]![1], '2000');
});

test('a reconnect after a good stream starts at the initial back-off again', () => {
  const machine = machineWith();
  machine.opened(0);
  machine.survived(30_000);
  machine.ended(60_000);
  assert.equal(machine.waitBeforeAttempt(0), 1_000);
});

test('what the BMC asks for is obeyed: Retry-After once, SSE retry until a stream survives', () => {
  const machine = machineWith({ mode: 'sse' });
  machine.refused(0, { ...FAILURE, retryAfterMs: 120_000 });
  assert.equal(machine.waitBeforeAttempt(0), 120_000);
  machine.refused(1, FAILURE);
  assert.equal(machine.waitBeforeAttempt(0), 2_000);
  for (const [asked, wait] of [
    [0, 2_000],
    [45_000, 45_000],
    [99_999_999, 60_000],
  ] as const) {
    machine.serverRetry(asked);
    assert.equal(machine.waitBeforeAttempt(0), wait);
  }
});

test('in mode sse nothing leads to polling', () => {
  const machine = machineWith({ mode: 'sse' });
  for (let n = 0; n < 100; n++) assert.equal(machine.refused(n, n % 2 ? FAILURE : UNSUPPORTED), undefined);
  assert.equal(machine.mode.kind, 'connecting');
});

test('in mode periodic no stream is ever tried', () => {
  assert.equal(machineWith({ mode: 'periodic' }).waitBeforeAttempt(0.5), undefined);
});

test('a trial comes after the retry interval, spread by a fifth, and doubles with each failure up to the longest', () => {
  const machine = polling();
  assert.equal(machine.waitBeforeAttempt(0), 24 * MINUTE);
  assert.equal(Math.round(machine.waitBeforeAttempt(0.999_999_9)!), 36 * MINUTE);
  const waits = Array.from({ length: 6 }, () => {
    machine.refused(0, FAILURE);
    return machine.waitBeforeAttempt(0.5)! / MINUTE;
  });
  assert.deepEqual(waits, [60, 120, 240, 360, 360, 360]);
});

test('no trial is made when the operator wants none', () => {
  const machine = machineWith({}, { sse_retry_interval: 0 });
  machine.refused(0, UNSUPPORTED);
  assert.equal(machine.waitBeforeAttempt(0.5), undefined);
});

test('a trial that lives long enough restores the stream', () => {
  const machine = polling();
  machine.opened(1_000);
  assert.equal(machine.mode.kind, 'trial');
  assert.equal(machine.lifetimeToProve, MINUTE);
  assert.deepEqual(machine.survived(61_000), { from: 'trial', to: 'streaming', failures: 0 });
});

test('a trial that ends early leaves polling as it is', () => {
  const machine = polling();
  machine.opened(1_000);
  assert.equal(machine.ended(21_000)?.from, 'trial');
  assert.deepEqual(machine.mode, { kind: 'polling', reason: 'sse_not_available', since: 0 });
  assert.equal(machine.waitBeforeAttempt(0.5), 60 * MINUTE);
});

test('after flapping a trial must outlive the whole window', () => {
  const machine = machineWith({}, { connect_failure_threshold: 1 });
  machine.opened(0);
  machine.ended(10);
  machine.opened(1_000);
  assert.equal(machine.lifetimeToProve, 5 * MINUTE);
});

test('a relapse within an hour counts as a failed trial', () => {
  const machine = polling();
  machine.opened(0);
  machine.survived(MINUTE);
  machine.ended(10 * MINUTE);
  machine.refused(11 * MINUTE, UNSUPPORTED);
  assert.equal(machine.waitBeforeAttempt(0.5), 60 * MINUTE);
});

test('a downgrade long after the return starts afresh', () => {
  const machine = polling();
  machine.opened(0);
  machine.survived(MINUTE);
  machine.ended(120 * MINUTE);
  machine.refused(121 * MINUTE, UNSUPPORTED);
  assert.equal(machine.waitBeforeAttempt(0.5), 30 * MINUTE);
});

test('a window without any stream downgrades, however far apart the failures are', () => {
  const machine = machineWith();
  machine.attempted(0);
  machine.refused(35_000, FAILURE);
  assert.equal(machine.refused(299_000, FAILURE), undefined);
  assert.equal(machine.refused(300_000, FAILURE)?.reason, 'connect_failure_budget');
});

test('attempts that were never sent are no failures, but end the patience of a window', () => {
  const machine = machineWith();
  machine.attempted(0);
  for (let n = 0; n < 2; n++) machine.refused(n, FAILURE);
  for (let n = 0; n < 20; n++) assert.equal(machine.refused(10_000 + n, { kind: 'not_sent', why: 'hold' }), undefined);
  assert.equal(machine.refused(300_000, { kind: 'not_sent', why: 'hold' })?.reason, 'connect_failure_budget');
});

test('streams that live forty seconds, for ever, flap after ten ends', () => {
  const machine = machineWith();
  for (let n = 1; n < 10; n++) {
    machine.opened(n * 60_000);
    machine.survived(n * 60_000 + 30_000);
    assert.equal(downgradeOf(machine.ended(n * 60_000 + 40_000)), undefined);
  }
  machine.opened(600_000);
  assert.equal(downgradeOf(machine.ended(640_000))?.reason, 'stream_flapping');
});

test('a stream that ended because we did not read counts against nobody', () => {
  const machine = machineWith({}, { connect_failure_threshold: 1 });
  machine.opened(0);
  assert.equal(downgradeOf(machine.ended(10, true)), undefined);
});

test('silence ends streaming in mode auto only', () => {
  const machine = machineWith();
  machine.opened(0);
  assert.equal(machine.silent(1_000)?.reason, 'silent_stream');
  const always = machineWith({ mode: 'sse' });
  always.opened(0);
  assert.equal(always.silent(1_000), undefined);
});

test('a trial after silence needs an event as well as a life, in any order, within an hour', () => {
  for (const order of ['event first', 'life first']) {
    const machine = machineWith();
    machine.opened(0);
    machine.silent(1_000);
    machine.opened(2_000);
    assert.equal(machine.trialLimit, 60 * MINUTE);
    const steps = [() => machine.told(3_000), () => machine.survived(63_000)];
    if (order === 'life first') steps.reverse();
    assert.equal(steps[0]!(), undefined);
    assert.equal(steps[1]!()?.to, 'streaming');
  }
});

test('a restart goes on polling with the rest of the wait, and knows how often trials have failed', () => {
  const machine = new ModeMachine(SETTINGS, 0, {
    ...{ reason: 'stream_flapping', failedTrials: 2, since: -MINUTE, nextTrialIn: 90_000 },
  });
  assert.equal(machine.waitBeforeAttempt(0.5), 90_000);
  machine.refused(90_000, FAILURE);
  assert.equal(machine.waitBeforeAttempt(0.5), 240 * MINUTE);
});

test('a person who asks gets a trial at once, and short waits again', () => {
  const machine = polling();
  for (let n = 0; n < 3; n++) machine.refused(n, FAILURE);
  machine.retryNow();
  assert.equal(machine.waitBeforeAttempt(0.5), 0);
  machine.refused(5, FAILURE);
  assert.equal(machine.waitBeforeAttempt(0.5), 60 * MINUTE);
});

test('while the fleet fails nobody is blamed for it; a stream that survives, or the end of it, leads back', () => {
  const spend = (machine: ModeMachine, from: number) => {
    for (let n = 0; n < 5; n++) machine.refused(from + n, FAILURE);
    return machine.mode.kind;
  };
  const machine = machineWith();
  machine.incidentBegan(0);
  assert.equal(spend(machine, 0), 'held');
  assert.equal(spend(machine, 100), 'held');
  assert.ok(machine.waitBeforeAttempt(0)! > 30_000, 'rarer than without an incident');
  machine.opened(200_000);
  machine.ended(200_010);
  assert.equal(machine.mode.kind, 'held');
  machine.opened(300_000);
  assert.equal(machine.survived(330_000)?.to, 'streaming');

  const other = machineWith();
  other.incidentBegan(0);
  spend(other, 0);
  assert.equal(other.incidentOver(1_000)?.to, 'connecting');
  assert.equal(spend(other, 2_000), 'polling');
});

test('an incident takes back budget decisions of the last window, and no others', () => {
  const spent = machineWith();
  for (let n = 0; n < 5; n++) spent.refused(n, FAILURE);
  assert.equal(spent.incidentBegan(MINUTE)?.to, 'held');
  assert.equal(polling().incidentBegan(MINUTE), undefined);
  const older = machineWith();
  for (let n = 0; n < 5; n++) older.refused(n, FAILURE);
  assert.equal(older.incidentBegan(6 * MINUTE), undefined);
});

test('an answer that says "no stream" is believed in an incident, too', () => {
  const machine = machineWith();
  machine.incidentBegan(0);
  assert.equal(machine.refused(1, UNSUPPORTED)?.to, 'polling');
});
