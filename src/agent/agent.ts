import { aborted } from '../component/aborted.ts';
import type { Clock } from '../component/clock.ts';
import type { Component } from '../component/component.ts';
import { deadline } from '../component/deadline.ts';
import type { AgentConfig } from '../config/agent-config.ts';
import type { OwnLogs } from '../platform/own-logs.ts';
import type { OwnMetrics } from '../platform/own-metrics.ts';
import { systemClock, systemRandom } from '../platform/system-clock.ts';
import { buildGraph, type Graph, type Node } from './graph.ts';
import { HostMaker } from './host.ts';

/** What a component gets to end by itself after the time for the stop is over. */
const LAST_MOMENT_MS = 100;
/** Of the time for the stop, what the store gets for what the exporters leave; half of a shorter time. */
const STORE_MS = 2_000;

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
  /** A component reported that the process must end. Called once at most. */
  readonly onFatal?: (component: string, error: Error) => void;
}

/** A configuration at work. Made by {@link createAgent}; started once, stopped once. */
export interface Agent {
  /** Extensions, exporters, processors, receivers. What had started is stopped again if one of them fails. */
  start(): Promise<void>;
  /**
   * Receivers, processors, exporters, extensions, within `service::shutdown_timeout`. Safe twice.
   * @returns the components that did not stop in time
   */
  stop(): Promise<readonly string[]>;
}

/** Builds the graph: runs every factory, opens nothing. Throws what a factory throws. */
export function createAgent(options: AgentOptions): Agent {
  const { config, logs, metrics, clock = systemClock, random = systemRandom, onFatal = () => {} } = options;
  const { configDirectory = process.cwd() } = options;
  const extensions = new Map<string, Component>();
  const { pipelines } = config;
  const hosts = new HostMaker({ clock, random, logs, metrics, configDirectory, pipelines }, extensions, onFatal);
  return new RunningAgent(buildGraph(config, hosts, extensions), hosts, config, logs, metrics, clock);
}

class RunningAgent implements Agent {
  readonly #graph: Graph;
  readonly #hosts: HostMaker;
  readonly #config: AgentConfig;
  readonly #logs: OwnLogs;
  readonly #metrics: OwnMetrics;
  readonly #clock: Clock;
  readonly #started: Node[] = [];
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
    const { extensions, exporters, processors, receivers } = this.#graph;
    try {
      await this.#metrics.start();
      for (const node of [...extensions, ...exporters, ...processors, ...receivers]) {
        this.#started.push(node);
        node.host.report({ status: 'starting' });
        await node.component.start(node.host);
        node.host.started();
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#hosts.enter('running');
    this.#logs.logger().info('Everything is ready. Begin running and processing data.');
  }

  stop(): Promise<readonly string[]> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<readonly string[]> {
    const timeout = this.#config.service.shutdown_timeout;
    using limit = deadline(this.#clock, timeout, 'the stop');
    using flush = deadline(this.#clock, Math.max(timeout / 2, timeout - STORE_MS), 'the last delivery', limit.signal);
    const hung: string[] = [];
    this.#hosts.enter('stopping');
    for (const node of this.#started.toReversed()) {
      node.host.report({ status: 'stopping' });
      const failed = (error: unknown) => this.#logs.logger().error('stopping failed', { component: node.name, error });
      const stopping = node.component
        .shutdown(this.#graph.extensions.includes(node) ? limit.signal : flush.signal)
        .catch(failed);
      if (await this.#inTime(stopping, limit.signal)) node.host.report({ status: 'stopped' });
      else hung.push(node.name);
    }
    await this.#metrics.shutdown();
    return hung;
  }

  /** Whether the work ended before the signal, or a moment after it: who comes last must not be blamed for the others. */
  async #inTime(work: Promise<void>, signal: AbortSignal): Promise<boolean> {
    const late = aborted(signal).then(() => this.#clock.sleep(LAST_MOMENT_MS));
    return Promise.race([work.then(() => true), late.then(() => false)]);
  }
}
