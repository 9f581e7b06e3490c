/** Entries that an open stream did not tell, in two reconciles in a row without any event: it is silent. */
const SILENT_RECONCILES = 2;

/**
 * Whether an open stream tells what the logs hold. A service is covered once one of its entries came by a stream of this
 * endpoint; entries that a stream misses in a covered service, or in any while none was ever covered, speak against the
 * stream. Entries missed only in services that no stream ever told are a habit of the firmware: those are polled. Pure.
 */
export class Coverage {
  readonly #covered: Set<string>;
  /** Services with missed entries that no stream covers. */
  readonly #uncovered = new Set<string>();
  #silentReconciles = 0;

  /** @param covered as it was stored */
  constructor(covered: Iterable<string> = []) {
    this.#covered = new Set(covered);
  }

  get covered(): readonly string[] {
    return [...this.#covered];
  }

  /** Services that must be polled beside the stream. */
  get uncovered(): ReadonlySet<string> {
    return this.#uncovered;
  }

  /** A new stream has its own chance. */
  opened(): void {
    this.#silentReconciles = 0;
  }

  /** An event came, of whatever. */
  event(): void {
    this.#silentReconciles = 0;
  }

  /** An entry of this service came by stream. @returns whether that is new */
  tells(service: string): boolean {
    this.event();
    this.#uncovered.delete(service);
    if (this.#covered.has(service)) return false;
    this.#covered.add(service);
    return true;
  }

  /**
   * A reconcile and the time that a stream may be late are over.
   * @param missed services with entries that it did not tell
   * @returns whether the stream is silent
   */
  reconciled(missed: ReadonlySet<string>): boolean {
    const speaksAgainst = [...missed].some((service) => this.#covered.has(service)) || this.#covered.size === 0;
    if (missed.size === 0) return false;
    if (!speaksAgainst) {
      for (const service of missed) this.#uncovered.add(service);
      return false;
    }
    this.#silentReconciles++;
    return this.#silentReconciles >= SILENT_RECONCILES;
  }
}
