import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { RetryableError } from '../component/errors.ts';
import { estimateBytes } from './record-size.ts';

/** Records that were offered together and are acknowledged together. */
export interface QueueItem {
  readonly records: readonly ReadableLogRecord[];
  readonly bytes: number;
  /** The caller waits no longer: drop the item as soon as it is noticed. */
  readonly signal: AbortSignal;
  /** Ends the caller's wait. Called exactly once. */
  settle(error?: Error): void;
}

export interface QueueLimits {
  readonly maxRecords: number;
  readonly maxBytes: number;
}

/**
 * A bounded queue in memory. `put` waits for room and resolves when its records were settled, so what it holds is
 * never more than what callers still wait for: a process that dies loses nothing that was acknowledged.
 */
export class MemoryQueue {
  readonly #limits: QueueLimits;
  readonly #items: QueueItem[] = [];
  readonly #waitingForRoom: (() => void)[] = [];
  #waitingForItems: (() => void) | undefined;
  #queuedRecords = 0;
  #heldRecords = 0;
  #heldBytes = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** Records that are queued or in flight. */
  get heldRecords(): number {
    return this.#heldRecords;
  }

  /** Records that are queued and not in flight. */
  get queuedRecords(): number {
    return this.#queuedRecords;
  }

  /**
   * Resolves when the records are settled, rejects with the error they were settled with, or with `RetryableError`
   * `queue_full` when the signal aborts first. Items are taken in the order in which their callers came.
   */
  async put(records: readonly ReadableLogRecord[], signal: AbortSignal): Promise<void> {
    const bytes = records.reduce((sum, record) => sum + estimateBytes(record), 0);
    while (this.#heldRecords > 0 && !this.#fits(records.length, bytes)) await this.#room(signal);
    if (signal.aborted) throw refusal(signal);
    this.#heldRecords += records.length;
    this.#heldBytes += bytes;
    return new Promise((resolve, reject) => {
      let settled = false;
      const settle = (error?: Error) => {
        if (settled) return;
        settled = true;
        signal.removeEventListener('abort', abandoned);
        this.#heldRecords -= records.length;
        this.#heldBytes -= bytes;
        for (const wake of this.#waitingForRoom.splice(0)) wake();
        if (error) reject(error);
        else resolve();
      };
      const item: QueueItem = { records, bytes, signal, settle };
      const abandoned = () => {
        const place = this.#items.indexOf(item);
        if (place >= 0) this.#remove(place, 1);
        settle(refusal(signal));
      };
      signal.addEventListener('abort', abandoned, { once: true });
      this.#items.push(item);
      this.#queuedRecords += records.length;
      this.#waitingForItems?.();
    });
  }

  /** Takes the oldest items whose records fit into `maxRecords` together; at least one item if there is any. */
  take(maxRecords: number): QueueItem[] {
    let count = 0;
    let records = 0;
    for (const item of this.#items) {
      if (count > 0 && records + item.records.length > maxRecords) break;
      count++;
      records += item.records.length;
    }
    return this.#remove(0, count);
  }

  /** Resolves at the next `put`, or when the signal aborts. One waiter at a time. */
  arrival(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        this.#waitingForItems = undefined;
        resolve();
      };
      if (signal.aborted) return resolve();
      signal.addEventListener('abort', wake, { once: true });
      this.#waitingForItems = wake;
    });
  }

  #remove(place: number, count: number): QueueItem[] {
    const removed = this.#items.splice(place, count);
    for (const item of removed) this.#queuedRecords -= item.records.length;
    return removed;
  }

  #fits(records: number, bytes: number): boolean {
    return this.#heldRecords + records <= this.#limits.maxRecords && this.#heldBytes + bytes <= this.#limits.maxBytes;
  }

  #room(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(refusal(signal));
      const aborted = () => reject(refusal(signal));
      signal.addEventListener('abort', aborted, { once: true });
      this.#waitingForRoom.push(() => {
        signal.removeEventListener('abort', aborted);
        resolve();
      });
    });
  }
}

/** Why the caller's records were not taken: the agent stops, or nobody took them while it waited. */
function refusal({ reason }: AbortSignal): RetryableError {
  if (reason instanceof RetryableError) return reason;
  return new RetryableError('queue_full', 'the records were not delivered while the caller waited', {
    hint: 'the backend of this exporter is slow or down',
  });
}
