import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Meter } from '@opentelemetry/api';
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import type { Resource } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  AggregationType,
  createDenyListAttributesProcessor,
  InstrumentType,
  MeterProvider,
  MetricReader,
  type ResourceMetrics,
  type ViewOptions,
} from '@opentelemetry/sdk-metrics';
import { agentResource } from '../component/agent-resource.ts';
import { OutbandError } from '../component/errors.ts';

/** What is left out of names and labels; the words of the Collector. */
export interface PageOptions {
  readonly without_scope_info: boolean;
  readonly without_units: boolean;
  readonly without_type_suffix: boolean;
}

const PLAIN_PAGE: PageOptions = { without_scope_info: true, without_units: true, without_type_suffix: true };

export interface MetricsPage extends PageOptions {
  readonly host: string;
  readonly port: number;
}

export interface OwnMetrics {
  /** The agent itself. */
  readonly resource: Resource;
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

/** An instrument holds so many series; what is beyond is one, with the attribute `otel.metric.overflow`. */
export const MOST_SERIES = 20_000;

class PageReader extends MetricReader {
  constructor() {
    super({ aggregationTemporalitySelector: temporalityOf, cardinalitySelector: () => MOST_SERIES });
  }
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

/** What Prometheus calls units at the end of a name. */
const UNIT_WORDS: Readonly<Record<string, string>> = { s: 'seconds', ms: 'milliseconds', By: 'bytes', '1': 'ratio' };
const ADDED = /^((?:# (?:HELP|UNIT|TYPE) )?)(\w+?)_total(?=[ {])/gm;

/** The text of the metrics page: dots of names are underscores, and nothing is added to them that was not asked for. */
export function prometheusPage(metrics: ResourceMetrics, options: PageOptions = PLAIN_PAGE): string {
  const { without_scope_info, without_type_suffix, without_units } = options;
  const serializer = new PrometheusSerializer('', false, undefined, false, without_scope_info);
  const text = serializer.serialize(without_units ? metrics : withUnits(metrics));
  if (!without_type_suffix) return text;
  const all = metrics.scopeMetrics.flatMap((scope) => scope.metrics);
  // A name that ends so by itself keeps it.
  const own = new Set(
    all.map(({ descriptor: { name } }) => name.replaceAll(/\W/g, '_')).filter((name) => name.endsWith('_total')),
  );
  return text.replaceAll(ADDED, (whole, before: string, name: string) =>
    own.has(`${name}_total`) ? whole : before + name,
  );
}

function withUnits(metrics: ResourceMetrics): ResourceMetrics {
  const scopeMetrics = metrics.scopeMetrics.map((scope) => ({
    ...scope,
    metrics: scope.metrics.map((metric) => {
      const { name, unit } = metric.descriptor;
      const word = UNIT_WORDS[unit];
      const isSaid = word === undefined || name.replaceAll('.', '_').endsWith(`_${word}`);
      return isSaid ? metric : { ...metric, descriptor: { ...metric.descriptor, name: `${name}_${word}` } };
    }),
  }));
  return { ...metrics, scopeMetrics };
}

/** What is not measured. */
export interface Hidden {
  /** By their names. */
  readonly instruments: ReadonlySet<string>;
  /** Of the others, by the name of the instrument. */
  readonly attributes: ReadonlyMap<string, readonly string[]>;
}

export interface OwnMetricsOptions {
  /** Where they are shown; undefined: nowhere. */
  readonly page?: MetricsPage | undefined;
  readonly version: string;
  /** Other readers of the same numbers. */
  readonly readers?: readonly MetricReader[];
  readonly resource?: Resource;
  /** Default: nothing. */
  readonly hidden?: Hidden | undefined;
  /** An instrument has more series than it may hold. Called once for each, when somebody looks. */
  readonly onOverflow?: (instrument: string) => void;
}

/** The agent's own metrics, and the page at `http://<host>:<port>/metrics` that shows them. */
export function createOwnMetrics(options: OwnMetricsOptions): OwnMetrics {
  const { page, version, readers = [], resource = agentResource(version), hidden, onOverflow } = options;
  const pageReader = page && new PageReader();
  const provider = new MeterProvider({
    ...{ resource, readers: pageReader ? [pageReader, ...readers] : [...readers] },
    views: viewsOf(hidden),
  });
  const overflown = new Set<string>();
  const read = async (reader: MetricReader): Promise<ResourceMetrics> => {
    const { resourceMetrics } = await reader.collect();
    for (const { descriptor, dataPoints } of resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics)) {
      // The limit counts the series of the overflow, which is among the last.
      if (dataPoints.length < MOST_SERIES || overflown.has(descriptor.name)) continue;
      overflown.add(descriptor.name);
      onOverflow?.(descriptor.name);
    }
    return resourceMetrics;
  };
  const server =
    pageReader &&
    createServer((request, response) => void answer(() => read(pageReader), page, request, response)).unref();
  return {
    resource,
    meter: (name) => provider.getMeter(name, version),
    async collect() {
      const reader = pageReader ?? readers[0];
      return reader ? await read(reader) : { resource, scopeMetrics: [] };
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

function viewsOf(hidden: Hidden | undefined): ViewOptions[] {
  if (!hidden) return [];
  const dropped = [...hidden.instruments].map((instrumentName) => ({
    ...{ instrumentName, aggregation: { type: AggregationType.DROP } as const },
  }));
  const trimmed = [...hidden.attributes].map(([instrumentName, names]) => ({
    ...{ instrumentName, attributesProcessors: [createDenyListAttributesProcessor([...names])] },
  }));
  return [...dropped, ...trimmed];
}

async function answer(
  read: () => Promise<ResourceMetrics>,
  page: PageOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const isPage = request.url?.replace(/\?.*$/, '') === '/metrics';
  if (!isPage) return void response.writeHead(404).end();
  try {
    const text = prometheusPage(await read(), page);
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text);
  } catch {
    response.writeHead(500).end();
  }
}
