import type { Meter } from '@opentelemetry/api';
import type { MetricDoc } from '../component/metric-doc.ts';
import type { MemoryQueue } from './memory-queue.ts';

const counter = (name: string, description: string, attributes: readonly string[] = []): MetricDoc => ({
  ...{ name, description, attributes, kind: 'counter', unit: '{record}' },
});
const gauge = (name: string, description: string): MetricDoc => ({
  ...{ name, description, attributes: ['data_type'], kind: 'gauge', unit: '{record}' },
});

const ACCEPTED = counter('otelcol_exporter_accepted_log_records', 'Records that were acknowledged to their source.');
const SENT = counter('otelcol_exporter_sent_log_records', 'Records that the backend took.');
const FAILED = counter('otelcol_exporter_send_failed_log_records', 'Records in attempts that failed and are repeated.');
const DROPPED = counter('otelcol_exporter_dropped_log_records', 'Records that will never be sent.', ['reason']);
const SIZE = gauge('otelcol_exporter_queue_size', 'Records that are queued or in flight.');
const CAPACITY = gauge('otelcol_exporter_queue_capacity', 'Records that may be queued or in flight.');

/** What every exporter with a queue tells; attribute `exporter`. The Collector's names. */
export const EXPORTER_METRICS: readonly MetricDoc[] = [ACCEPTED, SENT, FAILED, DROPPED, SIZE, CAPACITY];

export interface ExporterMetrics {
  /** The pipeline acknowledged these to their source. */
  accepted(records: number): void;
  sent(records: number): void;
  failed(records: number): void;
  rejected(records: number): void;
}

export function exporterMetrics(meter: Meter, exporter: string, queue: MemoryQueue, capacity: number): ExporterMetrics {
  const count = (doc: MetricDoc) => {
    const instrument = meter.createCounter(doc.name, doc);
    return (records: number, labels = {}) => instrument.add(records, { exporter, ...labels });
  };
  const observe = (doc: MetricDoc, read: () => number) =>
    meter
      .createObservableGauge(doc.name, doc)
      .addCallback((result) => result.observe(read(), { exporter, data_type: 'logs' }));
  observe(SIZE, () => queue.heldRecords);
  observe(CAPACITY, () => capacity);
  const dropped = count(DROPPED);
  return {
    accepted: count(ACCEPTED),
    sent: count(SENT),
    failed: count(FAILED),
    rejected: (records) => dropped(records, { reason: 'rejected' }),
  };
}
