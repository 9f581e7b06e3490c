import { backoffDelay } from './backoff.ts';
import { Signpost } from './signpost.ts';

const BACKOFF = { initialMs: 1_000, maxMs: 30_000, multiplier: 2 };
/** Offered together at most. */
const MOST_TOGETHER = 512;

/** `taken`: delivered. `refused`: the same again, later. `rejected`: never again. */
export type OutboxAnswer = 'taken' | 'refused' | 'rejected';
/** Why something will never be sent: too many waited, it was rejected for good, or its owner stopped. */
export type OutboxDrop = 'overflow' | 'refused' | 'shutdown';

export interface OutboxOptions<T> {
  /** That may wait; > 0. */
  readonly most: number;
  /** Hands some on, in order. Never rejects. */
  readonly offer: (items: readonly T[], signal: AbortSignal) => Promise<OutboxAnswer>;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly onTaken?: (items: readonly T[]) => void;
  readonly onDropped: (count: number, why: OutboxDrop) => void;
}

/**
 * Things on their way out, in order. Adding one never waits; a bounded number does, and beyond it the oldest is dropped and
 * counted. They are not durable.
 */
export class Outbox<T> {
  readonly #items: T[] = [];
  readonly #options: OutboxOptions<T>;
  readonly #arrived = new Signpost();
  readonly #stop = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(options: OutboxOptions<T>) {
    this.#options = options;
  }

  start(): void {
    this.#loop = this.#deliver();
  }

  add(item: T): void {
    const { most, onDropped } = this.#options;
    this.#items.push(item);
    if (this.#items.length > most) {
      this.#items.shift();
      onDropped(1, 'overflow');
    }
    this.#arrived.show();
  }

  /**
   * One last attempt for what waits.
   * @param reason of the abort that an offer under way sees
   * @param signal aborts when the owner waits no longer
   */
  async stop(reason: Error, signal: AbortSignal): Promise<void> {
    this.#stop.abort(reason);
    const given = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.race([this.#loop, given]);
    while (this.#items.length > 0 && !signal.aborted && (await this.#offer(signal)) !== 'refused');
    if (this.#items.length > 0) this.#options.onDropped(this.#items.length, 'shutdown');
    this.#items.length = 0;
  }

  async #deliver(): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; ) {
      if (this.#items.length === 0) await this.#arrived.reached(signal);
      else if ((await this.#offer(signal)) !== 'refused') failures = 0;
      else await this.#options.sleep(backoffDelay(failures++, BACKOFF), signal).catch(() => {});
    }
  }

  async #offer(signal: AbortSignal): Promise<OutboxAnswer> {
    const { most, offer, onTaken, onDropped } = this.#options;
    const items = this.#items.splice(0, MOST_TOGETHER);
    const answer = await offer(items, signal);
    if (answer === 'taken') onTaken?.(items);
    else if (answer === 'rejected') onDropped(items.length, 'refused');
    else {
      const excess = Math.max(0, items.length + this.#items.length - most);
      if (excess > 0) onDropped(excess, 'overflow');
      this.#items.unshift(...items.slice(excess));
    }
    return answer;
  }
}
