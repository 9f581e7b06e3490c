import type { DeadLetterNote } from '../component/storage.ts';

/** One value on its way. */
export interface QueueItem<Value> {
  readonly value: Value;
  /** Records or points in it. */
  readonly count: number;
  /** What it holds in memory, estimated. */
  readonly bytes: number;
  /** Its caller waits no longer and has its data back: it must not be sent any more. */
  readonly abandoned?: boolean;
}

/** What was found in a store at start; zeros without one. */
export interface Recovered {
  readonly queued: number;
  readonly deadLetters: number;
}

/** Numbers of a queue, in records or points. */
export interface QueueFigures {
  /** Acknowledged to their sources since the start. */
  readonly accepted: number;
  readonly recovered: number;
  /** Waiting. */
  readonly queued: number;
  /** Taken, and neither delivered nor set aside yet. */
  readonly inFlight: number;
  readonly deadLetters: number;
  /** In the unit of `sizer`. */
  readonly size: number;
  /** In the unit of `sizer`; Infinity: bounded by its store only. */
  readonly capacity: number;
}

/**
 * What waits for a backend. `put` on one side; on the other `take`, and for each item that was taken exactly one of
 * `settle`, `setAside`, `fail` and `giveBack`.
 */
export interface Queue<Batch, Value> {
  readonly figures: QueueFigures;
  /** Before anything else. */
  start(): Promise<Recovered>;
  /**
   * Resolves when the batch is in the queue's keeping.
   * @throws RetryableError `queue_full` when there is no room, or when the signal aborts first
   */
  put(batch: Batch, signal: AbortSignal): Promise<void>;
  /** Items that `take` can give at once, and their bytes. */
  readonly ready: { readonly items: number; readonly bytes: number };
  /** Whether nothing waits, here or on disk. */
  readonly isEmpty: boolean;
  /** The oldest, within both limits; at least one if any is ready. */
  take(maxItems: number, maxBytes: number): QueueItem<Value>[];
  /** Resolves when more may be ready, or when the signal aborts. One waiter at a time. */
  arrival(signal: AbortSignal): Promise<void>;
  /** They were delivered. Resolves when that is noted. */
  settle(items: readonly QueueItem<Value>[]): Promise<void>;
  /**
   * They will not be sent again. Resolves with `dropped` where there is no store to keep them, with `full` (and they
   * stay taken) when it has no room, with `returned` when their callers still wait and may offer them again.
   */
  setAside(items: readonly QueueItem<Value>[], note: DeadLetterNote): Promise<'kept' | 'dropped' | 'full' | 'returned'>;
  /** They are not sent while this process lives. @returns how many of them are lost with it */
  fail(items: readonly QueueItem<Value>[], error: Error): number;
  /** They wait again, behind all others. */
  giveBack(items: readonly QueueItem<Value>[]): void;
}
