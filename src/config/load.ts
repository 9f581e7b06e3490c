import type { z } from 'zod';
import type { ErrorCode } from '../component/error-codes.ts';
import { describeError } from '../component/errors.ts';
import type { AnyFactory } from '../component/factory.ts';
import { type ComponentKind, formatComponentId, parseComponentId } from '../component/id.ts';
import { Secret } from '../component/secret.ts';
import type { AgentConfig, ConfiguredComponent, PipelineConfig } from './agent-config.ts';
import { checkReferences, type WrittenGraph } from './check-references.ts';
import { checkSettings, isHeader, isKnown, type References, valueAt } from './check-settings.ts';
import { withoutValues } from './hide-values.ts';
import { mergeValues, ownerOf } from './merge.ts';
import { formatProblem, type Problem } from './problem.ts';
import { type Expansion, expandReferences, pathKey, type Reference, type ReferenceSource } from './references.ts';
import { type ServiceConfig, serviceSchema } from './schema/service.ts';
import { kindOf } from './schema/values.ts';
import { suggest } from './suggest.ts';
import { type Path, parseYamlFile, type YamlFile } from './yaml-file.ts';

export type LoadResult =
  | {
      readonly config: AgentConfig;
      readonly warnings: readonly string[];
      /** What may be meant so, and is told at start. */
      readonly infos: readonly string[];
      /** All inputs as one, with all references replaced; as it was written otherwise. */
      readonly merged: Readonly<Record<string, unknown>>;
    }
  | { readonly problems: readonly Problem[] };

const KINDS: readonly ComponentKind[] = ['receiver', 'processor', 'exporter', 'extension'];

/** One of the files that a configuration is made of, or one override. */
export interface ConfigInput {
  readonly file: YamlFile;
  /** Gives the values of its references. */
  readonly source: ReferenceSource;
}

/** As {@link loadConfigs}, for one file. @param name of the file, for positions */
export function loadConfig(
  name: string,
  content: string,
  factories: readonly AnyFactory[],
  source: ReferenceSource,
): LoadResult {
  return loadConfigs([{ file: parseYamlFile(name, content), source }], factories);
}

/**
 * Parsed files in, checked configuration or all its mistakes out. Reads nothing but what the sources give.
 * @param inputs one or more; what is further right wins
 * @param pluginMistakes what is wrong with entries of `plugins`
 */
export function loadConfigs(
  inputs: readonly ConfigInput[],
  factories: readonly AnyFactory[],
  pluginMistakes: readonly { readonly index: number; readonly message: string }[] = [],
): LoadResult {
  const unreadable = inputs.flatMap(({ file }) => file.problems);
  if (unreadable.length > 0) return { problems: unreadable };

  const expansion = expandAll(inputs);
  const { position } = expansion;
  const problems: Problem[] = [];
  const report = (path: Path, part: 'key' | 'value', code: ErrorCode, message: string, subject: Path = path) =>
    problems.push({
      ...{ position: position(path, part), path: subject.join('::'), code },
      message: withoutValues(message + unsetBelow(path), path, expansion.references, expansion.value),
    });
  /** A rule of a whole section may be broken by what is not set in it. */
  const unsetBelow = (path: Path) => {
    if (path.length < 2 || kindOf(valueAt(expansion.value, path)) !== 'map') return '';
    const variables = [...expansion.references].flatMap(([key, { unset }]) => {
      const at = JSON.parse(key) as Path;
      return at.length === path.length + 1 && path.every((step, depth) => at[depth] === step) ? unset : [];
    });
    return variables.map((variable) => ` (${variable} is not set)`).join('');
  };

  if (expansion.value === undefined) {
    report([], 'value', 'config_value', 'empty configuration file');
    return { problems };
  }
  for (const { path, message } of expansion.problems) report(path, 'value', 'config_source', message);
  if (kindOf(expansion.value) !== 'map') {
    report([], 'value', 'config_value', `expected type 'map', got '${kindOf(expansion.value)}'`);
    return { problems };
  }
  const root = expansion.value as Record<string, unknown>;

  /** @param as what `at` is called in messages */
  const check = <T>(schema: z.ZodType<T>, settings: unknown, at: Path, as: Path = at): T | undefined => {
    const result = checked(schema, settings, below(expansion.references, at));
    if ('value' in result) return result.value;
    for (const { path, part, code, message, subject = path } of result.problems) {
      // What is missing is told where it should stand.
      const isMissing = code === 'config_value' && part === 'key';
      const shown = [...as, ...knownPart(schema, subject, below(expansion.references, at))];
      report([...at, ...(isMissing ? path.slice(0, -1) : path)], part, code, message, shown);
    }
    return undefined;
  };

  for (const { index, message } of pluginMistakes) report(['plugins', index], 'value', 'config_source', message);
  const sections = [...KINDS.map((kind) => `${kind}s`), 'service', 'plugins'];
  for (const key of Object.keys(root)) {
    if (key === 'connectors')
      report([key], 'key', 'config_unknown_key', 'not supported by this agent; use two pipelines');
    else if (!sections.includes(key))
      report([key], 'key', 'config_unknown_key', `has invalid keys: ${key} ${suggest(key, sections)}`, []);
  }

  if ((root.plugins ?? undefined) !== undefined && kindOf(root.plugins) !== 'slice')
    report(['plugins'], 'value', 'config_value', `expected type 'slice', got '${kindOf(root.plugins)}'`);
  for (const [index, name] of [root.plugins ?? []].flat().entries())
    if (typeof name !== 'string')
      report(['plugins', index], 'value', 'config_value', `expected type 'string', got '${kindOf(name)}'`);

  /** Ids that the section names, also those with mistakes inside: a second error about them would only confuse. */
  const named = new Map<ComponentKind, Set<string>>();
  const components = new Map<ComponentKind, Map<string, ConfiguredComponent>>();
  for (const kind of KINDS) {
    const section = `${kind}s`;
    const checked = new Map<string, ConfiguredComponent>();
    const seen = new Set<string>();
    components.set(kind, checked);
    named.set(kind, seen);
    const entries = root[section] ?? {};
    if (kindOf(entries) !== 'map') {
      report([section], 'value', 'config_value', `expected type 'map', got '${kindOf(entries)}'`);
      // What is of another form has no names that could be missed.
      named.delete(kind);
      continue;
    }
    const ofKind = factories.filter((factory) => factory.kind === kind);
    for (const [written, settings] of Object.entries(entries as object)) {
      const at = [section, written];
      const id = parseComponentId(written);
      if (typeof id === 'string') {
        report(at, 'key', 'config_value', id, [section]);
        continue;
      }
      const key = formatComponentId(id);
      if (seen.has(key)) report(at, 'key', 'config_value', `duplicate id "${key}"`, [section]);
      seen.add(key);
      const factory = ofKind.find(({ type, aliases = [] }) => type === id.type || aliases.includes(id.type));
      if (!factory) {
        const types = ofKind.map((candidate) => candidate.type);
        const message = `unknown type: "${id.type}" for id: "${key}" ${suggest(id.type, types)}`;
        report(at, 'key', 'config_reference', message, [section]);
        continue;
      }
      const config = check(factory.schema, settings, at, [section, key]);
      // Settings with mistakes are still asked what they refer to.
      const writtenKey = written;
      checked.set(key, { id, key, writtenKey, factory, config: config ?? settings ?? {}, written: settings ?? null });
    }
  }

  const service = check(serviceSchema, root.service, ['service']);
  // Also beside mistakes of the section itself: all are told at once.
  const pipelines = checkReferences({ service: service ?? graphOf(root.service), named, components, report });
  if (problems.length > 0 || !service) return { problems };

  const warning = (path: Path, part: 'key' | 'value', code: ErrorCode, message: string) =>
    formatProblem({ position: position(path, part), path: path.join('::'), code, message });
  const warnings = [
    ...expansion.warnings.map(({ path, message }) => warning(path, 'value', 'config_source', message)),
    ...openSecrets(expansion.references, components, service).map(({ path, message }) =>
      warning(path, 'value', 'config_source', message),
    ),
    ...aliasesUsed(components).map(({ section, key, message }) =>
      warning([section, key], 'key', 'config_value', message),
    ),
    ...limitersBehindOthers(pipelines).map(({ path, message }) => warning(path, 'value', 'config_value', message)),
  ];
  const infos = [
    ...expansion.infos.map(({ path, message }) => warning(path, 'value', 'config_source', message)),
    ...unused(components, pipelines, service).map(({ path, message }) => warning(path, 'key', 'config_value', message)),
  ];
  const config = {
    receivers: components.get('receiver'),
    processors: components.get('processor'),
    exporters: components.get('exporter'),
    extensions: components.get('extension'),
    pipelines,
    service,
  } as AgentConfig;
  return { config, warnings, infos, merged: root };
}

/** What the inputs say together, after their references were replaced; what an input says in vain counts no more. */
function expandAll(inputs: readonly ConfigInput[]) {
  const expansions = inputs.map(({ file, source }) => expandReferences(file.value ?? undefined, source));
  const values = expansions.map(({ value }) => value);
  const isInForce = (path: Path, index: number) => ownerOf(values, path) === index;
  const said = <T extends { readonly path: Path }>(of: (expansion: Expansion) => readonly T[]) =>
    expansions.flatMap((expansion, index) => of(expansion).filter(({ path }) => isInForce(path, index)));
  const references = expansions.flatMap((expansion, index) =>
    [...expansion.references].filter(([key]) => isInForce(JSON.parse(key) as Path, index)),
  );
  return {
    value: mergeValues(values),
    problems: said(({ problems }) => problems),
    warnings: said(({ warnings }) => warnings),
    infos: said(({ infos }) => infos),
    references: new Map(references),
    position: (path: Path, part: 'key' | 'value') => inputs[ownerOf(values, path)]!.file.position(path, part),
  };
}

/** Entries of `plugins`, with the name of the file that names them; [] where that cannot be told yet. */
export function pluginsOf(
  inputs: readonly ConfigInput[],
): { readonly name: string; readonly file: string; readonly index: number }[] {
  if (inputs.some(({ file }) => file.problems.length > 0)) return [];
  const { value, position } = expandAll(inputs);
  const { plugins } = (kindOf(value) === 'map' ? value : {}) as { plugins?: unknown };
  if (!Array.isArray(plugins)) return [];
  return plugins.flatMap((name, index) =>
    typeof name === 'string' ? [{ name, file: position(['plugins', index], 'value').file, index }] : [],
  );
}

/** Of a `service` section with mistakes in it: what of its graph can be read; undefined: what has another form says nothing. */
function graphOf(section: unknown): WrittenGraph {
  const map = (value: unknown) => (kindOf(value) === 'map' ? (value as Record<string, unknown>) : undefined);
  const ids = (value: unknown = []) =>
    Array.isArray(value) ? value.filter((id) => typeof id === 'string') : undefined;
  const { extensions, pipelines = {} } = map(section ?? {}) ?? { extensions: null, pipelines: null };
  const lists = Object.entries(map(pipelines) ?? {}).map(([key, pipeline]) => {
    const { receivers, processors, exporters } = map(pipeline ?? {}) ?? {
      receivers: null,
      processors: null,
      exporters: null,
    };
    return [key, { receivers: ids(receivers), processors: ids(processors), exporters: ids(exporters) }];
  });
  return { extensions: ids(extensions), pipelines: map(pipelines) && Object.fromEntries(lists) };
}

type Components = ReadonlyMap<ComponentKind, ReadonlyMap<string, ConfiguredComponent>>;

function aliasesUsed(components: Components): { section: string; key: string; message: string }[] {
  return [...components].flatMap(([kind, ofKind]) =>
    [...ofKind.values()]
      .filter(({ id, factory }) => id.type !== factory.type)
      .map(({ id, writtenKey, factory }) => ({
        section: `${kind}s`,
        key: writtenKey,
        message: `"${id.type}" is an alias of "${factory.type}"`,
      })),
  );
}

/** Components that are checked and not made, since nothing names them. */
function unused(
  components: Components,
  pipelines: readonly PipelineConfig[],
  { extensions }: ServiceConfig,
): { path: Path; message: string }[] {
  const used = {
    receiver: pipelines.flatMap(({ receivers }) => receivers),
    processor: pipelines.flatMap(({ processors }) => processors),
    exporter: pipelines.flatMap(({ exporters }) => exporters),
    extension: extensions,
  };
  return [...components].flatMap(([kind, ofKind]) =>
    [...ofKind.values()]
      .filter(({ key }) => !used[kind].includes(key))
      .map(({ writtenKey }) => ({
        path: [`${kind}s`, writtenKey],
        message: `is not used by ${kind === 'extension' ? 'service::extensions' : 'any pipeline'}`,
      })),
  );
}

/** What stands before a memory limiter has used the memory already. */
function limitersBehindOthers(pipelines: readonly PipelineConfig[]): { path: Path; message: string }[] {
  return pipelines.flatMap(({ key, processors }) =>
    processors.flatMap((processor, index) =>
      index > 0 && /^memory_limiter(\/|$)/.test(processor)
        ? [
            {
              path: ['service', 'pipelines', key, 'processors', index],
              message: `"${processor}" should be the first processor`,
            },
          ]
        : [],
    ),
  );
}

/** A path ends where a reference brought names that are not the schema's: they are its value. */
function knownPart(schema: z.ZodType, path: Path, references: References): Path {
  const depths = path.map((_, index) => index);
  const from = depths.find((depth) => references.has(pathKey(path.slice(0, depth))));
  const foreign =
    from === undefined ? -1 : depths.findIndex((depth) => depth >= from && !isKnown(schema, path.slice(0, depth + 1)));
  return foreign < 0 ? path : path.slice(0, foreign);
}

/** A schema of a plugin may stumble over what it is given. */
function checked<T>(
  schema: z.ZodType<T>,
  settings: unknown,
  references: References,
): ReturnType<typeof checkSettings<T>> {
  try {
    return checkSettings(schema, settings, references);
  } catch (error) {
    const message = `cannot be checked: ${describeError(error)}`;
    return { problems: [{ path: [], part: 'value', code: 'config_value', message }] };
  }
}

function below(references: References, at: Path): References {
  const inside = new Map<string, Pick<Reference, 'reference' | 'text' | 'unset'>>();
  for (const [key, reference] of references) {
    const path = JSON.parse(key) as Path;
    if (at.every((step, depth) => path[depth] === step)) inside.set(pathKey(path.slice(at.length)), reference);
  }
  return inside;
}

/** Secrets that come from files which others may read. */
function openSecrets(
  references: Expansion['references'],
  components: ReadonlyMap<ComponentKind, ReadonlyMap<string, ConfiguredComponent>>,
  service: unknown,
) {
  const checked: Record<string, unknown> = { service };
  for (const [kind, ofKind] of components)
    checked[`${kind}s`] = Object.fromEntries(
      [...ofKind.values()].map(({ writtenKey, config }) => [writtenKey, config]),
    );
  return [...references].flatMap(([key, { open }]) => {
    const path = JSON.parse(key) as Path;
    if (!open || !(isHeader(path) || valueAt(checked, path) instanceof Secret)) return [];
    return [{ path, message: `${open.path} holds a secret, and others may read it (mode ${open.mode})` }];
  });
}
