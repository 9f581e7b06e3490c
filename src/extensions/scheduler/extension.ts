import type { Component, Host } from '../../component/component.ts';
import { deadline } from '../../component/deadline.ts';
import { describeError, OutbandError } from '../../component/errors.ts';
import type { RunCause, RunResult, Scheduler, Target, TargetHandle, TargetOptions } from '../../component/scheduler.ts';
import { DueQueue } from '../../resilience/due-queue.ts';
import { nextSlot, phaseOf, slotsBetween } from '../../resilience/poll-grid.ts';
import type { SchedulerConfig } from './index.ts';
import { nextRun, type RunOutcome } from './next-run.ts';

const DEFAULT_MIN_INTERVAL_MS = 1_000;
/** The dispatcher looks at the queue at least this often, whatever it knows. */
const LONGEST_SLEEP_MS = 1_000;
const TARGET_TYPE = /^[a-z][a-z0-9_-]{0,31}$/;
const TARGET_NAME = /^\P{Cc}{1,256}$/u;

interface Entry {
  readonly key: string;
  readonly target: Target;
  readonly phase: number;
  /** As registered; the interval wins where it is shorter. */
  readonly minInterval: number;
  readonly timeout: number;
  interval: number;
  /** Why the next run comes. */
  cause: RunCause;
  /** On the scheduler's clock; -Infinity before the first run. */
  lastStart: number;
  /** Of the run in flight: ends it, and resolves when it has settled. */
  running: { readonly abort: AbortController; readonly settled: Promise<void> } | undefined;
}

/**
 * One queue of due times, one loop that sleeps until the next of them, and the runs in flight. Wall time is read once,
 * to anchor the grid; from then on all waiting is monotonic, so a step of the wall clock changes no spacing.
 */
export class SchedulerExtension implements Component, Scheduler {
  readonly #config: SchedulerConfig;
  readonly #host: Host;
  /** Adds to monotonic time to give the grid's time, in milliseconds since the epoch. */
  readonly #anchor: number;
  readonly #entries = new Map<string, Entry>();
  readonly #queue = new DueQueue<Entry>();
  readonly #stop = new AbortController();
  #inFlight = 0;
  #wake = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(config: SchedulerConfig, host: Host) {
    this.#config = config;
    this.#host = host;
    this.#anchor = Number(host.clock.now() / 1_000_000n) - host.clock.monotonic();
  }

  async start(): Promise<void> {
    this.#loop = this.#dispatch();
  }

  async shutdown(): Promise<void> {
    this.#stop.abort(new OutbandError('shutting_down', 'the scheduler stops'));
    await this.#loop;
    await Promise.all([...this.#entries.values()].map((entry) => entry.running?.settled));
  }

  register(target: Target, options: TargetOptions): TargetHandle {
    const key = `${target.type}::${target.name}`;
    if (!TARGET_TYPE.test(target.type) || !TARGET_NAME.test(target.name) || !(options.interval > 0))
      throw new OutbandError('target_invalid', `scheduler target "${key}" has a bad type, name or interval`);
    if (this.#entries.has(key)) throw new OutbandError('target_exists', `scheduler target "${key}" exists already`);
    const entry: Entry = {
      key,
      target,
      phase: phaseOf(key),
      minInterval: options.minInterval ?? DEFAULT_MIN_INTERVAL_MS,
      timeout: options.timeout ?? this.#config.task_timeout,
      interval: options.interval,
      cause: 'initial',
      lastStart: Number.NEGATIVE_INFINITY,
      running: undefined,
    };
    this.#entries.set(key, entry);
    this.#arm(entry, options.firstRun === 'now' ? this.#now() : nextSlot(entry, this.#now()));

    return {
      runNow: (delay = 0) => {
        if (entry.running || !this.#entries.has(key)) return false;
        const due = Math.max(this.#now() + delay, earliest(entry));
        if (due >= (this.#queue.dueOf(entry) ?? Number.POSITIVE_INFINITY)) return true;
        entry.cause = 'requested';
        this.#arm(entry, due);
        return true;
      },
      setInterval: (interval) => {
        if (interval === entry.interval) return;
        entry.interval = interval;
        // A run that was asked for comes when it was promised; the grid takes over after it.
        if (entry.running || entry.cause !== 'interval' || !this.#entries.has(key)) return;
        this.#arm(entry, Math.max(nextSlot(entry, this.#now()), earliest(entry)));
      },
      unregister: async () => {
        this.#entries.delete(key);
        this.#queue.delete(entry);
        entry.running?.abort.abort(new OutbandError('shutting_down', `target "${key}" is gone`));
        await entry.running?.settled;
      },
    };
  }

  #now(): number {
    return this.#anchor + this.#host.clock.monotonic();
  }

  #arm(entry: Entry, due: number): void {
    const next = this.#queue.nextDue();
    this.#queue.set(entry, due);
    if (next === undefined || due < next) this.#wake.abort();
  }

  async #dispatch(): Promise<void> {
    const stopped = this.#stop.signal;
    while (!stopped.aborted) {
      for (const entry of [...this.#queue.due(this.#now())]) {
        if (this.#inFlight >= this.#config.concurrency.max) break;
        this.#queue.delete(entry);
        this.#begin(entry);
      }
      this.#wake = new AbortController();
      const full = this.#inFlight >= this.#config.concurrency.max;
      const wait = full ? LONGEST_SLEEP_MS : (this.#queue.nextDue() ?? Number.POSITIVE_INFINITY) - this.#now();
      const signal = AbortSignal.any([this.#wake.signal, stopped]);
      await this.#host.clock.sleep(Math.min(wait, LONGEST_SLEEP_MS), signal).catch(() => {});
    }
  }

  #begin(entry: Entry): void {
    const start = this.#now();
    const missed = Number.isFinite(entry.lastStart) ? slotsBetween(entry, entry.lastStart, start) : 0;
    const abort = new AbortController();
    entry.lastStart = start;
    this.#inFlight++;
    // In a later turn, so that a run that asks for another one already counts as in flight.
    const work = Promise.resolve().then(() => this.#run(entry, missed, abort.signal));
    const settled = work.finally(() => {
      entry.running = undefined;
      this.#inFlight--;
      this.#wake.abort();
    });
    entry.running = { abort, settled };
  }

  async #run(entry: Entry, missed: number, aborted: AbortSignal): Promise<void> {
    const { target, key, cause } = entry;
    const gone = AbortSignal.any([aborted, this.#stop.signal]);
    using limit = deadline(this.#host.clock, entry.timeout, `run of "${key}"`, gone);
    let outcome: RunOutcome;
    let again = false;
    try {
      const result: RunResult = await untilAborted(target.run(limit.signal, { cause, missed }), limit.signal);
      outcome = 'deferred' in result ? 'deferred' : 'success';
      again = 'again' in result && result.again === true;
    } catch (error) {
      if (gone.aborted) return;
      outcome = 'failure';
      this.#host.logger.debug('run failed', { target: key, error: describeError(error) });
    }
    if (!this.#entries.has(key)) return;
    const next = nextRun({ outcome, again, grid: entry, earliest: earliest(entry), now: this.#now() });
    entry.cause = next.cause;
    this.#arm(entry, next.due);
  }
}

function earliest({ lastStart, minInterval, interval }: Entry): number {
  return lastStart + Math.min(minInterval, interval);
}

/** A run that does not heed its signal loses its slot all the same; its late result is dropped. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason);
    if (signal.aborted) aborted();
    signal.addEventListener('abort', aborted, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}
