import type { Clock } from '../../component/clock.ts';
import type { EpochNanos } from '../../component/scheduler.ts';

/** Printed times follow the wall clock when it is off by more than this. */
const WALL_TOLERANCE_MS = 20;

/**
 * The scheduler's time, in milliseconds since the epoch: wall time as it was read once, going on monotonically. A step of
 * the wall clock changes no spacing; printed times follow it.
 */
export class SchedulerClock {
  readonly #clock: Clock;
  readonly #anchor: number;
  /** Adds to this clock to give the wall's. */
  wallOffset = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#anchor = this.#wallNow() - clock.monotonic();
  }

  now(): number {
    return this.#anchor + this.#clock.monotonic();
  }

  followWall(): void {
    const offset = this.#wallNow() - this.now();
    if (Math.abs(offset - this.wallOffset) > WALL_TOLERANCE_MS) this.wallOffset = Math.round(offset);
  }

  /** An instant as the wall clock shows it. */
  nanos(instant: number): EpochNanos {
    return BigInt(Math.round((instant + this.wallOffset) * 1_000)) * 1_000n;
  }

  #wallNow(): number {
    return Number(this.#clock.now() / 1_000n) / 1_000;
  }
}
