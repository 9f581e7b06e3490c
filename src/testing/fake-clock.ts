import type { Clock } from '../component/clock.ts';

interface Sleeper {
  readonly wakeAt: number;
  readonly order: number;
  wake(): void;
}

/** A clock that stands still until the test moves it. */
export class FakeClock implements Clock {
  #ms = 0;
  #order = 0;
  readonly #epochNanos: bigint;
  readonly #sleepers = new Set<Sleeper>();

  /** @param start wall clock at monotonic 0 */
  constructor(start = '2026-11-25T12:00:00Z') {
    this.#epochNanos = BigInt(Date.parse(start)) * 1_000_000n;
  }

  get sleeping(): number {
    return this.#sleepers.size;
  }

  now(): bigint {
    return this.#epochNanos + BigInt(Math.round(this.#ms * 1e6));
  }

  monotonic(): number {
    return this.#ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const sleeper: Sleeper = {
        wakeAt: this.#ms + Math.max(0, ms),
        order: this.#order++,
        wake: () => {
          signal?.removeEventListener('abort', aborted);
          resolve();
        },
      };
      const aborted = () => {
        this.#sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', aborted, { once: true });
      this.#sleepers.add(sleeper);
    });
  }

  /** Moves time forward, waking every sleeper at its own instant and letting its work settle before the next. */
  async advance(ms: number): Promise<void> {
    const end = this.#ms + ms;
    await settle();
    for (;;) {
      const next = [...this.#sleepers].sort((a, b) => a.wakeAt - b.wakeAt || a.order - b.order)[0];
      if (!next || next.wakeAt > end) break;
      this.#ms = Math.max(this.#ms, next.wakeAt);
      this.#sleepers.delete(next);
      next.wake();
      await settle();
    }
    this.#ms = end;
  }
}

/** Lets all work run that needs no time and no I/O. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
