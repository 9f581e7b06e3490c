import {
  BREAKER_STATES,
  type BreakerState,
  type EpochMillis,
  PARK_REASONS,
  RUN_CAUSES,
  type SchedulerCounters,
  type SchedulerSnapshot,
  type SchedulerTotals,
  type TargetSnapshot,
  type TypeTotals,
} from '../../component/scheduler.ts';
import { isFlapping } from '../../resilience/flapping.ts';
import { restingState } from '../../resilience/next-run.ts';
import { LATE_SCORE, stalenessScore } from '../../resilience/staleness.ts';
import type { Lane } from './dispatcher.ts';
import { type Registry, sortKeyOf } from './registry.ts';

/** What counts as due soon. */
const SOON_MS = 12_000;

export interface CaptureOptions {
  readonly registry: Registry;
  readonly lanes: readonly Lane[];
  /** Milliseconds on the scheduler's clock. */
  readonly now: number;
  /** Adds to that clock to give the wall's. */
  readonly wallOffset: number;
  readonly revision: number;
  readonly enabled: boolean;
  readonly flapWindow: number;
  readonly counters: SchedulerCounters;
  readonly lag: SchedulerTotals['lag'];
  readonly lastTick: number | undefined;
}

/** Made in one synchronous step: columns are copied, everything else is immutable and referenced. */
export class Capture implements SchedulerSnapshot {
  readonly at: EpochMillis;
  readonly revision: number;
  readonly enabled: boolean;
  readonly size: number;
  readonly totals: SchedulerTotals;
  readonly types: ReadonlyMap<string, TypeTotals>;
  readonly counters: SchedulerCounters;
  readonly #taken: ReturnType<Registry['capture']>;
  readonly #due: Float64Array;
  readonly #now: number;
  readonly #wallOffset: number;
  readonly #flapWindow: number;

  constructor(options: CaptureOptions) {
    const { registry, lanes, now, wallOffset } = options;
    this.#taken = registry.capture();
    this.#now = now;
    this.#wallOffset = wallOffset;
    this.#flapWindow = options.flapWindow;
    this.#due = new Float64Array(this.#taken.identities.length).fill(Number.NaN);
    for (const { queue } of lanes) queue.copyTo(this.#due);
    this.at = this.#wall(now);
    this.revision = options.revision;
    this.enabled = options.enabled;
    this.counters = options.counters;
    this.size = this.#taken.rows.length;
    const { types, all, dueSoon } = this.#addUp(lanes);
    this.types = types;
    const { lag, lastTick } = options;
    this.totals = { ...all, dueSoon, lag, lastTick: lastTick === undefined ? null : this.#wall(lastTick) };
  }

  indexOf(key: string): number {
    const sortKey = sortKeyOf(key);
    const { rows, identities } = this.#taken;
    let low = 0;
    for (let high = rows.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (identities[rows[middle]!]!.sortKey < sortKey) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  target(index: number): TargetSnapshot {
    const row = this.#taken.rows[index]!;
    const { columns: c, identities, states, facts } = this.#taken;
    const { key, type, name, displayName, connection, mode } = identities[row]!;
    const { breaker, failures, firstFailureAt, lastError, parked } =
      states[row] ?? restingState(c.ran[row] === 1, c.since[row]!);
    const due = this.#due[row]!;
    return {
      ...{ key, type, name, displayName, connection, mode, facts: facts[row]! },
      lastSuccess: this.#wallOrNull(c.lastSuccess[row]!),
      lastError: lastError && { ...lastError, at: this.#wall(lastError.at) },
      consecutiveFailures: failures,
      firstFailureAt: this.#wallOrNull(firstFailureAt),
      nextRun: this.#wallOrNull(due),
      startedAt: c.inFlight[row] ? this.#wall(c.lastStart[row]!) : null,
      interval: c.registered[row]! * 2 ** c.step[row]!,
      expectedInterval: c.expected[row]!,
      cause: RUN_CAUSES[c.cause[row]!]!,
      lag: this.#lag(row),
      score: this.#score(row),
      breaker: {
        state: breaker.state,
        since: this.#wall(breaker.since),
        retryAt: this.#wallOrNull(breaker.retryAt),
        failureCount: breaker.failures,
        trippedAt: this.#wallOrNull(breaker.trippedAt),
        flapping: isFlapping(breaker.flapping, this.#now, this.#flapWindow),
        transitions: breaker.transitions.map((step) => ({ ...step, at: this.#wall(step.at) })),
      },
      parked,
    };
  }

  #lag(row: number): number | null {
    const overdue = this.#now - this.#due[row]!;
    if (overdue > 0) return overdue;
    const last = this.#taken.columns.lag[row]!;
    return Number.isNaN(last) ? null : last;
  }

  #score(row: number): number {
    const { lastSuccess, expected } = this.#taken.columns;
    return stalenessScore(this.#now - lastSuccess[row]!, expected[row]!);
  }

  #wall(instant: number): EpochMillis {
    return instant + this.#wallOffset;
  }

  #wallOrNull(instant: number | null): EpochMillis | null {
    return instant === null || Number.isNaN(instant) ? null : this.#wall(instant);
  }

  /** One pass over the columns; no view of a target is made. */
  #addUp(lanes: readonly Lane[]) {
    const { rows, columns: c, identities, states } = this.#taken;
    const all = new Sum();
    const types = new Map<string, Sum>();
    let dueSoon = 0;
    for (const row of rows) {
      const { type, mode } = identities[row]!;
      const own = types.get(type) ?? new Sum();
      types.set(type, own);
      const state = states[row];
      const due = this.#due[row]!;
      if (due <= this.#now + SOON_MS) dueSoon++;
      const age = this.#now - c.lastSuccess[row]!;
      for (const sum of [all, own]) {
        sum.targets++;
        if (c.inFlight[row]) sum.inFlight++;
        else sum.queued++;
        if (this.#score(row) > LATE_SCORE) sum.late++;
        if (state && isFlapping(state.breaker.flapping, this.#now, this.#flapWindow)) sum.flapping++;
        sum.modes.set(mode, (sum.modes.get(mode) ?? 0) + 1);
        sum.breakers[state?.breaker.state ?? (c.ran[row] ? 'closed' : 'unknown')]++;
        if (state?.parked) sum.parked[state.parked]++;
        if (age > (sum.oldest ?? -1)) sum.oldest = Math.max(0, age);
      }
    }
    const limits = new Map(lanes.filter(({ internal }) => !internal).map(({ type, limit }) => [type, limit]));
    const withLimit = [...types].map(([type, sum]) => [type, { ...sum, limit: limits.get(type)! }] as const);
    return { all, types: new Map<string, TypeTotals>(withLimit), dueSoon };
  }
}

class Sum {
  targets = 0;
  inFlight = 0;
  queued = 0;
  late = 0;
  flapping = 0;
  readonly modes = new Map<string, number>();
  readonly breakers = zeros<BreakerState>(BREAKER_STATES);
  readonly parked = zeros(PARK_REASONS);
  oldest: number | null = null;
}

function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}
