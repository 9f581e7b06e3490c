import type { Host } from '../../component/component.ts';
import { OutbandError } from '../../component/errors.ts';
import {
  type Report,
  RUN_CAUSES,
  type RunCause,
  type Target,
  type TargetHandle,
  type TargetOptions,
  type TransitionEvent,
} from '../../component/scheduler.ts';
import { runAttributes } from '../../component/scheduler-metrics.ts';
import { isTripped } from '../../resilience/breaker.ts';
import { failureCategory } from '../../resilience/failure-category.ts';
import {
  afterDeferral,
  afterFailure,
  afterSuccess,
  atNextSlot,
  beginTrial,
  countFailure,
  type Failure,
  moveRetry,
  type Next,
  type RetryPolicy,
  type RunEnd,
  restingState,
  retryCause,
  type TargetState,
} from '../../resilience/next-run.ts';
import { slotsBetween } from '../../resilience/poll-grid.ts';
import { type IntervalCause, type Pace, pace, paceAfterFailure, samePace } from '../../resilience/poll-interval.ts';
import { expectedInterval } from '../../resilience/staleness.ts';
import { Counters } from './counters.ts';
import { Dispatcher, type Lane } from './dispatcher.ts';
import type { SchedulerConfig } from './index.ts';
import type { Instruments } from './instruments.ts';
import { type Persistence, restoredState, type SavedTarget } from './persistence.ts';
import { Registry } from './registry.ts';
import { type ReadFailure, readFailure } from './run-result.ts';
import { type RunEnded, Runs } from './runs.ts';
import type { SchedulerClock } from './scheduler-clock.ts';
import { checkSpans, identityOf, LONGEST_SPAN_MS } from './target-options.ts';
import { transitionsBetween } from './transitions.ts';

/** How much of a new duration counts in the smoothed one. */
const DURATION_WEIGHT = 0.3;
/** Who shows life is tried before its time at most this often. */
const ALIVE_TRIAL_MS = 60_000;

export interface TargetsOptions {
  readonly config: SchedulerConfig;
  readonly host: Host;
  readonly clock: SchedulerClock;
  readonly instruments: Instruments;
  /** Called once per look of the dispatcher. @param lateBy milliseconds since the last one */
  readonly onTick: (lateBy: number) => void;
  /** Called after the step that brought the event is complete. */
  readonly onTransition: (event: TransitionEvent) => void;
}

/**
 * All targets and what happens to them. A run begins when the {@link Dispatcher} says so and ends in {@link Targets.#ended};
 * what its end means is decided by the pure functions in `resilience`, and put into the registry and the queue here.
 */
export class Targets {
  readonly registry: Registry;
  readonly dispatcher: Dispatcher;
  readonly counters = new Counters();
  readonly shownLanes = new Set<Lane>();
  readonly #config: SchedulerConfig;
  readonly #host: Host;
  readonly #clock: SchedulerClock;
  readonly #instruments: Instruments;
  readonly #onTransition: (event: TransitionEvent) => void;
  readonly #policy: RetryPolicy;
  readonly #runs: Runs;
  readonly #lanes = new Map<number, Lane>();
  /** When a proof of life last brought a trial forward. */
  readonly #aliveTrials = new Map<number, number>();
  /** What is wrong with work of the agent itself, by its key. */
  readonly #ownTrouble = new Map<string, string>();
  /** Set before the first target registers, when there is a store. */
  persistence: Persistence | undefined;
  /** Grows with every change. */
  revision = 0;
  /** Targets that are shown, and how many of them have a breaker that is open or half-open. */
  shown = 0;
  tripped = 0;

  constructor({ config, host, clock, instruments, onTick, onTransition }: TargetsOptions) {
    this.#config = config;
    this.#host = host;
    this.#clock = clock;
    this.#instruments = instruments;
    this.#onTransition = onTransition;
    this.#policy = policyOf(config);
    const { enabled, min_interval, max_interval } = config.adaptive_polling;
    this.registry = new Registry({ adaptive: enabled, min: min_interval, max: max_interval });
    this.dispatcher = new Dispatcher({
      clock: host.clock,
      now: () => clock.now(),
      maxInFlight: config.concurrency.max,
      maxStartsPerSecond: config.max_starts_per_second,
      begin: (row, lane, due, now) => this.#begin(row, lane, due, now),
      expire: (row) => this.#expire(row),
      onTick,
    });
    this.#runs = new Runs({
      onEnd: (row, ended) => this.#ended(row, ended),
      onLate: (type) => this.counters.skipped(type, 'late_result'),
    });
  }

  /** Starts nothing more and ends all runs, or stops waiting for them when the signal aborts. */
  async stop(signal: AbortSignal): Promise<void> {
    await this.dispatcher.stop();
    await this.#runs.abortAll(signal);
  }

  /** @throws OutbandError `target_exists`, `target_invalid` */
  register(target: Target, options: TargetOptions): TargetHandle {
    const rounded = { ...options, interval: Math.round(options.interval) };
    const identity = identityOf(target, rounded);
    const { key, type, internal } = identity;
    if (this.registry.rowOf(key) !== undefined)
      throw new OutbandError('target_exists', `scheduler target "${key}" exists already`);
    const { concurrency, task_timeout } = this.#config;
    const now = this.#clock.now();
    const row = this.registry.add(identity, now, { ...rounded, timeout: options.timeout ?? task_timeout });
    const own = Object.hasOwn(concurrency.per_type, type) ? concurrency.per_type[type] : concurrency.max;
    const lane = this.dispatcher.lane(type, Number(own), internal);
    this.#lanes.set(row, lane);
    if (!internal) {
      this.shown++;
      this.shownLanes.add(lane);
    }
    const slot = this.slot(row, now);
    const first = { due: options.firstRun === 'now' ? now : slot, cause: 'initial' } as const;
    const { due, cause } = this.#restore(row, slot, now) ?? first;
    this.arm(row, due, cause);
    return this.#handleOf(row);
  }

  #handleOf(row: number): TargetHandle {
    let isRegistered = true;
    return {
      runNow: (delay = 0) => isRegistered && this.#runNow(row, delay),
      report: (report) => {
        if (isRegistered) this.#reported(row, report);
      },
      setInterval: (interval, options) => {
        if (isRegistered) this.#setInterval(row, Math.round(interval), options?.mode);
      },
      unregister: async () => {
        if (!isRegistered) return;
        isRegistered = false;
        await this.#unregister(row);
      },
    };
  }

  arm(row: number, due: number, cause: RunCause): void {
    this.revision++;
    this.registry.setCause(row, cause);
    // Whole milliseconds, as they are printed.
    this.dispatcher.arm(this.#lanes.get(row)!, row, Math.ceil(due));
  }

  due(row: number): number {
    return this.#lanes.get(row)!.queue.dueOf(row);
  }

  isInFlight(row: number): boolean {
    return this.registry.columns.inFlight[row] === 1;
  }

  slot(row: number, now: number): number {
    return atNextSlot({ grid: this.registry.grid(row), now, earliest: this.registry.earliest(row) });
  }

  /** @returns when and why a target with a breaker that was open runs next */
  #restore(row: number, slot: number, now: number) {
    const saved = this.persistence?.take(this.registry.identity(row).key, this.#clock.wallOffset);
    if (!saved) return undefined;
    const c = this.registry.columns;
    if (saved.lastSuccess !== null) c.lastSuccess[row] = Math.min(saved.lastSuccess, now);
    c.since[row] = Math.min(saved.since, now);
    c.ran[row] = saved.ran ? 1 : 0;
    if (saved.registered === c.registered[row])
      c.step[row] = Math.max(c.minStep[row]!, Math.min(c.maxStep[row]!, saved.step));
    c.expected[row] = expectedInterval(this.registry.interval(row));
    if (!saved.state) return undefined;
    // A clock that was wrong must not keep a target away for years.
    const { deadLetter, breaker, maxRetryAfter } = this.#policy;
    const interval = this.registry.interval(row);
    const longest = 2 * Math.max(deadLetter.retryInterval, breaker.maxDelay, maxRetryAfter, interval);
    const state = restoredState(saved.state, { now, slot, longest });
    this.registry.setState(row, state);
    if (!isTripped(state.breaker)) return undefined;
    this.tripped++;
    return { due: state.breaker.retryAt!, cause: retryCause(state) };
  }

  #begin(row: number, lane: Lane, due: number, now: number): void {
    const { registry } = this;
    const c = registry.columns;
    const { target } = registry.identity(row);
    const grid = registry.grid(row);
    const waited = slotsBetween(grid, due, now);
    const missed = waited + (Number.isNaN(c.lastStart[row]!) ? 0 : slotsBetween(grid, c.lastStart[row]!, due));
    const deadline = now + c.timeout[row]!;
    const cause = RUN_CAUSES[c.cause[row]!]!;
    const state = registry.state(row);
    if (state && isTripped(state.breaker))
      this.setState(row, beginTrial(state, now, cause === 'manual' ? 'manual' : 'retry_due', deadline));
    this.revision++;
    c.lastStart[row] = now;
    c.lag[row] = now - due;
    c.inFlight[row] = 1;
    if (!lane.internal) {
      this.counters.skipped(lane.type, 'overrun', waited);
      this.counters.started(lane.type, now - due, now);
      this.#instruments.lag.record((now - due) / 1_000, { 'outband.target.type': lane.type });
    }
    this.dispatcher.watch(row, deadline);
    this.#runs.begin(row, target, { cause, missed });
  }

  #expire(row: number): void {
    const { key } = this.registry.identity(row);
    const seconds = this.registry.columns.timeout[row]! / 1_000;
    this.#runs.expire(row, new OutbandError('deadline_exceeded', `run of "${key}" took longer than ${seconds}s`));
  }

  /** A run has ended: what it means for the target, and when it runs next. */
  #ended(row: number, ended: RunEnded): void {
    const { registry } = this;
    const c = registry.columns;
    const lane = this.#lanes.get(row)!;
    const now = this.#clock.now();
    c.inFlight[row] = 0;
    this.revision++;
    this.dispatcher.finished(lane, row);
    const isGone = !registry.isRegistered(row);
    if (isGone || ended.kind === 'aborted') {
      if (!lane.internal) this.counters.skipped(lane.type, 'shutdown');
      if (isGone) this.#forget(row);
    } else if (lane.internal) {
      // Work of the agent itself has no breaker: it is tried again at its next slot.
      this.#tellOwnWork(row, ended.kind === 'failure' ? ended.message : undefined);
      this.arm(row, this.slot(row, now), 'interval');
    } else {
      this.#book(row, lane, ended, now);
      this.changed(row);
    }
  }

  /** Once per trouble, however long it lasts. */
  #tellOwnWork(row: number, error: string | undefined): void {
    const { key } = this.registry.identity(row);
    if (error !== undefined && error !== this.#ownTrouble.get(key))
      this.#host.logger.warn('work of the agent itself failed; it is tried again', { target: key, error });
    if (error === undefined) this.#ownTrouble.delete(key);
    else this.#ownTrouble.set(key, error);
  }

  #book(row: number, lane: Lane, ended: Exclude<RunEnded, { kind: 'aborted' }>, now: number): void {
    const { registry } = this;
    const c = registry.columns;
    const took = now - c.lastStart[row]!;
    this.#count(row, lane.type, ended, took, now);
    const usual = c.duration[row]!;
    if (ended.kind !== 'deferred')
      c.duration[row] = Number.isNaN(usual) ? took : usual + DURATION_WEIGHT * (took - usual);
    const end = this.#runEnd(row, ended.kind, ended.kind === 'success' ? ended.items : 0, now);
    const state = registry.state(row);
    if (ended.kind === 'failure') {
      const before = state ?? restingState(c.ran[row] === 1, c.since[row]!);
      this.#follow(row, afterFailure(before, failureOf(ended, now), end, this.#wish(ended), this.#policyOf(row)));
      this.#ran(row, now);
    } else if (ended.kind === 'success') {
      c.lastSuccess[row] = now;
      c.expected[row] = expectedInterval(end.grid.interval);
      if (ended.facts) registry.setFacts(row, ended.facts);
      this.#ran(row, now);
      this.#follow(row, afterSuccess(state, end, ended.again ? registry.earliestAsked(row) : undefined));
    } else this.#follow(row, afterDeferral(state, end, this.#host.random(), this.#policyOf(row)));
  }

  /** The first run that was not deferred has ended. */
  #ran(row: number, now: number): void {
    const c = this.registry.columns;
    if (c.ran[row] === 1) return;
    c.ran[row] = 1;
    c.since[row] = now;
  }

  /** What the interval law makes of the end of a run, and the instants that the next one depends on. */
  #runEnd(row: number, kind: 'success' | 'failure' | 'deferred', items: number, now: number): RunEnd {
    const { registry } = this;
    const c = registry.columns;
    const { enabled, idle_runs, max_busy_ratio, overload_lag } = this.#config.adaptive_polling;
    const step = c.step[row]!;
    const last = { step, cause: RUN_CAUSES[c.paceCause[row]!] as IntervalCause, idleRuns: c.idleRuns[row]! };
    let next: Pace = samePace(last);
    if (kind === 'failure') next = paceAfterFailure(last);
    else if (kind === 'success' && enabled)
      next = pace(
        last,
        {
          items,
          smoothedDuration: c.duration[row]!,
          lag: c.lag[row]!,
          registered: c.registered[row]!,
          minStep: c.minStep[row]!,
          maxStep: c.maxStep[row]!,
        },
        { idleRuns: idle_runs, maxBusyRatio: max_busy_ratio, overloadLag: overload_lag },
      );
    c.step[row] = next.step;
    c.idleRuns[row] = Math.min(next.idleRuns, 0xffff);
    c.paceCause[row] = RUN_CAUSES.indexOf(next.cause);
    return { now, grid: registry.grid(row), earliest: registry.earliest(row), cause: next.cause };
  }

  #count(row: number, type: string, ended: Exclude<RunEnded, { kind: 'aborted' }>, took: number, now: number): void {
    const code = ended.kind === 'failure' ? ended.code : undefined;
    this.counters.ran(type, took / 1_000, ended.kind, code);
    this.#instruments.duration.record(took / 1_000, runAttributes(type, ended.kind, code));
    if (ended.kind === 'deferred') this.counters.skipped(type, 'backpressure');
    if (ended.kind === 'success' && ended.refusedFacts) this.counters.refusedFacts(type);
    const { lastStart } = this.registry.columns;
    this.counters.skipped(type, 'overrun', slotsBetween(this.registry.grid(row), lastStart[row]!, now));
  }

  /** What the target asked for, and chance. */
  #wish({ retryAfter }: ReadFailure) {
    return { retryAfter, random: this.#host.random() };
  }

  #policyOf(row: number): RetryPolicy {
    const { maxRetryDelay: most } = this.registry.identity(row);
    if (most === LONGEST_SPAN_MS) return this.#policy;
    const { breaker, deadLetter } = this.#policy;
    return {
      ...this.#policy,
      breaker: { ...breaker, maxDelay: Math.min(breaker.maxDelay, most) },
      deadLetter: { ...deadLetter, retryInterval: Math.min(deadLetter.retryInterval, most) },
    };
  }

  #follow(row: number, { due, cause, state }: Next): void {
    this.setState(row, state);
    this.arm(row, due, cause);
  }

  /** Tells what the step changed to everybody who counts or listens. */
  setState(row: number, state: TargetState | undefined): void {
    const before = this.registry.state(row);
    if (before === state) return;
    const { key, type, name, internal } = this.registry.identity(row);
    this.registry.setState(row, state);
    this.revision++;
    this.tripped += Number(state !== undefined && isTripped(state.breaker));
    this.tripped -= Number(before !== undefined && isTripped(before.breaker));
    if (internal) return;
    for (const step of transitionsBetween(before, state)) {
      if (step.kind === 'breaker') this.counters.transition(type, step.from, step.to);
      else this.counters.deadLetterMove(type, step.reason, step.kind === 'parked' ? 'in' : 'out');
      const event = step.event({ key, type, name, toNanos: (instant) => this.#clock.nanos(instant) });
      // When the step is complete: who hears of it may ask for anything.
      queueMicrotask(() => this.#onTransition(event));
    }
  }

  #runNow(row: number, delay: number): boolean {
    const state = this.registry.state(row);
    if (this.isInFlight(row) || (state && isTripped(state.breaker))) return false;
    const due = Math.max(this.#clock.now() + (delay > 0 ? delay : 0), this.registry.earliestAsked(row));
    if (due < this.due(row)) this.arm(row, due, 'requested');
    return true;
  }

  #reported(row: number, report: Report): void {
    const now = this.#clock.now();
    const state = this.registry.state(row);
    if ('alive' in report) {
      this.registry.columns.lastSuccess[row] = now;
      this.revision++;
      if (state && isTripped(state.breaker) && !this.isInFlight(row)) this.#tryEarly(row, state, now);
      return;
    }
    const { ran, since } = this.registry.columns;
    const failed = readFailure(report.failed);
    const failure = failureOf(failed, now);
    const before = state ?? restingState(ran[row] === 1, since[row]!);
    if (this.isInFlight(row) || isTripped(before.breaker)) {
      this.setState(row, countFailure(before, failure));
    } else {
      const due = this.due(row);
      const end = this.#runEnd(row, 'failure', 0, now);
      const next = afterFailure(before, failure, end, this.#wish(failed), this.#policyOf(row));
      const later = Math.max(due, next.due);
      this.#ran(row, now);
      const isOpen = isTripped(next.state.breaker);
      this.#follow(row, { ...next, due: later, state: isOpen ? moveRetry(next.state, later) : next.state });
    }
    this.changed(row);
  }

  /** Who shows life is not left waiting. */
  #tryEarly(row: number, state: TargetState, now: number): void {
    const last = this.#aliveTrials.get(row) ?? Number.NEGATIVE_INFINITY;
    const due = Math.ceil(Math.max(now, this.registry.earliestAsked(row)));
    if (now - last < ALIVE_TRIAL_MS || this.due(row) <= due) return;
    this.#aliveTrials.set(row, now);
    this.setState(row, moveRetry(state, due));
    this.arm(row, due, 'requested');
  }

  #setInterval(row: number, interval: number, mode: string | undefined): void {
    const { registry } = this;
    const c = registry.columns;
    if (mode !== undefined && mode !== registry.identity(row).mode) {
      registry.setMode(row, mode);
      this.revision++;
    }
    if (interval === c.registered[row]) return;
    checkSpans(registry.identity(row).key, { interval });
    registry.setInterval(row, interval);
    // On schedule is on schedule: the next success is not late for having been put off.
    c.expected[row] = Math.max(c.expected[row]!, expectedInterval(interval));
    this.revision++;
    const state = registry.state(row);
    if (this.isInFlight(row) || (state && isTripped(state.breaker))) return;
    const slot = this.slot(row, this.#clock.now());
    const due = this.due(row);
    const cause = RUN_CAUSES[c.cause[row]!]!;
    // What was promised comes no later, and what the target asked for no sooner; the grid takes over after it.
    if (['initial', 'requested', 'manual'].includes(cause) && due <= slot) return;
    if (cause === 'retry_after' && due >= slot) return;
    this.arm(row, slot, 'interval');
  }

  async #unregister(row: number): Promise<void> {
    const { registry } = this;
    const { type, internal } = registry.identity(row);
    const state = registry.state(row);
    if (!internal) this.persistence?.leave(this.#saved(row), this.#clock.wallOffset);
    registry.remove(row);
    this.revision++;
    if (!internal) this.shown--;
    if (state && isTripped(state.breaker)) this.tripped--;
    if (state?.parked) this.counters.deadLetterMove(type, state.parked, 'out');
    if (this.isInFlight(row)) return this.#runs.abort(row);
    this.#lanes.get(row)!.queue.delete(row);
    this.#forget(row);
  }

  #forget(row: number): void {
    this.#lanes.delete(row);
    this.#aliveTrials.delete(row);
    this.registry.release(row);
  }

  changed(row: number): void {
    const { key, internal } = this.registry.identity(row);
    if (internal || !this.persistence) return;
    this.persistence.changed(key, () => this.#saved(row));
  }

  #saved(row: number): SavedTarget {
    const c = this.registry.columns;
    const { key } = this.registry.identity(row);
    const lastSuccess = c.lastSuccess[row]!;
    return {
      key,
      savedAt: this.#clock.now(),
      registered: c.registered[row]!,
      step: c.step[row]!,
      lastSuccess: Number.isNaN(lastSuccess) ? null : lastSuccess,
      ran: c.ran[row] === 1,
      since: c.since[row]!,
      state: (this.registry.state(row) as SavedTarget['state']) ?? null,
    };
  }
}

function failureOf({ code, message }: ReadFailure, at: number): Failure {
  return { at, code, message, category: failureCategory(code) };
}

function policyOf({ breaker, dead_letter }: SchedulerConfig): RetryPolicy {
  return {
    failureThreshold: breaker.failure_threshold,
    maxRetryAttempts: dead_letter.max_retry_attempts,
    maxRetryAfter: breaker.max_retry_after,
    breaker: { baseDelay: breaker.base_delay, maxDelay: breaker.max_delay, jitter: breaker.jitter },
    deadLetter: { retryInterval: dead_letter.retry_interval, jitter: dead_letter.jitter },
    flapping: { threshold: breaker.flap_threshold, windowMs: breaker.flap_window },
  };
}
