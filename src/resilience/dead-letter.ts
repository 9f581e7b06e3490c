import type { FailureCategory } from './failure-category.ts';

/** Why a target is parked: it runs at the pace of its dead letter until it succeeds. */
export type ParkReason = 'permanent_failure' | 'max_retry_attempts';

/**
 * Whether a target parks with the failure that just tripped its breaker, or went on tripping it.
 * @param trips openings of this outage, this one included: all but the first are trials that failed
 */
export function parkReason(category: FailureCategory, trips: number, maxRetryAttempts: number): ParkReason | null {
  if (category === 'permanent') return 'permanent_failure';
  return trips - 1 >= maxRetryAttempts ? 'max_retry_attempts' : null;
}

/**
 * Milliseconds to the next attempt of a parked target.
 * @param least what it is in any case: the interval in force, what the target asked for
 * @param random 0 to 1
 */
export function parkedDelay(
  least: number,
  random: number,
  { retryInterval, jitter }: { readonly retryInterval: number; readonly jitter: number },
): number {
  return Math.max(retryInterval, least) + retryInterval * jitter * random;
}
