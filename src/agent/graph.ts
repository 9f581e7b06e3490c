import type { Component } from '../component/component.ts';
import type { LogsConsumer, MetricsConsumer, NextConsumers } from '../component/consumer.ts';
import type { ExporterFactory, Signal } from '../component/factory.ts';
import type { AgentConfig, ConfiguredComponent, PipelineConfig } from '../config/agent-config.ts';
import { hasDelivery, NO_DELIVERY } from '../config/schema/delivery.ts';
import { ExporterPipeline } from '../delivery/exporter-pipeline.ts';
import { fanOutLogs, fanOutMetrics } from '../delivery/fan-out.ts';
import { deliveryOf } from './delivery-settings.ts';
import type { HostMaker } from './host.ts';

/** A component with the name it has in log lines. */
export interface Node {
  readonly name: string;
  readonly component: Component;
  readonly host: ReturnType<HostMaker['make']>;
}

/** All components, connected but not started. In start order: each group feeds only what stands before it. */
export interface Graph {
  readonly extensions: readonly Node[];
  readonly exporters: readonly Node[];
  readonly processors: readonly Node[];
  readonly receivers: readonly Node[];
}

/**
 * Builds every component that a pipeline or `service::extensions` names, each once: one receiver or exporter is one
 * instance however many pipelines name it, a processor is one instance per pipeline. Factories open nothing.
 * @param extensions is filled with what hosts may ask for
 */
export function buildGraph(config: AgentConfig, hosts: HostMaker, extensions: Map<string, Component>): Graph {
  const extensionNodes = extensionOrder(config).map((key): Node => {
    const { id, factory, config: settings } = config.extensions.get(key)!;
    const host = hosts.make('extension', key);
    const component = factory.create({ id, config: settings, host });
    extensions.set(key, component);
    return { name: `extension ${key}`, component, host };
  });

  const exporters = new Map<string, Node & { readonly component: LogsConsumer & MetricsConsumer }>();
  for (const key of used(config.pipelines, 'exporters')) {
    const host = hosts.make('exporter', key);
    const signals = signalsOf(config.pipelines, key);
    exporters.set(key, {
      name: `exporter ${key}`,
      component: exporterOf(config.exporters.get(key)!, signals, host),
      host,
    });
  }

  const processors: Node[] = [];
  /** Where each receiver's data goes, per pipeline. */
  const heads: { readonly receiver: string; readonly next: NextConsumers }[] = [];
  for (const pipeline of config.pipelines) {
    const ends = pipeline.exporters.map((key) => exporters.get(key)!.component);
    let next: NextConsumers =
      pipeline.signal === 'logs' ? { logs: fanOutLogs(ends) } : { metrics: fanOutMetrics(ends) };
    for (const key of pipeline.processors.toReversed()) {
      const { id, factory, config: settings } = config.processors.get(key)!;
      const host = hosts.make('processor', key);
      const component = factory.create({ id, config: settings, host, next });
      processors.push({ name: `processor ${key} of ${pipeline.key}`, component, host });
      next = component;
    }
    for (const receiver of pipeline.receivers) heads.push({ receiver, next });
  }

  const receivers = used(config.pipelines, 'receivers').map((key): Node => {
    const { id, factory, config: settings } = config.receivers.get(key)!;
    const host = hosts.make('receiver', key);
    const own = heads.filter(({ receiver }) => receiver === key);
    const logs = own.flatMap(({ next }) => next.logs ?? []);
    const metrics = own.flatMap(({ next }) => next.metrics ?? []);
    const next: NextConsumers = {
      ...(logs.length > 0 && { logs: fanOutLogs(logs) }),
      ...(metrics.length > 0 && { metrics: fanOutMetrics(metrics) }),
    };
    return { name: `receiver ${key}`, component: factory.create({ id, config: settings, host, next }), host };
  });
  return { extensions: extensionNodes, exporters: [...exporters.values()], processors, receivers };
}

/** As `service::extensions` lists them, but each after those that it refers to. */
function extensionOrder({ service, extensions }: AgentConfig): string[] {
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
  host: Node['host'],
) {
  const sender = factory.create({ id, config, host });
  const settings = deliveryOf(hasDelivery(config) ? config : NO_DELIVERY);
  return new ExporterPipeline({ exporter: key, sender, settings, host, signals });
}

function signalsOf(pipelines: readonly PipelineConfig[], key: string): Signal[] {
  return [...new Set(pipelines.filter((pipeline) => pipeline.exporters.includes(key)).map(({ signal }) => signal))];
}

function used(pipelines: readonly PipelineConfig[], kind: 'receivers' | 'exporters'): string[] {
  return [...new Set(pipelines.flatMap((pipeline) => pipeline[kind]))];
}
