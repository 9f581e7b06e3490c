import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { LogBatch } from '../telemetry/log-batch.ts';

/** Goes with every call of a consumer. */
export interface ConsumeContext {
  /** Aborts the wait. What was not delivered by then is in no queue, and the promise rejects with `RetryableError`. */
  readonly signal: AbortSignal;
  /**
   * Attributes of the series in which a receiver's calls are counted, such as `transport` (`sse`, `poll`, `probe`). Values come from
   * closed lists or from the configuration. Whoever passes data on passes its context on.
   */
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * The next stage of a pipeline.
 *
 * **A resolved promise is the acknowledgement**: the data was delivered, or is durably queued, or is in the
 * dead-letter store. A rejection is a `RetryableError` (offer the same batch again, later) or a `PermanentError`
 * (never again; count it and move on). Waiting for the promise is the only backpressure there is.
 *
 * **Cursor rule.** A receiver stores its read position only after the promise resolved. Records first, cursor second:
 * a crash between the two gives duplicates with equal `log.record.uid`, never loss.
 */
export interface LogsConsumer {
  /** Called any number of times, concurrently too. The batch is readonly from the call on. */
  consumeLogs(batch: LogBatch, context: ConsumeContext): Promise<void>;
}

/** As {@link LogsConsumer}, for metrics. */
export interface MetricsConsumer {
  consumeMetrics(metrics: ResourceMetrics, context: ConsumeContext): Promise<void>;
}

/** The consumers a receiver feeds: one per signal that its pipelines give it. */
export interface NextConsumers {
  readonly logs?: LogsConsumer;
  readonly metrics?: MetricsConsumer;
}
