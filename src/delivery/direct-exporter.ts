import type { Component, Host } from '../component/component.ts';
import type { ConsumeContext, LogsConsumer } from '../component/consumer.ts';
import { PermanentError, RetryableError } from '../component/errors.ts';
import type { Sender } from '../component/exporter.ts';
import type { LogBatch } from '../telemetry/log-batch.ts';

/** An exporter without delivery settings: each batch is sent at once, and its result is the answer. */
export class DirectExporter implements Component, LogsConsumer {
  readonly #sender: Sender;
  readonly #host: Host;

  constructor(sender: Sender, host: Host) {
    this.#sender = sender;
    this.#host = host;
  }

  async start(): Promise<void> {
    await this.#sender.start?.(this.#host);
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    await this.#sender.shutdown?.(signal);
  }

  async consumeLogs(batch: LogBatch, context: ConsumeContext): Promise<void> {
    const result = await this.#sender.sendLogs!(batch.records, context);
    if (result.kind === 'retry') throw new RetryableError('queue_full', result.reason);
    if (result.kind === 'reject') throw new PermanentError('export_rejected', result.reason);
  }
}
