import type { Meter } from '@opentelemetry/api';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import {
  AggregationTemporality,
  InstrumentType,
  MeterProvider,
  type MetricReader,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import { agentResource } from '../component/agent-resource.ts';
import { OutbandError } from '../component/errors.ts';

export interface MetricsPage {
  readonly host: string;
  readonly port: number;
}

export interface OwnMetrics {
  meter(name: string): Meter;
  /** Reads every instrument once: what the page shows. Nothing when nobody reads these metrics. */
  collect(): Promise<ResourceMetrics>;
  /** Starts the Prometheus page, when there is one. Rejects when the port is taken. */
  start(): Promise<void>;
  shutdown(): Promise<void>;
}

/**
 * A gauge that nobody observes any more has no point. Cumulative gauges keep the last value of what is long gone, and alerts
 * with it.
 */
export function temporalityOf(type: InstrumentType): AggregationTemporality {
  return type === InstrumentType.OBSERVABLE_GAUGE ? AggregationTemporality.DELTA : AggregationTemporality.CUMULATIVE;
}

class PageExporter extends PrometheusExporter {
  override selectAggregationTemporality(type: InstrumentType): AggregationTemporality {
    return temporalityOf(type);
  }
}

/**
 * The agent's own metrics, and the page at `http://<host>:<port>/metrics` that shows them.
 * @param readers other readers of the same numbers
 */
export function createOwnMetrics(
  page: MetricsPage | undefined,
  version: string,
  readers: readonly MetricReader[] = [],
): OwnMetrics {
  const exporter =
    page && new PageExporter({ ...page, preventServerStart: true, withoutScopeInfo: true, withoutTargetInfo: true });
  const resource = agentResource(version);
  const provider = new MeterProvider({
    resource,
    readers: exporter ? [exporter, ...readers] : [...readers],
  });
  return {
    meter: (name) => provider.getMeter(name, version),
    async collect() {
      const reader = exporter ?? readers[0];
      return reader ? (await reader.collect()).resourceMetrics : { resource, scopeMetrics: [] };
    },
    async start() {
      try {
        await exporter?.startServer();
      } catch (cause) {
        const place = `${page?.host}:${page?.port}`;
        throw new OutbandError('config_value', `service::telemetry::metrics: cannot listen on ${place}`, {
          cause,
          hint: 'another process uses this port; set `service::telemetry::metrics::readers`, or `level: none`',
        });
      }
    },
    shutdown: () => provider.shutdown(),
  };
}
