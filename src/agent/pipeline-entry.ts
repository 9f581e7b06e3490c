import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import { aborted } from '../component/aborted.ts';
import type { ConsumeContext, LogsConsumer, MetricsConsumer, NextConsumers } from '../component/consumer.ts';
import { RetryableError } from '../component/errors.ts';
import type { LogBatch } from '../telemetry/log-batch.ts';

/**
 * Where receivers hand data to a pipeline. It stays the same while what is behind it is replaced: who comes meanwhile waits, and is
 * served by what comes after. It begins so: what is behind it has to start first.
 */
export class PipelineEntry implements LogsConsumer, MetricsConsumer {
  #next: NextConsumers | undefined;
  #waiting: (() => void)[] = [];

  /** From now on everybody waits. */
  hold(): void {
    this.#next = undefined;
  }

  /** Everybody goes on, to here. */
  point(next: NextConsumers): void {
    this.#next = next;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async consumeLogs(batch: LogBatch, context: ConsumeContext): Promise<void> {
    await (await this.#open(context)).logs!.consumeLogs(batch, context);
  }

  async consumeMetrics(metrics: ResourceMetrics, context: ConsumeContext): Promise<void> {
    await (await this.#open(context)).metrics!.consumeMetrics(metrics, context);
  }

  async #open({ signal }: ConsumeContext): Promise<NextConsumers> {
    while (!this.#next) {
      const opened = new Promise<void>((resolve) => this.#waiting.push(resolve));
      await Promise.race([opened, aborted(signal)]);
      if (signal.aborted) throw new RetryableError('shutting_down', 'the pipeline is being replaced');
    }
    return this.#next;
  }
}
