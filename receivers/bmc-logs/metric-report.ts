import { type Attributes, type HrTime, ValueType } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  DataPointType,
  type MetricData,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import { toHrTime } from '../../src/telemetry/time.ts';
import { isObject, type JsonObject, objectsOf, textOf } from './json.ts';
import { SCOPE } from './record/resource.ts';
import { eventTime, type TimeContext } from './record/time.ts';

const MAX_VALUES = 2_000;
const MAX_NAMES = 500;
const MAX_NAME_CHARS = 200;

export interface ReportedPoints {
  readonly metrics: ResourceMetrics;
  readonly points: number;
  /** Values that are no finite number, have no name, or lie beyond a limit. */
  readonly skipped: number;
}

/**
 * A Redfish MetricReport as gauges.
 * @param names of this endpoint so far; grows, up to a limit
 * @see DSP2046, schema MetricReport
 */
export function readMetricReport(
  report: JsonObject,
  context: TimeContext & { readonly resource: Resource; readonly names: Set<string> },
): ReportedPoints {
  const values = objectsOf(report.MetricValues);
  const gauges = new Map<string, MetricData & { dataPoints: { value: number }[] }>();
  let points = 0;
  for (const value of values.slice(0, MAX_VALUES)) {
    const name = nameOf(value, context.names);
    const number = numberOf(value);
    if (name === undefined || number === undefined) continue;
    const time = eventTime([value.Timestamp, report.Timestamp], context);
    const at: HrTime = toHrTime(time.epochNanos ?? context.nowNanos);
    const gauge = gauges.get(name) ?? newGauge(name);
    gauges.set(name, gauge);
    gauge.dataPoints.push({
      startTime: at,
      endTime: at,
      attributes: attributesOf(report, value),
      value: number,
    } as never);
    points++;
  }
  return {
    metrics: { resource: context.resource, scopeMetrics: [{ scope: SCOPE, metrics: [...gauges.values()] }] },
    points,
    skipped: values.length - points,
  };
}

function newGauge(name: string): MetricData & { dataPoints: { value: number }[] } {
  return {
    descriptor: {
      name,
      description: '',
      unit: '',
      valueType: ValueType.DOUBLE,
      advice: {},
    } as MetricData['descriptor'],
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.GAUGE,
    dataPoints: [],
  } as never;
}

function nameOf(value: JsonObject, names: Set<string>): string | undefined {
  const id = textOf(value.MetricId);
  if (id === undefined) return undefined;
  const name = `redfish.${id.slice(0, MAX_NAME_CHARS).replaceAll(/[^A-Za-z0-9_.-]/g, '_')}`;
  if (!names.has(name) && names.size >= MAX_NAMES) return undefined;
  names.add(name);
  return name;
}

/** Redfish gives numbers as texts. */
function numberOf({ MetricValue: value }: JsonObject): number | undefined {
  const text = typeof value === 'number' ? String(value) : textOf(value);
  const number = text === undefined ? Number.NaN : Number(text);
  return Number.isFinite(number) ? number : undefined;
}

function attributesOf(report: JsonObject, value: JsonObject): Attributes {
  const property = textOf(value.MetricProperty);
  const id = textOf(report.Id) ?? (isObject(report.MetricReportDefinition) ? textOf(report.Name) : undefined);
  return {
    ...(property !== undefined && { 'redfish.metric.property': property }),
    ...(id !== undefined && { 'redfish.metric_report.id': id }),
  };
}
