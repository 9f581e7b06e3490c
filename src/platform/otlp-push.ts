import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import {
  BatchLogRecordProcessor,
  type LogRecordExporter,
  type LogRecordProcessor,
  type ReadableLogRecord,
} from '@opentelemetry/sdk-logs';
import { type MetricReader, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import type { Secret } from '../component/secret.ts';
import { MOST_SERIES, temporalityOf } from './own-metrics.ts';

/** Where and how to send; times are milliseconds. */
interface Otlp {
  readonly endpoint: string;
  readonly headers: readonly { readonly name: string; readonly value: Secret }[];
  readonly timeout: number;
}

export interface LogsPush {
  /** Milliseconds that lines are gathered. */
  readonly schedule_delay: number;
  readonly exporter: { readonly otlp: Otlp };
}

export interface MetricsPush {
  /** Milliseconds, as is the timeout of one collection and its request. */
  readonly interval: number;
  readonly timeout: number;
  readonly exporter: { readonly otlp: Otlp };
}

/** What the SDK would keep, and would drop beyond without a word. */
const MAX_WAITING = 2_048;

/**
 * Sends the own log to an OTLP service, beside stderr. It never blocks: what the service does not take is dropped, and counted.
 * @param onDropped called with how many lines
 */
export function logsPush(
  { schedule_delay, exporter: { otlp } }: LogsPush,
  onDropped: (lines: number) => void,
): LogRecordProcessor {
  const inner = new OTLPLogExporter(optionsOf(otlp, 'v1/logs'));
  let waiting = 0;
  const exporter: LogRecordExporter = {
    export(records: ReadableLogRecord[], done: (result: ExportResult) => void) {
      inner.export(records, (result) => {
        waiting -= records.length;
        if (result.code !== ExportResultCode.SUCCESS) onDropped(records.length);
        // Told already; the SDK would only tell it again.
        done({ code: ExportResultCode.SUCCESS });
      });
    },
    forceFlush: () => inner.forceFlush(),
    shutdown: () => inner.shutdown(),
  };
  const processor = new BatchLogRecordProcessor({
    ...{ exporter, maxQueueSize: MAX_WAITING, scheduledDelayMillis: schedule_delay },
  });
  return {
    onEmit(record) {
      if (waiting >= MAX_WAITING) return onDropped(1);
      waiting++;
      processor.onEmit(record);
    },
    forceFlush: () => processor.forceFlush(),
    shutdown: () => processor.shutdown(),
  };
}

/** Sends the own metrics to an OTLP service, again and again; a service that is away misses some. */
export function metricsPush({ interval, timeout, exporter }: MetricsPush): MetricReader {
  const sender = new OTLPMetricExporter(optionsOf(exporter.otlp, 'v1/metrics'));
  // What nobody observes any more must be gone here, too.
  sender.selectAggregationTemporality = temporalityOf;
  return new PeriodicExportingMetricReader({
    exporter: sender,
    exportIntervalMillis: interval,
    exportTimeoutMillis: Math.min(timeout, interval),
    cardinalityLimits: { default: MOST_SERIES },
  });
}

/** An endpoint without a path gets that of its signal, as the Collector does it. */
function optionsOf({ endpoint, headers, timeout }: Otlp, signalPath: string) {
  const url = new URL(endpoint);
  if (url.pathname === '/') url.pathname = signalPath;
  return {
    url: url.href,
    timeoutMillis: timeout,
    headers: Object.fromEntries(headers.map(({ name, value }) => [name, value.reveal()])),
  };
}
