/**
 * Time as components see it. No component calls `Date.now` or `setTimeout` itself, so tests run days in milliseconds.
 */
export interface Clock {
  /** Wall clock, nanoseconds since the Unix epoch. For stamps only: it may jump. */
  now(): bigint;
  /** Milliseconds since an arbitrary start, with fractions. Never falls; for every deadline and interval. */
  monotonic(): number;
  /**
   * Resolves after `ms` milliseconds (0 or less: in a later turn of the event loop).
   * Rejects with `signal.reason` as soon as the signal aborts; no timer is left behind then.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
