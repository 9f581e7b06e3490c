import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OutbandError, RetryableError } from '../../src/component/errors.ts';
import type { RunResult, TargetHandle, TargetSnapshot } from '../../src/component/scheduler.ts';
import type { FakeClock } from '../../src/testing/fake-clock.ts';
import { virtualScheduler } from '../../src/testing/scheduler.ts';
import { forAll } from '../support/property.ts';

const never = new AbortController().signal;
const MIN_INTERVAL = 10_000;
const MAX_INTERVAL = 300_000;
const RETRY_INTERVAL = 1_800_000;
const MAX_RETRY_AFTER = 3_600_000;
const JITTER = 1.2;

/** Small, and the same on every machine: a fleet is told by its seed. */
function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A target as the test knows it, from what it did itself. */
interface Member {
  readonly key: string;
  readonly interval: number;
  readonly minInterval: number;
  /** How it answers for now; changes now and then. */
  mood: 'well' | 'away' | 'locked' | 'moody';
  handle: TargetHandle;
  active: number;
  lastStart: number;
  lastEnd: number;
  /** Failed attempts since the last success. */
  streak: number;
  /** As the last snapshot showed it; undefined when something has happened to it since. */
  seen: TargetSnapshot | undefined;
  /** It was asked for by hand since its last start, so its distance is nobody's promise. */
  byHand: boolean;
  healed: boolean;
}

/**
 * A fleet of random targets under the real scheduler. What they do and what people do to them comes from the seed;
 * after every step the promises are checked against what the targets themselves have noted.
 */
class Fleet {
  readonly members: Member[] = [];
  starts = 0;
  readonly #random: () => number;
  readonly #wall: number;
  #broken: unknown;
  #scheduler!: Awaited<ReturnType<typeof virtualScheduler>>;

  constructor(seed: number) {
    this.#random = randomOf(seed);
    this.#wall = Date.parse('2026-11-25T12:00:00Z');
  }

  get clock(): FakeClock {
    return this.#scheduler.clock;
  }

  async start(size: number, settings: Record<string, unknown> = {}): Promise<void> {
    this.#scheduler = await virtualScheduler({ settings, random: this.#random });
    for (let n = 0; n < size; n++) this.#add(n);
  }

  #add(n: number): void {
    const interval = Math.round(1_000 * 10 ** (this.#random() * 3));
    const member: Member = {
      ...{ key: `bmc::node-${n}`, interval, minInterval: Math.min(interval, 2_000), mood: 'well', active: 0 },
      ...{ lastStart: Number.NEGATIVE_INFINITY, lastEnd: this.clock.monotonic(), streak: 0, seen: undefined },
      ...{ byHand: false, healed: false, handle: undefined as never },
    };
    this.members.push(member);
    member.handle = this.#scheduler.extension.register(
      { type: 'bmc', name: `node-${n}`, connection: 'x', run: (signal) => this.#run(member, signal) },
      {
        ...{ interval, minInterval: member.minInterval, timeout: 20_000 },
        firstRun: this.#random() < 0.5 ? 'now' : 'grid',
      },
    );
  }

  get now(): number {
    return this.clock.monotonic();
  }

  async #run(member: Member, signal: AbortSignal): Promise<RunResult> {
    this.starts++;
    try {
      assert.equal(++member.active, 1, `${member.key} runs twice at once`);
      this.#checkStart(member);
    } catch (error) {
      // To the scheduler it would be a failed run.
      this.#broken ??= error;
    }
    member.lastStart = this.now;
    member.byHand = false;
    member.seen = undefined;
    let isOver = false;
    // Over at its end or at its deadline, whichever comes first; what a hung run answers later must change nothing.
    const over = (succeeded: boolean | undefined) => {
      if (isOver) return;
      isOver = true;
      member.active--;
      member.lastEnd = this.now;
      member.seen = undefined;
      if (succeeded === true) member.streak = 0;
      if (succeeded === false) member.streak++;
      member.healed = succeeded === true;
    };
    signal.addEventListener('abort', () => over(false), { once: true });
    const kind = this.#random();
    const span = this.#random() < 0.9 ? this.#random() * 500 : this.#random() * 40_000;
    await this.clock.sleep(Math.round(span));
    const fails = { well: 0.02, away: 1, locked: 1, moody: 0.5 }[member.mood];
    if (kind < fails) {
      over(false);
      if (member.mood === 'locked') throw new OutbandError('auth_rejected', 'no');
      const afterMs = Math.round(this.#random() * 7_200_000);
      throw this.#random() < 0.1 ? new RetryableError('bmc_http_status', '503', { afterMs }) : new Error('away');
    }
    if (this.#random() < 0.05) {
      over(undefined);
      return { deferred: true };
    }
    over(true);
    return { items: this.#random() < 0.3 ? 1 : 0, again: this.#random() < 0.05 };
  }

  #checkStart(member: Member): void {
    const { seen, key, lastStart } = member;
    const gap = this.now - lastStart;
    const floor = member.byHand ? 0 : Math.min(MIN_INTERVAL, member.interval, member.minInterval);
    assert.ok(gap >= floor, `${key}: two starts ${gap} ms apart`);
    if (!seen) return;
    assert.ok(seen.nextRun !== null, `${key} starts, but was shown in flight`);
    assert.equal(this.now + this.#wall, seen.nextRun, `${key} starts when it was announced`);
    if (seen.breaker.retryAt !== null)
      assert.ok(this.now + this.#wall >= seen.breaker.retryAt, `${key} before retryAt`);
  }

  /** Somebody does something: a component, or a person. */
  #disturb(): void {
    const member = this.members[Math.floor(this.#random() * this.members.length)]!;
    const { actions } = this.#scheduler.extension;
    const what = Math.floor(this.#random() * 9);
    if (what <= 2) member.mood = (['well', 'away', 'locked', 'moody'] as const)[Math.floor(this.#random() * 4)]!;
    else if (what === 3) member.handle.runNow(this.#random() * 5_000);
    else if (what === 4) member.handle.report({ alive: true });
    else if (what === 5) {
      member.handle.report({ failed: new Error('reported') });
      member.streak++;
      member.healed = false;
    } else if (what === 6) {
      member.byHand ||= 'nextRun' in actions.run(member.key);
    } else if (what === 7) {
      actions.reset(member.key);
      member.byHand = true;
    } else {
      actions.redrive();
      for (const each of this.members) each.byHand = true;
    }
    for (const each of what === 8 ? this.members : [member]) each.seen = undefined;
  }

  /** Compares what is shown with what the targets know. */
  #look(): void {
    if (this.#broken) throw this.#broken;
    const snapshot = this.#scheduler.extension.snapshot();
    assert.equal(snapshot.size, this.members.length);
    let parked = 0;
    let inFlight = 0;
    for (let index = 0; index < snapshot.size; index++) {
      const shown = snapshot.target(index);
      const member = this.members.find(({ key }) => key === shown.key)!;
      const { breaker } = shown;
      assert.equal(shown.consecutiveFailures, member.streak, `${member.key}: attempts that really failed`);
      assert.equal(shown.startedAt !== null, member.active === 1);
      assert.equal(shown.nextRun === null, member.active === 1);
      assert.equal(breaker.retryAt !== null, breaker.state === 'open' || breaker.state === 'half_open');
      if (breaker.state === 'open') assert.equal(shown.nextRun, breaker.retryAt);
      if (shown.parked) parked++;
      if (shown.startedAt !== null) inFlight++;
      if (member.healed && member.active === 0) {
        assert.deepEqual(
          [breaker.state, breaker.failureCount, shown.parked, shown.lastError, shown.firstFailureAt],
          ['closed', 0, null, null, null],
          `${member.key}: one success heals everything`,
        );
      }
      if (shown.nextRun !== null && !member.byHand) {
        const wait = shown.nextRun - this.#wall - Math.max(member.lastEnd, 0);
        const atRest = Math.max(MAX_INTERVAL, member.interval);
        const most = shown.lastError
          ? Math.max(RETRY_INTERVAL, MAX_RETRY_AFTER, member.interval) + RETRY_INTERVAL * (JITTER - 1)
          : atRest;
        // A report of a failure may put a run off from its own moment on.
        assert.ok(wait <= most + (shown.lastError ? most : 0), `${member.key} waits ${wait} ms`);
      }
      member.seen = shown;
    }
    assert.equal(snapshot.totals.parked.permanent_failure + snapshot.totals.parked.max_retry_attempts, parked);
    assert.equal(snapshot.totals.inFlight, inFlight);
    assert.equal(snapshot.totals.queued, snapshot.size - inFlight);
  }

  async live(ms: number, disturbances: number): Promise<void> {
    const step = Math.max(1, Math.round(ms / disturbances));
    for (let n = 0; n < disturbances; n++) {
      await this.clock.advance(Math.round(this.#random() * 2 * step));
      this.#look();
      this.#disturb();
      this.#look();
    }
  }

  async stop(): Promise<void> {
    const stopping = this.#scheduler.extension.shutdown(AbortSignal.abort());
    await this.clock.advance(1_000);
    await stopping;
    await this.clock.advance(200_000);
    assert.equal(this.clock.sleeping, 0, 'no timer is left');
  }
}

test(
  'any fleet, whatever its targets and people do: announced is kept, counted is real, one success heals',
  { timeout: 100_000 },
  () =>
    forAll(fc.record({ seed: fc.integer(), size: fc.integer({ min: 1, max: 12 }) }), async ({ seed, size }) => {
      const fleet = new Fleet(seed);
      await fleet.start(size, { max_starts_per_second: 100_000 });
      await fleet.live(2_400_000, 60);
      assert.ok(fleet.starts > 0);
      await fleet.stop();
    }),
);

test('two hours of ten thousand targets: everyone is read, nobody twice at once', async () => {
  const fleet = new Fleet(4);
  const { clock, extension } = await virtualScheduler({ settings: { max_starts_per_second: 100_000 } });
  void fleet;
  const starts = new Map<number, number>();
  for (let n = 0; n < 10_000; n++)
    extension.register(
      {
        ...{ type: 'bmc', name: `node-${n}`, connection: 'x' },
        run: async () => {
          starts.set(n, (starts.get(n) ?? 0) + 1);
          return {};
        },
      },
      { interval: 900_000 },
    );
  await clock.advance(7_200_000);
  assert.equal(starts.size, 10_000);
  assert.ok([...starts.values()].every((count) => count === 8));
  const { totals } = extension.snapshot();
  assert.deepEqual([totals.late, totals.lag], [0, { p50: 0, p99: 0, max: 0 }]);
  await extension.shutdown(never);
});

test('switched off, the spacing is the registered interval exactly', async () => {
  const { clock, extension } = await virtualScheduler({ settings: { adaptive_polling: { enabled: false } } });
  const starts: number[] = [];
  extension.register(
    {
      ...{ type: 'bmc', name: 'a', connection: 'x' },
      run: async () => {
        starts.push(clock.monotonic());
        await clock.sleep(20_000);
        return { items: 5 };
      },
    },
    { interval: 30_000 },
  );
  await clock.advance(3_600_000);
  assert.ok(starts.length >= 119);
  assert.ok(starts.slice(1).every((at, index) => at - starts[index]! === 30_000));
});

test('age and score rise while nothing is polled, a stopped dispatcher included', async () => {
  const { clock, extension } = await virtualScheduler({});
  extension.register(
    { type: 'bmc', name: 'a', connection: 'x', run: async () => ({}) },
    { interval: 30_000, firstRun: 'now' },
  );
  await clock.advance(1_000);
  assert.ok(extension.snapshot().target(0).score < 0.5);
  await extension.shutdown(never);
  const scores: number[] = [];
  for (let n = 0; n < 5; n++) {
    await clock.advance(30_000);
    scores.push(extension.snapshot().target(0).score);
  }
  assert.deepEqual(scores, [0.47, 0.924, 1, 1, 1]);
  assert.equal(extension.snapshot().totals.late, 1);
});
