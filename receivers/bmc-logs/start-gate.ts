import { aborted } from '../../src/component/aborted.ts';
import type { Clock } from '../../src/component/clock.ts';
import { deadline } from '../../src/component/deadline.ts';
import { Signpost } from '../../src/resilience/signpost.ts';

/** The first reads wait so long for the first streams. */
const PATIENCE_MS = 5_000;
/** Of the attempts; a few BMCs that hang must not keep the others waiting. */
const STRAGGLERS = 0.05;

/**
 * Streams first, reads second, at start: what a stream tells while the logs are read needs no second read, and a fleet of
 * thousands is listened to before its logs take the processor.
 */
export class StartGate {
  readonly #clock: Clock;
  readonly #moved = new Signpost();
  #attempts = 0;
  #pending = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The first attempt of an endpoint begins. @param settled resolves when it has come to something, whatever it was */
  add(settled: Promise<void>): void {
    this.#attempts++;
    this.#pending++;
    void settled.then(() => {
      this.#pending--;
      if (this.#pending === 0) this.#attempts = 0;
      if (this.#isOpen) this.#moved.show();
    });
  }

  /** Resolves when this attempt and most others have come to something, or have had their time. */
  async pass(settled: Promise<void>, signal: AbortSignal): Promise<void> {
    using patience = deadline(this.#clock, PATIENCE_MS, 'the first streams', signal);
    await Promise.race([settled, aborted(patience.signal)]);
    while (!this.#isOpen && !patience.signal.aborted) await this.#moved.reached(patience.signal);
  }

  get #isOpen(): boolean {
    return this.#pending <= this.#attempts * STRAGGLERS;
  }
}
