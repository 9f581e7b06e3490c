import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeliveryLane } from '../../../receivers/bmc-logs/delivery-lane.ts';
import { PermanentError, RetryableError } from '../../../src/component/errors.ts';
import type { LogBatch } from '../../../src/telemetry/log-batch.ts';
import { FakeClock, settle } from '../../../src/testing/fake-clock.ts';
import { record } from '../../../src/testing/records.ts';

/** A lane into a pipeline that answers as told, in turn, and then accepts. */
function laneInto(...answers: Error[]) {
  const clock = new FakeClock();
  const stop = new AbortController();
  const offered: { batch: LogBatch; at: number }[] = [];
  const delivered: string[] = [];
  const lane = new DeliveryLane({
    next: {
      async consumeLogs(batch) {
        offered.push({ batch, at: clock.monotonic() });
        const error = answers.shift();
        if (error) throw error;
      },
    },
    origin: { receiver: 'test', target: 'r1' },
    labels: {},
    clock,
    signal: stop.signal,
    onDelivered: (transport, outcome, records) => delivered.push(`${transport} ${outcome} ${records.length}`),
  });
  return { clock, stop, offered, delivered, lane };
}
const later = (afterMs?: number) => new RetryableError('queue_full', 'later', afterMs === undefined ? {} : { afterMs });

test('a batch that is refused is offered again, the same object, with growing waits', async () => {
  const { clock, offered, delivered, lane } = laneInto(later(), later(), later());
  const done = lane.deliver([record('a')], 'poll');
  await clock.advance(7_000);
  await done;
  assert.deepEqual(
    offered.map(({ at }) => at),
    [0, 1_000, 3_000, 7_000],
  );
  assert.equal(new Set(offered.map(({ batch }) => batch)).size, 1, 'so that a fan-out remembers who took it');
  assert.deepEqual(delivered, ['poll accepted 1']);
});

test('the pipeline may ask for a longer wait', async () => {
  const { clock, offered, lane } = laneInto(later(60_000));
  const done = lane.deliver([record('a')], 'sse');
  await clock.advance(60_000);
  await done;
  assert.deepEqual(
    offered.map(({ at }) => at),
    [0, 60_000],
  );
});

test('what is refused for good is counted, and the next may go on', async () => {
  const { delivered, lane } = laneInto(new PermanentError('export_rejected', 'never'));
  await lane.deliver([record('a'), record('b')], 'sse');
  assert.deepEqual(delivered, ['sse refused 2']);
});

test('a step begins when the one before has ended, however it ended', async () => {
  const { clock, lane } = laneInto();
  const log: string[] = [];
  const step = (name: string, fails: boolean) =>
    lane.run(async () => {
      log.push(`${name} begins`);
      await clock.sleep(10);
      log.push(`${name} ends`);
      if (fails) throw new Error(name);
    });
  const first = assert.rejects(step('a', true));
  const second = step('b', false);
  await clock.advance(20);
  await Promise.all([first, second]);
  assert.deepEqual(log, ['a begins', 'a ends', 'b begins', 'b ends']);
});

test('a stop ends the waiting, and nothing is called delivered', async () => {
  const { stop, delivered, lane } = laneInto(later());
  const done = assert.rejects(lane.deliver([record('a')], 'poll'), /stop/);
  await settle();
  stop.abort(new Error('stop'));
  await done;
  assert.deepEqual(delivered, []);
});
