import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { builtins } from '../builtins.ts';
import { describeError } from '../component/errors.ts';
import type { AnyFactory } from '../component/factory.ts';
import { registerPluginHooks } from './plugin-hooks.ts';

const KINDS = ['receiver', 'processor', 'exporter', 'extension'];

/** One entry of `plugins`, and where it stands. */
export interface PluginEntry {
  readonly name: string;
  /** File that names it: relative paths start there. */
  readonly file: string;
  readonly index: number;
}

export interface LoadedPlugins {
  readonly factories: readonly AnyFactory[];
  readonly mistakes: readonly { readonly index: number; readonly message: string }[];
}

/** Loads what `plugins` names. Never rejects: what cannot be loaded is a mistake of its entry. */
export async function loadPlugins(entries: readonly PluginEntry[]): Promise<LoadedPlugins> {
  if (entries.length > 0) registerPluginHooks();
  const factories: AnyFactory[] = [];
  const mistakes: { index: number; message: string }[] = [];
  for (const entry of entries) {
    try {
      for (const factory of await factoriesOf(entry)) {
        const twin = [...builtins, ...factories].find(
          ({ kind, type }) => kind === factory.kind && type === factory.type,
        );
        if (twin) throw new Error(`${factory.kind} "${factory.type}" exists already`);
        factories.push(factory);
      }
    } catch (error) {
      mistakes.push({ index: entry.index, message: `cannot load "${entry.name}": ${describeError(error)}` });
    }
  }
  return { factories, mistakes };
}

async function factoriesOf({ name, file }: PluginEntry): Promise<AnyFactory[]> {
  const module = (await import(locate(name, file))) as { default?: unknown };
  const found = [module.default].flat();
  for (const factory of found)
    if (!isFactory(factory)) throw new Error('its default export is neither a factory nor a list of them');
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

function isFactory(value: unknown): value is AnyFactory {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, type, schema, create } = value as Partial<AnyFactory>;
  return (
    KINDS.includes(String(kind)) && typeof type === 'string' && schema !== undefined && typeof create === 'function'
  );
}
