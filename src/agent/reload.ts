import type { AgentConfig } from '../config/agent-config.ts';
import { extensionOrder, type Graph } from './graph.ts';
import type { HostMaker } from './host.ts';
import type { Lives, Trouble } from './lives.ts';
import { type Parts, planReload, type ReloadPlan } from './reload-plan.ts';

/** What a reload has done, by names of components, such as `receiver bmc_logs`. */
export interface Reloaded {
  readonly replaced: readonly string[];
  readonly removed: readonly string[];
  /** Those that could not start, and run with their old settings. */
  readonly kept: readonly Trouble[];
  /** Those that could not start and have no old settings, or not with these either. */
  readonly down: readonly Trouble[];
}

export interface ReloadOptions {
  readonly before: AgentConfig;
  readonly after: AgentConfig;
  /** Names of what does not run as `before` says. */
  readonly amiss: ReadonlySet<string>;
  readonly graph: Graph;
  readonly hosts: HostMaker;
  readonly lives: Lives;
}

/** Tries once to make a part run. */
type Attempt = (config: AgentConfig) => ReturnType<Lives['tryStart']>;

/**
 * Goes over from one configuration to another: stops what is to go, from the source on, and starts what is new, towards the source.
 * What does not start gets its old settings back.
 * @returns what came of it, and the configuration in force
 */
export async function reload(options: ReloadOptions): Promise<{ reloaded: Reloaded; inForce: AgentConfig }> {
  const { before, after, amiss, graph, hosts, lives } = options;
  const plan = planReload(before, after, amiss);
  const { stop, start } = plan;
  const predecessors = await takeDown(plan, options);

  const [replaced, kept, down]: [string[], Trouble[], Trouble[]] = [[], [], []];
  /** @returns whether it runs, one way or the other */
  const bring = async (name: string, wasThere: boolean, attempt: Attempt): Promise<boolean> => {
    replaced.push(name);
    const failure = await attempt(after);
    if (!failure) return true;
    if (wasThere) failure.node?.host.gone();
    const isBack = wasThere && (await attempt(withSettingsOf(before, after))) === undefined;
    (isBack ? kept : down).push({ name: failure.name, error: failure.error });
    return isBack;
  };
  for (const key of extensionOrder(after).filter((one) => start.extensions.includes(one))) {
    const name = `extension ${key}`;
    const attempt: Attempt = (config) => lives.tryStart(name, () => graph.addExtension(config, key));
    await bring(name, stop.extensions.includes(key), attempt);
    const node = graph.extensions.get(key);
    if (node) hosts.showPagesAt(node.component);
  }
  for (const key of start.exporters) {
    const name = `exporter ${key}`;
    const attempt: Attempt = (config) => lives.tryStart(name, () => graph.addExporter(config, key));
    const runs = await bring(name, stop.exporters.includes(key), attempt);
    predecessors.get(key)?.passOn(runs ? graph.exporters.get(key)?.component : undefined);
  }
  for (const key of start.pipelines) {
    const attempt: Attempt = (config) => startPipeline(config, key, options);
    await bring(`pipeline ${key}`, stop.pipelines.includes(key), attempt);
  }
  hosts.rearrange(after.pipelines);
  for (const key of start.receivers) {
    const name = `receiver ${key}`;
    const attempt: Attempt = (config) => lives.tryStart(name, () => graph.addReceiver(config, key));
    await bring(name, stop.receivers.includes(key), attempt);
  }
  const reloaded = { replaced, removed: removedBy(plan), kept, down };
  return { reloaded, inForce: configInForce(before, after, kept) };
}

/** Who hands data on waits at its pipeline from now on. @returns the exporters of before, for those that come after them */
async function takeDown({ stop, start }: ReloadPlan, { before, graph, lives }: ReloadOptions) {
  const { shutdown_timeout: timeoutMs } = before.service;
  const drop = async (nodes: Graph[keyof Pick<Graph, 'receivers' | 'exporters' | 'extensions'>], key: string) => {
    const node = nodes.get(key);
    if (node) await lives.stopForGood(node, timeoutMs);
    nodes.delete(key);
  };
  for (const key of stop.receivers) await drop(graph.receivers, key);
  for (const key of stop.pipelines) graph.pipelines.get(key)?.entry.hold();
  for (const key of stop.pipelines)
    for (const node of graph.pipelines.get(key)?.processors ?? []) await lives.stopForGood(node, timeoutMs);
  const predecessors = new Map(stop.exporters.map((key) => [key, graph.exporters.get(key)?.component]));
  for (const key of start.exporters) predecessors.get(key)?.keepForHeir();
  for (const key of stop.exporters) await drop(graph.exporters, key);
  for (const key of extensionOrder(before)
    .toReversed()
    .filter((one) => stop.extensions.includes(one))) {
    await drop(graph.extensions, key);
    graph.removeExtension(key);
  }
  for (const key of stop.pipelines) if (!start.pipelines.includes(key)) graph.pipelines.delete(key);
  return predecessors;
}

/** Makes the processors of a pipeline and starts them; its entry opens when all have. */
async function startPipeline(config: AgentConfig, key: string, { before, graph, lives }: ReloadOptions) {
  let made: ReturnType<Graph['addPipeline']>;
  try {
    made = graph.addPipeline(config, key);
  } catch (cause) {
    const error = cause instanceof Error ? cause : new Error(String(cause));
    return { name: `pipeline ${key}`, error, node: undefined };
  }
  for (const node of made.processors) {
    const failure = await lives.tryStart(node.name, () => node);
    if (!failure) continue;
    for (const other of made.processors.filter((one) => lives.hasStarted(one)))
      await lives.stopForGood(other, before.service.shutdown_timeout);
    return failure;
  }
  made.open();
  return undefined;
}

/** The new configuration with the old settings of what was there: what a component falls back on meets the others as they are now. */
function withSettingsOf(before: AgentConfig, after: AgentConfig): AgentConfig {
  return {
    ...after,
    extensions: new Map([...after.extensions, ...before.extensions]),
    exporters: new Map([...after.exporters, ...before.exporters]),
    processors: new Map([...after.processors, ...before.processors]),
    receivers: new Map([...after.receivers, ...before.receivers]),
  };
}

function removedBy({ stop, start }: ReloadPlan): string[] {
  return (['receivers', 'pipelines', 'exporters', 'extensions'] as const).flatMap((kind: keyof Parts) =>
    stop[kind].filter((key) => !start[kind].includes(key)).map((key) => `${kind.slice(0, -1)} ${key}`),
  );
}

/** The new configuration, and the old one of what was kept: a later reload goes on from what really runs. */
function configInForce(before: AgentConfig, after: AgentConfig, kept: readonly Trouble[]): AgentConfig {
  const isOld = (kind: string) => (key: string) =>
    kept.some(({ name }) => name === `${kind} ${key}` || name.startsWith(`${kind} ${key} of `));
  return {
    ...after,
    extensions: mixed(after.extensions, before.extensions, isOld('extension')),
    exporters: mixed(after.exporters, before.exporters, isOld('exporter')),
    processors: mixed(after.processors, before.processors, isOld('processor')),
    receivers: mixed(after.receivers, before.receivers, isOld('receiver')),
  };
}

function mixed<Value>(
  after: ReadonlyMap<string, Value>,
  before: ReadonlyMap<string, Value>,
  isOld: (key: string) => boolean,
): ReadonlyMap<string, Value> {
  return new Map([...after].map(([key, value]) => [key, isOld(key) ? (before.get(key) ?? value) : value]));
}
