import type { Meter } from '@opentelemetry/api';
import type { MetricDoc } from '../component/metric-doc.ts';
import { DEAD_LETTER_REASONS, type DeadLetterReason } from '../component/storage.ts';
import type { QueueFigures } from './queue.ts';
import { HOLD_REASONS } from './send-gate.ts';

/** Why something will never be sent. The closed list. */
const DROP_REASONS = [
  'retries_exhausted',
  'rejected',
  'dead_letter_evicted',
  'operator',
  'shutdown',
  'coalesced',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

const UNITS = { log_records: '{record}', metric_points: '{datapoint}' } as const;
export type CountUnit = keyof typeof UNITS;

function documents(unit: CountUnit) {
  const what = unit === 'log_records' ? 'Records' : 'Points';
  const doc = (name: string, kind: MetricDoc['kind'], description: string, attributes: readonly string[] = []) => ({
    ...{ name: `otelcol_exporter_${name}_${unit}`, kind, unit: UNITS[unit], attributes },
    description: `${what} ${description}`,
  });
  return {
    accepted: doc('accepted', 'counter', 'that were acknowledged to their source.'),
    recovered: doc('recovered', 'counter', 'that a former process left in the store: queued and dead letters.'),
    sent: doc('sent', 'counter', 'that the backend took.'),
    sendFailed: {
      ...doc('send_failed', 'counter', 'in attempts that failed.', ['error.type', 'error.permanent']),
      detailedAttributes: ['error.type', 'error.permanent'],
    },
    enqueueFailed: {
      ...doc('enqueue_failed', 'counter', 'that were not taken; their source offers them again.', ['error.type']),
      detailedAttributes: ['error.type'],
    },
    dropped: doc('dropped', 'counter', 'that will never be sent.', ['reason']),
    queued: doc('queued', 'updown', 'that wait.'),
    inFlight: doc('in_flight', 'updown', 'that were taken from the queue and are neither delivered nor set aside.'),
  } satisfies Record<string, MetricDoc>;
}

const LOG_DOCS = documents('log_records');
const POINT_DOCS = documents('metric_points');

const gauge = (name: string, unit: string, description: string, attributes = ['data_type']): MetricDoc => ({
  ...{ name: `otelcol_${name}`, kind: 'gauge', unit, description, attributes },
});
const SIZE = gauge('exporter_queue_size', '{sizer}', 'What is queued or in flight, in the unit of `sizer`.');
const CAPACITY = gauge('exporter_queue_capacity', '{sizer}', 'Bound of the queue; -1 when only its store bounds it.');
const REQUESTS: MetricDoc = {
  ...gauge('exporter_in_flight_requests', '{request}', 'Requests that wait for their answer.'),
  level: 'normal',
};
const HELD: MetricDoc = {
  ...gauge('exporter_held', '1', '1 while the exporter pauses because its set-up is at fault.', [
    'data_type',
    'reason',
  ]),
  level: 'normal',
};
const DLQ_SIZE = gauge('dlq_size', '{record}', 'Records that are set aside.', []);
const DLQ_BYTES = gauge('dlq_size_bytes', 'By', 'Bytes of the records that are set aside.', []);
const DLQ_CAPACITY = gauge('dlq_capacity_bytes', 'By', 'Bytes that all dead letters of the store may take.', []);
const DLQ_AGE = gauge('dlq_oldest_age', 's', 'Age of the oldest record that is set aside.', []);
const dlq = (name: string, description: string): MetricDoc => ({
  ...{
    name: `otelcol_dlq_${name}_log_records`,
    kind: 'counter',
    unit: '{record}',
    description,
    attributes: ['reason'],
  },
});
const DLQ_ENQUEUED = dlq('enqueued', 'Records that were set aside.');
const DLQ_REDRIVEN = dlq('redriven', 'Records that were put back into the queue.');
const DLQ_EVICTED = dlq('evicted', 'Records that made room for newer ones.');
const COALESCED: MetricDoc = {
  ...{ name: 'otelcol_exporter_coalesced_metric_points', kind: 'counter', unit: '{datapoint}', attributes: [] },
  description: 'Cumulative points that a newer export replaced while the queue was full.',
};

const histogram = (name: string, unit: string, description: string): MetricDoc => ({
  ...{ name: `otelcol_exporter_${name}`, kind: 'histogram', unit, description, attributes: ['data_type'] },
  level: 'detailed',
});
const ENQUEUE_SIZE = histogram('enqueue_size', '{item}', 'Records or points in a batch that was queued.');
const ENQUEUE_BYTES = histogram(
  'enqueue_size_bytes',
  'By',
  'Size of a batch that was queued, as it is estimated for the queue.',
);
const SEND_SIZE = histogram('queue_batch_send_size', '{item}', 'Records or points in a request.');
const SEND_BYTES = histogram(
  'queue_batch_send_size_bytes',
  'By',
  'Size of a request, as it is estimated for the queue.',
);

const ITEM_BOUNDARIES = [10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_000, 3_000, 4_000, 5_000, 7_500, 10_000];
const BYTE_BOUNDARIES = [1_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000];

/** What every exporter tells; attribute `exporter`. Names of the Collector where it has them. */
export const EXPORTER_METRICS: readonly MetricDoc[] = [
  ...Object.values(LOG_DOCS),
  ...Object.values(POINT_DOCS),
  ...[SIZE, CAPACITY, REQUESTS, HELD, COALESCED, ENQUEUE_SIZE, ENQUEUE_BYTES, SEND_SIZE, SEND_BYTES],
  ...[DLQ_SIZE, DLQ_BYTES, DLQ_CAPACITY, DLQ_AGE, DLQ_ENQUEUED, DLQ_REDRIVEN, DLQ_EVICTED],
];

/** Of one exporter and signal while this process lives: it outlives a replacement of the exporter, as its counters do. */
interface Books {
  /** What was sent, dropped or set aside by the operator, in all. */
  left: number;
  accepted: () => number;
  recovered: () => number;
}

/** By the own metrics of the process, then by exporter and signal. */
const allBooks = new WeakMap<object, Map<string, Books>>();

/** What is read when somebody looks at the numbers. */
export interface ExporterReadings {
  /** The own metrics that the counters belong to. */
  readonly process: object;
  /** Whether the queue is in a store. */
  readonly durable: boolean;
  readonly figures: () => QueueFigures;
  readonly requests: () => number;
  readonly held: () => string | undefined;
  readonly deadLetters: () =>
    | { readonly bytes: number; readonly capacity: number; readonly oldestAgeS: number }
    | undefined;
}

export interface ExporterMetrics {
  /** A batch is in the queue. */
  enqueued(count: number, bytes: number): void;
  /** A request goes out. */
  sending(count: number, bytes: number): void;
  sent(count: number): void;
  sendFailed(count: number, type: string, permanent: boolean): void;
  enqueueFailed(count: number, type: string): void;
  dropped(count: number, reason: DropReason): void;
  setAside(count: number, reason: DeadLetterReason): void;
  redriven(count: number, reason: DeadLetterReason): void;
  evicted(count: number, reason: DeadLetterReason): void;
}

/** Counters of one exporter and signal. They start at 0 with the process and never fall. */
export function exporterMetrics(
  meter: Meter,
  exporter: string,
  unit: CountUnit,
  read: ExporterReadings,
): ExporterMetrics {
  const docs = unit === 'log_records' ? LOG_DOCS : POINT_DOCS;
  const labels = { exporter };
  const typed = { exporter, data_type: unit === 'log_records' ? 'logs' : 'metrics' };
  const counter = (doc: MetricDoc) => {
    const instrument = meter.createCounter(doc.name, doc);
    return (count: number, more = {}) => instrument.add(count, { ...labels, ...more });
  };
  const sum = (doc: MetricDoc, value: () => number) =>
    meter.createObservableCounter(doc.name, doc).addCallback((result) => result.observe(value(), labels));
  const level = (doc: MetricDoc, value: () => number, on: Record<string, string> = labels) =>
    meter.createObservableGauge(doc.name, doc).addCallback((result) => result.observe(value(), on));
  const updown = (doc: MetricDoc, value: () => number) =>
    meter.createObservableUpDownCounter(doc.name, doc).addCallback((result) => result.observe(value(), labels));

  const ofProcess = allBooks.get(read.process) ?? new Map<string, Books>();
  allBooks.set(read.process, ofProcess);
  const key = `${exporter} ${unit}`;
  const books = ofProcess.get(key) ?? { left: 0, accepted: () => 0, recovered: () => 0 };
  ofProcess.set(key, books);
  const [acceptedBefore, recoveredBefore] = [books.accepted(), books.recovered()];
  let ownLeft = 0;
  const leave = (count: number) => {
    ownLeft += count;
    books.left += count;
  };
  // What this process had accepted before a reload and has not left is in this queue again: a store tells it as recovered, a queue
  // in memory as accepted. Neither is told twice, and neither counter falls.
  const balance = () => books.left - ownLeft;
  const { durable, figures } = read;
  books.accepted = () =>
    durable
      ? acceptedBefore + figures().accepted
      : Math.max(acceptedBefore, balance() + figures().accepted - recoveredBefore);
  books.recovered = () =>
    durable ? Math.max(recoveredBefore, balance() + figures().recovered - acceptedBefore) : recoveredBefore;
  sum(docs.accepted, books.accepted);
  sum(docs.recovered, books.recovered);
  updown(docs.queued, () => read.figures().queued);
  updown(docs.inFlight, () => read.figures().inFlight);
  level(SIZE, () => read.figures().size, typed);
  level(CAPACITY, () => finiteOr(read.figures().capacity, -1), typed);
  level(REQUESTS, () => read.requests(), typed);
  meter.createObservableGauge(HELD.name, HELD).addCallback((result) => {
    for (const reason of HOLD_REASONS) result.observe(read.held() === reason ? 1 : 0, { ...typed, reason });
  });
  if (unit === 'log_records') {
    level(DLQ_SIZE, () => read.figures().deadLetters);
    level(DLQ_BYTES, () => read.deadLetters()?.bytes ?? 0);
    level(DLQ_CAPACITY, () => read.deadLetters()?.capacity ?? 0);
    level(DLQ_AGE, () => read.deadLetters()?.oldestAgeS ?? 0);
  }
  const failed = counter(docs.sendFailed);
  const refused = counter(docs.enqueueFailed);
  const dropped = counter(docs.dropped);
  const coalesced = counter(COALESCED);
  const [enqueued, redriven, evicted] = [counter(DLQ_ENQUEUED), counter(DLQ_REDRIVEN), counter(DLQ_EVICTED)];
  // Series that are watched are there from the start, at 0.
  const countSent = counter(docs.sent);
  const sent = (count: number) => {
    leave(count);
    countSent(count);
  };
  sent(0);
  for (const reason of DROP_REASONS) dropped(0, { reason });
  if (unit === 'log_records') for (const reason of DEAD_LETTER_REASONS) enqueued(0, { reason });
  const sizes = (doc: MetricDoc, boundaries: number[]) => {
    const made = meter.createHistogram(doc.name, { ...doc, advice: { explicitBucketBoundaries: boundaries } });
    return (value: number) => made.record(value, typed);
  };
  const [enqueueSize, enqueueBytes, sendSize, sendBytes] = [
    sizes(ENQUEUE_SIZE, ITEM_BOUNDARIES),
    sizes(ENQUEUE_BYTES, BYTE_BOUNDARIES),
    sizes(SEND_SIZE, ITEM_BOUNDARIES),
    sizes(SEND_BYTES, BYTE_BOUNDARIES),
  ];
  return {
    enqueued(count, bytes) {
      enqueueSize(count);
      enqueueBytes(bytes);
    },
    sending(count, bytes) {
      sendSize(count);
      sendBytes(bytes);
    },
    sent,
    sendFailed: (count, type, permanent) => failed(count, { 'error.type': type, 'error.permanent': permanent }),
    enqueueFailed: (count, type) => refused(count, { 'error.type': type }),
    dropped(count, reason) {
      leave(count);
      dropped(count, { reason });
      if (reason === 'coalesced') coalesced(count);
    },
    setAside: (count, reason) => enqueued(count, { reason }),
    redriven: (count, reason) => redriven(count, { reason }),
    evicted: (count, reason) => evicted(count, { reason }),
  };
}

function finiteOr(value: number, otherwise: number): number {
  return Number.isFinite(value) ? value : otherwise;
}
