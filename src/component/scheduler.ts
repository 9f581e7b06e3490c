/**
 * What the scheduler extension promises to components. It owns every due time: a receiver that wants to poll registers
 * a target and never sets a timer.
 */
export interface Scheduler {
  /**
   * Puts a target under the scheduler. Its first run comes at once or on the target's grid, as `firstRun` says, or when
   * its breaker of before a restart lets it.
   * @throws OutbandError `target_exists` when `type::name` is taken, `target_invalid` for a bad type, name or interval
   */
  register(target: Target, options: TargetOptions): TargetHandle;
  /** One consistent capture of everything. Costs about 1 ms per 10,000 targets; views of targets are made on demand. */
  snapshot(): SchedulerSnapshot;
  /**
   * Calls the listener for every transition, in order, in the moment it happens.
   * @returns takes the listener back
   */
  onTransition(listener: (event: TransitionEvent) => void): () => void;
  /** What people may command. */
  readonly actions: SchedulerActions;
}

/** Milliseconds, with fractions. */
export type Millis = number;
/** Nanoseconds since the Unix epoch. */
export type EpochNanos = bigint;

/** What is polled: one BMC, one pool, one source. Its key is `type::name`. */
export interface Target {
  /** `[a-z][a-z0-9_-]{0,31}`, such as `bmc`. */
  readonly type: string;
  /** 1 to 256 characters without control characters; unique within the type. */
  readonly name: string;
  /** For people. Default: the name. */
  readonly displayName?: string;
  /** URL or host, for people. User info, query and fragment of a URL are not kept. */
  readonly connection: string;
  /**
   * One poll. Not called again while it runs, up to its deadline; a run that does not heed its signal then may overlap
   * with the next, and its late result is dropped.
   * A resolved promise is a success, a rejection a failure, unless it is the refusal of a pipeline (or was caused by one): that counts
   * as `deferred`. What comes after the signal aborted by `unregister` or
   * shutdown is neither.
   * @param signal aborts at the deadline, on `unregister` and on shutdown
   */
  run(signal: AbortSignal, why: RunReason): Promise<RunResult>;
}

/** What the scheduler tells a run. */
export interface RunReason {
  /** Why this run comes now. */
  readonly cause: RunCause;
  /** Slots of the target's grid that passed unused since its last start. */
  readonly missed: number;
}

/**
 * Why a target is due when it is. `initial`: the first run. `interval`, `activity`, `idle`, `cost`, `overload`,
 * `failure`: the next slot, of an interval that has this reason. `retry_after`: the target asked to wait. `breaker`,
 * `dead_letter`: a retry. `requested`: the component asked for it. `manual`: a person did.
 */
export const RUN_CAUSES = [
  ...(['initial', 'interval', 'activity', 'idle', 'cost', 'overload', 'failure'] as const),
  ...(['retry_after', 'breaker', 'dead_letter', 'requested', 'manual'] as const),
] as const;
export type RunCause = (typeof RUN_CAUSES)[number];

/** What a target says about itself: at most 8 members, 512 bytes as JSON. */
export type Facts = Readonly<Record<string, string | number>>;

/** How a run that did not fail ended. */
export type RunResult =
  | {
      /** What the run found; activity shortens the interval. */
      readonly items?: number;
      /** Shown until the next run says something else. */
      readonly facts?: Facts;
      /** Asks for another run right after this one, `minInterval` apart: a wish that came during the run. */
      readonly again?: boolean;
    }
  /** The pipeline refused, not the target: neither success nor failure; next run at the next slot. */
  | { readonly deferred: true };

/** How often a target runs. */
export interface TargetOptions {
  /** Between two runs on the target's grid, rounded to whole milliseconds; >= 1. */
  readonly interval: Millis;
  /** Least distance of two starts when a run was asked for (`runNow`, `again`). Default: `adaptive_polling::min_interval`. */
  readonly minInterval?: Millis;
  /** May only lower `adaptive_polling::max_interval`. */
  readonly maxInterval?: Millis;
  /** May only lower `breaker::max_delay` and `dead_letter::retry_interval`. */
  readonly maxRetryDelay?: Millis;
  /** After this a run counts as failed and its signal aborts. Default: `task_timeout`. */
  readonly timeout?: Millis;
  /** Offset of its slots. Default: from its key, so that a fleet is spread and a restart changes nothing. */
  readonly phase?: Millis;
  /** `now`: due at once. `grid` (default): the first slot, so that two starts of the agent use the same slots. */
  readonly firstRun?: 'grid' | 'now';
  /** What the component calls its way of reading (`poll`, `stream`), for people. Default `poll`. */
  readonly mode?: string;
  /** Work of the agent itself: outside the limits on what runs at once, and shown nowhere. */
  readonly internal?: boolean;
}

/** What a component learned about its target beside a run. */
export type Report =
  /** Proof of life, such as an event of a stream. Costs one array write: it may come with every event. */
  | { readonly alive: true }
  /** A failed attempt: counted and decided like a failed run. */
  | { readonly failed: unknown };

/** The hold of a component on its target; every method may be called at any time. */
export interface TargetHandle {
  /**
   * Makes the target due `delay` from now (default 0), never later than it was and never closer to its last start than
   * `minInterval`.
   * @returns false, changing nothing, while a run is in flight (it can answer `again: true` instead) or while the breaker
   *   is open or half-open
   */
  runNow(delay?: Millis): boolean;
  report(report: Report): void;
  /** Replaces the registered interval. The next run comes on the new grid, unless it was asked for or is a retry. */
  setInterval(interval: Millis, options?: { readonly mode?: string }): void;
  /** Removes the target before it returns; the promise resolves when a run in flight has settled or passed its deadline. */
  unregister(): Promise<void>;
}

export interface SchedulerActions {
  /** Makes a target due now, one that waits for its retry too: the run is then the trial. */
  run(key: string): ActionResult;
  /** Closes the breaker and removes the dead letter; next run at the next slot. */
  reset(key: string): ActionResult;
  /**
   * Gives all parked targets due times from now on, `dead_letter::redrive_rate` per second.
   * @returns how many; while an earlier call is under way nothing is moved, and it is how many are left of that
   */
  redrive(): number;
}

export type ActionResult = { readonly nextRun: EpochNanos } | { readonly refused: 'target_unknown' | 'run_in_flight' };

/** `unknown`: registered and never run. */
export const BREAKER_STATES = ['closed', 'open', 'half_open', 'unknown'] as const;
export type BreakerState = (typeof BREAKER_STATES)[number];
export type TransitionCause =
  | ('failure_threshold' | 'permanent_failure' | 'retry_due' | 'manual')
  | ('trial_succeeded' | 'trial_failed' | 'reset');
export const PARK_REASONS = ['permanent_failure', 'max_retry_attempts'] as const;
export type ParkReason = (typeof PARK_REASONS)[number];

export interface TargetError {
  readonly code: string;
  readonly category: 'transient' | 'permanent';
  /** One line, at most 256 characters, without secrets, user info and query strings. */
  readonly message: string;
}

/** Something happened to a target that people want to hear about. The first run is no transition. */
export type TransitionEvent = {
  readonly key: string;
  readonly type: string;
  readonly name: string;
  readonly at: EpochNanos;
  readonly cause: TransitionCause;
  /** The outstanding error. */
  readonly error?: TargetError;
} & (
  | {
      readonly kind: 'breaker';
      readonly from: BreakerState;
      readonly to: Exclude<BreakerState, 'unknown'>;
      readonly retryAt?: EpochNanos;
    }
  | { readonly kind: 'parked'; readonly reason: ParkReason; readonly nextRetry: EpochNanos }
  | { readonly kind: 'released'; readonly reason: ParkReason }
);

/** Milliseconds since the Unix epoch, with fractions. */
export type EpochMillis = number;

/**
 * All targets, as they were at one instant; later changes do not reach it. Everything that is shown or measured is
 * computed from one of these, so parts agree.
 */
export interface SchedulerSnapshot {
  readonly at: EpochMillis;
  /** Grows with every change of state while the process lives. */
  readonly revision: number;
  /** `adaptive_polling::enabled`. */
  readonly enabled: boolean;
  /** Number of targets. */
  readonly size: number;
  /** One target; they stand in the bytewise order of their keys. @param index 0 to `size` - 1 */
  target(index: number): TargetSnapshot;
  /** Place of a key, or where it would stand: the first target whose key is not before it. */
  indexOf(key: string): number;
  readonly totals: SchedulerTotals;
  /** Per type with at least one target. */
  readonly types: ReadonlyMap<string, TypeTotals>;
  readonly counters: SchedulerCounters;
}

export interface TargetSnapshot {
  readonly key: string;
  readonly type: string;
  readonly name: string;
  readonly displayName: string;
  readonly connection: string;
  readonly mode: string;
  readonly facts: Facts | null;
  readonly lastSuccess: EpochMillis | null;
  readonly lastError: (TargetError & { readonly at: EpochMillis }) | null;
  readonly consecutiveFailures: number;
  readonly firstFailureAt: EpochMillis | null;
  /** Due time; null while a run is in flight. */
  readonly nextRun: EpochMillis | null;
  /** Start of the run in flight. */
  readonly startedAt: EpochMillis | null;
  readonly interval: Millis;
  readonly expectedInterval: Millis;
  readonly cause: RunCause;
  /** From due to start: so far, when overdue; else of the last run; null before the first. */
  readonly lag: Millis | null;
  /** 0 to 1; above 0.5 the target is late. */
  readonly score: number;
  readonly breaker: {
    readonly state: BreakerState;
    readonly since: EpochMillis;
    readonly retryAt: EpochMillis | null;
    readonly failureCount: number;
    readonly trippedAt: EpochMillis | null;
    readonly flapping: boolean;
    /** The last 16, oldest first. */
    readonly transitions: readonly {
      readonly at: EpochMillis;
      readonly from: BreakerState;
      readonly to: BreakerState;
      readonly cause: TransitionCause;
    }[];
  };
  readonly parked: ParkReason | null;
}

/** What can be added up over targets. */
export interface Totals {
  readonly targets: number;
  readonly inFlight: number;
  /** With a due time: all that are not in flight. */
  readonly queued: number;
  readonly late: number;
  readonly flapping: number;
  readonly modes: ReadonlyMap<string, number>;
  readonly breakers: Readonly<Record<BreakerState, number>>;
  readonly parked: Readonly<Record<ParkReason, number>>;
  /** Milliseconds since the last success, of the target where it is longest ago; null when none succeeded. */
  readonly oldest: Millis | null;
}

export interface TypeTotals extends Totals {
  /** Most runs at once. */
  readonly limit: number;
}

export interface SchedulerTotals extends Totals {
  /** Due within the next twelve seconds, the overdue ones included. */
  readonly dueSoon: number;
  /** Of the runs of the last minute; null when there was none. */
  readonly lag: { readonly p50: Millis; readonly p99: Millis; readonly max: Millis } | null;
  /** When the dispatcher last looked at its queue. */
  readonly lastTick: EpochMillis | null;
}

/** Since the start of the scheduler. Kept when targets go. */
export interface SchedulerCounters {
  readonly startedAt: EpochMillis;
  readonly transitions: readonly (Count & { readonly from: BreakerState; readonly to: BreakerState })[];
  readonly deadLetterMoves: readonly (Count & { readonly reason: ParkReason; readonly direction: 'in' | 'out' })[];
  readonly skipped: readonly (Count & { readonly reason: SkipReason })[];
  /** Facts that were too large to keep; their runs count. */
  readonly refusedFacts: readonly Count[];
  readonly durations: readonly (Distribution & { readonly outcome: RunOutcome; readonly errorCode?: string })[];
  readonly lags: readonly Distribution[];
}

export type RunOutcome = 'success' | 'failure' | 'deferred';
/**
 * `overrun`: slots that passed while a run took too long or waited. `backpressure`: the pipeline refused. `late_result`:
 * a run ended after its deadline. `shutdown`: a run was aborted because its target or the agent stopped.
 */
export const SKIP_REASONS = ['overrun', 'backpressure', 'late_result', 'shutdown'] as const;
export type SkipReason = (typeof SKIP_REASONS)[number];

export interface Count {
  readonly type: string;
  readonly count: number;
}

/** Values in seconds, by {@link RUN_SECONDS}. */
export interface Distribution extends Count {
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  /** One more than there are boundaries. */
  readonly buckets: readonly number[];
}

/** Boundaries of the buckets of durations and lags, in seconds. */
export const RUN_SECONDS = [
  ...[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 90, 120, 300],
] as const;
