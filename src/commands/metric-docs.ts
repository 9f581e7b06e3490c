import { PIPELINE_METRICS } from '../agent/graph.ts';
import { COMPONENT_STATUS } from '../agent/host.ts';
import type { AnyFactory } from '../component/factory.ts';
import { METRIC_LEVELS, type MetricDoc, type MetricLevel } from '../component/metric-doc.ts';
import { OWN_LOGS_DROPPED } from '../platform/own-logs.ts';
import type { Hidden } from '../platform/own-metrics.ts';
import { PROCESS_METRICS } from '../platform/process-metrics.ts';
import { CONFIG_RELOADS } from './reloader.ts';

/** Metrics of the agent itself, that belong to no component. */
export const AGENT_METRICS: readonly MetricDoc[] = [
  ...Object.values(PROCESS_METRICS),
  ...[COMPONENT_STATUS, OWN_LOGS_DROPPED, CONFIG_RELOADS],
];

/** What is left out at a level of `telemetry::metrics`: whole instruments, and attributes of the others. */
export function hiddenAt(level: MetricLevel, factories: Iterable<AnyFactory>): Hidden {
  const all = [...[...AGENT_METRICS, ...PIPELINE_METRICS], ...[...factories].flatMap(({ metrics = [] }) => metrics)];
  const isAbove = (doc: MetricDoc) => METRIC_LEVELS.indexOf(doc.level ?? 'basic') > METRIC_LEVELS.indexOf(level);
  const shown = level === 'detailed' ? [] : all.filter((doc) => !isAbove(doc));
  return {
    instruments: new Set(all.filter(isAbove).map(({ name }) => name)),
    attributes: new Map(shown.flatMap(({ name, detailedAttributes: some }) => (some ? [[name, some]] : []))),
  };
}
