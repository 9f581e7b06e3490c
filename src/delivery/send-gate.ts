import type { Clock } from '../component/clock.ts';
import { Signpost } from '../resilience/signpost.ts';

/** After so many failures in a row the backend counts as down: then one request tries for all. */
const OUTAGE_AFTER = 3;
/** A held exporter tries once in this time. */
const HOLD_MS = 60_000;

/** Why an exporter pauses. The closed list. */
export const HOLD_REASONS = ['setup', 'rejecting_everything', 'dead_letter_full'] as const;

export interface Hold {
  readonly reason: (typeof HOLD_REASONS)[number];
  /** For people. */
  readonly message: string;
  readonly status: number | undefined;
}

/** The right to send one request. */
export interface Turn {
  /** The request was answered. What is told about it in the same moment counts before the next one enters. */
  release(): void;
  /** Attempts of the present outage when the turn began. */
  readonly outageAttempts: number;
}

/**
 * How many requests may be out at once, and not before when. Normally as many as there are consumers. In an outage one
 * request is out per backoff interval, whatever waits behind it; after it slots open again by 1, 2, 4 and so on, one
 * step per success.
 */
export class SendGate {
  readonly #slots: number;
  readonly #clock: Clock;
  readonly #backoff: (failures: number) => number;
  readonly #onChange: () => void;
  readonly #opening = new Signpost();
  #open: number;
  #out = 0;
  #failures = 0;
  #outageAttempts = 0;
  /** Of an outage or a hold; ends with the first success. */
  #notBefore = Number.NEGATIVE_INFINITY;
  /** What the backend asked for; ends with its time only. */
  #wishedUntil = Number.NEGATIVE_INFINITY;
  #hold: Hold | undefined;
  #timer: { readonly at: number; readonly stop: AbortController } | undefined;
  #hurried = false;

  /**
   * @param slots requests at once, > 0
   * @param backoff milliseconds to wait after so many attempts of an outage, 1 or more
   * @param onChange called when an outage or a hold begins or ends
   */
  constructor(slots: number, clock: Clock, backoff: (failures: number) => number, onChange: () => void) {
    this.#slots = slots;
    this.#open = slots;
    this.#clock = clock;
    this.#backoff = backoff;
    this.#onChange = onChange;
  }

  get held(): Hold | undefined {
    return this.#hold;
  }

  get inOutage(): boolean {
    return this.#outageAttempts > 0;
  }

  get out(): number {
    return this.#out;
  }

  /** Resolves when the next request may be sent; with undefined when the signal aborts first. */
  async enter(signal: AbortSignal): Promise<Turn | undefined> {
    // One reading of the clock per look: between two the gate could open, and nobody would be told.
    for (let now = this.#clock.monotonic(); !signal.aborted; now = this.#clock.monotonic()) {
      if (this.#admits(now)) {
        this.#out++;
        return this.#turn();
      }
      this.#wakeInTime(now);
      await this.#opening.reached(signal);
    }
    return undefined;
  }

  /** The agent stops: no more waits, one attempt for each that waits. */
  hurry(): void {
    this.#hurried = true;
    this.#opening.show();
  }

  /** The backend took a request: one more step of slots opens, and a hold ends, unless it is not the backend's. */
  accepted(): void {
    if (this.#hold?.reason !== 'dead_letter_full') this.resume();
  }

  /** The backend took something else: an outage is probably over, so one request tries now. What the backend asked for still counts. */
  encourage(): void {
    if (!this.inOutage || this.#hold) return;
    this.#notBefore = Number.NEGATIVE_INFINITY;
    this.#opening.show();
  }

  /** Whatever the hold or the outage was for is over. */
  resume(): void {
    this.#change(() => {
      this.#open = this.inOutage || this.#hold ? 1 : Math.min(this.#slots, this.#open * 2);
      this.#failures = 0;
      this.#outageAttempts = 0;
      this.#hold = undefined;
      this.#notBefore = Number.NEGATIVE_INFINITY;
    });
  }

  /**
   * The backend is not well.
   * @param wishMs what it asked for, in milliseconds; holds back all requests
   * @returns whether the request waits at the gate; otherwise it has a wait of its own
   */
  failed({ outageAttempts }: Turn, wishMs: number): boolean {
    this.#change(() => {
      this.#failures++;
      const now = this.#clock.monotonic();
      if (wishMs > 0) this.#wishedUntil = Math.max(this.#wishedUntil, now + wishMs);
      if (this.#hold) this.#notBefore = Math.max(this.#notBefore, now + HOLD_MS);
      // Requests that were out when the outage began do not make its first wait longer.
      if (this.#failures < OUTAGE_AFTER || this.#hold || outageAttempts !== this.#outageAttempts) return;
      this.#open = 1;
      this.#outageAttempts++;
      this.#notBefore = Math.max(this.#notBefore, now + this.#backoff(this.#outageAttempts));
    });
    return this.inOutage || this.#hold !== undefined;
  }

  /** The set-up is at fault, or nothing can be set aside: one attempt per minute from now on. */
  hold(hold: Hold): void {
    this.#change(() => {
      this.#open = 1;
      if (this.#hold?.reason !== hold.reason || this.#hold.status !== hold.status) this.#hold = hold;
      this.#notBefore = Math.max(this.#notBefore, this.#clock.monotonic() + HOLD_MS);
    });
  }

  #turn(): Turn {
    let isOut = true;
    return {
      outageAttempts: this.#outageAttempts,
      release: () => {
        if (!isOut) return;
        isOut = false;
        this.#out--;
        queueMicrotask(() => this.#opening.show());
      },
    };
  }

  #change(work: () => void): void {
    const { inOutage } = this;
    const hold = this.#hold;
    work();
    if (inOutage !== this.inOutage || hold !== this.#hold) this.#onChange();
    queueMicrotask(() => this.#opening.show());
  }

  get #opensAt(): number {
    return Math.max(this.#notBefore, this.#wishedUntil);
  }

  #admits(now: number): boolean {
    if (this.#hurried) return this.#out < this.#slots;
    return this.#out < this.#open && now >= this.#opensAt;
  }

  /** One timer for all who wait for a time. */
  #wakeInTime(now: number): void {
    const at = this.#opensAt;
    const wait = at - now;
    if (wait <= 0 || (this.#timer && this.#timer.at <= at)) return;
    this.#timer?.stop.abort();
    const timer = { at, stop: new AbortController() };
    this.#timer = timer;
    void this.#clock.sleep(wait, timer.stop.signal).then(
      () => {
        this.#timer = undefined;
        this.#opening.show();
        // The time may have moved on meanwhile.
        if (this.#opening.isWatched) this.#wakeInTime(this.#clock.monotonic());
      },
      () => {},
    );
  }

  /** Takes its timer back. */
  close(): void {
    this.#timer?.stop.abort();
  }
}
