import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { Component } from './component.ts';
import type { Signal } from './factory.ts';

/** What became of one attempt. A `Sender` returns one for every call; weather is a value, not an exception. */
export type SendResult =
  /** 2xx. `rejected` records of the request were refused by number (`partial_success`) and must not be sent again. */
  | { readonly kind: 'accepted'; readonly rejected?: number; readonly message?: string }
  /** Send the same again, not before `afterMs` (what the peer asked for). */
  | (Failure & { readonly kind: 'retry'; readonly afterMs?: number })
  /** As `retry`; but when only this request meets it again and again, its data may be at fault. */
  | (Failure & { readonly kind: 'suspect'; readonly cause: 'server_error' | 'timeout'; readonly afterMs?: number })
  /** The data is at fault: never send it again as it is. */
  | (Failure & { readonly kind: 'reject' })
  /** The request is too large, whatever is in it. */
  | (Failure & { readonly kind: 'too_large' })
  /** The set-up is at fault (a token, a path, a certificate), not the data. */
  | (Failure & { readonly kind: 'hold' })
  /** 2xx whose reply cannot be read: whether all was taken is unknown. */
  | (Failure & { readonly kind: 'unknown' });

interface Failure {
  /** For people, on one line. */
  readonly reason: string;
  /** HTTP status, where there was one. */
  readonly status?: number | undefined;
}

/** Goes with every attempt. */
export interface SendContext {
  /** Aborts the attempt: its `timeout` has passed, or the agent stops. */
  readonly signal: AbortSignal;
}

/**
 * What an exporter author writes. It never retries, queues or drops: queue, batch, retry, dead letters, metrics and
 * status come from `src/delivery` around it. Called from up to `sending_queue::num_consumers` places at once. A retry
 * passes the same object again, so what was encoded for it can be kept in a `WeakMap`.
 */
export interface Sender extends Partial<Component> {
  sendLogs?(records: readonly ReadableLogRecord[], context: SendContext): Promise<SendResult>;
  sendMetrics?(metrics: ResourceMetrics, context: SendContext): Promise<SendResult>;
  /**
   * Sends an empty request of this signal, to tell bad data from a bad set-up. Without it, other requests are the only
   * evidence.
   */
  probe?(signal: Signal, context: SendContext): Promise<SendResult>;
  /** Reads files of the set-up (token, certificates) again. Called before each attempt while the exporter is held. */
  refresh?(): Promise<void>;
}
