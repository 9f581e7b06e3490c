import type { Component } from '../component/component.ts';
import type { NextConsumers } from '../component/consumer.ts';
import { describeError, OutbandError } from '../component/errors.ts';
import type { ExporterFactory, Signal } from '../component/factory.ts';
import type { MetricDoc } from '../component/metric-doc.ts';
import type { AgentConfig, ConfiguredComponent } from '../config/agent-config.ts';
import { hasDelivery, NO_DELIVERY } from '../config/schema/delivery.ts';
import { EXPORTER_METRICS } from '../delivery/exporter-metrics.ts';
import { ExporterPipeline } from '../delivery/exporter-pipeline.ts';
import { fanOutLogs, fanOutMetrics } from '../delivery/fan-out.ts';
import { deliveryOf } from './delivery-settings.ts';
import type { AgentHost, HostMaker } from './host.ts';
import { PROCESSOR_METRICS, processorEnds } from './measured-processor.ts';
import { countedReceiver, RECEIVER_METRICS } from './measured-receiver.ts';
import { PipelineEntry } from './pipeline-entry.ts';

/** What every receiver, processor and exporter tells, whatever its type. */
export const PIPELINE_METRICS: readonly MetricDoc[] = [
  ...[...RECEIVER_METRICS, ...PROCESSOR_METRICS, ...EXPORTER_METRICS],
];

/** A component with the name it has in log lines. */
export interface Node<Type extends Component = Component> {
  readonly name: string;
  readonly component: Type;
  readonly host: AgentHost;
}

interface Pipeline {
  readonly entry: PipelineEntry;
  /** A pipeline that is new and could not start: receivers do without it. */
  isDown: boolean;
  /** In the order of the pipeline. */
  readonly processors: readonly Node[];
}

/**
 * All components, connected. Each that a pipeline or `service::extensions` names is made once: one receiver or exporter is one instance
 * however many pipelines name it, a processor is one instance per pipeline. Making opens nothing.
 */
export class Graph {
  readonly #hosts: HostMaker;
  readonly #running: Map<string, Component>;
  readonly extensions = new Map<string, Node>();
  readonly exporters = new Map<string, Node<ExporterPipeline>>();
  readonly pipelines = new Map<string, Pipeline>();
  readonly receivers = new Map<string, Node>();

  /** @param running is filled with the extensions that hosts may ask for */
  constructor(hosts: HostMaker, running: Map<string, Component>) {
    this.#hosts = hosts;
    this.#running = running;
  }

  /** Makes everything. Throws what a factory throws. */
  addAll(config: AgentConfig): void {
    for (const key of extensionOrder(config)) this.addExtension(config, key);
    for (const key of used(config, 'exporters')) this.addExporter(config, key);
    // Receivers start last: nobody comes before everything behind the entries has started.
    for (const { key } of config.pipelines) this.addPipeline(config, key).open();
    for (const key of used(config, 'receivers')) this.addReceiver(config, key);
  }

  /** In start order: each feeds only what stands before it. */
  get nodes(): readonly Node[] {
    const processors = [...this.pipelines.values()].flatMap((pipeline) => [...pipeline.processors].reverse());
    return [...this.extensions.values(), ...this.exporters.values(), ...processors, ...this.receivers.values()];
  }

  addExtension(config: AgentConfig, key: string): Node {
    const { id, factory, config: settings } = config.extensions.get(key)!;
    const host = this.#hosts.make('extension', key);
    const component = made(`extension ${key}`, () => factory.create({ id, config: settings, host }));
    this.#running.set(key, component);
    const node = { name: `extension ${key}`, component, host };
    this.extensions.set(key, node);
    return node;
  }

  removeExtension(key: string): void {
    this.extensions.delete(key);
    this.#running.delete(key);
  }

  addExporter(config: AgentConfig, key: string): Node {
    const signals = signalsOf(config, key);
    const host = this.#hosts.make('exporter', key, { 'otelcol.signal': signals.join(',') });
    const component = made(`exporter ${key}`, () => exporterOf(config.exporters.get(key)!, signals, host));
    const node = { name: `exporter ${key}`, component, host };
    this.exporters.set(key, node);
    return node;
  }

  /**
   * Makes the processors of a pipeline. An entry that is there already stays, and whoever waits at it goes on only when `open` is called.
   * @param runs whether an exporter has started: the pipeline does without those that have not, unless none has
   * @returns the processors, in start order, and what points the entry at the first of them
   */
  addPipeline(
    config: AgentConfig,
    key: string,
    runs: (exporter: Node) => boolean = () => true,
  ): { readonly processors: readonly Node[]; readonly open: () => void } {
    const spec = config.pipelines.find((pipeline) => pipeline.key === key)!;
    const named = spec.exporters.flatMap((exporter) => this.exporters.get(exporter) ?? []);
    const running = named.filter(runs);
    if (running.length === 0) throw new OutbandError('start_failed', `pipeline ${key} has no exporter that runs`);
    const exporters = running.map(({ component }) => component);
    let next: NextConsumers =
      spec.signal === 'logs' ? { logs: fanOutLogs(exporters) } : { metrics: fanOutMetrics(exporters) };
    const processors: Node[] = [];
    for (const processor of spec.processors.toReversed()) {
      const { id, factory, config: settings } = config.processors.get(processor)!;
      const where = { 'otelcol.pipeline.id': key, 'otelcol.signal': spec.signal };
      const host = this.#hosts.make('processor', processor, where);
      const ends = processorEnds(host.meter, host.clock, processor);
      const name = `processor ${processor} of ${key}`;
      const outgoing = ends.outgoing(next);
      const component = made(name, () => factory.create({ id, config: settings, host, next: outgoing }));
      processors.push({ name, component, host });
      next = ends.incoming(component);
    }
    const entry = this.pipelines.get(key)?.entry ?? new PipelineEntry();
    this.pipelines.set(key, { entry, isDown: false, processors: processors.toReversed() });
    return { processors, open: () => entry.point(next) };
  }

  addReceiver(config: AgentConfig, key: string): Node {
    const { id, factory, config: settings } = config.receivers.get(key)!;
    const of = (signal: Signal) => config.pipelines.some((one) => one.signal === signal && one.receivers.includes(key));
    const signals = (['logs', 'metrics'] as const).filter(of);
    const host = this.#hosts.make('receiver', key, { 'otelcol.signal': signals.join(',') });
    const entries = (signal: Signal) =>
      config.pipelines
        .filter((pipeline) => pipeline.signal === signal && pipeline.receivers.includes(key))
        .flatMap((pipeline) => this.pipelines.get(pipeline.key) ?? [])
        .filter(({ isDown }) => !isDown)
        .map(({ entry }) => entry);
    const [logs, metrics] = [entries('logs'), entries('metrics')];
    const next: NextConsumers = {
      ...(logs.length > 0 && { logs: fanOutLogs(logs) }),
      ...(metrics.length > 0 && { metrics: fanOutMetrics(metrics) }),
    };
    const counted = countedReceiver(host.meter, key, next);
    const component = made(`receiver ${key}`, () => factory.create({ id, config: settings, host, next: counted }));
    const node = { name: `receiver ${key}`, component, host };
    this.receivers.set(key, node);
    return node;
  }
}

/** Says which component cannot be made. */
function made<Type>(name: string, create: () => Type): Type {
  try {
    return create();
  } catch (cause) {
    if (cause instanceof OutbandError) throw cause;
    throw new OutbandError('start_failed', `${name} cannot be made: ${describeError(cause)}`, { cause });
  }
}

/** As `service::extensions` lists them, but each after those that it refers to. */
export function extensionOrder({ service, extensions }: AgentConfig): string[] {
  const order = new Set<string>();
  const visit = (key: string, on: readonly string[]) => {
    if (order.has(key) || on.includes(key)) return;
    const { factory, config: settings } = extensions.get(key)!;
    for (const { id } of factory.references?.(settings as object) ?? []) visit(id, [...on, key]);
    order.add(key);
  };
  for (const key of service.extensions) visit(key, []);
  return [...order];
}

function exporterOf(
  { id, key, factory, config }: ConfiguredComponent<ExporterFactory>,
  signals: readonly Signal[],
  host: AgentHost,
) {
  const sender = factory.create({ id, config, host });
  const settings = deliveryOf(hasDelivery(config) ? config : NO_DELIVERY);
  return new ExporterPipeline({ exporter: key, sender, settings, host, signals });
}

function signalsOf({ pipelines }: AgentConfig, key: string): Signal[] {
  return [...new Set(pipelines.filter((pipeline) => pipeline.exporters.includes(key)).map(({ signal }) => signal))];
}

function used({ pipelines }: AgentConfig, kind: 'receivers' | 'exporters'): string[] {
  return [...new Set(pipelines.flatMap((pipeline) => pipeline[kind]))];
}
