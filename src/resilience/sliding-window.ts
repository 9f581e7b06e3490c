/**
 * Counts events inside a window that truly slides: an event at `t` counts for every `now` with
 * `now - windowMs < t <= now`. Four events before and four after any boundary count together when one window holds
 * them; a count that is reset in blocks would miss them.
 */
export class SlidingWindow<T> {
  readonly #windowMs: number;
  #events: { readonly at: number; readonly what: T }[] = [];

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** @param now monotonic milliseconds; calls come in order of time */
  add(now: number, what: T): void {
    this.#events.push({ at: now, what });
  }

  /** What lies inside the window, oldest first. Forgets the rest. */
  at(now: number): readonly T[] {
    this.#events = this.#events.filter((event) => event.at > now - this.#windowMs);
    return this.#events.map((event) => event.what);
  }

  clear(): void {
    this.#events = [];
  }
}
