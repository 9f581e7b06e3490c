import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { Component } from './component.ts';

/** What became of one attempt. A `Sender` returns one for every call; weather is a value, not an exception. */
export type SendResult =
  /** 2xx. `rejected` records of the request were refused by name (`partial_success`) and must not be sent again. */
  | { readonly kind: 'accepted'; readonly rejected?: number; readonly message?: string }
  /** Send the same again, not before `afterMs` (what the peer asked for). */
  | { readonly kind: 'retry'; readonly reason: string; readonly status?: number; readonly afterMs?: number }
  /** The data is at fault: never send it again. */
  | { readonly kind: 'reject'; readonly reason: string; readonly status?: number };

/** Goes with every attempt. */
export interface SendContext {
  /** Aborts the attempt: its `timeout` has passed, or the agent stops. */
  readonly signal: AbortSignal;
}

/**
 * What an exporter author writes. It never retries, queues or drops: queue, batch, retry and their metrics come from
 * `src/delivery` around it. `sendLogs` is called from up to `sending_queue::num_consumers` places at once.
 */
export interface Sender extends Partial<Component> {
  sendLogs?(records: readonly ReadableLogRecord[], context: SendContext): Promise<SendResult>;
}
