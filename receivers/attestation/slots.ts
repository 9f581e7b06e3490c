import type { Clock } from '../../src/component/clock.ts';
import { deadline } from '../../src/component/deadline.ts';
import { Semaphore } from '../../src/resilience/semaphore.ts';

/** How many pools have a cycle at once. One that waits holds no socket, and its time limits have not begun. */
export class CycleSlots {
  readonly #initial: Semaphore;
  readonly #later: Semaphore;
  readonly #clock: Clock;

  constructor(initial: number, later: number, clock: Clock) {
    this.#initial = new Semaphore(initial);
    this.#later = new Semaphore(later);
    this.#clock = clock;
  }

  /**
   * @param patience milliseconds
   * @returns the release function; undefined when there was no slot in time
   */
  async enter(isInitial: boolean, patience: number, signal: AbortSignal): Promise<(() => void) | undefined> {
    using limit = deadline(this.#clock, patience, 'the wait for a slot', signal);
    try {
      return await (isInitial ? this.#initial : this.#later).acquire(limit.signal);
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }
}
