const LEAST_FLEET = 10;

/** A fault of the network, not of a BMC. */
export interface Incident {
  /** Monotonic milliseconds. */
  readonly since: number;
  /** Of the endpoints that could stream, how many fail; 0 to 1. */
  readonly share: number;
  readonly failing: number;
}

/**
 * Tells a fault of the network from faults of BMCs: when more than a share of the endpoints that could stream have no
 * stream and failed within one window, it is one incident and nobody is downgraded for it. Pure.
 *
 * It is over when the share has been below for a whole window.
 */
export class FleetGuard {
  readonly #ratio: number;
  readonly #windowMs: number;
  /** Endpoints without a stream, by their last counted failure; the oldest first. */
  readonly #failing = new Map<string, number>();
  /** Endpoints without a stream whose downgrade is held. Their attempts are rare, so they count however old the last is. */
  readonly #held = new Set<string>();
  /** Endpoints that poll by decision, and since when. */
  readonly #downgraded = new Map<string, number>();
  #incident: Incident | undefined;
  #lastAboveAt = 0;

  /**
   * @param ratio > 0; 1: never an incident
   * @param windowMs `connect_failure_window`
   */
  constructor(ratio: number, windowMs: number) {
    this.#ratio = ratio;
    this.#windowMs = windowMs;
  }

  get incident(): Incident | undefined {
    return this.#incident;
  }

  /** When {@link judge} can find the incident over; undefined without one. Monotonic milliseconds. */
  get overAt(): number | undefined {
    return this.#incident && this.#lastAboveAt + this.#windowMs;
  }

  /** A failure that counts against an endpoint's budget. */
  failed(name: string, now: number): void {
    if (this.#held.has(name)) return;
    this.#failing.delete(name);
    this.#failing.set(name, now);
  }

  /** A downgrade was held or taken back; or a stream of such an endpoint has ended again. */
  held(name: string): void {
    this.forget(name);
    this.#held.add(name);
  }

  /** Polling took over. It goes on counting as failing for one window. */
  downgraded(name: string, now: number): void {
    this.#downgraded.set(name, now);
  }

  /** A stream is open, or the endpoint is gone. */
  forget(name: string): void {
    this.#failing.delete(name);
    this.#held.delete(name);
    this.#downgraded.delete(name);
  }

  /**
   * To be called after each of the above, and at {@link overAt}.
   * @param autoEndpoints in mode `auto`, whatever they do
   * @returns what has changed
   */
  judge(now: number, autoEndpoints: number): 'began' | 'over' | undefined {
    const from = now - this.#windowMs;
    for (const [name, at] of this.#failing) {
      if (at > from) break;
      this.#failing.delete(name);
    }
    let eligible = autoEndpoints;
    for (const [name, at] of this.#downgraded) if (at <= from && !this.#failing.has(name)) eligible--;
    const failing = this.#failing.size + this.#held.size;
    const share = eligible === 0 ? 0 : failing / eligible;
    const above = this.#ratio < 1 && eligible >= LEAST_FLEET && share > this.#ratio;
    if (above) {
      this.#lastAboveAt = now;
      const began = this.#incident === undefined;
      this.#incident = { since: this.#incident?.since ?? now, share, failing };
      return began ? 'began' : undefined;
    }
    if (this.#incident) this.#incident = { ...this.#incident, share, failing };
    if (!this.#incident || now < this.#lastAboveAt + this.#windowMs) return undefined;
    this.#incident = undefined;
    return 'over';
  }
}
