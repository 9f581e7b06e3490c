// How fast records go through delivery, as ratios within one run: the durable queue against the queue in memory, our way
// against the SDK's batch processor with OpenTelemetry's own exporter, and one poison record in a hundred against none.
// Run: node bench/delivery.ts [records]
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { batchOf, median, print, rate, recordOf, startExporter, startSink } from './scene.ts';

const RECORDS = Number(process.argv[2] ?? 40_000);
const REPETITIONS = 5;

const sink = await startSink('--poison');
const memory = await startExporter({ url: sink.url, durable: false });
const durable = await startExporter({ url: sink.url, durable: true });
const plain = { exporter: { compression: 'none' } };
const clean = await startExporter({ url: sink.url, durable: true, ...plain });
const poisoned = await startExporter({ url: sink.url, durable: true, ...plain });

/** The stock way: the processor drops what does not fit its queue, so it is given one that holds all. */
async function stockRate(records: number): Promise<number> {
  const exporter = new OTLPLogExporter({
    url: `${sink.url}/v1/logs`,
    compression: 'gzip' as never,
    concurrencyLimit: 10,
  });
  const processor = new BatchLogRecordProcessor({
    exporter,
    maxQueueSize: records,
    maxExportBatchSize: 512,
    scheduledDelayMillis: 10,
  });
  const logger = new LoggerProvider({ processors: [processor] }).getLogger('bench');
  const list = Array.from({ length: records }, (_, n) => recordOf(n));
  const began = performance.now();
  for (const { body, attributes, severityNumber, severityText, eventName } of list)
    logger.emit({ body, attributes, severityNumber, severityText, eventName } as Parameters<typeof logger.emit>[0]);
  await processor.forceFlush();
  const seconds = (performance.now() - began) / 1_000;
  await processor.shutdown();
  return records / seconds;
}

async function poisonRate(records: number): Promise<number> {
  const began = performance.now();
  for (let n = 0; n < records; n += 100) {
    const batch = batchOf(n, 100);
    await poisoned.offer({ ...batch, records: [recordOf(n, 'poison'), ...batch.records.slice(1)] });
  }
  await poisoned.atRest();
  return records / ((performance.now() - began) / 1_000);
}

const rates = {
  memory: [] as number[],
  durable: [] as number[],
  stock: [] as number[],
  clean: [] as number[],
  poison: [] as number[],
};
/** Microseconds of the main thread per record, beside the rate: what the ratio would be if the other threads had cores. */
const mainUs = { memory: [] as number[], durable: [] as number[] };
async function measured(name: 'memory' | 'durable', exporter: typeof memory): Promise<number> {
  const before = process.threadCpuUsage();
  const perSecond = await rate(exporter, RECORDS);
  const { user, system } = process.threadCpuUsage(before);
  mainUs[name].push((user + system) / RECORDS);
  return perSecond;
}

for (let repetition = 0; repetition <= REPETITIONS; repetition++) {
  const now = {
    memory: await measured('memory', memory),
    durable: await measured('durable', durable),
    stock: await stockRate(RECORDS),
    clean: await rate(clean, RECORDS / 4),
    poison: await poisonRate(RECORDS / 4),
  };
  // The first round warms up.
  if (repetition === 0) continue;
  for (const name of Object.keys(rates) as (keyof typeof rates)[]) rates[name].push(now[name]);
  print(Object.fromEntries(Object.entries(now).map(([name, value]) => [`${name}_per_second`, Math.round(value)])));
}
const ratio = (over: keyof typeof rates, under: keyof typeof rates) =>
  Number((median(rates[over]) / median(rates[under])).toFixed(2));
print({
  durable_to_memory: ratio('durable', 'memory'),
  durable_to_memory_of_main_thread: Number((median(mainUs.memory) / median(mainUs.durable)).toFixed(2)),
  memory_to_stock: ratio('memory', 'stock'),
  durable_to_stock: ratio('durable', 'stock'),
  poison_to_clean: ratio('poison', 'clean'),
});
await Promise.all([memory.stop(), durable.stop(), clean.stop(), poisoned.stop()]);
await sink.stop();
