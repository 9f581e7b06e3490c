import { PermanentError, RetryableError } from '../component/errors.ts';
import type { DeadLetterNote } from '../component/storage.ts';
import { Signpost } from '../resilience/signpost.ts';
import { Fifo } from './fifo.ts';
import type { Queue, QueueFigures, QueueItem, Recovered } from './queue.ts';
import type { QueueLimits } from './settings.ts';
import type { SignalKind } from './signals.ts';

/** Values that were offered together. They are one request for the sizer, and are acknowledged together. */
class Offer {
  readonly size: number;
  readonly #done: ((error?: Error) => void) | undefined;
  #left: number;
  #error: Error | undefined;
  #delivered = 0;
  abandoned = false;

  constructor(values: number, size: number, done: ((error?: Error) => void) | undefined) {
    this.#left = values;
    this.size = size;
    this.#done = done;
  }

  /** Whether somebody waits for the result; if not, the values are acknowledged, and losing one is a loss. */
  get isAwaited(): boolean {
    return this.#done !== undefined;
  }

  /** @returns whether it was the last one */
  settle(error?: Error): boolean {
    if (error) this.#error = error instanceof PermanentError ? (this.#error ?? error) : error;
    else this.#delivered++;
    if (--this.#left > 0) return false;
    // What can be offered again must be; a refusal of some must not have the delivered ones offered again.
    const refusedInPart = this.#error instanceof PermanentError && this.#delivered > 0;
    this.#done?.(refusedInPart ? undefined : this.#error);
    return true;
  }
}

class Item<Value> implements QueueItem<Value> {
  readonly value: Value;
  readonly count: number;
  readonly bytes: number;
  readonly offer: Offer;

  constructor(value: Value, count: number, bytes: number, offer: Offer) {
    this.value = value;
    this.count = count;
    this.bytes = bytes;
    this.offer = offer;
  }

  get abandoned(): boolean {
    return this.offer.abandoned;
  }
}

/** A bounded queue in memory: what it holds is lost with the process, unless its callers wait for the result. */
export class MemoryQueue<Batch, Value> implements Queue<Batch, Value> {
  readonly #kind: SignalKind<Batch, Value>;
  readonly #limits: QueueLimits;
  readonly #onCoalesced: (points: number) => void;
  readonly #items = new Fifo<Item<Value>>();
  readonly #arrival = new Signpost();
  readonly #room = new Signpost();
  #accepted = 0;
  #queued = 0;
  #inFlight = 0;
  #readyBytes = 0;
  #heldBytes = 0;
  #size = 0;

  /** @param onCoalesced is told how many points a newer export has replaced */
  constructor(kind: SignalKind<Batch, Value>, limits: QueueLimits, onCoalesced: (points: number) => void = () => {}) {
    this.#kind = kind;
    this.#limits = limits;
    this.#onCoalesced = onCoalesced;
  }

  async start(): Promise<Recovered> {
    return { queued: 0, deadLetters: 0 };
  }

  get figures(): QueueFigures {
    return {
      ...{ accepted: this.#accepted, recovered: 0, queued: this.#queued, inFlight: this.#inFlight, deadLetters: 0 },
      ...{ size: this.#size, capacity: this.#limits.queueSize },
    };
  }

  get ready() {
    return { items: this.#items.length, bytes: this.#readyBytes };
  }

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  async put(batch: Batch, signal: AbortSignal): Promise<void> {
    const values = this.#kind.values(batch);
    const bytes = values.reduce((sum, value) => sum + this.#kind.bytes(value), 0);
    const size = this.#sizeOf(values);
    while (!this.#fits(size, bytes) && !this.#coalesce(values)) {
      if (!this.#limits.blockOnOverflow)
        throw new RetryableError('queue_full', `the queue holds ${this.#size} of ${this.#limits.queueSize}`);
      await this.#room.reached(signal);
      if (signal.aborted) throw gaveUp(signal);
    }
    if (values.length === 0) return;
    if (!this.#limits.waitForResult) return this.#add(values, new Offer(values.length, size, undefined));
    return new Promise((resolve, reject) => {
      const done = (error?: Error) => {
        signal.removeEventListener('abort', abandoned);
        if (error) reject(error);
        else resolve();
      };
      const offer = new Offer(values.length, size, done);
      const abandoned = () => {
        offer.abandoned = true;
        this.#removeAbandoned();
        reject(gaveUp(signal));
      };
      if (signal.aborted) return reject(gaveUp(signal));
      signal.addEventListener('abort', abandoned, { once: true });
      this.#add(values, offer);
    });
  }

  /** What another queue has acknowledged and could not deliver: taken whatever the limits say, since nobody offers it again. */
  inherit(values: readonly Value[]): void {
    this.#add(values, new Offer(values.length, this.#sizeOf(values), undefined));
  }

  take(maxItems: number, maxBytes: number): Item<Value>[] {
    const taken: Item<Value>[] = [];
    let bytes = 0;
    for (let next = this.#items.first(); next && taken.length < maxItems; next = this.#items.first()) {
      bytes += next.bytes;
      if (taken.length > 0 && bytes > maxBytes) break;
      this.#leaveQueue(next);
      this.#inFlight += next.count;
      taken.push(this.#items.shift()!);
    }
    return taken;
  }

  arrival(signal: AbortSignal): Promise<void> {
    return this.#arrival.reached(signal);
  }

  async settle(items: readonly Item<Value>[]): Promise<void> {
    for (const item of items) this.#end(item);
  }

  async setAside(items: readonly Item<Value>[], { message, reason }: DeadLetterNote): Promise<'dropped' | 'returned'> {
    if (reason === 'retries_exhausted' && items.every(({ offer }) => offer.isAwaited)) {
      this.fail(items, new RetryableError('export_outage', message));
      return 'returned';
    }
    for (const item of items) this.#end(item, new PermanentError('export_rejected', message));
    return 'dropped';
  }

  fail(items: readonly Item<Value>[], error: Error): number {
    let lost = 0;
    for (const item of items) {
      if (!item.offer.isAwaited) lost += item.count;
      this.#end(item, error);
    }
    return lost;
  }

  giveBack(items: readonly Item<Value>[]): void {
    for (const item of items) {
      this.#inFlight -= item.count;
      this.#enter(item);
    }
    this.#arrival.show();
  }

  /** In the unit of `sizer`. */
  #sizeOf(values: readonly Value[]): number {
    const { count, bytes } = this.#kind;
    const of = { requests: () => 0, items: count, bytes }[this.#limits.sizer];
    return values.reduce((sum, value) => sum + of(value), this.#limits.sizer === 'requests' ? 1 : 0);
  }

  #add(values: readonly Value[], offer: Offer): void {
    this.#size += offer.size;
    for (const value of values) {
      const item = new Item(value, this.#kind.count(value), this.#kind.bytes(value), offer);
      this.#heldBytes += item.bytes;
      if (!offer.isAwaited) this.#accepted += item.count;
      this.#enter(item);
    }
    this.#arrival.show();
  }

  #enter(item: Item<Value>): void {
    this.#queued += item.count;
    this.#readyBytes += item.bytes;
    this.#items.push(item);
  }

  #leaveQueue(item: Item<Value>): void {
    this.#queued -= item.count;
    this.#readyBytes -= item.bytes;
  }

  /** An item that was taken is over. */
  #end(item: Item<Value>, error?: Error): void {
    this.#inFlight -= item.count;
    if (item.offer.isAwaited && !item.abandoned && !(error instanceof RetryableError)) this.#accepted += item.count;
    this.#release(item, error);
  }

  #release(item: Item<Value>, error?: Error): void {
    this.#heldBytes -= item.bytes;
    if (!item.offer.settle(error)) return;
    this.#size -= item.offer.size;
    this.#room.show();
  }

  #removeAbandoned(): void {
    this.#items.keep((item) => {
      if (!item.abandoned) return true;
      this.#leaveQueue(item);
      this.#release(item);
      return false;
    });
  }

  /** Only when the queue is full: takes out the oldest value that the new one replaces. */
  #coalesce(values: readonly Value[]): boolean {
    const [newer] = values;
    const { replaces } = this.#kind;
    if (newer === undefined || !replaces || this.#limits.waitForResult) return false;
    const older = [...this.#items].find((item) => replaces(newer, item.value));
    if (!older) return false;
    this.#items.keep((item) => item !== older);
    this.#leaveQueue(older);
    this.#release(older);
    this.#onCoalesced(older.count);
    return true;
  }

  /** What is larger than the whole queue fits when nothing else is there. */
  #fits(size: number, bytes: number): boolean {
    if (this.#size === 0) return true;
    return this.#size + size <= this.#limits.queueSize && this.#heldBytes + bytes <= this.#limits.maxMemoryBytes;
  }
}

/** Why the caller's records were not taken: the agent stops, or nobody took them while it waited. */
export function gaveUp({ reason }: AbortSignal): RetryableError {
  if (reason instanceof RetryableError) return reason;
  return new RetryableError('queue_full', 'the records were not taken while the caller waited', {
    hint: 'the backend of this exporter is slow or down',
  });
}
