import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { builtins } from '../builtins.ts';
import { describeError } from '../component/errors.ts';
import { type AnyFactory, CONTRACT } from '../component/factory.ts';
import { parseComponentId } from '../component/id.ts';
import { HOME, registerPluginHooks } from './plugin-hooks.ts';

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

/** Loads what `plugins` names. Never rejects: what cannot be loaded is a mistake of its entry. */
export async function loadPlugins(entries: readonly PluginEntry[]): Promise<LoadedPlugins> {
  if (entries.length > 0) registerPluginHooks();
  const modules = new Map<AnyFactory, string>();
  const mistakes: { index: number; message: string }[] = [];
  for (const entry of entries) {
    try {
      for (const factory of await factoriesOf(entry)) {
        const twin = [...builtins, ...modules.keys()].find(
          ({ kind, type }) => kind === factory.kind && type === factory.type,
        );
        if (twin) throw new Error(`${factory.kind} "${factory.type}" exists already`);
        modules.set(factory, entry.name);
      }
    } catch (error) {
      mistakes.push({ index: entry.index, message: `cannot load "${entry.name}": ${reasonOf(error)}` });
    }
  }
  return { modules, mistakes };
}

async function factoriesOf({ name, file }: PluginEntry): Promise<AnyFactory[]> {
  const module = (await import(locate(name, file))) as { default?: unknown };
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
  if (/^\.{0,2}\//.test(name)) return pathToFileURL(resolve(home, name)).href;
  try {
    return pathToFileURL(createRequire(join(home, 'plugins')).resolve(name)).href;
  } catch {
    return import.meta.resolve(name);
  }
}

/** In the words of Node, without where in the agent it was noticed, and with where in the plugin. */
function reasonOf(error: unknown): string {
  const text = describeError(error).replace(/ imported from \S+load-plugins\.[jt]s$/, '');
  if (text.startsWith('Cannot find package') && !text.includes(' imported from '))
    return `${text}; install it beside the configuration, or beside the agent`;
  const places = String((error as Error | undefined)?.stack).matchAll(/(?:file:\/\/|^)(\/[^\s()]+?):(\d+)/gm);
  const [, path, line] = [...places].find(([, file]) => !file!.startsWith(fileURLToPath(HOME))) ?? [];
  return path === undefined ? text : `${text} (${path}:${line})`;
}

function mistakeOf(value: unknown): string | undefined {
  const { kind, type, schema, stability, contract = CONTRACT, create } = (value ?? {}) as Partial<AnyFactory>;
  if (!KINDS.includes(String(kind)) || typeof create !== 'function')
    return 'its default export is neither a factory nor a list of them';
  if (typeof type !== 'string' || typeof parseComponentId(type) === 'string' || type.includes('/'))
    return `${kind} has the type ${JSON.stringify(type)}; letters, digits and _ are possible`;
  if (contract > CONTRACT)
    return `${kind} "${type}" needs contract ${contract} of outband/component, this agent has ${CONTRACT}: update the agent`;
  if (typeof schema?.safeParse !== 'function') return `${kind} "${type}" has no zod schema`;
  const isStable =
    kind === 'extension' ? typeof stability === 'string' : typeof stability === 'object' && stability !== null;
  return isStable ? undefined : `${kind} "${type}" does not say how stable it is, such as stability: { logs: 'alpha' }`;
}
