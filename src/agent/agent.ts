import { aborted } from '../component/aborted.ts';
import type { Clock } from '../component/clock.ts';
import type { Component, ConfigView } from '../component/component.ts';
import { deadline } from '../component/deadline.ts';
import { describeError, OutbandError } from '../component/errors.ts';
import type { AgentConfig } from '../config/agent-config.ts';
import type { OwnLogs } from '../platform/own-logs.ts';
import type { OwnMetrics } from '../platform/own-metrics.ts';
import { systemClock, systemRandom } from '../platform/system-clock.ts';
import { workOf } from './at-work.ts';
import { belowBeta } from './below-beta.ts';
import { extensionOrder, Graph, type Node } from './graph.ts';
import { HostMaker } from './host.ts';
import { planReload } from './reload-plan.ts';

/** What a component gets to end by itself after the time for the stop is over. */
const LAST_MOMENT_MS = 100;
/** Of the time for the stop, what the store gets for what the exporters leave; half of a shorter time. */
const STORE_MS = 2_000;
/** Own metrics that an OTLP service is sent get so long at the end; milliseconds. */
const LAST_METRICS_MS = 2_000;

export interface AgentOptions {
  readonly config: AgentConfig;
  readonly logs: OwnLogs;
  readonly metrics: OwnMetrics;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Uniform in [0, 1). Default: the system's. */
  readonly random?: () => number;
  /** Directory of the configuration file. Default: the working directory. */
  readonly configDirectory?: string;
  /** What the status page tells of the configuration. Default: nothing. */
  readonly about?: ConfigView;
  /** A component reported that the process must end. Called once at most. */
  readonly onFatal?: (component: string, error: Error) => void;
}

/** A configuration at work. Made by {@link createAgent}; started once, stopped once. */
export interface Agent {
  /** Extensions, exporters, processors, receivers. What had started is stopped again if one of them fails. */
  start(): Promise<void>;
  /**
   * Goes over to another configuration: replaces what has changed, and nothing else. What cannot be started with its new settings
   * runs with the old ones. Called one at a time, while the agent runs.
   * @returns names of the components that were replaced, and of those that kept their old settings
   */
  reload(config: AgentConfig): Promise<Reloaded>;
  /** What the status page tells of the configuration from now on. */
  tellOfConfig(config: ConfigView): void;
  /**
   * Receivers, processors, exporters, extensions, within `service::shutdown_timeout`. Safe twice.
   * @returns the components that did not stop in time
   */
  stop(): Promise<readonly string[]>;
}

export interface Reloaded {
  readonly replaced: readonly string[];
  readonly kept: readonly { readonly name: string; readonly error: Error }[];
}

/** Builds the graph: runs every factory, opens nothing. Throws what a factory throws. */
export function createAgent(options: AgentOptions): Agent {
  const { config, logs, metrics, clock = systemClock, random = systemRandom, onFatal = () => {} } = options;
  const { configDirectory = process.cwd(), about } = options;
  const extensions = new Map<string, Component>();
  const { pipelines } = config;
  const hosts = new HostMaker({ clock, random, logs, metrics, configDirectory, pipelines, about }, extensions, onFatal);
  const graph = new Graph(hosts, extensions);
  graph.addAll(config);
  return new RunningAgent(graph, hosts, config, logs, metrics, clock);
}

class RunningAgent implements Agent {
  readonly #graph: Graph;
  readonly #hosts: HostMaker;
  readonly #logs: OwnLogs;
  readonly #metrics: OwnMetrics;
  readonly #clock: Clock;
  readonly #started = new Set<Node>();
  #config: AgentConfig;
  #reloading: Promise<unknown> = Promise.resolve();
  #stopping: Promise<readonly string[]> | undefined;

  constructor(graph: Graph, hosts: HostMaker, config: AgentConfig, logs: OwnLogs, metrics: OwnMetrics, clock: Clock) {
    this.#graph = graph;
    this.#hosts = hosts;
    this.#config = config;
    this.#logs = logs;
    this.#metrics = metrics;
    this.#clock = clock;
  }

  async start(): Promise<void> {
    try {
      await this.#metrics.start();
      for (const node of this.#graph.nodes)
        await this.#startNode(node).catch((cause: unknown) => {
          throw startError(node, cause);
        });
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#hosts.enter('running');
    for (const { id, line } of belowBeta(this.#config)) this.#logs.logger({ 'otelcol.component.id': id }).info(line);
    this.#logs.logger().info('Everything is ready. Begin running and processing data.');
  }

  tellOfConfig(config: ConfigView): void {
    this.#hosts.tellOfConfig(config);
  }

  reload(config: AgentConfig): Promise<Reloaded> {
    const reloading = this.#reloading.then(() => this.#reload(config));
    this.#reloading = reloading.catch(() => {});
    return reloading;
  }

  stop(): Promise<readonly string[]> {
    this.#stopping ??= this.#reloading.then(() => this.#stop());
    return this.#stopping;
  }

  async #reload(after: AgentConfig): Promise<Reloaded> {
    if (this.#stopping) return { replaced: [], kept: [] };
    const before = this.#config;
    const { stop, start } = planReload(before, after);
    const graph = this.#graph;
    // Who hands data on waits at its pipeline; who is to go, goes from the source on.
    for (const key of stop.receivers) await this.#drop(graph.receivers, key);
    for (const key of stop.pipelines) graph.pipelines.get(key)!.entry.hold();
    for (const key of stop.pipelines)
      for (const node of graph.pipelines.get(key)!.processors) await this.#stopForGood(node);
    for (const key of stop.exporters) await this.#drop(graph.exporters, key);
    const order = extensionOrder(before).toReversed();
    for (const key of order.filter((one) => stop.extensions.includes(one))) {
      await this.#stopForGood(graph.extensions.get(key)!);
      graph.removeExtension(key);
    }
    for (const key of stop.pipelines) if (!start.pipelines.includes(key)) graph.pipelines.delete(key);

    const replaced: string[] = [];
    const kept: { name: string; error: Error }[] = [];
    const bring = async (name: string, make: (config: AgentConfig) => Node, wasThere: boolean) => {
      replaced.push(name);
      const error = await this.#tryStart(() => make(after));
      if (!error) return;
      const again = wasThere ? await this.#tryStart(() => make(before)) : error;
      kept.push({ name, error: again ?? error });
    };
    for (const key of extensionOrder(after).filter((one) => start.extensions.includes(one))) {
      await bring(`extension ${key}`, (config) => graph.addExtension(config, key), stop.extensions.includes(key));
      this.#hosts.showPagesAt(graph.extensions.get(key)!.component);
    }
    for (const key of start.exporters)
      await bring(`exporter ${key}`, (config) => graph.addExporter(config, key), stop.exporters.includes(key));
    for (const key of start.pipelines) {
      const { processors, open } = graph.addPipeline(after, key);
      for (const node of processors) await bring(node.name, () => node, false);
      replaced.push(`pipeline ${key}`);
      open();
    }
    this.#hosts.rearrange(after.pipelines);
    for (const key of start.receivers)
      await bring(`receiver ${key}`, (config) => graph.addReceiver(config, key), stop.receivers.includes(key));
    // What runs with its old settings differs from what was asked for: the next reload tries it again.
    const old = new Set(kept.map(({ name }) => name));
    this.#config = {
      ...after,
      extensions: withOld(after.extensions, before.extensions, (key) => old.has(`extension ${key}`)),
      exporters: withOld(after.exporters, before.exporters, (key) => old.has(`exporter ${key}`)),
      receivers: withOld(after.receivers, before.receivers, (key) => old.has(`receiver ${key}`)),
    };
    return { replaced, kept };
  }

  /** @returns why it did not start; its status is then a permanent error */
  async #tryStart(make: () => Node): Promise<Error | undefined> {
    let node: Node | undefined;
    try {
      node = make();
      await this.#startNode(node);
      return undefined;
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause));
      if (!node) return error;
      this.#started.delete(node);
      await node.component.shutdown(AbortSignal.abort('not started')).catch(() => {});
      node.host.report({ status: 'permanent', error });
      return error;
    }
  }

  async #startNode(node: Node): Promise<void> {
    this.#started.add(node);
    node.host.report({ status: 'starting' });
    await workOf(node.name, () => node.component.start(node.host));
    node.host.started();
  }

  async #drop(nodes: Map<string, Node>, key: string): Promise<void> {
    await this.#stopForGood(nodes.get(key)!);
    nodes.delete(key);
  }

  /** Within the time for a stop; what does not end by then is left behind. */
  async #stopForGood(node: Node): Promise<void> {
    using limit = deadline(this.#clock, this.#config.service.shutdown_timeout, `the stop of ${node.name}`);
    node.host.report({ status: 'stopping' });
    const stopping = node.component.shutdown(limit.signal).catch((error) => this.#stopFailed(node, error));
    if (!(await this.#inTime(stopping, limit.signal)))
      this.#logs.logger().error('a component did not stop in time', { component: node.name });
    this.#started.delete(node);
    node.host.gone();
  }

  async #stop(): Promise<readonly string[]> {
    const timeout = this.#config.service.shutdown_timeout;
    using limit = deadline(this.#clock, timeout, 'the stop');
    using flush = deadline(this.#clock, Math.max(timeout / 2, timeout - STORE_MS), 'the last delivery', limit.signal);
    const hung: string[] = [];
    this.#hosts.enter('stopping');
    const { nodes, extensions } = this.#graph;
    for (const node of nodes.toReversed().filter((one) => this.#started.has(one))) {
      node.host.report({ status: 'stopping' });
      const isExtension = [...extensions.values()].includes(node);
      const stopping = node.component
        .shutdown(isExtension ? limit.signal : flush.signal)
        .catch((error) => this.#stopFailed(node, error));
      if (await this.#inTime(stopping, limit.signal)) node.host.report({ status: 'stopped' });
      else hung.push(node.name);
    }
    using last = deadline(this.#clock, LAST_METRICS_MS, 'the last metrics', limit.signal);
    await this.#inTime(this.#metrics.shutdown(), last.signal);
    return hung;
  }

  #stopFailed(node: Node, error: unknown): void {
    this.#logs.logger().error('stopping failed', { component: node.name, error });
  }

  /** Whether the work ended before the signal, or a moment after it: who comes last must not be blamed for the others. */
  async #inTime(work: Promise<void>, signal: AbortSignal): Promise<boolean> {
    const late = aborted(signal).then(() => this.#clock.sleep(LAST_MOMENT_MS));
    return Promise.race([work.then(() => true), late.then(() => false)]);
  }
}

/** Says which component could not start, unless the error does; its code stays. */
function startError({ name }: Node, cause: unknown): Error {
  if (cause instanceof OutbandError && cause.message.includes(name.split(' ')[1]!)) return cause;
  const { code, hint } = cause instanceof OutbandError ? cause : { code: 'start_failed' as const, hint: undefined };
  return new OutbandError(code, `${name} cannot start: ${describeError(cause)}`, { cause, ...(hint && { hint }) });
}

function withOld<Value>(
  after: ReadonlyMap<string, Value>,
  before: ReadonlyMap<string, Value>,
  isOld: (key: string) => boolean,
): ReadonlyMap<string, Value> {
  return new Map([...after].map(([key, value]) => [key, isOld(key) ? (before.get(key) ?? value) : value]));
}
