import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunResult, TargetOptions } from '../../src/component/scheduler.ts';
import { virtualScheduler } from '../../src/testing/scheduler.ts';

const MINUTE = 60_000;
const never = new AbortController().signal;

/** Its targets note their runs; `work` decides what a run does. */
async function scheduler(settings: Record<string, unknown> = {}) {
  const { clock, extension } = await virtualScheduler({ settings });
  const starts: { name: string; at: number; cause: string; missed: number }[] = [];
  const register = (
    name: string,
    options: TargetOptions,
    work: (signal: AbortSignal) => Promise<RunResult> = async () => ({}),
  ) =>
    extension.register(
      {
        type: 'bmc',
        name,
        connection: name,
        run: (signal, why) => {
          starts.push({ name, at: clock.monotonic(), ...why });
          return work(signal);
        },
      },
      options,
    );
  const gaps = () => starts.slice(1).map(({ at }, index) => at - starts[index]!.at);
  return { clock, extension, starts, register, gaps };
}

test('a target runs at once when it asks to, then on its grid', async () => {
  const { clock, register, starts, gaps } = await scheduler();
  register('a', { interval: 5 * MINUTE, firstRun: 'now' });
  await clock.advance(21 * MINUTE);
  assert.equal(starts[0]!.at, 0);
  assert.equal(starts[0]!.cause, 'initial');
  assert.ok(gaps()[0]! <= 5 * MINUTE);
  assert.deepEqual(gaps().slice(1), [5 * MINUTE, 5 * MINUTE, 5 * MINUTE]);
});

test('a day of polls keeps its spacing to the millisecond', async () => {
  const { clock, register, starts, gaps } = await scheduler();
  register('a', { interval: 5 * MINUTE });
  await clock.advance(24 * 60 * MINUTE);
  assert.equal(starts.length, 288);
  assert.ok(gaps().every((gap) => gap === 5 * MINUTE));
});

test('a failure does not bring the next run forward', async () => {
  const { clock, register, gaps } = await scheduler();
  register('a', { interval: MINUTE }, async () => {
    throw new Error('away');
  });
  await clock.advance(10 * MINUTE);
  assert.ok(gaps().length >= 7 && gaps().every((gap) => gap >= MINUTE), `${gaps()}`);
});

test('slots that passed during a long run are skipped and told, never caught up', async () => {
  const { clock, register, starts } = await scheduler({
    task_timeout: '60m',
    concurrency: { max: 1 },
    adaptive_polling: { enabled: false },
  });
  let first = true;
  register('a', { interval: MINUTE, firstRun: 'now' }, async () => {
    if (first) await clock.sleep(3.5 * MINUTE);
    first = false;
    return {};
  });
  await clock.advance(6 * MINUTE);
  assert.equal(starts[1]!.missed, Math.floor(starts[1]!.at / MINUTE));
  assert.ok(starts[1]!.at >= 3.5 * MINUTE && starts[1]!.at <= 4.5 * MINUTE);
});

test('runNow makes a target due at once, but never twice within minInterval', async () => {
  const { clock, register, starts } = await scheduler();
  const handle = register('a', { interval: 60 * MINUTE, firstRun: 'now', minInterval: 10_000 });
  await clock.advance(1_000);
  assert.equal(handle.runNow(), true);
  await clock.advance(8_999);
  assert.equal(starts.length, 1);
  await clock.advance(1);
  assert.deepEqual([starts.length, starts[1]!.cause], [2, 'requested']);
});

test('a wish that comes during a run is refused, and the run can answer "again"', async () => {
  const { clock, register, starts } = await scheduler();
  let refused: boolean | undefined;
  let again = true;
  const handle = register('a', { interval: 60 * MINUTE, minInterval: 1_000, firstRun: 'now' }, async () => {
    refused = handle.runNow();
    const result = { again };
    again = false;
    return result;
  });
  await clock.advance(5_000);
  assert.equal(refused, false);
  assert.deepEqual(
    starts.map(({ at }) => at),
    [0, 1_000],
  );
});

test('a run that was deferred by the pipeline comes again at its next slot', async () => {
  const { clock, register, gaps } = await scheduler();
  register('a', { interval: MINUTE }, async () => ({ deferred: true }));
  await clock.advance(5 * MINUTE);
  assert.ok(gaps().every((gap) => gap === MINUTE));
});

test('a run that hangs is aborted at its deadline and frees its slot', async () => {
  const { clock, register, starts } = await scheduler({ concurrency: { max: 1 } });
  let aborted = false;
  register('hangs', { interval: 60 * MINUTE, firstRun: 'now', timeout: 5_000 }, (signal) => {
    signal.addEventListener('abort', () => {
      aborted = true;
    });
    return new Promise(() => {});
  });
  register('waits', { interval: 60 * MINUTE, firstRun: 'now' });
  await clock.advance(4_999);
  assert.deepEqual(
    starts.map(({ name }) => name),
    ['hangs'],
  );
  await clock.advance(1);
  assert.equal(aborted, true);
  assert.deepEqual(
    starts.map(({ name }) => name),
    ['hangs', 'waits'],
  );
});

test('at most concurrency::max runs are in flight, the others wait in order of due time', async () => {
  const { clock, register, starts } = await scheduler({ concurrency: { max: 2 } });
  for (const name of ['a', 'b', 'c', 'd'])
    register(name, { interval: 60 * MINUTE, firstRun: 'now' }, async () => {
      await clock.sleep(10_000);
      return {};
    });
  await clock.advance(9_999);
  assert.deepEqual(
    starts.map(({ name }) => name),
    ['a', 'b'],
  );
  await clock.advance(10_001);
  assert.deepEqual(
    starts.map(({ name }) => name),
    ['a', 'b', 'c', 'd'],
  );
});

test('a new interval moves the due time once, onto the new grid', async () => {
  const { clock, register, starts } = await scheduler();
  const handle = register('a', { interval: 60 * MINUTE, firstRun: 'now' });
  await clock.advance(MINUTE);
  handle.setInterval(MINUTE);
  await clock.advance(3 * MINUTE);
  assert.ok(starts.length >= 3, `${starts.length} starts`);
});

test('an unregistered target is gone at once; its run is aborted and waited for', async () => {
  const { clock, extension, register, starts } = await scheduler();
  let settled = false;
  const handle = register('a', { interval: MINUTE, firstRun: 'now' }, (signal) =>
    clock.sleep(30_000, signal).then(
      () => ({}),
      (error) => {
        settled = true;
        throw error;
      },
    ),
  );
  await clock.advance(0);
  await handle.unregister();
  assert.equal(settled, true);
  await clock.advance(10 * MINUTE);
  assert.equal(starts.length, 1);
  assert.equal(handle.runNow(), false);
  await extension.shutdown(never);
});

test('a key is taken once, and a bad target is refused', async () => {
  const { register } = await scheduler();
  register('a', { interval: MINUTE });
  assert.throws(() => register('a', { interval: MINUTE }), { code: 'target_exists' });
  assert.throws(() => register('b', { interval: 0 }), { code: 'target_invalid' });
  assert.throws(() => register('with\nline', { interval: MINUTE }), { code: 'target_invalid' });
});

test('a stop starts nothing more, waits for runs, and leaves no timer', async () => {
  const { clock, extension, register, starts } = await scheduler();
  register('a', { interval: MINUTE, firstRun: 'now' }, (signal) => clock.sleep(60_000, signal).then(() => ({})));
  await clock.advance(0);
  await extension.shutdown(never);
  await extension.shutdown(never);
  assert.equal(clock.sleeping, 0);
  await clock.advance(10 * MINUTE);
  assert.equal(starts.length, 1);
});

test('a target that fails for a day is a line when it begins, one per hour, and one when it is over', async () => {
  const { clock, extension, host } = await virtualScheduler({
    settings: { breaker: { base_delay: '20m', max_delay: '20m' }, dead_letter: { max_retry_attempts: 100 } },
  });
  let isAway = true;
  extension.register(
    {
      ...{ type: 'bmc', name: 'a', connection: 'a' },
      run: async () => {
        if (isAway) throw new Error('away');
        return {};
      },
    },
    { interval: MINUTE },
  );
  await clock.advance(24 * 60 * MINUTE);
  isAway = false;
  await clock.advance(30 * MINUTE);
  const told = host.lines.filter(({ level }) => level !== 'debug').map(({ message }) => message);
  const reminders = told.filter((message) => message === 'target still fails').length;
  assert.ok(reminders >= 17 && reminders <= 24, `${reminders} reminders`);
  assert.equal(told.filter((message) => message === 'breaker moved').length, 2);
});
