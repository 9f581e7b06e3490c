import type { ErrorCode } from '../../component/error-codes.ts';
import type { DeadLetterNote, DeadLetterReason, KeyValueKind, QueueName, RowsSize } from '../../component/storage.ts';
import type { DeadLetterCount, Totals } from './database.ts';

/** What the worker thread is started with. */
export interface StoreOptions {
  readonly file: string;
  readonly ballastFile: string;
  readonly maxBytes: number;
  readonly deadLetterMaxBytes: number;
  readonly deadLetterOnFull: 'hold' | 'drop_oldest';
  readonly keyValueMaxBytes: number;
  /** 0: none. */
  readonly ballastBytes: number;
}

/**
 * One thing to do. The ops of a group share a transaction. The bodies of an `append` are the lines of one text: it crosses
 * to the thread in half the time that a hundred short ones take.
 */
export type Op =
  | { readonly kind: 'queue'; readonly name: QueueName }
  | {
      readonly kind: 'append';
      readonly queue: number;
      readonly context: string;
      readonly lines: string;
      readonly points: number;
    }
  | { readonly kind: 'remove'; readonly queue: number; readonly seqs: readonly number[]; readonly size: RowsSize }
  | {
      readonly kind: 'set_aside';
      readonly queue: number;
      readonly seqs: readonly number[];
      readonly note: DeadLetterNote;
    }
  | {
      readonly kind: 'redrive';
      readonly exporter: string;
      readonly reason: DeadLetterReason;
      readonly beforeMs: number;
      readonly maxRedrives: number;
    }
  | {
      readonly kind: 'set_values';
      readonly namespace: string;
      readonly namespaceKind: KeyValueKind;
      readonly values: Readonly<Record<string, string | undefined>>;
    }
  | { readonly kind: 'read'; readonly queue: number; readonly afterSeq: number; readonly maxBytes: number }
  | { readonly kind: 'queues' }
  | { readonly kind: 'list'; readonly namespace: string; readonly prefix: string };

/** To the worker. `tick`: whatever is done from time to time; at least every 2 s. */
export type Request = { readonly id: number } & (
  | { readonly ops: readonly Op[] }
  | { readonly tick: true }
  | { readonly close: true }
);

export type OpResult =
  | { readonly value: unknown }
  | { readonly error: { readonly code: ErrorCode; readonly message: string; readonly hint?: string } };

export interface Change extends DeadLetterCount {
  readonly kind: 'redriven' | 'dropped' | 'evicted';
}

/** How the store is after a request. */
export interface StoreState {
  /** Of every queue that was asked for. */
  readonly totals: readonly (readonly [queue: number, totals: Totals])[];
  readonly changes: readonly Change[];
  readonly fileBytes: number;
  /** Bytes in use that are neither dead letters nor positions. */
  readonly queueBytes: number;
  readonly commits: number;
  /** Duration of each commit since the last answer, in milliseconds. */
  readonly commitMs: readonly number[];
  readonly ioErrors: number;
  /** Times that the file was found damaged and replaced. */
  readonly corruptions: number;
  /** Things that an operator should read. */
  readonly warnings: readonly string[];
  /** The store cannot go on in this process. */
  readonly fatal?: string;
}

/** From the worker, one per request in the order of the requests. The first, with id 0, says that the store is open. */
export interface Reply {
  readonly id: number;
  readonly results: readonly OpResult[];
  readonly state: StoreState;
}
