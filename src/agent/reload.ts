import type { AgentConfig, PipelineConfig } from '../config/agent-config.ts';
import { extensionOrder, type Graph, type Node } from './graph.ts';
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
 * @returns what came of it, the configuration in force, and what does not run as that says
 */
export async function reload(
  options: ReloadOptions,
): Promise<{ reloaded: Reloaded; inForce: AgentConfig; amiss: ReadonlySet<string> }> {
  const { before, after, graph, hosts, lives } = options;
  const plan = planReload(before, after, options.amiss);
  const { stop, start } = plan;
  const predecessors = await takeDown(plan, options);

  const [replaced, missing, kept, down]: [string[], string[], Trouble[], Trouble[]] = [[], [], [], []];
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
    // What was acknowledged and waits for it has nobody else.
    const isUrgent = predecessors.get(key)?.hasLeft ?? false;
    const attempt: Attempt = (config) => lives.tryStart(name, () => graph.addExporter(config, key), isUrgent);
    const runs = await bring(name, stop.exporters.includes(key), attempt);
    predecessors.get(key)?.passOn(runs ? graph.exporters.get(key)?.component : undefined);
  }
  for (const key of start.pipelines) {
    const attempt: Attempt = (config) => startPipeline(config, key, options);
    const wasThere = stop.pipelines.includes(key);
    const runs = await bring(`pipeline ${key}`, wasThere, attempt);
    const pipeline = graph.pipelines.get(key);
    // Who is fed by one that was there waits, so that nothing is lost; nobody waits for one that never ran.
    if (pipeline && !runs && !wasThere) pipeline.isDown = true;
    if (pipeline?.isDown) missing.push(`pipeline ${key}`);
  }
  hosts.rearrange(after.pipelines);
  for (const key of start.receivers) {
    const name = `receiver ${key}`;
    const attempt: Attempt = (config) => lives.tryStart(name, () => graph.addReceiver(config, key));
    await bring(name, stop.receivers.includes(key), attempt);
  }
  const reloaded = { replaced, removed: removedBy(plan), kept, down };
  const notAsSaid = new Set([...missing, ...[...kept, ...down].map(({ name }) => name)]);
  return { reloaded, inForce: configInForce(before, after, kept), amiss: notAsSaid };
}

/** Who hands data on waits at its pipeline from now on. @returns the exporters of before, for those that come after them */
async function takeDown({ stop, start }: ReloadPlan, { before, graph, lives }: ReloadOptions) {
  const { shutdown_timeout: timeoutMs } = before.service;
  const drop = async (node: Node | undefined) => {
    if (node && lives.hasStarted(node)) await lives.stopForGood(node, timeoutMs);
    else node?.host.gone();
  };
  for (const key of stop.receivers) {
    await drop(graph.receivers.get(key));
    graph.receivers.delete(key);
  }
  for (const key of stop.pipelines) graph.pipelines.get(key)?.entry.hold();
  for (const key of stop.pipelines) for (const node of graph.pipelines.get(key)?.processors ?? []) await drop(node);
  const predecessors = new Map(stop.exporters.map((key) => [key, graph.exporters.get(key)?.component]));
  for (const key of start.exporters) predecessors.get(key)?.keepForHeir();
  for (const key of stop.exporters) {
    await drop(graph.exporters.get(key));
    graph.exporters.delete(key);
  }
  for (const key of extensionOrder(before)
    .toReversed()
    .filter((one) => stop.extensions.includes(one))) {
    await drop(graph.extensions.get(key));
    graph.removeExtension(key);
  }
  for (const key of stop.pipelines) if (!start.pipelines.includes(key)) graph.pipelines.delete(key);
  return predecessors;
}

/** Makes the processors of a pipeline and starts them; its entry opens when all have. */
async function startPipeline(config: AgentConfig, key: string, { before, graph, lives }: ReloadOptions) {
  let made: ReturnType<Graph['addPipeline']>;
  try {
    made = graph.addPipeline(config, key, (exporter) => lives.hasStarted(exporter));
  } catch (cause) {
    const error = cause instanceof Error ? cause : new Error(String(cause));
    return { name: `pipeline ${key}`, error, node: undefined };
  }
  for (const node of made.processors) {
    const failure = await lives.tryStart(node.name, () => node);
    if (!failure) continue;
    for (const other of made.processors.filter((one) => one !== failure.node)) {
      if (lives.hasStarted(other)) await lives.stopForGood(other, before.service.shutdown_timeout);
      else other.host.gone();
    }
    return failure;
  }
  made.open();
  return undefined;
}

/** The new configuration with the old settings of what was there: what a component falls back on meets the others as they are now. */
function withSettingsOf(before: AgentConfig, after: AgentConfig): AgentConfig {
  return {
    ...after,
    pipelines: after.pipelines.map((pipeline) => withOldProcessors(pipeline, before)),
    extensions: new Map([...after.extensions, ...before.extensions]),
    exporters: new Map([...after.exporters, ...before.exporters]),
    processors: new Map([...after.processors, ...before.processors]),
    receivers: new Map([...after.receivers, ...before.receivers]),
  };
}

function withOldProcessors(pipeline: PipelineConfig, { pipelines }: AgentConfig): PipelineConfig {
  const old = pipelines.find(({ key }) => key === pipeline.key);
  return { ...pipeline, processors: old?.processors ?? pipeline.processors };
}

/** Whether a name is that of a pipeline, or of one of its processors. */
function isOf(name: string, pipeline: string): boolean {
  return name === `pipeline ${pipeline}` || name.endsWith(` of ${pipeline}`);
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
  const pipelines = after.pipelines.map((pipeline) =>
    kept.some(({ name }) => isOf(name, pipeline.key)) ? withOldProcessors(pipeline, before) : pipeline,
  );
  return {
    ...{ ...after, pipelines },
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
