import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../src/component/clock.ts';
import { SendGate, type Turn } from '../../src/delivery/send-gate.ts';
import { FakeClock, settle } from '../../src/testing/fake-clock.ts';

const never = new AbortController().signal;

function gate(slots: number) {
  const clock = new FakeClock();
  const changes: string[] = [];
  const one: SendGate = new SendGate(
    slots,
    clock,
    (failures) => failures * 1_000,
    () => changes.push(one.held ? `held ${one.held.reason}` : one.inOutage ? 'outage' : 'well'),
  );
  /** Lets in as many as may enter now. */
  const entered: Turn[] = [];
  const queue = (count: number) => {
    for (let n = 0; n < count; n++) void one.enter(never).then((turn) => turn && entered.push(turn));
  };
  return { clock, changes, gate: one, entered, queue };
}

test('as many as there are slots, and the next when one is released', async () => {
  const { gate: one, entered, queue } = gate(2);
  queue(3);
  await settle();
  assert.equal(entered.length, 2);
  entered[0]!.release();
  one.accepted();
  await settle();
  assert.equal(entered.length, 3);
});

test('in an outage one is out per backoff interval; after it slots open by 1, 2, 4', async () => {
  const { clock, changes, gate: one, entered, queue } = gate(4);
  queue(30);
  await settle();
  assert.equal(entered.length, 4);
  for (const turn of entered) {
    turn.release();
    one.failed(turn, 0);
  }
  await settle();
  assert.deepEqual(changes, ['outage'], 'told once');
  assert.equal(entered.length, 4);
  await clock.advance(999);
  assert.equal(entered.length, 4);
  await clock.advance(1);
  assert.equal(entered.length, 5, 'those that were out when it began did not make its first wait longer');
  entered[4]!.release();
  one.failed(entered[4]!, 0);
  await clock.advance(1_999);
  assert.equal(entered.length, 5);
  await clock.advance(1);
  assert.equal(entered.length, 6);
  const succeed = async () => {
    const out = entered.splice(0).at(-1)!;
    out.release();
    one.accepted();
    await settle();
    return entered.length;
  };
  assert.equal(await succeed(), 1);
  assert.equal(await succeed(), 2);
  assert.deepEqual(changes, ['outage', 'well']);
});

test('what the server asks for holds back all', async () => {
  const { clock, gate: one, entered, queue } = gate(2);
  queue(3);
  await settle();
  entered[0]!.release();
  one.failed(entered[0]!, 60_000);
  await clock.advance(59_999);
  assert.equal(entered.length, 2);
  await clock.advance(1);
  assert.equal(entered.length, 3);
});

test('held: one per minute, until one is taken', async () => {
  const { clock, changes, gate: one, entered, queue } = gate(2);
  queue(9);
  await settle();
  for (const turn of entered) {
    turn.release();
    one.hold({ reason: 'setup', message: 'HTTP 401', status: 401 });
  }
  await clock.advance(59_999);
  assert.equal(entered.length, 2);
  await clock.advance(1);
  assert.equal(entered.length, 3);
  entered[2]!.release();
  one.hold({ reason: 'setup', message: 'HTTP 401', status: 401 });
  await clock.advance(60_000);
  assert.equal(entered.length, 4);
  entered[3]!.release();
  one.accepted();
  await settle();
  assert.equal(entered.length, 5);
  assert.deepEqual(changes, ['held setup', 'well']);
});

test('a caller that gives up does not enter, and a stop ends all waiting', async () => {
  const { clock, gate: one, entered, queue } = gate(1);
  queue(2);
  await settle();
  entered[0]!.release();
  one.failed(entered[0]!, 60_000);
  const caller = new AbortController();
  const given = one.enter(caller.signal);
  caller.abort();
  assert.equal(await given, undefined);
  one.hurry();
  await settle();
  assert.equal(entered.length, 2);
  one.close();
  assert.equal(clock.sleeping, 0);
});

test('what the server asks for outlives a success of another request', async () => {
  const { clock, gate: one, entered, queue } = gate(2);
  queue(9);
  await settle();
  const [asked, other] = entered;
  asked!.release();
  one.failed(asked!, 60_000);
  other!.release();
  one.accepted();
  await clock.advance(59_999);
  assert.equal(entered.length, 2);
  await clock.advance(1);
  assert.equal(entered.length, 4);
});

test('a wait that became shorter is not held up by the longer one before it', async () => {
  const { clock, gate: one, entered, queue } = gate(4);
  queue(4);
  await settle();
  for (const turn of entered) turn.release();
  one.hold({ reason: 'setup', message: 'HTTP 401', status: 401 });
  queue(1);
  await clock.advance(1_000);
  one.accepted();
  await settle();
  assert.equal(entered.length, 5);
  const last = entered[4]!;
  for (let n = 0; n < 3; n++) one.failed(last, 0);
  last.release();
  queue(1);
  await clock.advance(1_000);
  assert.equal(entered.length, 6, 'the backoff, not the minute of the hold that is over');
});

test('a gate that opens while it is looked at is not missed', async () => {
  // Timers may end a little early, and time passes between two readings: here by up to a millisecond and by a quarter of one.
  const clock = new FakeClock();
  let read = 0;
  let early = 0;
  const drifting: Clock = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic() + read++ * 0.25,
    sleep: (ms, signal) => clock.sleep(ms - early, signal),
  };
  const one = new SendGate(
    1,
    drifting,
    () => 10,
    () => {},
  );
  for (let round = 0; round < 100; round++) {
    early = round / 100;
    let turn: Turn | undefined;
    void one.enter(never).then((entered) => {
      turn = entered;
    });
    await clock.advance(12);
    assert.ok(turn, `round ${round}`);
    turn.release();
    one.failed(turn, 0);
  }
});
