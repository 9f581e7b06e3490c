import type { Meter } from '@opentelemetry/api';
import type { MemoryQueue } from './memory-queue.ts';

export interface ExporterMetrics {
  /** The pipeline acknowledged these to their source. */
  accepted(records: number): void;
  sent(records: number): void;
  failed(records: number): void;
  rejected(records: number): void;
}

/** The Collector's names for what an exporter does. */
export function exporterMetrics(meter: Meter, exporter: string, queue: MemoryQueue, capacity: number): ExporterMetrics {
  const accepted = meter.createCounter('otelcol_exporter_accepted_log_records', { unit: '{record}' });
  const sent = meter.createCounter('otelcol_exporter_sent_log_records', { unit: '{record}' });
  const failed = meter.createCounter('otelcol_exporter_send_failed_log_records', { unit: '{record}' });
  const dropped = meter.createCounter('otelcol_exporter_dropped_log_records', { unit: '{record}' });
  const labels = { exporter };
  meter
    .createObservableGauge('otelcol_exporter_queue_size', { unit: '{record}' })
    .addCallback((result) => result.observe(queue.heldRecords, { ...labels, data_type: 'logs' }));
  meter
    .createObservableGauge('otelcol_exporter_queue_capacity', { unit: '{record}' })
    .addCallback((result) => result.observe(capacity, { ...labels, data_type: 'logs' }));
  return {
    accepted: (records) => accepted.add(records, labels),
    sent: (records) => sent.add(records, labels),
    failed: (records) => failed.add(records, labels),
    rejected: (records) => dropped.add(records, { ...labels, reason: 'rejected' }),
  };
}
