import type { RunCause } from '../../component/scheduler.ts';
import { type Grid, nextSlot } from '../../resilience/poll-grid.ts';

/** How a run ended. A deferral says that the pipeline refused: nothing is held against the target. */
export type RunOutcome = 'success' | 'failure' | 'deferred';

export interface NextRunInput {
  readonly outcome: RunOutcome;
  /** The run asked for another one. */
  readonly again: boolean;
  readonly grid: Grid;
  /** Milliseconds, on the scheduler's clock: the last start and the least distance from it. */
  readonly earliest: number;
  readonly now: number;
}

/**
 * When a target runs next. The one place that decides it: retry times of an open breaker and of parked targets are
 * further rows of this function, not timers elsewhere.
 *
 * Slots that passed meanwhile are skipped, never caught up. A failure never brings a run forward: a failed run's wish
 * for another one is not heard.
 */
export function nextRun(input: NextRunInput): { readonly due: number; readonly cause: RunCause } {
  const { outcome, again, grid, earliest, now } = input;
  if (again && outcome === 'success') return { due: Math.max(now, earliest), cause: 'requested' };
  return { due: Math.max(nextSlot(grid, now), earliest), cause: 'interval' };
}
