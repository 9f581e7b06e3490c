import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Meter } from '@opentelemetry/api';
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import {
  AggregationTemporality,
  InstrumentType,
  MeterProvider,
  MetricReader,
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

class PageReader extends MetricReader {
  constructor() {
    super({ aggregationTemporalitySelector: temporalityOf });
  }
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

const SERIALIZER = new PrometheusSerializer('', false, undefined, true, true);
/** The serializer's addition to names of counters; ours stand as the manual has them. */
const ADDED = /^((?:# (?:HELP|UNIT|TYPE) )?\w+?)_total(?=[ {])/gm;

/** The text of the metrics page: dots of names are underscores, and nothing is added to them. */
export function prometheusPage(metrics: ResourceMetrics): string {
  return SERIALIZER.serialize(metrics).replaceAll(ADDED, '$1');
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
  const pageReader = page && new PageReader();
  const resource = agentResource(version);
  const provider = new MeterProvider({ resource, readers: pageReader ? [pageReader, ...readers] : [...readers] });
  const server = pageReader && createServer((request, response) => void answer(pageReader, request, response)).unref();
  return {
    meter: (name) => provider.getMeter(name, version),
    async collect() {
      const reader = pageReader ?? readers[0];
      return reader ? (await reader.collect()).resourceMetrics : { resource, scopeMetrics: [] };
    },
    async start() {
      if (!server || !page) return;
      try {
        server.listen(page.port, page.host);
        await once(server, 'listening');
      } catch (cause) {
        const place = `${page.host}:${page.port}`;
        throw new OutbandError('config_value', `service::telemetry::metrics: cannot listen on ${place}`, {
          cause,
          hint: 'another process uses this port; set `service::telemetry::metrics::readers`, or `level: none`',
        });
      }
    },
    async shutdown() {
      server?.close();
      server?.closeAllConnections();
      await provider.shutdown();
    },
  };
}

async function answer(reader: MetricReader, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const isPage = request.url?.replace(/\?.*$/, '') === '/metrics';
  if (!isPage) return void response.writeHead(404).end();
  try {
    const { resourceMetrics } = await reader.collect();
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
    response.end(prometheusPage(resourceMetrics));
  } catch {
    response.writeHead(500).end();
  }
}
