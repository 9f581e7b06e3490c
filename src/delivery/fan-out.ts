import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { ConsumeContext, LogsConsumer, MetricsConsumer } from '../component/consumer.ts';
import { describeError, PermanentError, RetryableError } from '../component/errors.ts';
import type { LogBatch } from '../telemetry/log-batch.ts';

/**
 * Gives every batch to all consumers at once, waits for all, and rejects if any rejected. Offered the same batch object
 * again it calls only those that have not acknowledged it yet, so one slow exporter does not double data at the others.
 */
export function fanOutLogs(consumers: readonly LogsConsumer[]): LogsConsumer {
  if (consumers.length === 1) return consumers[0]!;
  return { consumeLogs: fanOut<LogBatch>(consumers.map((one) => (batch, context) => one.consumeLogs(batch, context))) };
}

/** As {@link fanOutLogs}, for metrics. */
export function fanOutMetrics(consumers: readonly MetricsConsumer[]): MetricsConsumer {
  if (consumers.length === 1) return consumers[0]!;
  return {
    consumeMetrics: fanOut<ResourceMetrics>(
      consumers.map((one) => (data, context) => one.consumeMetrics(data, context)),
    ),
  };
}

type Consume<Data> = (data: Data, context: ConsumeContext) => Promise<void>;

function fanOut<Data extends object>(consumers: readonly Consume<Data>[]): Consume<Data> {
  const acknowledged = new WeakMap<Data, Set<Consume<Data>>>();

  return async (data, context) => {
    const done = acknowledged.get(data) ?? new Set();
    acknowledged.set(data, done);
    const errors: unknown[] = [];
    const offer = async (consume: Consume<Data>) => {
      try {
        await consume(data, context);
        done.add(consume);
      } catch (error) {
        errors.push(error);
        // Not to be offered again: this consumer has decided.
        if (error instanceof PermanentError) done.add(consume);
      }
    };
    await Promise.all(consumers.filter((consume) => !done.has(consume)).map(offer));
    if (errors.length > 0) throw join(errors);
  };
}

/** Permanent only if all are: as long as one consumer can still take the batch, it must be offered again. */
function join(errors: unknown[]): unknown {
  if (errors.length === 1) return errors[0];
  const text = errors.map(describeError).join('; ');
  const cause = new AggregateError(errors);
  if (errors.every((error) => error instanceof PermanentError))
    return new PermanentError('export_rejected', text, { cause });
  const retryable = errors.filter((error) => error instanceof RetryableError);
  const afterMs = Math.max(0, ...retryable.map((error) => error.afterMs ?? 0));
  return new RetryableError(retryable[0]?.code ?? 'queue_full', text, { cause, ...(afterMs > 0 && { afterMs }) });
}
