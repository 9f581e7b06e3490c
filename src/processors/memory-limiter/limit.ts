/** A process whose resident memory does not shrink must not refuse for ever because of it. */
const RSS_PATIENCE_MS = 60_000;

export interface MemoryLimits {
  /** Bytes. */
  readonly limit: number;
  /** Bytes below the limit at which data is refused. */
  readonly spike: number;
}

export interface MemoryReading {
  /** Heap in use of all threads and memory outside of it, in bytes. */
  readonly used: number;
  /** Resident set, in bytes. */
  readonly rss: number;
}

/**
 * Whether data is refused. Pure: the caller reads the memory and the time.
 *
 * Above `limit - spike` always. The resident set above the limit refuses, too, but for at most a minute once the usage
 * is below: memory that was given back to the allocator may never go back to the system.
 */
export class MemoryState {
  readonly #limits: MemoryLimits;
  #usedIsLowSince: number | undefined;
  refuses = false;

  constructor(limits: MemoryLimits) {
    this.#limits = limits;
  }

  /** @param now milliseconds, monotonic. @returns whether {@link refuses} changed */
  update({ used, rss }: MemoryReading, now: number): boolean {
    const { limit, spike } = this.#limits;
    const isHigh = used > limit - spike;
    if (isHigh) this.#usedIsLowSince = undefined;
    else this.#usedIsLowSince ??= now;
    const rssCounts = this.#usedIsLowSince === undefined || now - this.#usedIsLowSince < RSS_PATIENCE_MS;
    const before = this.refuses;
    this.refuses = isHigh || (rss > limit && rssCounts);
    return before !== this.refuses;
  }
}
