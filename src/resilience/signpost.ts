/** Lets waiters know that something they wait for may have come. They look for themselves. */
export class Signpost {
  readonly #waiting = new Set<() => void>();

  /** Whether anybody waits. */
  get isWatched(): boolean {
    return this.#waiting.size > 0;
  }

  show(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Resolves at the next {@link show}, or when the signal aborts. */
  reached(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      if (signal.aborted) return resolve();
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}
