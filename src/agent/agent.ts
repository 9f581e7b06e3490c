import type { Clock } from '../component/clock.ts';
import type { Component, ConfigView } from '../component/component.ts';
import { deadline } from '../component/deadline.ts';
import { VERSION } from '../component/version.ts';
import type { AgentConfig } from '../config/agent-config.ts';
import { createOwnLogs, type OwnLogs } from '../platform/own-logs.ts';
import { createOwnMetrics, type OwnMetrics } from '../platform/own-metrics.ts';
import { systemClock, systemRandom } from '../platform/system-clock.ts';
import { belowBeta } from './below-beta.ts';
import { Graph } from './graph.ts';
import { HostMaker } from './host.ts';
import { Lives } from './lives.ts';
import { type Reloaded, reload } from './reload.ts';

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

export type { Reloaded };

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
  readonly #lives: Lives;
  /** In force, with the old settings of what could not go over. */
  #config: AgentConfig;
  /** Names of what does not run as the configuration says. */
  #amiss: ReadonlySet<string> = new Set();
  #reloading: Promise<unknown> = Promise.resolve();
  #stopping: Promise<readonly string[]> | undefined;

  constructor(graph: Graph, hosts: HostMaker, config: AgentConfig, logs: OwnLogs, metrics: OwnMetrics, clock: Clock) {
    this.#graph = graph;
    this.#hosts = hosts;
    this.#config = config;
    this.#logs = logs;
    this.#metrics = metrics;
    this.#clock = clock;
    this.#lives = new Lives(logs, clock, () => metrics.collect());
  }

  async start(): Promise<void> {
    try {
      await this.#metrics.start();
      for (const node of this.#graph.nodes) {
        if (this.#lives.isEnding) return;
        await this.#lives.start(node);
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
    if (this.#lives.isEnding) return;
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
    this.#lives.end(this.#config.service.shutdown_timeout);
    this.#stopping ??= this.#reloading.then(() => this.#stop());
    return this.#stopping;
  }

  async #reload(after: AgentConfig): Promise<Reloaded> {
    if (this.#lives.isEnding) return { replaced: [], removed: [], kept: [], down: [] };
    checkFactories(after);
    const { reloaded, inForce, amiss } = await reload({
      ...{ before: this.#config, after, amiss: this.#amiss },
      ...{ graph: this.#graph, hosts: this.#hosts, lives: this.#lives },
    });
    this.#config = inForce;
    this.#amiss = amiss;
    return reloaded;
  }

  async #stop(): Promise<readonly string[]> {
    const { shutdown_timeout: timeoutMs } = this.#config.service;
    using limit = deadline(this.#clock, timeoutMs, 'the stop');
    this.#hosts.enter('stopping');
    const { nodes, extensions } = this.#graph;
    const hung = await this.#lives.stopAll(nodes, (node) => [...extensions.values()].includes(node), timeoutMs);
    using last = deadline(this.#clock, LAST_METRICS_MS, 'the last metrics', limit.signal);
    await this.#lives.inTime(this.#metrics.shutdown(), last.signal);
    return hung;
  }
}
