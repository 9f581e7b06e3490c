import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { Component, Host } from '../../component/component.ts';
import type { NextConsumers } from '../../component/consumer.ts';
import type { MetricDoc } from '../../component/metric-doc.ts';
import type { LogBatch } from '../../telemetry/log-batch.ts';
import type { FilterConfig } from './index.ts';
import { logMatcher, textMatcher } from './match.ts';

const filtered = (name: string, unit: string, what: string): MetricDoc => ({
  ...{ name: `otelcol_processor_filter_${name}_filtered`, kind: 'counter', unit, attributes: [] },
  description: `${what} that were left out, and acknowledged to their source.`,
});
const LOGS = filtered('logs', '{record}', 'Records');
const POINTS = filtered('datapoints', '{datapoint}', 'Points');
export const FILTER_METRICS = [LOGS, POINTS];

/** Leaves out what an operator does not want. What is left out is counted and acknowledged. */
export class FilterProcessor implements Component, NextConsumers {
  readonly logs: NextConsumers['logs'];
  readonly metrics: NextConsumers['metrics'];
  /** What was made of a batch; one that is offered again must be the same object, and counts once. */
  readonly #kept = new WeakMap<object, object>();

  constructor(id: string, config: FilterConfig, { meter }: Host, { logs, metrics }: NextConsumers) {
    const keepsRecord = recordFilter(config);
    const keepsMetric = metricFilter(config);
    const count = (doc: MetricDoc) => {
      const counter = meter.createCounter(doc.name, doc);
      return (left: number) => left > 0 && counter.add(left, { processor: id });
    };
    const [countLogs, countPoints] = [count(LOGS), count(POINTS)];
    this.logs = logs && {
      consumeLogs: async (batch, context) => {
        const kept = this.#once(batch, () => keepRecords(batch, keepsRecord, countLogs));
        if (kept.records.length > 0) await logs.consumeLogs(kept, context);
      },
    };
    this.metrics = metrics && {
      consumeMetrics: async (data, context) => {
        const kept = this.#once(data, () => keepMetrics(data, keepsMetric, countPoints));
        if (kept.scopeMetrics.length > 0) await metrics.consumeMetrics(kept, context);
      },
    };
  }

  async start(): Promise<void> {}

  async shutdown(): Promise<void> {}

  #once<T extends object>(input: T, make: () => T): T {
    const known = this.#kept.get(input) as T | undefined;
    if (known) return known;
    const made = make();
    this.#kept.set(input, made);
    return made;
  }
}

function recordFilter({ logs }: FilterConfig): (record: ReadableLogRecord) => boolean {
  const include = logs.include && logMatcher(logs.include);
  const exclude = logs.exclude && logMatcher(logs.exclude);
  return (record) => (include?.(record) ?? true) && !(exclude?.(record) ?? false);
}

function metricFilter({ metrics }: FilterConfig): (name: string) => boolean {
  const matcher = (block: FilterConfig['metrics']['include']) =>
    block && textMatcher(block.match_type)(block.metric_names);
  const include = matcher(metrics.include);
  const exclude = matcher(metrics.exclude);
  return (name) => (include?.(name) ?? true) && !(exclude?.(name) ?? false);
}

function keepRecords(
  batch: LogBatch,
  keeps: (record: ReadableLogRecord) => boolean,
  count: (left: number) => void,
): LogBatch {
  const records = batch.records.filter(keeps);
  if (records.length === batch.records.length) return batch;
  count(batch.records.length - records.length);
  return { ...batch, records };
}

function keepMetrics(
  data: ResourceMetrics,
  keeps: (name: string) => boolean,
  count: (left: number) => void,
): ResourceMetrics {
  let left = 0;
  const scopeMetrics = data.scopeMetrics.flatMap(({ scope, metrics }) => {
    const kept = metrics.filter(({ descriptor }) => keeps(descriptor.name));
    for (const metric of metrics) if (!kept.includes(metric)) left += metric.dataPoints.length;
    return kept.length === 0 ? [] : [{ scope, metrics: kept }];
  });
  if (left === 0) return data;
  count(left);
  return { ...data, scopeMetrics };
}
