import { PIPELINE_METRICS } from '../agent/graph.ts';
import { COMPONENT_STATUS } from '../agent/host.ts';
import type { AnyFactory } from '../component/factory.ts';
import { METRIC_LEVELS, type MetricDoc, type MetricLevel } from '../component/metric-doc.ts';
import { OWN_LOGS_DROPPED } from '../platform/own-logs.ts';
import { PROCESS_METRICS } from '../platform/process-metrics.ts';
import { CONFIG_RELOADS } from './reloader.ts';

/** Metrics of the agent itself, that belong to no component. */
export const AGENT_METRICS: readonly MetricDoc[] = [
  ...Object.values(PROCESS_METRICS),
  ...[COMPONENT_STATUS, OWN_LOGS_DROPPED, CONFIG_RELOADS],
];

/** Names of the instruments that are not measured at a level of `telemetry::metrics`. */
export function hiddenAt(level: MetricLevel, factories: Iterable<AnyFactory>): string[] {
  const all = [...[...AGENT_METRICS, ...PIPELINE_METRICS], ...[...factories].flatMap(({ metrics = [] }) => metrics)];
  const isAbove = (doc: MetricDoc) => METRIC_LEVELS.indexOf(doc.level ?? 'basic') > METRIC_LEVELS.indexOf(level);
  return [...new Set(all.filter(isAbove).map(({ name }) => name))];
}
