export interface BackoffOptions {
  /** First delay in milliseconds; > 0. */
  readonly initialMs: number;
  /** Largest delay in milliseconds; >= `initialMs`. */
  readonly maxMs: number;
  /** Growth per attempt; >= 1. */
  readonly multiplier: number;
}

/**
 * The delay before retry number `attempt` (0 = the first retry), without jitter. Computed from the start each time, so
 * no number of failures overflows or freezes it.
 */
export function backoffDelay(attempt: number, { initialMs, maxMs, multiplier }: BackoffOptions): number {
  return Math.min(maxMs, initialMs * multiplier ** Math.min(attempt, 1024));
}
