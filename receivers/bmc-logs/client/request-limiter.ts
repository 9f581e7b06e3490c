import type { Clock } from '../../../src/component/clock.ts';

export interface RateLimit {
  /** Requests that may leave at once; >= 1. */
  readonly bucket_burst: number;
  /** Milliseconds until one more may; > 0. */
  readonly bucket_replenish: number;
  /** Largest random wait before each; milliseconds. */
  readonly max_jitter: number;
}

/**
 * One rate for the requests to all BMCs of a receiver, so that a management network is not flooded at start. First come,
 * first served, but for the jitter.
 */
export class RequestLimiter {
  readonly #limit: RateLimit | undefined;
  readonly #clock: Clock;
  readonly #random: () => number;
  /** When the bucket would be full again, had nobody come since. */
  #fullAt = Number.NEGATIVE_INFINITY;

  /** @param limit undefined: none */
  constructor(limit: RateLimit | undefined, clock: Clock, random: () => number) {
    this.#limit = limit;
    this.#clock = clock;
    this.#random = random;
  }

  /** Resolves when one request may leave. Waiting here is no fault of the BMC: no deadline of a request runs meanwhile. */
  async pass(signal: AbortSignal): Promise<void> {
    if (!this.#limit) return;
    const { bucket_burst, bucket_replenish, max_jitter } = this.#limit;
    const now = this.#clock.monotonic();
    this.#fullAt = Math.max(this.#fullAt, now) + bucket_replenish;
    const wait = Math.max(0, this.#fullAt - now - bucket_burst * bucket_replenish) + this.#random() * max_jitter;
    if (wait <= 0) return;
    try {
      await this.#clock.sleep(wait, signal);
    } catch (error) {
      // Who gave up took nothing from those behind.
      this.#fullAt -= bucket_replenish;
      throw error;
    }
  }
}
