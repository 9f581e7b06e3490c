import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutbandError, RetryableError } from '../../src/component/errors.ts';
import type { Report, RunResult, TargetOptions, TransitionEvent } from '../../src/component/scheduler.ts';
import { FakeClock, settle } from '../../src/testing/fake-clock.ts';
import { testMetrics } from '../../src/testing/metrics.ts';
import { type VirtualSchedulerOptions, virtualScheduler } from '../../src/testing/scheduler.ts';
import { startStorage, temporaryDirectory } from '../support/storage.ts';

const MINUTE = 60_000;
const never = new AbortController().signal;

/** One target that does what it is told, with no chance in its waits. */
async function one(options: Partial<TargetOptions> & VirtualSchedulerOptions = {}) {
  const { settings, clock: given, storage, meter, random = () => 0, ...target } = options;
  const made = await virtualScheduler({
    ...{ settings: settings ?? {}, random },
    ...(given && { clock: given }),
    ...(storage && { storage }),
    ...(meter && { meter }),
  });
  const { clock, extension } = made;
  const starts: { at: number; cause: string }[] = [];
  const events: TransitionEvent[] = [];
  extension.onTransition((event) => events.push(event));
  const bmc = {
    answer: async (_signal: AbortSignal): Promise<RunResult> => ({}),
    fail: (error: unknown = new OutbandError('bmc_unreachable', 'away')) => {
      bmc.answer = () => Promise.reject(error);
    },
    heal: () => {
      bmc.answer = async () => ({});
    },
  };
  const handle = extension.register(
    {
      ...{ type: 'bmc', name: 'a', connection: 'https://user:pass@10.0.0.1:8443/?x=1#y' },
      run: (signal, { cause }) => {
        starts.push({ at: clock.monotonic(), cause });
        return bmc.answer(signal);
      },
    },
    { interval: MINUTE, firstRun: 'now', ...target },
  );
  const wall = Number(clock.now() / 1_000_000n) - clock.monotonic();
  return {
    ...{ ...made, starts, events, bmc, handle },
    shown: () => extension.snapshot().target(0),
    /** Since the start of the test. */
    ms: (epochMs: number | null) => (epochMs === null ? null : epochMs - wall),
  };
}

/** A store is real and answers in its own time; the clock of the scheduler is the test's. */
async function patiently<T>(work: Promise<T>): Promise<T> {
  let done = false;
  void work.finally(() => {
    done = true;
  });
  while (!done) await settle();
  return work;
}

test('five failures open the breaker; its trials double their wait; five of them park it; one success heals it', async () => {
  const { clock, bmc, shown, starts, events, ms } = await one();
  bmc.fail();
  await clock.advance(0);
  await clock.advance(4 * MINUTE);
  const first = shown();
  assert.equal(first.breaker.state, 'open');
  assert.deepEqual([starts.length, first.consecutiveFailures, first.cause], [5, 5, 'breaker']);
  assert.equal(first.nextRun, first.breaker.retryAt);
  // 30 s, but never sooner than the interval.
  const waits: number[] = [];
  for (let trial = 0; trial < 5; trial++) {
    const { nextRun } = shown();
    const before = clock.monotonic();
    await clock.advance(ms(nextRun)! - before);
    waits.push(Math.round(clock.monotonic() - before));
    assert.equal(starts.at(-1)!.at, ms(nextRun), 'starts when it was announced');
  }
  assert.deepEqual(waits.slice(1), [MINUTE, 2 * MINUTE, 4 * MINUTE, 5 * MINUTE]);
  const parked = shown();
  assert.deepEqual(
    [parked.parked, parked.cause, parked.consecutiveFailures],
    ['max_retry_attempts', 'dead_letter', 10],
  );
  assert.equal(parked.nextRun! - parked.lastError!.at, 30 * MINUTE);
  assert.equal(parked.breaker.since, parked.breaker.trippedAt, 'one outage, since its first opening');
  bmc.heal();
  await clock.advance(30 * MINUTE);
  const healed = shown();
  assert.deepEqual(
    [healed.breaker.state, healed.breaker.failureCount, healed.parked, healed.lastError, healed.consecutiveFailures],
    ['closed', 0, null, null, 0],
  );
  assert.deepEqual(
    events.map((event) => (event.kind === 'breaker' ? `${event.from} ${event.to} ${event.cause}` : event.kind)),
    [
      'closed open failure_threshold',
      ...['half_open', 'half_open', 'half_open', 'half_open'].flatMap(() => [
        'open half_open retry_due',
        'half_open open trial_failed',
      ]),
      ...['open half_open retry_due', 'half_open open trial_failed', 'parked'],
      ...['open half_open retry_due', 'half_open closed trial_succeeded', 'released'],
    ],
  );
});

test('a permanent failure is parked at once, by its code alone', async () => {
  const { clock, bmc, shown, events } = await one();
  bmc.fail(new OutbandError('auth_rejected', 'GET https://root:calvin@10.0.0.1/redfish/v1/?token=secret answered 401'));
  await clock.advance(0);
  const { parked, breaker, lastError } = shown();
  assert.deepEqual([parked, breaker.state, lastError!.category], ['permanent_failure', 'open', 'permanent']);
  assert.equal(lastError!.message, 'GET https://10.0.0.1/redfish/v1/ answered 401');
  assert.deepEqual([events[0]!.kind, events[1]!.kind], ['breaker', 'parked']);
});

test('what is shown of a target holds no credentials', async () => {
  const { shown } = await one();
  assert.equal(shown().connection, 'https://10.0.0.1:8443/');
});

test('what a target asks for is kept, up to the maximum', async () => {
  const { clock, bmc, shown } = await one();
  bmc.fail(new RetryableError('bmc_http_status', '503', { afterMs: 10 * MINUTE }));
  await clock.advance(0);
  const { nextRun, lastError, cause, breaker } = shown();
  assert.deepEqual([nextRun! - lastError!.at, cause, breaker.state], [10 * MINUTE, 'retry_after', 'closed']);
});

test('a deferral in a trial changes no breaker: the next slot has the trial', async () => {
  const { clock, bmc, shown, starts, ms } = await one();
  bmc.fail();
  await clock.advance(4 * MINUTE);
  bmc.answer = async () => ({ deferred: true });
  const { nextRun } = shown();
  await clock.advance(ms(nextRun)! - clock.monotonic());
  const after = shown();
  assert.deepEqual([after.breaker.state, after.consecutiveFailures], ['half_open', 5]);
  assert.equal(after.nextRun! - nextRun!, MINUTE);
  bmc.heal();
  await clock.advance(MINUTE);
  assert.equal(shown().breaker.state, 'closed');
  assert.equal(starts.at(-1)!.at, ms(after.nextRun));
});

test('a proof of life moves the last success only, and brings the trial of an open breaker forward once a minute', async () => {
  const { clock, bmc, handle, shown, starts } = await one({ settings: { breaker: { base_delay: '5m' } } });
  await clock.advance(1_000);
  const before = shown();
  handle.report({ alive: true });
  assert.deepEqual({ ...shown(), lastSuccess: 0, score: 0 }, { ...before, lastSuccess: 0, score: 0 });
  assert.equal(shown().lastSuccess! - before.lastSuccess!, 1_000);
  bmc.fail();
  while (shown().breaker.state !== 'open') await clock.advance(MINUTE);
  const runs = starts.length;
  await clock.advance(11_000);
  for (let n = 0; n < 5; n++) {
    handle.report({ alive: true });
    assert.ok(shown().breaker.retryAt === shown().nextRun);
    await clock.advance(5_000);
  }
  assert.equal(starts.length, runs + 1);
  assert.equal(starts.at(-1)!.cause, 'requested');
});

test('a failure that is reported counts like a failed run, and never brings one forward', async () => {
  const { clock, handle, shown } = await one({ interval: 10 * MINUTE });
  await clock.advance(1_000);
  const failed: Report = { failed: new OutbandError('bmc_unreachable', 'stream') };
  const due = shown().nextRun!;
  for (let n = 0; n < 4; n++) handle.report(failed);
  assert.deepEqual([shown().breaker.state, shown().breaker.failureCount], ['closed', 4]);
  assert.ok(shown().nextRun! >= due);
  handle.report(failed);
  const opened = shown();
  assert.deepEqual([opened.breaker.state, opened.breaker.retryAt], ['open', opened.nextRun]);
  handle.report(failed);
  assert.deepEqual([shown().breaker.retryAt, shown().consecutiveFailures], [opened.breaker.retryAt, 6]);
  assert.equal(handle.runNow(), false);
});

test('by hand: a run is the trial, in flight it is refused, and a reset closes the breaker until the next slot', async () => {
  const { clock, bmc, extension, shown, starts } = await one();
  const { actions } = extension;
  assert.deepEqual(actions.run('bmc::nobody'), { refused: 'target_unknown' });
  bmc.fail(new OutbandError('auth_rejected', 'no'));
  await clock.advance(1_000);
  assert.ok('nextRun' in actions.run('bmc::a'));
  assert.equal(shown().breaker.retryAt, shown().nextRun);
  await clock.advance(0);
  assert.equal(starts.at(-1)!.cause, 'manual');
  assert.equal(shown().breaker.transitions.at(-2)!.cause, 'manual');
  bmc.answer = (signal) => clock.sleep(30_000, signal).then(() => ({}));
  actions.run('bmc::a');
  await clock.advance(0);
  assert.deepEqual(actions.run('bmc::a'), { refused: 'run_in_flight' });
  assert.deepEqual(actions.reset('bmc::a'), { refused: 'run_in_flight' });
  bmc.fail();
  await clock.advance(30_000);
  bmc.fail(new OutbandError('auth_rejected', 'no'));
  actions.run('bmc::a');
  await clock.advance(0);
  assert.ok(shown().parked);
  assert.ok('nextRun' in actions.reset('bmc::a'));
  const { breaker, parked, lastError, consecutiveFailures } = shown();
  assert.deepEqual([breaker.state, breaker.failureCount, breaker.trippedAt, parked], ['closed', 0, null, null]);
  assert.ok(lastError && consecutiveFailures > 0, 'what is known of the failures stays until a success');
});

test('a redrive runs the parked ones at its rate, and a second one only says how many are left', async () => {
  const { clock, extension } = await virtualScheduler({ settings: { dead_letter: { redrive_rate: 2 } } });
  const starts: number[] = [];
  for (let n = 0; n < 10; n++)
    extension.register(
      {
        ...{ type: 'bmc', name: `node-${n}`, connection: 'x' },
        run: async () => {
          starts.push(clock.monotonic());
          throw new OutbandError('auth_rejected', 'no');
        },
      },
      { interval: MINUTE, firstRun: 'now' },
    );
  await clock.advance(100);
  assert.equal(extension.snapshot().totals.parked.permanent_failure, 10);
  starts.length = 0;
  const begin = clock.monotonic();
  assert.equal(extension.actions.redrive(), 10);
  await clock.advance(1_600);
  assert.equal(extension.actions.redrive(), 6);
  await clock.advance(10_000);
  assert.deepEqual(
    starts.map((at) => at - begin),
    [0, 500, 1_000, 1_500, 2_000, 2_500, 3_000, 3_500, 4_000, 4_500],
  );
});

test('a type at its limit holds up no other, and waiting shows as lag', async () => {
  const { clock, extension } = await virtualScheduler({
    settings: { concurrency: { max: 10, per_type: { slow: 1 } } },
  });
  const starts: string[] = [];
  const register = (type: string, name: string, ms: number) =>
    extension.register(
      {
        ...{ type, name, connection: 'x' },
        run: async (signal) => {
          starts.push(name);
          await clock.sleep(ms, signal);
          return {};
        },
      },
      { interval: MINUTE, firstRun: 'now' },
    );
  for (const name of ['s1', 's2']) register('slow', name, 8_000);
  register('quick', 'q', 10);
  await clock.advance(3_000);
  assert.deepEqual(starts, ['s1', 'q']);
  assert.equal(extension.snapshot().target(2).lag, 3_000, 'so far');
  await clock.advance(6_000);
  assert.deepEqual(starts, ['s1', 'q', 's2']);
  const { totals } = extension.snapshot();
  assert.deepEqual([totals.lag!.max, totals.lag!.p50], [8_000, 0]);
});

test('what a hung run answers after its deadline changes nothing, and is counted', async () => {
  const metrics = testMetrics();
  const { clock, bmc, shown } = await one({ timeout: 5_000, meter: metrics.provider.getMeter('test') });
  bmc.answer = async () => {
    await clock.sleep(20_000);
    return { facts: { late: 1 } };
  };
  await clock.advance(5_000);
  const before = shown();
  assert.equal(before.lastError!.code, 'deadline_exceeded');
  await clock.advance(16_000);
  assert.deepEqual({ ...shown(), score: 0, lag: 0 }, { ...before, score: 0, lag: 0 });
  assert.equal(await metrics.value('outband.scheduler.run.skipped', { 'outband.reason': 'late_result' }), 1);
});

test('facts are shown when they are few, flat and short; the run counts in any case', async () => {
  const metrics = testMetrics();
  const { clock, bmc, handle, shown } = await one({ meter: metrics.provider.getMeter('test'), minInterval: 1 });
  const say = async (facts: unknown) => {
    bmc.answer = async () => ({ facts }) as RunResult;
    handle.runNow();
    await clock.advance(10);
    return shown().facts;
  };
  await clock.advance(10);
  assert.equal(shown().facts, null);
  assert.deepEqual(await say({ pinned: 3, declared: 5 }), { pinned: 3, declared: 5 });
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  for (const bad of [
    { x: 'a'.repeat(600) },
    { x: {} },
    { x: Number.NaN },
    circular,
    Object.fromEntries('abcdefghi'.split('').map((key) => [key, 1])),
  ])
    assert.deepEqual(await say(bad), { pinned: 3, declared: 5 });
  assert.equal(shown().consecutiveFailures, 0);
  assert.equal(await metrics.value('outband.scheduler.facts.refused'), 5);
});

test('whatever a run resolves with, it is a success', async () => {
  const { clock, bmc, handle, shown } = await one({ minInterval: 1 });
  for (const answer of [undefined, null, 7, 'x', [], { items: 'many' }, { items: Number.NaN }]) {
    bmc.answer = async () => answer as never;
    handle.runNow();
    await clock.advance(10);
    assert.deepEqual([shown().breaker.state, shown().lastError], ['closed', null]);
  }
});

test('a bad listener costs nobody anything', async () => {
  const { clock, bmc, extension, host, events } = await one();
  extension.onTransition(() => {
    throw new Error('mine');
  });
  bmc.fail(new OutbandError('auth_rejected', 'no'));
  await clock.advance(0);
  assert.equal(events.length, 2);
  assert.equal(host.lines.filter(({ level }) => level === 'error').length, 2);
});

test('activity shortens the interval, and its grids nest: no gap is short or double', async () => {
  const { clock, bmc, shown, starts } = await one({ interval: 2 * MINUTE });
  await clock.advance(5 * MINUTE);
  bmc.answer = async () => ({ items: 1 });
  await clock.advance(10 * MINUTE);
  assert.deepEqual([shown().interval, shown().cause], [30_000, 'activity']);
  bmc.heal();
  await clock.advance(30 * MINUTE);
  assert.deepEqual([shown().interval, shown().cause], [2 * MINUTE, 'interval']);
  const gaps = starts.slice(2).map(({ at }, index) => at - starts[index + 1]!.at);
  assert.ok(
    gaps.every((gap) => [30_000, MINUTE, 2 * MINUTE].includes(gap)),
    `${gaps}`,
  );
});

test('a step of the wall clock changes no spacing; printed times follow it', async () => {
  class SteppedClock extends FakeClock {
    step = 0n;
    override now(): bigint {
      return super.now() + this.step;
    }
  }
  const clock = new SteppedClock();
  const { starts, shown } = await one({ clock });
  await clock.advance(10 * MINUTE);
  const before = shown();
  clock.step = 3_600_000_000_000n;
  assert.equal(shown().nextRun! - before.nextRun!, 3_600_000);
  await clock.advance(10 * MINUTE);
  const gaps = starts.slice(2).map(({ at }, index) => at - starts[index + 1]!.at);
  assert.ok(
    gaps.every((gap) => gap === MINUTE),
    `${gaps}`,
  );
});

test('state survives a restart: the retry time, the dead letter, the streak', async (t) => {
  const { storage } = await startStorage(t, await temporaryDirectory(t));
  const settings = { storage: 'file_storage' };
  const a = await patiently(one({ settings, storage }));
  a.bmc.fail(new OutbandError('auth_rejected', 'no'));
  a.extension.actions.run('bmc::a');
  await a.clock.advance(1_000);
  const before = a.shown();
  assert.equal(before.parked, 'permanent_failure');
  await a.handle.unregister();
  await patiently(a.extension.shutdown(never));

  const clock = new FakeClock('2026-11-25T12:10:00Z');
  const b = await patiently(one({ settings, storage, clock }));
  const after = b.shown();
  assert.deepEqual(
    [after.parked, after.breaker, after.lastError, after.consecutiveFailures],
    [before.parked, before.breaker, before.lastError, before.consecutiveFailures],
  );
  assert.equal(after.nextRun, before.nextRun);
  await clock.advance(19 * MINUTE);
  assert.equal(b.starts.length, 0, 'nothing before its retry time');
  await b.handle.unregister();
  await patiently(b.extension.shutdown(never));

  const late = new FakeClock('2026-11-25T18:00:00Z');
  const c = await patiently(one({ settings, storage, clock: late }));
  assert.ok(
    c.shown().nextRun! - Number(late.now() / 1_000_000n) <= MINUTE,
    'a retry time in the past is the first slot',
  );
  await patiently(c.extension.shutdown(never));
});

test('half of the targets with an open breaker is news about the scheduler, one of them is not', async () => {
  const { clock, extension, host } = await virtualScheduler({});
  for (const name of ['a', 'b', 'c', 'd', 'e'])
    extension.register(
      {
        ...{ type: 'bmc', name, connection: 'x' },
        run: async () => {
          if (clock.monotonic() > (name === 'a' ? 0 : 10 * MINUTE)) throw new OutbandError('auth_rejected', 'no');
          return {};
        },
      },
      { interval: MINUTE },
    );
  await clock.advance(9 * MINUTE);
  assert.deepEqual([...new Set(host.reported.map(({ status }) => status))], ['ok']);
  await clock.advance(5 * MINUTE);
  assert.equal(host.reported.at(-1)!.status, 'recoverable');
});

const throwing = (name: string) =>
  Object.defineProperty({}, name, {
    get() {
      throw new Error(`no ${name} for you`);
    },
  });
for (const [what, run] of [
  [
    'throws at once',
    () => {
      throw new Error('sync');
    },
  ],
  ['throws nothing', () => Promise.reject(undefined)],
  ['throws an object without a text', () => Promise.reject(Object.create(null))],
  ['throws an error whose message is a number', () => Promise.reject(Object.assign(new Error('x'), { message: 5 }))],
  ['throws an error that cannot be read', () => Promise.reject(throwing('afterMs'))],
  ['gives items that cannot be read', async () => throwing('items')],
  ['gives facts that cannot be read', async () => ({ facts: throwing('x') })],
  ['gives items that are a symbol', async () => ({ items: Symbol('many') })],
] as [string, () => Promise<RunResult>][])
  test(`a run that ${what} runs again at its next slot`, async () => {
    const { clock, extension } = await virtualScheduler({});
    let runs = 0;
    extension.register(
      {
        ...{ type: 'bmc', name: 'a', connection: 'x' },
        run: () => {
          runs++;
          return run();
        },
      },
      { interval: MINUTE, firstRun: 'now' },
    );
    await clock.advance(3 * MINUTE);
    assert.ok(runs >= 3, `${runs} runs`);
  });

test('spans that are none are refused before they change anything', async () => {
  const { extension, clock, handle, shown } = await one();
  const target = { type: 'bmc', name: 'b', connection: 'x', run: async () => ({}) };
  for (const bad of [
    { timeout: Number.NaN },
    { timeout: Number.POSITIVE_INFINITY },
    { timeout: -1 },
    { phase: Number.NaN },
    { minInterval: -1 },
    { maxInterval: Number.NaN },
    { maxRetryDelay: 0 },
  ])
    assert.throws(
      () => extension.register(target, { interval: MINUTE, ...bad }),
      { code: 'target_invalid' },
      JSON.stringify(bad),
    );
  assert.throws(() => extension.register({ ...target, name: 'a\ud800' }, { interval: MINUTE }), {
    code: 'target_invalid',
  });
  await clock.advance(1_000);
  const before = shown();
  for (const bad of [Number.POSITIVE_INFINITY, Number.NaN, 0])
    assert.throws(() => handle.setInterval(bad), { code: 'target_invalid' });
  assert.equal(shown().nextRun, before.nextRun);
  handle.runNow(Number.NEGATIVE_INFINITY);
  await clock.advance(MINUTE);
  assert.ok(shown().lag! < 1);
});

test('a target that unregisters itself when its signal aborts is gone', async () => {
  const { clock, extension } = await virtualScheduler({});
  let runs = 0;
  const handle = extension.register(
    {
      ...{ type: 'bmc', name: 'a', connection: 'x' },
      run: (signal) => {
        runs++;
        signal.addEventListener('abort', () => void handle.unregister(), { once: true });
        return new Promise(() => {});
      },
    },
    { interval: MINUTE, timeout: 500, firstRun: 'now' },
  );
  await clock.advance(10 * MINUTE);
  assert.deepEqual([runs, extension.snapshot().size], [1, 0]);
});

test('a listener may do anything to the target it hears of', async () => {
  const { clock, bmc, extension, handle, starts } = await one();
  let active = 0;
  extension.onTransition(({ key }) => {
    const { totals } = extension.snapshot();
    assert.equal(totals.queued + totals.inFlight, totals.targets);
    extension.actions.run(key);
    handle.report({ alive: true });
  });
  bmc.answer = async () => {
    assert.equal(++active, 1);
    await clock.sleep(1_000);
    active--;
    throw new OutbandError('auth_rejected', 'no');
  };
  await clock.advance(10_000);
  assert.ok(starts.length >= 3);
  assert.equal(extension.snapshot().totals.targets, 1);
  const gone = handle.unregister();
  await clock.advance(MINUTE);
  await gone;
  assert.equal(extension.snapshot().totals.inFlight, 0);
});

test('work of the agent itself has no breaker and comes before a crowd', async () => {
  const { clock, extension, host } = await virtualScheduler({ settings: { max_starts_per_second: 1 } });
  let runs = 0;
  const save = async () => {
    runs++;
    throw new OutbandError('storage_full', 'full');
  };
  extension.register({ type: 'own', name: 'save', connection: 'x', run: save }, { interval: 10_000, internal: true });
  for (let n = 0; n < 200; n++)
    extension.register(
      { type: 'bmc', name: `n-${n}`, connection: 'x', run: async () => ({}) },
      { interval: MINUTE, firstRun: 'now' },
    );
  await clock.advance(10 * MINUTE);
  assert.equal(runs, 60);
  assert.equal(extension.actions.redrive(), 0);
  assert.deepEqual([...new Set(host.reported.map(({ status }) => status))], ['ok']);
});

test('a new interval takes effect at once, also for a target that waits for its first slot', async () => {
  const { clock, handle, starts } = await one({ interval: 24 * 60 * MINUTE, firstRun: 'grid' });
  handle.setInterval(10_000);
  await clock.advance(25_000);
  assert.ok(starts.length >= 2);
});

test('a wish for another run never puts it off', async () => {
  const { clock, bmc, starts } = await one({ interval: 10_000, minInterval: 10 * MINUTE });
  bmc.answer = async () => ({ again: true });
  await clock.advance(65_000);
  assert.ok(starts.length >= 6, `${starts.length}`);
});

test('a permanent failure that is reported during a run that is deferred opens the breaker at its end', async () => {
  const { clock, bmc, handle, shown } = await one();
  bmc.answer = async () => {
    handle.report({ failed: new OutbandError('auth_rejected', 'no') });
    return { deferred: true };
  };
  await clock.advance(1_000);
  assert.deepEqual([shown().breaker.state, shown().parked], ['open', 'permanent_failure']);
});

test('a clock that was wrong at the start costs no saved state', async (t) => {
  const { storage } = await startStorage(t, await temporaryDirectory(t));
  class Stepped extends FakeClock {
    step = 0n;
    override now(): bigint {
      return super.now() + this.step;
    }
  }
  const clock = new Stepped('1970-01-02T00:00:00Z');
  const a = await patiently(one({ settings: { storage: 'x' }, storage, clock }));
  clock.step = BigInt(Date.parse('2026-11-25T12:00:00Z') - Date.parse('1970-01-02T00:00:00Z')) * 1_000_000n;
  a.bmc.fail(new OutbandError('auth_rejected', 'no'));
  a.extension.actions.run('bmc::a');
  await clock.advance(1_000);
  await a.handle.unregister();
  await patiently(a.extension.shutdown(never));
  const b = await patiently(one({ settings: { storage: 'x' }, storage, clock: new FakeClock('2026-11-25T12:00:10Z') }));
  const { parked, lastError, nextRun, cause } = b.shown();
  assert.deepEqual([parked, cause], ['permanent_failure', 'dead_letter']);
  assert.ok(Math.abs(lastError!.at - Date.parse('2026-11-25T12:00:00Z')) < 2_000);
  assert.ok(nextRun! > Date.parse('2026-11-25T12:29:00Z'));
  await patiently(b.extension.shutdown(never));
});
