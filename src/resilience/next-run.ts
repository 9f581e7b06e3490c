import {
  type Breaker,
  close,
  halfOpen,
  isTripped,
  open,
  type RetryDelaySettings,
  restingBreaker,
  retryDelay,
} from './breaker.ts';
import { type ParkReason, parkedDelay, parkReason } from './dead-letter.ts';
import type { FailureCategory } from './failure-category.ts';
import type { FlappingSettings } from './flapping.ts';
import { type Grid, nextSlot } from './poll-grid.ts';
import type { IntervalCause } from './poll-interval.ts';

export interface Failure {
  /** End of the attempt. */
  readonly at: number;
  readonly code: string;
  readonly message: string;
  readonly category: FailureCategory;
}

/** What failures have left behind. Immutable, and plain data; a target that never failed has none. */
export interface TargetState {
  readonly breaker: Breaker;
  /** Failed attempts since the last success. */
  readonly failures: number;
  readonly firstFailureAt: number | null;
  readonly lastError: Failure | null;
  readonly parked: ParkReason | null;
}

/** Why a target is due when it is. */
export type NextCause = IntervalCause | 'requested' | 'retry_after' | 'breaker' | 'dead_letter';

/** Milliseconds on one clock. */
export interface RunEnd {
  readonly now: number;
  /** With the interval in force from now on. */
  readonly grid: Grid;
  /** Last start and the least distance from it. */
  readonly earliest: number;
  /** What the interval law says about the interval in force. */
  readonly cause: IntervalCause;
}

export interface RetryPolicy {
  /** Failures in a row that trip a breaker. */
  readonly failureThreshold: number;
  /** Failed trials in a row that park a target. */
  readonly maxRetryAttempts: number;
  /** Longest wait that a target may ask for; milliseconds, 0: none. */
  readonly maxRetryAfter: number;
  readonly breaker: RetryDelaySettings;
  readonly deadLetter: { readonly retryInterval: number; readonly jitter: number };
  readonly flapping: FlappingSettings;
}

export interface Next {
  readonly due: number;
  readonly cause: NextCause;
  readonly state: TargetState | undefined;
}

/** The next slot. Slots that passed meanwhile are skipped, never caught up. */
export function atNextSlot({ grid, now, earliest }: Pick<RunEnd, 'grid' | 'now' | 'earliest'>): number {
  return Math.max(nextSlot(grid, now), earliest);
}

/**
 * One success heals everything, whatever came before.
 * @param askedEarliest when the run asked for another one: how soon that may come
 */
export function afterSuccess(state: TargetState | undefined, end: RunEnd, askedEarliest?: number): Next {
  const healed = state && (isWell(state) ? state : heal(state, end.now));
  if (askedEarliest === undefined) return { due: atNextSlot(end), cause: end.cause, state: healed };
  const slot = atNextSlot(end);
  const asked = Math.max(end.now, askedEarliest);
  if (asked >= slot) return { due: slot, cause: end.cause, state: healed };
  return { due: asked, cause: 'requested', state: healed };
}

function isWell({ breaker, failures }: TargetState): boolean {
  return breaker.state === 'closed' && breaker.failures === 0 && failures === 0;
}

function heal(state: TargetState, at: number): TargetState {
  const breaker = close(state.breaker, at, 'trial_succeeded');
  return { breaker, failures: 0, firstFailureAt: null, lastError: null, parked: null };
}

/**
 * A failure never brings a run forward.
 * @param state of a target that never failed: {@link restingState}
 * @param retryAfter milliseconds that the target asked for
 * @param random 0 to 1
 */
export function afterFailure(
  state: TargetState,
  failure: Failure,
  end: RunEnd,
  { retryAfter, random }: { readonly retryAfter: number; readonly random: number },
  policy: RetryPolicy,
): Next & { readonly state: TargetState } {
  const { now, cause } = end;
  const failed = countFailure(state, failure);
  const { breaker } = failed;
  if (isTripped(breaker) || mustTrip(failed, policy)) return trip(failed, end, { retryAfter, random }, policy);
  const slot = atNextSlot(end);
  const asked = now + Math.min(retryAfter, policy.maxRetryAfter);
  const isFirst = breaker.state === 'unknown';
  return {
    due: Math.max(slot, asked),
    cause: asked > slot ? 'retry_after' : cause,
    state: isFirst ? { ...failed, breaker: { ...breaker, state: 'closed', since: now } } : failed,
  };
}

/**
 * The pipeline refused: that decides nothing. A trial has its next chance at the next slot, and what was reported while
 * the run was under way counts now.
 */
export function afterDeferral(state: TargetState | undefined, end: RunEnd, random: number, policy: RetryPolicy): Next {
  const due = atNextSlot(end);
  if (!state) return { due, cause: end.cause, state };
  if (isTripped(state.breaker)) return { due, cause: retryCause(state), state: moveRetry(state, due) };
  if (mustTrip(state, policy)) return trip(state, end, { retryAfter: 0, random }, policy);
  return { due, cause: end.cause, state };
}

/** Of a target whose breaker is tripped. */
export function retryCause({ parked }: TargetState): 'dead_letter' | 'breaker' {
  return parked ? 'dead_letter' : 'breaker';
}

function mustTrip({ breaker, lastError }: TargetState, { failureThreshold }: RetryPolicy): boolean {
  return breaker.failures >= failureThreshold || (breaker.failures > 0 && lastError?.category === 'permanent');
}

/** Opens a breaker, or ends its trial that failed. */
function trip(
  failed: TargetState,
  { now, grid }: RunEnd,
  { retryAfter, random }: { readonly retryAfter: number; readonly random: number },
  policy: RetryPolicy,
): Next & { readonly state: TargetState } {
  const { breaker } = failed;
  const { category } = failed.lastError!;
  const trips = breaker.trips + 1;
  const parked = failed.parked ?? parkReason(category, trips, policy.maxRetryAttempts);
  const least = Math.max(grid.interval, Math.min(retryAfter, policy.maxRetryAfter));
  const delay = parked
    ? parkedDelay(least, random, policy.deadLetter)
    : retryDelay(trips, least, random, policy.breaker);
  // Whole milliseconds, as they are printed.
  const retryAt = Math.ceil(now + delay);
  const ofFailure = category === 'permanent' ? 'permanent_failure' : 'failure_threshold';
  const why = isTripped(breaker) ? 'trial_failed' : ofFailure;
  const opened = open(breaker, { at: now, retryAt, cause: why }, policy.flapping);
  const next = { ...failed, breaker: opened, parked };
  return { due: retryAt, cause: retryCause(next), state: next };
}

/** A failed attempt that decides nothing: one was reported while a run is under way, or while none may come. */
export function countFailure(state: TargetState, failure: Failure): TargetState {
  return {
    ...state,
    breaker: { ...state.breaker, failures: state.breaker.failures + 1 },
    failures: state.failures + 1,
    firstFailureAt: state.firstFailureAt ?? failure.at,
    lastError: failure,
  };
}

/** The trial of an open breaker begins. */
export function beginTrial(
  state: TargetState,
  at: number,
  cause: 'retry_due' | 'manual',
  deadline: number,
): TargetState {
  return { ...state, breaker: halfOpen(state.breaker, at, cause, deadline) };
}

/** The retry of an open breaker is moved. */
export function moveRetry(state: TargetState, retryAt: number): TargetState {
  return { ...state, breaker: { ...state.breaker, retryAt } };
}

/** Closes the breaker by hand. What is known of the failures stays until a success. */
export function reset(state: TargetState, at: number): TargetState {
  return { ...state, breaker: close(state.breaker, at, 'reset'), parked: null };
}

/** Of a target without a failure. */
export function restingState(ran: boolean, since: number): TargetState {
  const breaker = restingBreaker(ran ? 'closed' : 'unknown', since);
  return { breaker, failures: 0, firstFailureAt: null, lastError: null, parked: null };
}
