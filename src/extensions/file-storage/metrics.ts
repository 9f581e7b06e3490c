import type { Meter } from '@opentelemetry/api';
import type { MetricDoc } from '../../component/metric-doc.ts';
import type { StoreState } from './protocol.ts';

const doc = (name: string, kind: MetricDoc['kind'], unit: string, description: string): MetricDoc => ({
  ...{ name, kind, unit, description, attributes: [] },
});
const SIZE = doc('otelcol_storage_size_bytes', 'gauge', 'By', 'Size of the database file.');
const DURATION: MetricDoc = {
  ...doc('otelcol_storage_commit_duration', 'histogram', 's', 'Time of one commit, with its sync.'),
  level: 'detailed',
};
const COMMITS = doc('otelcol_storage_commits', 'counter', '{commit}', 'Transactions that were committed.');
const CORRUPTIONS = doc(
  'otelcol_storage_corruptions',
  'counter',
  '{event}',
  'Times the database was damaged and replaced.',
);
const FULL = doc('otelcol_storage_full', 'gauge', '1', '1 while intake waits for room.');
const IO_ERRORS = doc('otelcol_storage_io_errors', 'counter', '{error}', 'Errors of the disk.');

/** From a fast disk to one that is in trouble. */
const COMMIT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export const STORAGE_METRICS: readonly MetricDoc[] = [SIZE, DURATION, COMMITS, CORRUPTIONS, FULL, IO_ERRORS];

export interface StorageMetrics {
  observe(state: StoreState): void;
  full(isFull: boolean): void;
}

export function storageMetrics(meter: Meter, extension: string): StorageMetrics {
  let last: StoreState | undefined;
  let isFull = false;
  const labels = { extension };
  const observe = (gauge: MetricDoc, read: () => number) =>
    meter.createObservableGauge(gauge.name, gauge).addCallback((result) => result.observe(read(), labels));
  observe(SIZE, () => last?.fileBytes ?? 0);
  observe(FULL, () => (isFull ? 1 : 0));
  const sum = (counter: MetricDoc, read: (state: StoreState) => number) =>
    meter
      .createObservableCounter(counter.name, counter)
      .addCallback((result) => result.observe(last ? read(last) : 0, labels));
  sum(COMMITS, ({ commits }) => commits);
  sum(CORRUPTIONS, ({ corruptions }) => corruptions);
  sum(IO_ERRORS, ({ ioErrors }) => ioErrors);
  const duration = meter.createHistogram(DURATION.name, {
    ...DURATION,
    advice: { explicitBucketBoundaries: COMMIT_SECONDS },
  });
  return {
    observe(state) {
      last = state;
      for (const ms of state.commitMs) duration.record(ms / 1_000, labels);
    },
    full(now) {
      isFull = now;
    },
  };
}
