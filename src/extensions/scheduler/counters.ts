import {
  type BreakerState,
  type Count,
  type Distribution,
  type EpochMillis,
  type ParkReason,
  RUN_SECONDS,
  type RunOutcome,
  type SchedulerCounters,
  type SkipReason,
} from '../../component/scheduler.ts';

const MOST_LAGS = 16_384;
const LAG_WINDOW_MS = 60_000;

/** Everything that is counted, since the start. What is told of a run goes to the listener as well. */
export class Counters {
  readonly #transitions = new Tally<{ readonly from: BreakerState; readonly to: BreakerState }>();
  readonly #moves = new Tally<{ readonly reason: ParkReason; readonly direction: 'in' | 'out' }>();
  readonly #skipped = new Tally<{ readonly reason: SkipReason }>();
  readonly #refusedFacts = new Tally<object>();
  readonly #durations = new Histograms<{ readonly outcome: RunOutcome; readonly errorCode?: string }>();
  readonly #lags = new Histograms<object>();
  readonly recent = new RecentLags();

  transition(type: string, from: BreakerState, to: BreakerState): void {
    this.#transitions.add({ type, from, to }, 1);
  }

  deadLetterMove(type: string, reason: ParkReason, direction: 'in' | 'out'): void {
    this.#moves.add({ type, reason, direction }, 1);
  }

  skipped(type: string, reason: SkipReason, count = 1): void {
    if (count > 0) this.#skipped.add({ type, reason }, count);
  }

  refusedFacts(type: string): void {
    this.#refusedFacts.add({ type }, 1);
  }

  ran(type: string, seconds: number, outcome: RunOutcome, errorCode: string | undefined): void {
    this.#durations.add({ type, outcome, ...(errorCode !== undefined && { errorCode }) }, seconds);
  }

  started(type: string, lagMs: number, now: number): void {
    this.#lags.add({ type }, lagMs / 1_000);
    this.recent.add(now, lagMs);
  }

  capture(startedAt: EpochMillis): SchedulerCounters {
    return {
      startedAt,
      transitions: this.#transitions.list(),
      deadLetterMoves: this.#moves.list(),
      skipped: this.#skipped.list(),
      refusedFacts: this.#refusedFacts.list(),
      durations: this.#durations.list(),
      lags: this.#lags.list(),
    };
  }
}

/** Counts by their attributes. */
class Tally<Attributes extends object> {
  readonly #counts = new Map<string, { readonly of: Attributes & { readonly type: string }; count: number }>();

  add(of: Attributes & { readonly type: string }, count: number): void {
    const key = JSON.stringify(of);
    const known = this.#counts.get(key);
    if (known) known.count += count;
    else this.#counts.set(key, { of, count });
  }

  list(): (Attributes & Count)[] {
    return [...this.#counts.values()].map(({ of, count }) => ({ ...of, count }));
  }
}

/** Distributions by their attributes. */
class Histograms<Attributes extends object> {
  readonly #all = new Map<string, { readonly of: Attributes & { readonly type: string }; readonly is: Histogram }>();

  add(of: Attributes & { readonly type: string }, value: number): void {
    const key = JSON.stringify(of);
    const known = this.#all.get(key) ?? { of, is: new Histogram() };
    this.#all.set(key, known);
    known.is.add(value);
  }

  list(): (Attributes & Distribution)[] {
    return [...this.#all.values()].map(({ of, is }) => ({ ...of, ...is.capture() }));
  }
}

class Histogram {
  readonly #buckets = new Array<number>(RUN_SECONDS.length + 1).fill(0);
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  add(value: number): void {
    const above = RUN_SECONDS.findIndex((boundary) => value <= boundary);
    this.#buckets[above === -1 ? RUN_SECONDS.length : above]!++;
    this.#count++;
    this.#sum += value;
    this.#min = Math.min(this.#min, value);
    this.#max = Math.max(this.#max, value);
  }

  capture() {
    return { count: this.#count, sum: this.#sum, min: this.#min, max: this.#max, buckets: [...this.#buckets] };
  }
}

/** Lags of the last minute; of a busier one the last {@link MOST_LAGS}. */
class RecentLags {
  readonly #at = new Float64Array(MOST_LAGS).fill(Number.NEGATIVE_INFINITY);
  readonly #lag = new Float64Array(MOST_LAGS);
  #next = 0;

  add(now: number, lagMs: number): void {
    this.#at[this.#next] = now;
    this.#lag[this.#next] = lagMs;
    this.#next = (this.#next + 1) % MOST_LAGS;
  }

  /** @returns undefined when nothing started in the last minute */
  quantiles(now: number): { readonly p50: number; readonly p99: number; readonly max: number } | undefined {
    const lags = this.#lag.filter((_, index) => this.#at[index]! > now - LAG_WINDOW_MS).sort();
    if (lags.length === 0) return undefined;
    const at = (share: number) => lags[Math.max(0, Math.ceil(share * lags.length) - 1)]!;
    return { p50: at(0.5), p99: at(0.99), max: lags.at(-1)! };
  }
}
