import { aborted } from '../component/aborted.ts';
import type { Clock } from '../component/clock.ts';
import type { Component, ConfigView } from '../component/component.ts';
import { deadline } from '../component/deadline.ts';
import { describeError, OutbandError } from '../component/errors.ts';
import { VERSION } from '../component/version.ts';
import type { AgentConfig } from '../config/agent-config.ts';
import { createOwnLogs, type OwnLogs } from '../platform/own-logs.ts';
import { createOwnMetrics, type OwnMetrics } from '../platform/own-metrics.ts';
import { systemClock, systemRandom } from '../platform/system-clock.ts';
import { workOf } from './at-work.ts';
import { belowBeta } from './below-beta.ts';
import { extensionOrder, Graph, type Node } from './graph.ts';
import { HostMaker } from './host.ts';
import { planReload } from './reload-plan.ts';

/** What a component gets to end by itself after the time for the stop is over. */
const LAST_MOMENT_MS = 100;
/** Time that a component may take to start in a reload; the agent runs on meanwhile. */
const START_MS = 30_000;
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
   * runs with the old ones; the next call tries it again. Called one at a time, while the agent runs.
   * @throws what a factory throws; nothing is replaced then
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

/** Names of components, such as `receiver bmc_logs`. */
export interface Reloaded {
  readonly replaced: readonly string[];
  readonly removed: readonly string[];
  /** Those that could not start, and run with their old settings. */
  readonly kept: readonly Trouble[];
  /** Those that could not start and have no old settings, or not with these either. */
  readonly down: readonly Trouble[];
}

export interface Trouble {
  readonly name: string;
  readonly error: Error;
}

/** Runs every factory of a configuration, and opens nothing. Throws what a factory throws. */
export function checkFactories(config: AgentConfig): void {
  const logs = createOwnLogs({ level: 'error', encoding: 'console', clock: systemClock, write: () => {} });
  createAgent({ config, logs, metrics: createOwnMetrics({ version: VERSION }) });
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
  /** Aborts when the agent is to stop: a start or a reload that is under way ends. */
  readonly #ending = new AbortController();
  /** Names of what did not stop in time when it was replaced, and has not since. */
  readonly #leftBehind = new Set<string>();
  /** Names of what does not run as the configuration says. */
  #amiss: ReadonlySet<string> = new Set();
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
      for (const node of this.#graph.nodes) {
        if (this.#ending.signal.aborted) return;
        await this.#startNode(node).catch((cause: unknown) => {
          throw startError(node, cause);
        });
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
    if (this.#ending.signal.aborted) return;
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
    this.#ending.abort(new OutbandError('shutting_down', 'the agent stops'));
    this.#stopping ??= this.#reloading.then(() => this.#stop());
    return this.#stopping;
  }

  async #reload(after: AgentConfig): Promise<Reloaded> {
    const [replaced, removed, kept, down]: [string[], string[], Trouble[], Trouble[]] = [[], [], [], []];
    if (this.#ending.signal.aborted) return { replaced, removed, kept, down };
    checkFactories(after);
    const before = this.#config;
    const { stop, start } = planReload(before, after, this.#amiss);
    const graph = this.#graph;
    // Who hands data on waits at its pipeline; who is to go, goes from the source on.
    for (const key of stop.receivers) await this.#drop(graph.receivers, key);
    for (const key of stop.pipelines) graph.pipelines.get(key)?.entry.hold();
    for (const key of stop.pipelines)
      for (const node of graph.pipelines.get(key)?.processors ?? []) await this.#stopForGood(node);
    const predecessors = new Map(stop.exporters.map((key) => [key, graph.exporters.get(key)?.component]));
    for (const key of start.exporters) predecessors.get(key)?.keepForHeir();
    for (const key of stop.exporters) await this.#drop(graph.exporters, key);
    const order = extensionOrder(before).toReversed();
    for (const key of order.filter((one) => stop.extensions.includes(one))) {
      const node = graph.extensions.get(key);
      if (node) await this.#stopForGood(node);
      graph.removeExtension(key);
    }
    for (const key of stop.pipelines) if (!start.pipelines.includes(key)) graph.pipelines.delete(key);
    for (const kind of ['receiver', 'pipeline', 'exporter', 'extension'] as const)
      for (const key of stop[`${kind}s`]) if (!start[`${kind}s`].includes(key)) removed.push(`${kind} ${key}`);

    /** @returns whether it runs, one way or the other */
    const bring = async (
      name: string,
      wasThere: boolean,
      attempt: (config: AgentConfig) => Promise<Trouble | undefined>,
    ) => {
      replaced.push(name);
      const trouble = await attempt(after);
      if (!trouble) return true;
      // Other components are the new ones already.
      const withOldSettings = {
        ...after,
        extensions: new Map([...after.extensions, ...before.extensions]),
        exporters: new Map([...after.exporters, ...before.exporters]),
        processors: new Map([...after.processors, ...before.processors]),
        receivers: new Map([...after.receivers, ...before.receivers]),
      };
      const isBack = wasThere && (await attempt(withOldSettings)) === undefined;
      (isBack ? kept : down).push(trouble);
      return isBack;
    };
    for (const key of extensionOrder(after).filter((one) => start.extensions.includes(one))) {
      const name = `extension ${key}`;
      await bring(name, stop.extensions.includes(key), (config) =>
        this.#tryStart(name, () => graph.addExtension(config, key)),
      );
      const node = graph.extensions.get(key);
      if (node) this.#hosts.showPagesAt(node.component);
    }
    for (const key of start.exporters) {
      const name = `exporter ${key}`;
      const runs = await bring(name, stop.exporters.includes(key), (config) =>
        this.#tryStart(name, () => graph.addExporter(config, key)),
      );
      predecessors.get(key)?.passOn(runs ? graph.exporters.get(key)?.component : undefined);
    }
    for (const key of start.pipelines)
      await bring(`pipeline ${key}`, stop.pipelines.includes(key), (config) => this.#tryPipeline(config, key));
    this.#hosts.rearrange(after.pipelines);
    for (const key of start.receivers) {
      const name = `receiver ${key}`;
      await bring(name, stop.receivers.includes(key), (config) =>
        this.#tryStart(name, () => graph.addReceiver(config, key)),
      );
    }
    this.#amiss = new Set([...kept, ...down].map(({ name }) => name));
    const old = new Set(kept.map(({ name }) => name));
    this.#config = {
      ...after,
      extensions: withOld(after.extensions, before.extensions, (key) => old.has(`extension ${key}`)),
      exporters: withOld(after.exporters, before.exporters, (key) => old.has(`exporter ${key}`)),
      processors: withOld(after.processors, before.processors, (key) =>
        [...old].some((one) => one.startsWith(`processor ${key} `)),
      ),
      receivers: withOld(after.receivers, before.receivers, (key) => old.has(`receiver ${key}`)),
    };
    return { replaced, removed, kept, down };
  }

  /** Makes a component and starts it; when it does not start, its status is a permanent error. */
  async #tryStart(name: string, make: () => Node): Promise<Trouble | undefined> {
    let node: Node | undefined;
    try {
      node = make();
      using limit = deadline(this.#clock, START_MS, `the start of ${name}`, this.#ending.signal);
      const late = aborted(limit.signal).then(() => {
        throw limit.signal.reason;
      });
      await Promise.race([this.#startNode(node), late]);
      return undefined;
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause));
      if (node) {
        this.#started.delete(node);
        await this.#inTime(
          shutDown(node, AbortSignal.abort('not started')).catch(() => {}),
          AbortSignal.abort(),
        );
        node.host.report({ status: 'permanent', error });
      }
      return { name, error };
    }
  }

  /** Makes the processors of a pipeline and starts them; its entry opens when all have. */
  async #tryPipeline(config: AgentConfig, key: string): Promise<Trouble | undefined> {
    let made: ReturnType<Graph['addPipeline']>;
    try {
      made = this.#graph.addPipeline(config, key);
    } catch (cause) {
      return { name: `pipeline ${key}`, error: cause instanceof Error ? cause : new Error(String(cause)) };
    }
    for (const node of made.processors) {
      const trouble = await this.#tryStart(node.name, () => node);
      if (!trouble) continue;
      for (const other of made.processors.filter((one) => this.#started.has(one))) await this.#stopForGood(other);
      return trouble;
    }
    made.open();
    return undefined;
  }

  async #startNode(node: Node): Promise<void> {
    this.#started.add(node);
    node.host.report({ status: 'starting' });
    await workOf(node.name, () => node.component.start(node.host));
    node.host.started();
  }

  async #drop<Type extends Node>(nodes: Map<string, Type>, key: string): Promise<void> {
    const node = nodes.get(key);
    if (node) await this.#stopForGood(node);
    nodes.delete(key);
  }

  /** Within the time for a stop; what does not end by then is left behind. */
  async #stopForGood(node: Node): Promise<void> {
    const { shutdown_timeout: timeout } = this.#config.service;
    using limit = deadline(this.#clock, timeout, `the stop of ${node.name}`, this.#ending.signal);
    node.host.report({ status: 'stopping' });
    const stopping = shutDown(node, limit.signal)
      .catch((error) => this.#stopFailed(node, error))
      .finally(() => this.#leftBehind.delete(node.name));
    if (!(await this.#inTime(stopping, limit.signal))) {
      this.#leftBehind.add(node.name);
      this.#logs.logger().error('a component did not stop in time', { component: node.name });
    }
    this.#started.delete(node);
    node.host.gone();
  }

  async #stop(): Promise<readonly string[]> {
    const timeout = this.#config.service.shutdown_timeout;
    const until = this.#clock.monotonic() + timeout + LAST_MOMENT_MS;
    using limit = deadline(this.#clock, timeout, 'the stop');
    using flush = deadline(this.#clock, Math.max(timeout / 2, timeout - STORE_MS), 'the last delivery', limit.signal);
    const hung: string[] = [];
    this.#hosts.enter('stopping');
    const { nodes, extensions } = this.#graph;
    for (const node of nodes.toReversed().filter((one) => this.#started.has(one))) {
      const hadTime = this.#clock.monotonic() < until;
      node.host.report({ status: 'stopping' });
      const isExtension = [...extensions.values()].includes(node);
      const stopping = shutDown(node, isExtension ? limit.signal : flush.signal).catch((error) =>
        this.#stopFailed(node, error),
      );
      const isOver = await this.#inTime(stopping, limit.signal);
      if (isOver) node.host.report({ status: 'stopped' });
      // Who held the whole process up ended in no time as the timers see it.
      if (!isOver || (hadTime && this.#clock.monotonic() > until)) hung.push(node.name);
    }
    using last = deadline(this.#clock, LAST_METRICS_MS, 'the last metrics', limit.signal);
    await this.#inTime(this.#metrics.shutdown(), last.signal);
    return [...hung, ...this.#leftBehind];
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

/** Also of a component that throws where it should reject. */
async function shutDown({ name, component }: Node, signal: AbortSignal): Promise<void> {
  await workOf(name, () => component.shutdown(signal));
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
