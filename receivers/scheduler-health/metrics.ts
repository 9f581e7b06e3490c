import { ValueType } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  DataPointType,
  type MetricData,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import type { MetricDoc } from '../../src/component/metric-doc.ts';
import { RUN_SECONDS, type SchedulerSnapshot, type TargetSnapshot } from '../../src/component/scheduler.ts';
import { observe, TARGET_METRICS, targetAttributes } from '../../src/component/scheduler-metrics.ts';
import { VERSION } from '../../src/component/version.ts';
import { toHrTime } from '../../src/telemetry/time.ts';

export const SCOPE = { name: 'outband.receiver.scheduler_health', version: VERSION };

type Times = Pick<MetricData['dataPoints'][number], 'startTime' | 'endTime'>;

/** The metrics of a scheduler, as its own page shows them. A metric without a point is left out. */
export function schedulerMetrics(snapshot: SchedulerSnapshot, resource: Resource): ResourceMetrics {
  const times = timesOf(snapshot);
  const { numbers, distributions } = observe(snapshot);
  const metrics: MetricData[] = [
    ...numbers.map(({ doc, points }) =>
      numeric(
        doc,
        points.map((point) => ({ ...point, ...times })),
      ),
    ),
    ...distributions.map(
      ({ doc, points }): MetricData => ({
        ...common(doc),
        dataPointType: DataPointType.HISTOGRAM,
        dataPoints: points.map(({ attributes, value: { buckets, count, sum, min, max } }) => ({
          ...{ attributes, ...times },
          value: { buckets: { boundaries: [...RUN_SECONDS], counts: [...buckets] }, count, sum, min, max },
        })),
      }),
    ),
  ];
  return wrap(metrics, resource);
}

/** The metrics of some targets, one point each where it applies. */
export function targetMetrics(
  snapshot: SchedulerSnapshot,
  targets: readonly TargetSnapshot[],
  resource: Resource,
): ResourceMetrics {
  const times = timesOf(snapshot);
  const metrics = TARGET_METRICS.map(({ doc, value }) =>
    numeric(
      doc,
      targets.flatMap((target) => {
        const figure = value(target, snapshot.at);
        return figure === null ? [] : [{ attributes: targetAttributes(target), value: figure, ...times }];
      }),
    ),
  );
  return wrap(metrics, resource);
}

function wrap(metrics: MetricData[], resource: Resource): ResourceMetrics {
  return {
    resource,
    scopeMetrics: [{ scope: SCOPE, metrics: metrics.filter(({ dataPoints }) => dataPoints.length > 0) }],
  };
}

function timesOf({ at, counters }: SchedulerSnapshot): Times {
  return { startTime: hrTime(counters.startedAt), endTime: hrTime(at) };
}

function hrTime(epochMs: number) {
  return toHrTime(BigInt(Math.round(epochMs * 1_000)) * 1_000n);
}

function numeric(
  doc: MetricDoc,
  dataPoints: Extract<MetricData, { dataPointType: DataPointType.SUM }>['dataPoints'],
): MetricData {
  if (doc.kind === 'gauge') return { ...common(doc), dataPointType: DataPointType.GAUGE, dataPoints };
  return { ...common(doc), dataPointType: DataPointType.SUM, dataPoints, isMonotonic: doc.kind === 'counter' };
}

function common({ name, description, unit }: MetricDoc) {
  return {
    descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
}
