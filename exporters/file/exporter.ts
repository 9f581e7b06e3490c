import { JsonLogsSerializer, JsonMetricsSerializer } from '@opentelemetry/otlp-transformer';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { Host } from '../../src/component/component.ts';
import { describeError } from '../../src/component/errors.ts';
import type { Sender, SendResult } from '../../src/component/exporter.ts';
import type { FileConfig } from './index.ts';
import { RotatingFile } from './rotating-file.ts';

const MEGABYTE = 1_000_000;

/** Writes one line of OTLP JSON per request. */
export class FileSender implements Sender {
  readonly #file: RotatingFile;
  readonly #host: Host;
  /** The line before this one: lines do not run into each other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(config: FileConfig, host: Host) {
    this.#host = host;
    const { path, append, create_directory, rotation, sync, compression } = config;
    this.#file = new RotatingFile({
      ...{ path, append, sync, createDirectory: create_directory },
      maxBytes: rotation.max_megabytes * MEGABYTE,
      maxDays: rotation.max_days,
      maxBackups: rotation.max_backups,
      compress: compression === 'gzip',
      nowMs: () => Number(host.clock.now() / 1_000_000n),
    });
  }

  async start(): Promise<void> {
    await this.#file.open();
    const { tornLines } = this.#file;
    if (tornLines > 0) this.#host.logger.warn('the file ended in the middle of a line', { torn_lines: tornLines });
  }

  async shutdown(): Promise<void> {
    await this.#last;
    await this.#file.close();
  }

  sendLogs(records: readonly ReadableLogRecord[]): Promise<SendResult> {
    return this.#write(JsonLogsSerializer.serializeRequest([...records])!);
  }

  sendMetrics(metrics: ResourceMetrics): Promise<SendResult> {
    return this.#write(JsonMetricsSerializer.serializeRequest(metrics)!);
  }

  #write(line: Uint8Array): Promise<SendResult> {
    const written = this.#last.then(async (): Promise<SendResult> => {
      try {
        await this.#file.write(line);
        return { kind: 'accepted' };
      } catch (error) {
        return { kind: 'retry', reason: describeError(error) };
      }
    });
    this.#last = written;
    return written;
  }
}
