// What the benchmarks of delivery share: exporters in front of a sink of their own, and records of about 600 bytes.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import otlpHttp from '../exporters/otlp-http/index.ts';
import { deliveryOf } from '../src/agent/delivery-settings.ts';
import type { DeliveryConfig } from '../src/config/schema/delivery.ts';
import { ExporterPipeline } from '../src/delivery/exporter-pipeline.ts';
import { FileStorage } from '../src/extensions/file-storage/extension.ts';
import fileStorage, { type FileStorageConfig } from '../src/extensions/file-storage/index.ts';
import type { LogBatch } from '../src/telemetry/log-batch.ts';
import { testHost } from '../src/testing/host.ts';
import { type Books, balancedBooks, testMetrics } from '../src/testing/metrics.ts';
import { type Child, readyLine, startChild } from '../test/support/child.ts';

const RESOURCE = resourceFromAttributes({ 'redfish.endpoint': 'bmc-0', 'host.name': 'node-0', 'service.name': 'bmc' });
const SCOPE = { name: 'bench' };
const TEXT = 'The temperature of CPU 1 has crossed its upper critical threshold. '.repeat(4);
const never = new AbortController().signal;

export function recordOf(n: number, text = TEXT): ReadableLogRecord {
  return {
    hrTime: [1_790_000_000, n],
    hrTimeObserved: [1_790_000_001, n],
    severityNumber: 13,
    severityText: 'Warning',
    body: text,
    eventName: 'redfish.log_entry',
    resource: RESOURCE,
    instrumentationScope: SCOPE,
    attributes: {
      'log.record.uid': `0123456789abcdef0123456789${n}`,
      'redfish.message_id': 'ResourceEvent.1.2.ResourceErrorThresholdExceeded',
      'redfish.entry_id': String(n),
      'redfish.service': '/redfish/v1/Systems/system/LogServices/EventLog',
      'redfish.message_args': ['CPU 1', 'UpperCritical'],
    },
    droppedAttributesCount: 0,
  };
}

export function batchOf(first: number, count: number): LogBatch {
  const records = Array.from({ length: count }, (_, n) => recordOf(first + n));
  return { resource: RESOURCE, scope: SCOPE, records, origin: { receiver: 'bench', target: 'bmc-0' } };
}

export async function startSink(...args: string[]): Promise<Child & { readonly url: string }> {
  const child = startChild(new URL('./null-sink.ts', import.meta.url), args);
  return { ...child, url: (await readyLine<{ url: string }>(child)).url };
}

export interface BenchExporter {
  offer(batch: LogBatch): Promise<void>;
  books(): Promise<Books>;
  /** Resolves when nothing is queued or in flight. */
  atRest(): Promise<void>;
  stop(): Promise<void>;
  readonly directory: string;
}

export interface BenchExporterOptions {
  readonly url: string;
  readonly durable: boolean;
  readonly directory?: string;
  readonly queue?: object;
  readonly exporter?: object;
  readonly storage?: object;
  /** The directory stays when it is stopped. */
  readonly keep?: boolean;
}

export async function startExporter(options: BenchExporterOptions): Promise<BenchExporter> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'outband-bench-')));
  const storageConfig = fileStorage.schema.parse({ directory, ...options.storage }) as FileStorageConfig;
  const storage = new FileStorage('file_storage', storageConfig, testHost());
  if (options.durable) await storage.start();
  const metrics = testMetrics();
  const host = testHost({ meter: metrics.provider.getMeter('bench'), storage });
  const config = otlpHttp.schema.parse({
    endpoint: options.url,
    tls: { insecure: true },
    ...options.exporter,
    sending_queue: {
      // As the stock processor is given: the last records of a round wait for no others.
      batch: { flush_timeout: '10ms' },
      ...(options.durable ? { storage: 'file_storage' } : { block_on_overflow: true }),
      ...options.queue,
    },
  }) as DeliveryConfig;
  const sender = otlpHttp.create({ id: { type: 'otlp_http', name: '' }, config: config as never, host });
  const exporter = new ExporterPipeline({
    ...{ exporter: 'otlp_http', sender, host, signals: ['logs'] as const },
    settings: deliveryOf(config),
  });
  await exporter.start();
  const books = () => balancedBooks(metrics, 'otlp_http');
  return {
    directory,
    books,
    offer: (batch) => exporter.consumeLogs(batch, { signal: never }),
    async atRest() {
      for (;;) {
        // Looking costs time, too: one look in a while.
        await new Promise((resolve) => setTimeout(resolve, 10));
        if ((await metrics.value('otelcol_exporter_queue_size')) === 0) return;
      }
    },
    async stop() {
      await exporter.shutdown(AbortSignal.timeout(2_000));
      await storage.shutdown();
      if (options.directory === undefined && !options.keep) await rm(directory, { recursive: true });
    },
  };
}

/** Offers so many records by 64 callers, as a fleet has them, 100 at a time, and waits until all are delivered. @returns records per second */
export async function rate({ offer, atRest }: BenchExporter, records: number): Promise<number> {
  const batches = Array.from({ length: Math.ceil(records / 100) }, (_, n) => batchOf(n * 100, 100));
  const began = performance.now();
  await Promise.all(
    Array.from({ length: 64 }, async () => {
      for (let next = batches.pop(); next; next = batches.pop()) await offer(next);
    }),
  );
  await atRest();
  return records / ((performance.now() - began) / 1_000);
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

export function print(result: object): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
