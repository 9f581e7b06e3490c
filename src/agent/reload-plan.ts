import { isDeepStrictEqual } from 'node:util';
import type { AgentConfig, ConfiguredComponent, PipelineConfig } from '../config/agent-config.ts';

/** Keys of what is not the same in two configurations; sorted by kind. */
export interface ReloadPlan {
  /** Components to stop, by key: they are gone, or come back with other settings. */
  readonly stop: Parts;
  /** Components to start, by key. */
  readonly start: Parts;
}

export interface Parts {
  readonly extensions: readonly string[];
  readonly exporters: readonly string[];
  readonly pipelines: readonly string[];
  readonly receivers: readonly string[];
}

/**
 * What has to be replaced to come from one configuration to the other, and nothing else; pure. A component is replaced when its settings
 * are others, or an extension that it refers to is replaced; a pipeline, when what it names is; a receiver, when its pipelines are others.
 * A pipeline that is replaced behind its entry disturbs no receiver.
 * @param amiss names of what does not run as the configuration of before says: it is replaced in any case
 */
export function planReload(
  before: AgentConfig,
  after: AgentConfig,
  amiss: ReadonlySet<string> = new Set(),
): ReloadPlan {
  const changed = (kind: 'extensions' | 'exporters' | 'processors' | 'receivers', key: string): boolean => {
    const [old, fresh] = [before[kind].get(key), after[kind].get(key)] as (ConfiguredComponent | undefined)[];
    if (amiss.has(`${kind.slice(0, -1)} ${key}`)) return true;
    if (!old || !fresh || old.factory !== fresh.factory || !isDeepStrictEqual(old.written, fresh.written)) return true;
    return refersTo(fresh).some((id) => extensionChanged(id));
  };
  const judged = new Map<string, boolean>();
  const extensionChanged = (key: string): boolean => {
    const known = judged.get(key);
    if (known !== undefined) return known;
    // Who refers to itself in a circle is judged by its own settings.
    judged.set(key, false);
    const isOther = before.service.extensions.includes(key) !== after.service.extensions.includes(key);
    const result = isOther || changed('extensions', key);
    judged.set(key, result);
    return result;
  };
  const extensions = difference(before.service.extensions, after.service.extensions, extensionChanged);
  const exporters = difference(
    used(before.pipelines, 'exporters'),
    used(after.pipelines, 'exporters'),
    (key) => changed('exporters', key) || !isDeepStrictEqual(signalsOf(before, key), signalsOf(after, key)),
  );
  const replacedExporters = new Set([...exporters.stop, ...exporters.start]);
  const pipelineOf = ({ pipelines }: AgentConfig, key: string) => pipelines.find((one) => one.key === key);
  /** Also where another pipeline has a processor that is amiss: which settings run where is known of none of them. */
  const isAmiss = (key: string, { processors }: PipelineConfig) =>
    [...amiss].some(
      (name) => name === `pipeline ${key}` || processors.some((one) => name.startsWith(`processor ${one} of `)),
    );
  const pipelines = difference(
    before.pipelines.map(({ key }) => key),
    after.pipelines.map(({ key }) => key),
    (key) => {
      const [old, fresh] = [pipelineOf(before, key)!, pipelineOf(after, key)!];
      return (
        isAmiss(key, fresh) ||
        !isDeepStrictEqual([old.processors, old.exporters], [fresh.processors, fresh.exporters]) ||
        fresh.processors.some((processor) => changed('processors', processor)) ||
        fresh.exporters.some((exporter) => replacedExporters.has(exporter))
      );
    },
  );
  const receivers = difference(
    used(before.pipelines, 'receivers'),
    used(after.pipelines, 'receivers'),
    (key) =>
      changed('receivers', key) ||
      !isDeepStrictEqual(pipelinesOf(before, key), pipelinesOf(after, key)) ||
      // It does without a pipeline that could not start.
      pipelinesOf(after, key).some((pipeline) => amiss.has(`pipeline ${pipeline}`)),
  );
  const of = (part: 'stop' | 'start'): Parts => ({
    ...{
      extensions: extensions[part],
      exporters: exporters[part],
      pipelines: pipelines[part],
      receivers: receivers[part],
    },
  });
  return { stop: of('stop'), start: of('start') };
}

function difference(before: readonly string[], after: readonly string[], isChanged: (key: string) => boolean) {
  return {
    stop: before.filter((key) => !after.includes(key) || isChanged(key)),
    start: after.filter((key) => !before.includes(key) || isChanged(key)),
  };
}

function refersTo({ factory, config }: ConfiguredComponent): string[] {
  return (factory.references?.(config as object) ?? []).map(({ id }) => id);
}

function used(pipelines: readonly PipelineConfig[], kind: 'receivers' | 'exporters'): string[] {
  return [...new Set(pipelines.flatMap((pipeline) => pipeline[kind]))];
}

function signalsOf({ pipelines }: AgentConfig, exporter: string): string[] {
  return [
    ...new Set(pipelines.filter(({ exporters }) => exporters.includes(exporter)).map(({ signal }) => signal)),
  ].sort();
}

function pipelinesOf({ pipelines }: AgentConfig, receiver: string): string[] {
  return pipelines.filter(({ receivers }) => receivers.includes(receiver)).map(({ key }) => key);
}
