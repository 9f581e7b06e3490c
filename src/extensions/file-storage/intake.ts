import type { Clock } from '../../component/clock.ts';
import { RetryableError } from '../../component/errors.ts';
import { Signpost } from '../../resilience/signpost.ts';

const CLOSES_AT = 0.95;
const OPENS_AT = 0.85;
/** After the disk refused a write, the next one tries after this time. */
const REFUSED_WAIT_MS = 5_000;
/** Beyond this much that is not committed yet, callers wait: the disk is slow. */
const MOST_UNCOMMITTED_BYTES = 8 * 1024 * 1024;

/**
 * Whether the store takes more. It stops at 95 % of the queues' share and goes on at 85 %, so that what is being sent
 * makes room in one piece; delivering, dead letters and positions never ask here.
 */
export class Intake {
  readonly #limitBytes: number;
  readonly #pendingBytes: () => number;
  readonly #clock: Clock;
  readonly #onChange: (isOpen: boolean) => void;
  #usedBytes = 0;
  #hasRoom = true;
  #refusedUntil = Number.NEGATIVE_INFINITY;
  #told = true;
  readonly #room = new Signpost();

  /**
   * @param limitBytes for all queues together
   * @param pendingBytes of records that were handed to the writer and are not in the file yet
   * @param onChange called when the intake closes for want of room, and when it opens again
   */
  constructor(limitBytes: number, pendingBytes: () => number, clock: Clock, onChange: (isOpen: boolean) => void) {
    this.#limitBytes = limitBytes;
    this.#pendingBytes = pendingBytes;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** @param usedBytes of the queues, as the file holds them */
  update(usedBytes: number): void {
    this.#usedBytes = usedBytes;
    this.#hasRoom = usedBytes < this.#limitBytes * (this.#hasRoom ? CLOSES_AT : OPENS_AT);
    this.#tell();
    if (this.#isOpen) this.#room.show();
  }

  /** The disk took no more, whatever our own limit says. */
  refused(): void {
    this.#refusedUntil = this.#clock.monotonic() + REFUSED_WAIT_MS;
    this.#tell();
  }

  /** Resolves when there is room. @throws RetryableError `queue_full` when the signal aborts first */
  async admission(signal: AbortSignal): Promise<void> {
    while (!this.#isOpen) {
      if (signal.aborted) throw new RetryableError('queue_full', 'the store took no more while the caller waited');
      await this.#room.reached(signal);
    }
  }

  get #isOpen(): boolean {
    const pending = this.#pendingBytes();
    const fits = this.#usedBytes + pending < this.#limitBytes * CLOSES_AT;
    return this.#hasRoom && fits && pending < MOST_UNCOMMITTED_BYTES && this.#clock.monotonic() >= this.#refusedUntil;
  }

  #tell(): void {
    const now = this.#hasRoom && this.#clock.monotonic() >= this.#refusedUntil;
    if (now === this.#told) return;
    this.#told = now;
    this.#onChange(now);
  }
}
