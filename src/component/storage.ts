import type { Signal } from './factory.ts';

/**
 * Durable state of components: queues of exporters with their dead letters, and positions of receivers. Everything that
 * is ready at the same time is written in one transaction, and a promise resolves when its transaction has been
 * committed and synced.
 */
export interface Storage {
  /**
   * A table of texts, one per namespace.
   * @param kind `position`: may be dropped after damage, since the owner then reads its source again; `keep`: is never
   *   dropped for the sake of something else
   */
  keyValue(namespace: string, kind: KeyValueKind): KeyValue;
  /** The queue of one exporter and signal. Asked for after the storage has started; one object per name, with one listener. */
  queue(name: QueueName): Promise<StoredQueue>;
}

export type KeyValueKind = 'position' | 'keep';

export interface QueueName {
  /** `type[/name]`. */
  readonly exporter: string;
  readonly signal: Signal;
}

/** Keys are at most 512 bytes, values at most 1 MiB, all namespaces together a fifth of the store. */
export interface KeyValue {
  /**
   * Writes several values in one transaction; `undefined` deletes. Of several writes to one key that wait together, the
   * last is written.
   * @throws RetryableError `storage_kv_full`, `storage_full`, `storage_io`, `storage_worker`
   */
  set(values: Readonly<Record<string, string | undefined>>): Promise<void>;
  /** All values whose key begins with the prefix, by key. */
  list(prefix: string): Promise<ReadonlyMap<string, string>>;
}

/** Why a record was set aside. Users match on these words. */
export const DEAD_LETTER_REASONS = [
  'rejected',
  'too_large',
  'partial_success',
  'reply_unreadable',
  'server_error',
  'timeout',
  'setup',
  'retries_exhausted',
  'corrupt',
] as const;
export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number];

/** What is noted about records that are set aside together. */
export interface DeadLetterNote {
  readonly reason: DeadLetterReason;
  /** HTTP status, where there was one. */
  readonly status?: number | undefined;
  readonly message: string;
  readonly attempts: number;
  /**
   * Of a `partial_success`: how many of these records were refused. Which of them is unknown, so all are kept as one
   * group that counts as this many.
   */
  readonly groupRejected?: number;
}

/** One record as it was appended. */
export interface StoredRow {
  readonly seq: number;
  /** What rows of one batch share, as given to `append`. */
  readonly context: string;
  readonly body: string;
  /** The stored bytes are not what was written; `body` is what is left of them. */
  readonly corrupt: boolean;
}

/** What a store holds for one queue, as of the last transaction. */
export interface QueueTotals {
  /** Rows that wait. */
  readonly queued: number;
  /** Records or points in them. */
  readonly points: number;
  /** Bytes of their bodies. */
  readonly bytes: number;
  /** Records or points that were ever appended. */
  readonly appended: number;
  /** Records that are set aside; a group counts what was refused of it. */
  readonly deadLetters: number;
  readonly deadLetterBytes: number;
  /** When the oldest was set aside; milliseconds since the epoch. */
  readonly oldestDeadLetterMs: number | undefined;
}

/** What became of dead letters without the exporter's doing. */
export interface DeadLetterChange {
  readonly kind: 'redriven' | 'dropped' | 'evicted';
  readonly reason: DeadLetterReason;
  /** As they are counted: a group counts what was refused of it. */
  readonly records: number;
  readonly rows: number;
}

/** What rows hold together. */
export interface RowsSize {
  /** Records or points. */
  readonly points: number;
  /** Bytes of their bodies. */
  readonly bytes: number;
}

/**
 * Rows in the order of their `seq`, which rises without a gap while nothing else writes to the queue. Every method may
 * be called while others are under way; they take effect in the order of the calls.
 */
export interface StoredQueue {
  readonly totals: QueueTotals;
  /** For people: where the store is. */
  readonly location: string;
  /** Bytes that all dead letters of the store may take. */
  readonly deadLetterCapacityBytes: number;
  /** Largest `seq` that was ever given out; 0 in a new store. */
  readonly lastSeq: number;
  /**
   * Resolves with the `seq` of the first row when all are committed; the others follow it one by one. Waits for room.
   * @param bodies texts without line ends, such as JSON
   * @param points records or points in all of them
   * @throws RetryableError `queue_full` when the signal aborts before the transaction begins; else as `KeyValue.set`
   */
  append(context: string, bodies: readonly string[], points: number, signal: AbortSignal): Promise<number>;
  /** The oldest rows after a `seq`; at least one if there is any, then as many as fit into `maxBytes`. */
  read(afterSeq: number, maxBytes: number): Promise<readonly StoredRow[]>;
  /** They were delivered. Rows that are not there are passed over. */
  remove(seqs: readonly number[], size: RowsSize): Promise<void>;
  /**
   * Moves rows to the dead letters, in one transaction.
   * @returns false, moving nothing, when the dead letters have no room and must not push others out
   */
  setAside(seqs: readonly number[], note: DeadLetterNote): Promise<boolean>;
  /**
   * Puts dead letters of this reason back to the end of the queue that were set aside before `beforeMs` (since the
   * epoch) and put back fewer than `maxRedrives` times.
   */
  redrive(reason: DeadLetterReason, beforeMs: number, maxRedrives: number): Promise<void>;
  /**
   * Called after each transaction that touched this queue, and with what became of dead letters in it. One listener.
   * Promises of that transaction resolve after the call.
   */
  onChange(listener: (changes: readonly DeadLetterChange[]) => void): void;
}
