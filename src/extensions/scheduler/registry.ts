import type { Facts, RunCause, Target } from '../../component/scheduler.ts';
import { RUN_CAUSES } from '../../component/scheduler.ts';
import type { TargetState } from '../../resilience/next-run.ts';
import { type Grid, phaseOf } from '../../resilience/poll-grid.ts';
import { stepBounds } from '../../resilience/poll-interval.ts';
import { expectedInterval } from '../../resilience/staleness.ts';

/** What is known of a target from its registration; replaced when it changes, so a snapshot may keep it. */
export interface Identity {
  readonly key: string;
  /** Compares as the UTF-8 bytes of the key do. */
  readonly sortKey: string;
  readonly type: string;
  readonly name: string;
  readonly displayName: string;
  readonly connection: string;
  readonly mode: string;
  readonly internal: boolean;
  readonly target: Target;
  /** Where it set one; else its slots follow from its key. */
  readonly phase: number | undefined;
  /** Milliseconds; Infinity when the configuration decides. */
  readonly maxInterval: number;
  readonly maxRetryDelay: number;
}

/**
 * What changes with every run, per target: instants on the scheduler's clock and spans, in milliseconds. NaN: never.
 * Together with its due time a target takes less than 128 bytes.
 */
const COLUMNS = {
  lastStart: Float64Array,
  lastSuccess: Float64Array,
  /** When the state of a breaker that never tripped began. */
  since: Float64Array,
  registered: Float64Array,
  /** The yardstick of staleness. */
  expected: Float64Array,
  phase: Float64Array,
  /** NaN: as for runs of its own. */
  minAsked: Float64Array,
  timeout: Float32Array,
  lag: Float32Array,
  /** Smoothed duration. */
  duration: Float32Array,
  idleRuns: Uint16Array,
  step: Int8Array,
  minStep: Int8Array,
  maxStep: Int8Array,
  /** Index into RUN_CAUSES: why it is due, and what the interval law said last. */
  cause: Uint8Array,
  paceCause: Uint8Array,
  inFlight: Uint8Array,
  /** It has ended a run. */
  ran: Uint8Array,
} as const;

type Column = keyof typeof COLUMNS;
export type Columns = { [Name in Column]: InstanceType<(typeof COLUMNS)[Name]> };

/** Of the columns; a due queue takes 24 more, and the queue of deadlines 4. */
export const COLUMN_BYTES = Object.values(COLUMNS).reduce((sum, { BYTES_PER_ELEMENT }) => sum + BYTES_PER_ELEMENT, 0);

const FIRST_CAPACITY = 64;

export interface IntervalBounds {
  readonly adaptive: boolean;
  readonly min: number;
  readonly max: number;
}

/** All targets, by row. A row is a small integer that a later target may get again. */
export class Registry {
  #columns: Columns = columns(FIRST_CAPACITY);
  readonly #identities: (Identity | undefined)[] = [];
  readonly #states: (TargetState | undefined)[] = [];
  readonly #facts: (Facts | null)[] = [];
  readonly #rows = new Map<string, number>();
  readonly #free: number[] = [];
  readonly #bounds: IntervalBounds;
  /** Rows that are shown, in the bytewise order of their keys; undefined after a target came or went. */
  #sorted: Uint32Array | undefined;

  constructor(bounds: IntervalBounds) {
    this.#bounds = bounds;
  }

  /** May be another object after `add`. */
  get columns(): Columns {
    return this.#columns;
  }

  rowOf(key: string): number | undefined {
    return this.#rows.get(key);
  }

  /** All that are registered. */
  rows(): Iterable<number> {
    return this.#rows.values();
  }

  identity(row: number): Identity {
    return this.#identities[row]!;
  }

  state(row: number): TargetState | undefined {
    return this.#states[row];
  }

  setState(row: number, state: TargetState | undefined): void {
    this.#states[row] = state;
  }

  setFacts(row: number, facts: Facts): void {
    this.#facts[row] = facts;
  }

  /** @param now becomes the begin of its first state */
  add(
    identity: Identity,
    now: number,
    options: { readonly interval: number; readonly timeout: number; readonly minInterval?: number },
  ): number {
    const { interval, timeout, minInterval = Number.NaN } = options;
    const row = this.#free.pop() ?? this.#identities.length;
    if (row === this.#columns.step.length) this.#columns = columns(row * 2, this.#columns);
    const c = this.#columns;
    this.#identities[row] = identity;
    this.#states[row] = undefined;
    this.#facts[row] = null;
    this.#rows.set(identity.key, row);
    this.#sorted = undefined;
    c.lastStart[row] = c.lastSuccess[row] = c.lag[row] = c.duration[row] = Number.NaN;
    c.since[row] = now;
    c.minAsked[row] = minInterval;
    c.timeout[row] = timeout;
    c.idleRuns[row] = c.inFlight[row] = c.ran[row] = 0;
    this.setCause(row, 'initial');
    this.setInterval(row, interval);
    c.expected[row] = expectedInterval(interval);
    return row;
  }

  /** It is not shown and not found any more. Its row stays taken until it is released. */
  remove(row: number): void {
    this.#rows.delete(this.identity(row).key);
    this.#sorted = undefined;
  }

  release(row: number): void {
    this.#identities[row] = undefined;
    this.#states[row] = undefined;
    this.#facts[row] = null;
    this.#free.push(row);
  }

  isRegistered(row: number): boolean {
    const identity = this.#identities[row];
    return identity !== undefined && this.#rows.get(identity.key) === row;
  }

  setMode(row: number, mode: string): void {
    this.#identities[row] = { ...this.identity(row), mode };
  }

  setCause(row: number, cause: RunCause): void {
    this.#columns.cause[row] = RUN_CAUSES.indexOf(cause);
  }

  /** The registered interval; the one in force is the same again. */
  setInterval(row: number, registered: number): void {
    const c = this.#columns;
    const { key, phase, maxInterval } = this.identity(row);
    const { adaptive, min, max } = this.#bounds;
    const none = { minStep: 0, maxStep: 0 };
    const { minStep, maxStep } = adaptive ? stepBounds(registered, min, Math.min(max, maxInterval)) : none;
    c.registered[row] = registered;
    c.step[row] = 0;
    c.minStep[row] = minStep;
    c.maxStep[row] = maxStep;
    c.idleRuns[row] = 0;
    c.paceCause[row] = RUN_CAUSES.indexOf('interval');
    c.phase[row] = phase ?? phaseOf(key, registered * 2 ** maxStep);
  }

  /** In force now. */
  interval(row: number): number {
    return this.#columns.registered[row]! * 2 ** this.#columns.step[row]!;
  }

  grid(row: number): Grid {
    return { interval: this.interval(row), phase: this.#columns.phase[row]! };
  }

  /** How soon after its last start a target may run on its own. */
  earliest(row: number): number {
    const { lastStart, registered } = this.#columns;
    return neverIsLongAgo(lastStart[row]!) + Math.min(this.#bounds.min, registered[row]!);
  }

  /** How soon after its last start it may run when it was asked for. */
  earliestAsked(row: number): number {
    const asked = this.#columns.minAsked[row]!;
    return Number.isNaN(asked) ? this.earliest(row) : neverIsLongAgo(this.#columns.lastStart[row]!) + asked;
  }

  /** A copy of everything, that later changes do not reach. */
  capture() {
    this.#sorted ??= this.#sort();
    return {
      rows: this.#sorted,
      columns: columns(this.#identities.length, this.#columns),
      identities: this.#identities.slice(),
      states: this.#states.slice(),
      facts: this.#facts.slice(),
    };
  }

  #sort(): Uint32Array {
    const shown = [...this.#rows.values()].filter((row) => !this.identity(row).internal);
    const keys = this.#identities;
    return Uint32Array.from(shown).sort((a, b) => (keys[a]!.sortKey < keys[b]!.sortKey ? -1 : 1));
  }
}

/** Surrogates stand before the last units of the plane in UTF-16, and behind them in UTF-8. */
export function sortKeyOf(key: string): string {
  return key.replaceAll(/[\ud800-\uffff]/g, (unit) =>
    String.fromCharCode(unit.charCodeAt(0) + (unit < '\ue000' ? 0x2000 : -0x800)),
  );
}

function neverIsLongAgo(instant: number): number {
  return Number.isNaN(instant) ? Number.NEGATIVE_INFINITY : instant;
}

/** Columns of this length, with what fits of others in them. */
function columns(length: number, from?: Columns): Columns {
  const made = Object.entries(COLUMNS).map(([name, Kind]) => {
    const column = new Kind(length);
    const old = from?.[name as Column];
    if (old) column.set(old.subarray(0, length) as never);
    return [name, column];
  });
  return Object.fromEntries(made);
}
