import type { SendResult } from '../component/exporter.ts';
import type { DeadLetterReason } from '../component/storage.ts';
import type { RequestState } from './act.ts';
import type { QueueItem } from './queue.ts';

/** The values of one request and what it has met so far. */
export class OutgoingRequest<Value> {
  items: readonly QueueItem<Value>[];
  /** The same object for every attempt, so that a sender can keep what it encoded. */
  values: readonly Value[];
  /** The batch that it is a part of, and how many of its values were refused so far. */
  readonly batch: { readonly size: number; refused: number };
  attempts = 0;
  /** Its last attempt began after the stop had. */
  triedWhileDraining = false;
  /** A result that blames the data, until an empty request has proven it. */
  unproven: SendResult | undefined;
  /** It is not to be sent any more; the dead letters had no room for it yet. */
  condemned: { readonly reason: DeadLetterReason; readonly result: SendResult } | undefined;
  #serverErrors = 0;
  #timeouts = 0;
  #failingSince = Number.POSITIVE_INFINITY;

  constructor(items: readonly QueueItem<Value>[], batch = { size: items.length, refused: 0 }) {
    this.batch = batch;
    this.items = items;
    this.values = items.map(({ value }) => value);
  }

  /** Records or points in it. */
  get count(): number {
    return this.items.reduce((sum, { count }) => sum + count, 0);
  }

  get state(): RequestState {
    return {
      size: this.items.length,
      serverErrors: this.#serverErrors,
      timeouts: this.#timeouts,
      failingSince: this.#failingSince,
    };
  }

  failed(result: SendResult, now: number): void {
    this.attempts++;
    this.#failingSince = Math.min(this.#failingSince, now);
    if (result.kind !== 'suspect') return;
    if (result.cause === 'timeout') this.#timeouts++;
    else this.#serverErrors++;
  }

  /** Takes out what its caller has back. */
  dropAbandoned(tell: (items: readonly QueueItem<Value>[]) => void): void {
    const gone = this.items.filter(({ abandoned }) => abandoned);
    if (gone.length === 0) return;
    tell(gone);
    this.items = this.items.filter(({ abandoned }) => !abandoned);
    this.values = this.items.map(({ value }) => value);
  }

  /**
   * Both halves are as suspect as the whole, but need evidence of their own: the backend may have failed meanwhile. A
   * value that stands alone begins anew with its timeouts.
   */
  halves(): OutgoingRequest<Value>[] {
    const middle = this.items.length >> 1;
    return [this.items.slice(0, middle), this.items.slice(middle)].map((items) => {
      const half = new OutgoingRequest(items, this.batch);
      half.attempts = this.attempts;
      half.#serverErrors = this.#serverErrors;
      half.#timeouts = items.length === 1 ? 0 : this.#timeouts;
      return half;
    });
  }
}
