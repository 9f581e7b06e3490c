import type { ErrorCode } from '../component/error-codes.ts';
import type { ExtensionReference, Signal } from '../component/factory.ts';
import { type ComponentKind, formatComponentId, parseComponentId } from '../component/id.ts';
import type { ConfiguredComponent, PipelineConfig } from './agent-config.ts';
import type { ServiceConfig } from './schema/service.ts';
import { suggest } from './suggest.ts';
import type { Path } from './yaml-file.ts';

type Report = (path: Path, part: 'key' | 'value', code: ErrorCode, message: string, subject?: Path) => void;

/** What `service` says of the graph; undefined: what stands there has another form, which is told already. */
export interface WrittenGraph {
  readonly extensions: readonly string[] | undefined;
  readonly pipelines: Readonly<Record<string, Partial<ServiceConfig['pipelines'][string]>>> | undefined;
}

interface CheckOptions {
  readonly service: WrittenGraph;
  /** Ids of a section, by kind; none where the section has another form. */
  readonly named: ReadonlyMap<ComponentKind, ReadonlySet<string>>;
  readonly components: ReadonlyMap<ComponentKind, ReadonlyMap<string, ConfiguredComponent>>;
  readonly report: Report;
}

const PIPELINE_KINDS = ['receiver', 'processor', 'exporter'] as const;

/** Everything that one part of the configuration says about another: pipelines and extensions that must exist. */
export function checkReferences({ service, named, components, report }: CheckOptions): PipelineConfig[] {
  const normal = (written: string): string => {
    const id = parseComponentId(written);
    return typeof id === 'string' ? written : formatComponentId(id);
  };

  for (const kind of ['receiver', 'exporter'] as const) {
    if (named.get(kind)?.size === 0)
      report([`${kind}s`], 'key', 'config_value', `no ${kind} configuration specified in config`, []);
  }

  const extensions = (service.extensions ?? []).map(normal);
  for (const [index, key] of extensions.entries()) {
    const known = named.get('extension');
    if (known && !known.has(key)) {
      const message = `references extension "${key}" which is not configured${hint(key, known)}`;
      report(['service', 'extensions', index], 'value', 'config_reference', message, ['service', 'extensions']);
    } else if (extensions.indexOf(key) !== index) {
      const message = `references extension "${key}" multiple times`;
      report(['service', 'extensions', index], 'value', 'config_reference', message, ['service', 'extensions']);
    }
  }
  for (const kind of [...PIPELINE_KINDS, 'extension'] as const) {
    for (const component of components.get(kind)!.values()) {
      for (const { path, id } of referencesOf(component)) {
        if (typeof id !== 'string' || id === '' || extensions.includes(normal(id))) continue;
        const extensionsNamed = named.get('extension');
        if (!extensionsNamed || !service.extensions) continue;
        const known = extensionsNamed.has(normal(id));
        const message = known
          ? `references extension "${id}" which is not listed in service::extensions`
          : `references extension "${id}" which is not configured${hint(id, extensionsNamed) || ` (add \`${id}: {}\` to extensions and "${id}" to service::extensions)`}`;
        const place = [`${kind}s`, component.writtenKey, ...path];
        report(place, 'value', 'config_reference', message, [`${kind}s`, component.key, ...path]);
      }
    }
  }

  if (service.pipelines && Object.keys(service.pipelines).length === 0)
    report(['service'], 'key', 'config_value', 'must have at least one pipeline');
  const pipelines: PipelineConfig[] = [];
  const seen = new Set<string>();
  for (const [written, lists] of Object.entries(service.pipelines ?? {})) {
    const at = ['service', 'pipelines', written];
    const id = parseComponentId(written);
    const signal = typeof id === 'string' ? undefined : toSignal(id.type);
    const key = normal(written);
    if (seen.has(key)) report(at, 'key', 'config_value', `duplicate id "${key}"`, ['service', 'pipelines']);
    seen.add(key);
    if (typeof id === 'string') report(at, 'key', 'config_value', id, ['service', 'pipelines']);
    else if (id.type === 'traces' || id.type === 'profiles') {
      report(at, 'key', 'config_value', 'not supported by this agent, which carries logs and metrics');
      continue;
    } else if (!signal) {
      const message = `unknown pipeline "${written}" ${suggest(id.type, ['logs', 'metrics'])}`;
      report(at, 'key', 'config_value', message, ['service', 'pipelines']);
    }
    for (const kind of PIPELINE_KINDS) {
      const said = lists[`${kind}s`];
      const list = (said ?? []).map(normal);
      if (kind !== 'processor' && said?.length === 0)
        report(at, 'key', 'config_value', `must have at least one ${kind}`);
      for (const [index, key] of list.entries()) {
        const place = [...at, `${kind}s`, index];
        if (list.indexOf(key) !== index)
          report(place, 'value', 'config_reference', `references ${kind} "${key}" multiple times`, at);
        else if (named.get(kind)?.has(key) === false) {
          const message = `references ${kind} "${key}" which is not configured${hint(key, named.get(kind)!)}`;
          report(place, 'value', 'config_reference', message, at);
        } else if (signal && !supports(components.get(kind)?.get(key), signal)) {
          const message = `failed to create "${key}" ${kind} for data type "${signal}": telemetry type is not supported`;
          report(place, 'value', 'config_reference', message, at);
        }
      }
    }
    if (signal) {
      const [receivers, processors, exporters] = PIPELINE_KINDS.map((kind) => (lists[`${kind}s`] ?? []).map(normal));
      pipelines.push({ key, signal, receivers: receivers!, processors: processors!, exporters: exporters! });
    }
  }
  return pipelines;
}

function toSignal(type: string): Signal | undefined {
  return type === 'logs' || type === 'metrics' ? type : undefined;
}

function supports(component: ConfiguredComponent | undefined, signal: Signal): boolean {
  if (!component || component.factory.kind === 'extension') return true;
  return component.factory.stability[signal] !== undefined;
}

function hint(key: string, known: ReadonlySet<string>): string {
  const text = suggest(key, [...known]);
  return text.includes('did you mean') ? ` ${text}` : '';
}

/** Settings with mistakes may be anything: a factory that stumbles over them refers to nothing; they are told by themselves. */
function referencesOf({ factory, config }: ConfiguredComponent): readonly ExtensionReference[] {
  try {
    return factory.references?.(config as object) ?? [];
  } catch {
    return [];
  }
}
