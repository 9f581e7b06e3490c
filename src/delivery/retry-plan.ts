import { backoffDelay } from '../resilience/backoff.ts';

export interface RetrySettings {
  /** Milliseconds. */
  readonly initial_interval: number;
  /** Milliseconds. */
  readonly max_interval: number;
  readonly multiplier: number;
  /** 0 to 1. */
  readonly randomization_factor: number;
  /** Milliseconds; cap on what a server may ask for. */
  readonly max_retry_after: number;
}

/**
 * How long to wait before the next attempt, in milliseconds: the backoff with its jitter, or what the server asked for
 * if that is longer, up to a cap. A server's wish never shortens the wait.
 * @param failures attempts that failed so far; 1 or more
 * @param random uniform in [0, 1)
 * @param serverWishMs from `Retry-After`; undefined when absent or nonsense
 */
export function retryDelay(failures: number, settings: RetrySettings, random: number, serverWishMs?: number): number {
  const interval = backoffDelay(failures - 1, {
    initialMs: settings.initial_interval,
    maxMs: settings.max_interval,
    multiplier: settings.multiplier,
  });
  const spread = 1 + settings.randomization_factor * (2 * random - 1);
  return Math.max(interval * spread, Math.min(serverWishMs ?? 0, settings.max_retry_after));
}
