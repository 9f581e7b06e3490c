import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { getHeapSpaceStatistics, getHeapStatistics } from 'node:v8';
import type { Attributes, Meter } from '@opentelemetry/api';
import type { MetricDoc } from '../component/metric-doc.ts';

const gauge = (name: string, unit: string, description: string, attributes: readonly string[] = []): MetricDoc => ({
  ...{ name, unit, description, attributes, kind: 'gauge', level: 'normal' },
});
const counter = (name: string, unit: string, description: string): MetricDoc => ({
  ...{ name, unit, description, attributes: [], kind: 'counter' },
});

/** What the process says of itself; names are the Collector's, or OpenTelemetry's for Node. */
export const PROCESS_METRICS = {
  uptime: counter('otelcol_process_uptime', 's', 'Time since the process began.'),
  cpu: counter('otelcol_process_cpu_seconds', 's', 'Processor time, user and system.'),
  rss: { ...gauge('otelcol_process_memory_rss', 'By', 'Memory that the system has given.'), level: 'basic' },
  heap: gauge('otelcol_process_runtime_heap_alloc_bytes', 'By', 'Heap in use.'),
  system: gauge('otelcol_process_runtime_total_sys_memory_bytes', 'By', 'Heap that V8 has taken from the system.'),
  delay50: gauge('nodejs.eventloop.delay.p50', 's', 'Delay of the event loop since the last look, median.'),
  delay99: gauge('nodejs.eventloop.delay.p99', 's', 'As above, 99th percentile.'),
  delayMax: gauge('nodejs.eventloop.delay.max', 's', 'As above, longest.'),
  utilization: gauge(
    'nodejs.eventloop.utilization',
    '1',
    'Share of the time in which the event loop was busy, since the start.',
  ),
  heapUsed: gauge('v8js.memory.heap.used', 'By', 'Heap in use, by space.', ['v8js.heap.space.name']),
  heapLimit: gauge('v8js.memory.heap.limit', 'By', 'Heap that a space may take.', ['v8js.heap.space.name']),
} as const satisfies Record<string, MetricDoc>;

const NANOS = 1e9;
const MICROS = 1e6;

/** Lets the metrics page show the process. Called once. */
export function observeProcess(meter: Meter): void {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  const observe = (doc: MetricDoc, values: () => Iterable<readonly [number, Attributes?]>) => {
    const instrument =
      doc.kind === 'counter'
        ? meter.createObservableCounter(doc.name, doc)
        : meter.createObservableGauge(doc.name, doc);
    instrument.addCallback((result) => {
      for (const [value, attributes] of values()) result.observe(value, attributes);
    });
  };
  const one = (doc: MetricDoc, value: () => number) => observe(doc, () => [[value()]]);
  one(PROCESS_METRICS.uptime, () => process.uptime());
  one(PROCESS_METRICS.cpu, () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / MICROS;
  });
  one(PROCESS_METRICS.rss, () => process.memoryUsage.rss());
  one(PROCESS_METRICS.heap, () => getHeapStatistics().used_heap_size);
  one(PROCESS_METRICS.system, () => getHeapStatistics().total_physical_size);
  one(PROCESS_METRICS.delay50, () => seconds(delay, 50));
  one(PROCESS_METRICS.delay99, () => seconds(delay, 99));
  one(PROCESS_METRICS.delayMax, () => {
    const longest = delay.count === 0 ? 0 : delay.max / NANOS;
    // The next look tells of its own time.
    delay.reset();
    return longest;
  });
  one(PROCESS_METRICS.utilization, () => performance.eventLoopUtilization().utilization);
  const spaces = (value: (space: ReturnType<typeof getHeapSpaceStatistics>[number]) => number) =>
    getHeapSpaceStatistics().map((space) => [value(space), { 'v8js.heap.space.name': space.space_name }] as const);
  observe(PROCESS_METRICS.heapUsed, () => spaces((space) => space.space_used_size));
  observe(PROCESS_METRICS.heapLimit, () => spaces((space) => space.space_size));
}

function seconds(delay: ReturnType<typeof monitorEventLoopDelay>, percentile: number): number {
  return delay.count === 0 ? 0 : delay.percentile(percentile) / NANOS;
}
