import { dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { builtins } from '../builtins.ts';
import { aborted } from '../component/aborted.ts';
import { deadline } from '../component/deadline.ts';
import { describeError } from '../component/errors.ts';
import { type AnyFactory, CONTRACT, STABILITIES, type Stability } from '../component/factory.ts';
import { parseComponentId } from '../component/id.ts';
import { systemClock } from '../platform/system-clock.ts';
import { fromDirectory, HOME, registerPluginHooks } from './plugin-hooks.ts';

const LOAD_MS = 30_000;
const KINDS = ['receiver', 'processor', 'exporter', 'extension'];

/** One entry of `plugins`, and where it stands. */
export interface PluginEntry {
  readonly name: string;
  /** File that names it: relative paths start there. */
  readonly file: string;
  readonly index: number;
}

export interface LoadedPlugins {
  /** What they bring, each with the entry that names it. */
  readonly modules: ReadonlyMap<AnyFactory, string>;
  readonly mistakes: readonly { readonly index: number; readonly message: string }[];
}

/**
 * Loads what `plugins` names. Never rejects: what cannot be loaded is a mistake of its entry.
 * @param limitMs time for one entry; a module may wait for something that never comes
 */
export async function loadPlugins(entries: readonly PluginEntry[], limitMs = LOAD_MS): Promise<LoadedPlugins> {
  if (entries.length > 0) registerPluginHooks();
  const modules = new Map<AnyFactory, string>();
  const mistakes: { index: number; message: string }[] = [];
  for (const entry of entries) {
    try {
      for (const factory of await factoriesOf(entry, limitMs)) {
        const others = [...builtins, ...modules.keys()].filter(({ kind }) => kind === factory.kind);
        const taken = namesOf(factory).find((name) => others.some((other) => namesOf(other).includes(name)));
        if (taken !== undefined) throw new Error(`${factory.kind} "${taken}" exists already`);
        modules.set(factory, entry.name);
      }
    } catch (error) {
      mistakes.push({ index: entry.index, message: `cannot load "${entry.name}": ${reasonOf(error)}` });
    }
  }
  return { modules, mistakes };
}

function namesOf({ type, aliases = [] }: AnyFactory): readonly string[] {
  return [type, ...aliases];
}

async function factoriesOf({ name, file }: PluginEntry, limitMs: number): Promise<AnyFactory[]> {
  using limit = deadline(systemClock, limitMs, 'its import');
  const late = aborted(limit.signal).then(() => {
    throw limit.signal.reason;
  });
  const module = (await Promise.race([import(locate(name, file)), late])) as { default?: unknown };
  const found = [module.default].flat();
  if (found.length === 0) throw new Error('its default export is an empty list');
  for (const factory of found) {
    const mistake = mistakeOf(factory);
    if (mistake !== undefined) throw new Error(mistake);
  }
  return found as AnyFactory[];
}

/** A path, or a package: from the directory of the configuration, else from that of the agent. */
function locate(name: string, file: string): string {
  const home = dirname(resolve(file));
  return /^\.{0,2}\//.test(name) ? pathToFileURL(resolve(home, name)).href : fromDirectory(name, home);
}

/** In the words of Node, without where in the agent it was noticed, and with where in the plugin. */
function reasonOf(error: unknown): string {
  const text = describeError(error).replace(/ imported from \S+(load-plugins\.[jt]s|\/plugins)( Did you mean.*)?$/, '');
  if (text.startsWith('Cannot find package') && !text.includes(' imported from '))
    return `${text}; install it beside the configuration, or beside the agent`;
  if (/outside a module/.test(text)) return `${text}; its package.json needs "type": "module"`;
  const places = String((error as Error | undefined)?.stack).matchAll(/(?:file:\/\/|^)(\/[^\s()]+?):(\d+)/gm);
  const [, path, line] = [...places].find(([, file]) => !file!.startsWith(fileURLToPath(HOME))) ?? [];
  return path === undefined ? text : `${text} (${path}:${line})`;
}

function mistakeOf(value: unknown): string | undefined {
  const factory = (value ?? {}) as Partial<AnyFactory>;
  const { kind, type, schema, stability, summary, aliases = [], contract = CONTRACT, create } = factory;
  if (!KINDS.includes(String(kind)) || typeof create !== 'function')
    return 'its default export is neither a factory nor a list of them';
  if (!isTypeName(type)) return `${kind} has the type ${JSON.stringify(type)}; letters, digits and _ are possible`;
  if (!Number.isInteger(contract) || contract > CONTRACT)
    return `${kind} "${type}" needs contract ${contract} of outband/component, this agent has ${CONTRACT}: update the agent`;
  if (!Array.isArray(aliases) || !aliases.every(isTypeName)) return `${kind} "${type}" has aliases that are no types`;
  if (typeof summary !== 'string') return `${kind} "${type}" has no summary`;
  if (typeof schema?.safeParse !== 'function' || !('_zod' in schema))
    return `${kind} "${type}" has no schema of zod 4; zod 3 does not do`;
  const words = kind === 'extension' ? [stability] : Object.values(stability ?? {});
  const isStable = words.length > 0 && words.every((word) => STABILITIES.includes(word as Stability));
  const example = kind === 'extension' ? "stability: 'alpha'" : "stability: { logs: 'alpha' }";
  return isStable ? undefined : `${kind} "${type}" does not say how stable it is, such as ${example}`;
}

function isTypeName(type: unknown): type is string {
  return typeof type === 'string' && typeof parseComponentId(type) !== 'string' && !type.includes('/');
}
