import type { TestContext } from 'node:test';
import otlpHttp from '../../exporters/otlp-http/index.ts';
import { deliveryOf } from '../../src/agent/delivery-settings.ts';
import type { Storage, StoredQueue } from '../../src/component/storage.ts';
import type { DeliveryConfig } from '../../src/config/schema/delivery.ts';
import { ExporterPipeline } from '../../src/delivery/exporter-pipeline.ts';
import { settle } from '../../src/testing/fake-clock.ts';
import { type TestHost, testHost } from '../../src/testing/host.ts';
import { type Books, balancedBooks, type TestMetrics, testMetrics } from '../../src/testing/metrics.ts';
import { batch } from '../../src/testing/records.ts';
import { type OtlpSink, startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { startStorage, type TestStorage, temporaryDirectory } from './storage.ts';

export interface DeliveryScene {
  readonly directory: string;
  readonly sink: OtlpSink;
  readonly exporter: ExporterPipeline;
  readonly host: TestHost;
  readonly metrics: TestMetrics;
  readonly store: TestStorage;
  /** Offers so many new records, a hundred at a time; resolves when they are acknowledged. */
  offer(count: number): Promise<void>;
  /** Names of all records that were acknowledged. */
  readonly acknowledged: ReadonlySet<string>;
  /** Of those, what the sink has not. */
  lost(): string[];
  /** Resolves with the books when nothing is queued or in flight. */
  atRest(): Promise<Books>;
  books(): Promise<Books>;
  stop(): Promise<void>;
}

export interface DeliverySceneOptions {
  readonly directory?: string;
  readonly sink?: OtlpSink;
  /** Settings of `otlp_http`, beside endpoint and storage. */
  readonly exporter?: object;
  readonly queue?: object;
  readonly storage?: object;
  /** Tells the records of one scene from those of another on the same sink. */
  readonly prefix?: string;
  /** Puts something between the exporter and its queue in the store. */
  readonly wrapQueue?: (queue: StoredQueue) => StoredQueue;
  /** For faults between exporter and sink. */
  readonly endpoint?: string;
}

/** An OTLP exporter with a store, in front of a sink: real sockets, real files, short waits. */
export async function deliveryScene(t: TestContext, options: DeliverySceneOptions = {}): Promise<DeliveryScene> {
  const directory = options.directory ?? (await temporaryDirectory(t));
  const sink = options.sink ?? (await startOtlpSink());
  if (!options.sink) t.after(() => sink.close());
  const store = await startStorage(t, directory, options.storage);
  const { wrapQueue = (queue) => queue } = options;
  const wrapped: Storage = {
    keyValue: (...name) => store.storage.keyValue(...name),
    queue: async (name) => wrapQueue(await store.storage.queue(name)),
  };
  const metrics = testMetrics();
  const host = testHost({ meter: metrics.provider.getMeter('test'), storage: wrapped });
  const config = otlpHttp.schema.parse({
    endpoint: options.endpoint ?? sink.url,
    tls: { insecure: true },
    retry_on_failure: { initial_interval: '20ms', max_interval: '100ms' },
    ...options.exporter,
    sending_queue: { storage: 'file_storage', batch: { flush_timeout: '5ms' }, ...options.queue },
  }) as DeliveryConfig;
  const sender = otlpHttp.create({ id: { type: 'otlp_http', name: '' }, config: config as never, host });
  const exporter = new ExporterPipeline({
    ...{ exporter: 'otlp_http', sender, host, signals: ['logs'] as const },
    settings: deliveryOf(config),
  });
  await exporter.start();
  const never = new AbortController().signal;
  const stop = async () => {
    await exporter.shutdown(AbortSignal.timeout(1_000));
    await store.storage.shutdown();
  };
  t.after(stop);
  const acknowledged = new Set<string>();
  const books = () => balancedBooks(metrics, 'otlp_http');
  let offered = 0;
  return {
    ...{ directory, sink, exporter, host, metrics, store, acknowledged, books, stop },
    async offer(count) {
      for (let left = count; left > 0; left -= 100) {
        const names = Array.from({ length: Math.min(left, 100) }, () => `${options.prefix ?? 'record'} ${offered++}`);
        await exporter.consumeLogs(batch(...names), { signal: never });
        for (const name of names) acknowledged.add(name);
      }
    },
    lost() {
      const arrived = new Set(sink.records.map(({ body }) => body));
      return [...acknowledged].filter((name) => !arrived.has(name));
    },
    async atRest() {
      for (;;) {
        const now = await books();
        if (now.queued + now.inFlight === 0) return now;
        await settle();
      }
    },
  };
}
