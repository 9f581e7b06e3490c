import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { Host } from '../../src/component/component.ts';
import { describeError } from '../../src/component/errors.ts';
import type { SendContext, Sender, SendResult } from '../../src/component/exporter.ts';
import { failureOfStatus } from '../../src/component/http-failure.ts';
import type { JsExporterConfig } from './index.ts';
import { type ForeignExporter, loadExporter } from './load.ts';

/**
 * Any exporter that was written for OpenTelemetry JS. It may retry and hide a partial success inside itself; what it
 * reports is what counts.
 */
export class JsExporterSender implements Sender {
  readonly #id: string;
  readonly #config: JsExporterConfig;
  readonly #host: Host;
  #exporter: ForeignExporter | undefined;
  /** Answers that came twice, or after their time. */
  #lateAnswers = 0;

  constructor(id: string, config: JsExporterConfig, host: Host) {
    this.#id = id;
    this.#config = config;
    this.#host = host;
  }

  async start(): Promise<void> {
    const { exporter, path } = await loadExporter(this.#id, this.#config, this.#host.configDirectory);
    this.#exporter = exporter;
    this.#host.logger.info('loaded code for an exporter', { module: path, export: this.#config.export });
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    const exporter = this.#exporter;
    if (!exporter) return;
    this.#exporter = undefined;
    const ended = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    for (const step of [exporter.forceFlush?.bind(exporter), exporter.shutdown.bind(exporter)]) {
      const work = Promise.resolve()
        .then(() => step?.())
        .catch((error) => this.#host.logger.warn('the exporter did not stop cleanly', { error }));
      await Promise.race([work, ended]);
    }
    if (this.#lateAnswers > 0)
      this.#host.logger.warn('the exporter answered twice or too late', { times: this.#lateAnswers });
  }

  sendLogs(records: readonly ReadableLogRecord[], context: SendContext): Promise<SendResult> {
    return this.#export([...records], context);
  }

  sendMetrics(metrics: ResourceMetrics, context: SendContext): Promise<SendResult> {
    return this.#export(metrics, context);
  }

  #export(data: ReadableLogRecord[] | ResourceMetrics, { signal }: SendContext): Promise<SendResult> {
    return new Promise((resolve, reject) => {
      let isOpen = true;
      const close = () => {
        if (!isOpen) this.#lateAnswers++;
        const wasOpen = isOpen;
        isOpen = false;
        signal.removeEventListener('abort', aborted);
        return wasOpen;
      };
      const aborted = () => {
        isOpen = false;
        reject(signal.reason);
      };
      signal.addEventListener('abort', aborted, { once: true });
      const threw = (error: unknown) => {
        if (close()) resolve({ kind: 'retry', reason: `the exporter threw: ${describeError(error)}` });
      };
      try {
        const returned: unknown = this.#exporter!.export(data as never, (result) => {
          if (close()) resolve(outcomeOf(result));
        });
        // Some are async functions: their rejection is nobody's otherwise, and would end the process.
        Promise.resolve(returned).catch(threw);
      } catch (error) {
        threw(error);
      }
    });
  }
}

/** SUCCESS is taken; a failure with an HTTP status means what the status means, without one it may heal. */
export function outcomeOf(result: ExportResult): SendResult {
  if (result?.code === ExportResultCode.SUCCESS) return { kind: 'accepted' };
  const error = result?.error as (Error & { code?: unknown }) | undefined;
  const reason = error ? describeError(error) : 'the exporter failed without a reason';
  const status = typeof error?.code === 'number' ? error.code : undefined;
  if (status === undefined) return { kind: 'retry', reason };
  return failureOfStatus(status, `HTTP ${status}: ${reason}`);
}
