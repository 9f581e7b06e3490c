import type { Resource } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { AggregationTemporality, type ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { SendContext, Sender, SendResult } from '../component/exporter.ts';
import type { Signal } from '../component/factory.ts';
import type { LogBatch } from '../telemetry/log-batch.ts';
import { pointsIn } from '../telemetry/points.ts';
import {
  decodeContext,
  decodeMetrics,
  decodeRecord,
  encodeContext,
  encodeMetrics,
  encodeRecord,
  type RecordContext,
} from '../telemetry/record-codec.ts';

/**
 * What differs between the signals.
 * @typeParam Batch what a consumer is given
 * @typeParam Value what travels by itself: a log record, or the metrics of one resource
 */
export interface SignalKind<Batch, Value> {
  readonly signal: Signal;
  /** The name that counts stand under. */
  readonly unit: 'log_records' | 'metric_points';
  values(batch: Batch): readonly Value[];
  /** Records or points in a value. */
  count(value: Value): number;
  /** An estimate of the bytes that it holds in memory. */
  bytes(value: Value): number;
  /** What the values of a batch share, as text for a store. */
  context(batch: Batch): string;
  encode(value: Value): string;
  /** @throws when the text is not of `encode` */
  decode(body: string, context: RecordContext): Value;
  send(sender: Sender, values: readonly Value[], context: SendContext): Promise<SendResult>;
  /** Whether one request takes several values. */
  readonly batches: boolean;
  /** Whether a refused value is worth keeping. A stale point has no use later. */
  readonly keepsRefused: boolean;
  /** Whether a newer value says all that the older one said; absent when none ever does. */
  replaces?(newer: Value, older: Value): boolean;
}

/** What a record costs beside its texts: object, times, keys. Measured on V8, rounded up. */
const RECORD_OVERHEAD_BYTES = 300;
const POINT_BYTES = 400;

export const LOGS: SignalKind<LogBatch, ReadableLogRecord> = {
  signal: 'logs',
  unit: 'log_records',
  batches: true,
  keepsRefused: true,
  values: ({ records }) => records,
  count: () => 1,
  bytes: estimateBytes,
  context: ({ resource, scope, origin }) => contextText({ resource, scope, origin }),
  encode: encodeRecord,
  decode: decodeRecord,
  send: (sender, records, context) => sender.sendLogs!(records, context),
};

const METRICS_SCOPE = { name: '' };

export const METRICS: SignalKind<ResourceMetrics, ResourceMetrics> = {
  signal: 'metrics',
  unit: 'metric_points',
  batches: false,
  keepsRefused: false,
  values: (metrics) => [metrics],
  count: pointsIn,
  bytes: (metrics) => pointsIn(metrics) * POINT_BYTES,
  context: ({ resource }) => contextText({ resource, scope: METRICS_SCOPE, origin: undefined }),
  encode: encodeMetrics,
  decode: decodeMetrics,
  send: (sender, [metrics], context) => sender.sendMetrics!(metrics!, context),
  replaces: (newer, older) => newer.resource === older.resource && isCumulative(newer) && isCumulative(older),
};

function isCumulative({ scopeMetrics }: ResourceMetrics): boolean {
  const cumulative = AggregationTemporality.CUMULATIVE;
  return scopeMetrics.every(({ metrics }) =>
    metrics.every(({ aggregationTemporality }) => aggregationTemporality === cumulative),
  );
}

/** One text per resource object: an endpoint has one, and its batches are many. */
const contextTexts = new WeakMap<Resource, { readonly of: RecordContext; readonly text: string }>();

function contextText(context: RecordContext): string {
  const known = contextTexts.get(context.resource);
  if (known && known.of.scope === context.scope && known.of.origin === context.origin) return known.text;
  const text = encodeContext(context);
  contextTexts.set(context.resource, { of: context, text });
  return text;
}

const MOST_CONTEXTS = 20_000;

/** Contexts by their text, one object each: requests group by the identity of resource and scope. */
export class ContextCache {
  readonly #contexts = new Map<string, RecordContext>();

  /** @throws when the text is no context */
  get(text: string): RecordContext {
    const known = this.#contexts.get(text);
    if (known) return known;
    const context = decodeContext(text);
    if (this.#contexts.size >= MOST_CONTEXTS) this.#contexts.clear();
    this.#contexts.set(text, context);
    return context;
  }
}

function estimateBytes(record: ReadableLogRecord): number {
  let bytes = RECORD_OVERHEAD_BYTES + sizeOf(record.body);
  for (const key in record.attributes) bytes += 16 + sizeOf(record.attributes[key]);
  return bytes;
}

function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + 16 + sizeOf(item), 16);
  return 8;
}
