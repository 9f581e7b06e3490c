import { type Flapping, type FlappingSettings, opened, STEADY } from './flapping.ts';

/** `unknown`: registered and never run. */
export type BreakerState = 'closed' | 'open' | 'half_open' | 'unknown';
export type BreakerCause =
  | 'failure_threshold'
  | 'permanent_failure'
  | 'retry_due'
  | 'manual'
  | 'trial_succeeded'
  | 'trial_failed'
  | 'reset';

export interface BreakerTransition {
  readonly at: number;
  readonly from: BreakerState;
  readonly to: Exclude<BreakerState, 'unknown'>;
  readonly cause: BreakerCause;
}

/** All instants in milliseconds on one clock. Immutable: every step returns a new one. */
export interface Breaker {
  readonly state: BreakerState;
  /** When the state began. A trial that failed returns to the same outage, so `open` keeps its first instant. */
  readonly since: number;
  /** Failed attempts since it was last closed or a run succeeded. */
  readonly failures: number;
  /** Openings since it was last closed. */
  readonly trips: number;
  /** Start of the outage while open or half-open. */
  readonly trippedAt: number | null;
  /** Open: before this nothing runs. Half-open: the deadline of the trial. */
  readonly retryAt: number | null;
  /** The last ones, oldest first. */
  readonly transitions: readonly BreakerTransition[];
  readonly flapping: Flapping;
}

const MOST_TRANSITIONS = 16;
/** 2^20 base delays are more than any maximum. */
const MOST_DOUBLINGS = 20;

/** A breaker that never tripped. */
export function restingBreaker(state: 'closed' | 'unknown', since: number): Breaker {
  const never = { trippedAt: null, retryAt: null, transitions: [], flapping: STEADY };
  return { state, since, failures: 0, trips: 0, ...never };
}

export function isTripped({ state }: Breaker): boolean {
  return state === 'open' || state === 'half_open';
}

/** Trips it, or ends a trial that failed. */
export function open(
  breaker: Breaker,
  step: { readonly at: number; readonly retryAt: number; readonly cause: BreakerCause },
  settings: FlappingSettings,
): Breaker {
  const isNewOutage = breaker.trippedAt === null;
  const next = move(breaker, 'open', step.at, step.cause);
  return {
    ...next,
    since: breaker.trippedAt ?? step.at,
    trips: breaker.trips + 1,
    trippedAt: breaker.trippedAt ?? step.at,
    retryAt: step.retryAt,
    flapping: isNewOutage ? opened(breaker.flapping, step.at, settings) : breaker.flapping,
  };
}

/**
 * Lets one trial through; one more when the last one was deferred and decided nothing.
 * @param deadline of the trial
 */
export function halfOpen(breaker: Breaker, at: number, cause: 'retry_due' | 'manual', deadline: number): Breaker {
  if (breaker.state === 'half_open') return { ...breaker, retryAt: deadline };
  return { ...move(breaker, 'half_open', at, cause), retryAt: deadline };
}

export function close(breaker: Breaker, at: number, cause: 'trial_succeeded' | 'reset'): Breaker {
  const closed = { state: 'closed', failures: 0, trips: 0, trippedAt: null, retryAt: null } as const;
  if (isTripped(breaker)) return { ...move(breaker, 'closed', at, cause), ...closed };
  return { ...breaker, ...closed, since: breaker.state === 'unknown' ? at : breaker.since };
}

function move(breaker: Breaker, to: BreakerTransition['to'], at: number, cause: BreakerCause): Breaker {
  const transitions = [...breaker.transitions, { at, from: breaker.state, to, cause }].slice(-MOST_TRANSITIONS);
  return { ...breaker, state: to, since: at, transitions };
}

export interface RetryDelaySettings {
  /** Milliseconds. */
  readonly baseDelay: number;
  readonly maxDelay: number;
  /** Share of the delay that chance may add; 0 to 1. */
  readonly jitter: number;
}

/**
 * Milliseconds from an opening to the next trial. Computed from the base each time, so no number of failures overflows
 * or freezes it; jitter only lengthens.
 * @param trips openings of this outage, this one included; >= 1
 * @param least what it is in any case: the interval in force, what the target asked for
 * @param random 0 to 1
 */
export function retryDelay(trips: number, least: number, random: number, settings: RetryDelaySettings): number {
  const { baseDelay, maxDelay, jitter } = settings;
  const delay = Math.min(maxDelay, baseDelay * 2 ** Math.min(trips - 1, MOST_DOUBLINGS));
  return Math.max(delay, least) + delay * jitter * random;
}
