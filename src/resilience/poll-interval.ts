/** Why an interval is what it is. */
export type IntervalCause = 'interval' | 'activity' | 'idle' | 'cost' | 'overload' | 'failure';

/** Powers of two between an interval and the registered one. */
export const MIN_STEP = -2;
export const MAX_STEP = 6;

/** What the law knows of a target. */
export interface Pace {
  /** The interval in force is registered x 2^step. */
  readonly step: number;
  readonly cause: IntervalCause;
  /** Runs in a row that found nothing. */
  readonly idleRuns: number;
}

export interface PaceSettings {
  readonly idleRuns: number;
  /** Share of its interval that a run may take; 0 to 1. */
  readonly maxBusyRatio: number;
  /** Milliseconds. */
  readonly overloadLag: number;
}

/** A run that succeeded. Milliseconds. */
export interface PacedRun {
  /** What it found. */
  readonly items: number;
  /** How long runs of this target take, smoothed. */
  readonly smoothedDuration: number;
  readonly lag: number;
  readonly registered: number;
  readonly minStep: number;
  readonly maxStep: number;
}

/**
 * The interval law. The registered interval is the freshness objective: activity may shorten it to a quarter, only cost
 * and overload make it longer, idleness never does. The first row that matches decides. A failure only takes back a shortened
 * interval. The law knows neither the size of the fleet nor the length of a queue.
 */
export function pace(last: Pace, run: PacedRun, { idleRuns: patience, maxBusyRatio, overloadLag }: PaceSettings): Pace {
  const { step } = last;
  const idleRuns = run.items > 0 ? 0 : last.idleRuns + 1;
  const to = (next: number, cause: IntervalCause, idle = idleRuns): Pace => ({
    step: Math.max(run.minStep, Math.min(run.maxStep, next)),
    cause,
    idleRuns: idle,
  });
  const busyAt = (at: number) => run.smoothedDuration / (run.registered * 2 ** at);

  if (busyAt(step) > maxBusyRatio) return to(step + 1, 'cost');
  if (run.lag > overloadLag) return to(step + 1, 'overload');
  if (run.items > 0) {
    const shorter = step > 0 ? 0 : Math.max(run.minStep, step - 1);
    if (busyAt(shorter) <= maxBusyRatio) return to(shorter, 'activity');
  }
  if (step < 0 && idleRuns >= patience) return to(step + 1, 'idle', 0);
  if (step > 0) return to(step - 1, 'interval');
  return { ...samePace(last), idleRuns };
}

/** A failure takes back what activity has shortened. */
export function paceAfterFailure({ step, idleRuns }: Pace): Pace {
  return { step: Math.max(step, 0), cause: 'failure', idleRuns };
}

/** Of a run that says nothing about the target, or when intervals follow nothing. */
export function samePace({ step, cause, idleRuns }: Pace): Pace {
  return { step, cause: step === 0 ? 'interval' : cause, idleRuns };
}

/**
 * The steps that keep the interval between `min` and `max` and in whole milliseconds. All their grids nest, so a change
 * of step never makes a short gap or a double one.
 * @param registered whole milliseconds; always allowed itself
 */
export function stepBounds(registered: number, min: number, max: number) {
  let minStep = 0;
  let maxStep = 0;
  const fits = (step: number) => Number.isInteger(registered * 2 ** step);
  while (minStep > MIN_STEP && registered * 2 ** (minStep - 1) >= min && fits(minStep - 1)) minStep--;
  while (maxStep < MAX_STEP && registered * 2 ** (maxStep + 1) <= max) maxStep++;
  return { minStep, maxStep };
}
