import { existsSync } from 'node:fs';
import { createRequire, registerHooks } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Of this very program: sources in a checkout, compiled files in a package. */
export const HOME = new URL('../../', import.meta.url).href;
const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

/** Where its package.json is. */
const PACKAGE = EXTENSION === '.ts' ? HOME : new URL('../', HOME).href;

/** What a plugin may import of the agent, by what stands behind `outband/`. */
const FOLDERS: Readonly<Record<string, string>> = {
  receivers: 'receivers',
  exporters: 'exporters',
  processors: 'src/processors',
  extensions: 'src/extensions',
};

/** A package that is looked for from a directory. */
const FROM = 'outband-plugin:';

/** What to import for a package that a file in this directory names; only after {@link registerPluginHooks}. */
export function fromDirectory(name: string, directory: string): string {
  return FROM + encodeURIComponent(JSON.stringify([name, directory]));
}

let isRegistered = false;

/**
 * Makes `outband` and what is below it the modules of this program, wherever a plugin lies and whatever copy it has installed:
 * an error that it throws is then of the class that the agent knows. What a plugin cannot find itself (`zod`) it gets from the agent.
 */
export function registerPluginHooks(): void {
  if (isRegistered) return;
  isRegistered = true;
  registerHooks({
    resolve(asked, asking, next) {
      const [specifier, context] = lookedFor(asked, asking);
      const own = ownModule(specifier);
      if (own !== undefined) return { url: own.href, shortCircuit: true };
      try {
        return next(specifier, context);
      } catch (error) {
        const isBare = !/^[./]|^\w+:/.test(specifier);
        const { code } = error as { code?: unknown };
        if (!isBare || (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND')) throw error;
        try {
          // `require` looks from its own module, whatever it is told.
          if (code === 'MODULE_NOT_FOUND')
            return { url: pathToFileURL(createRequire(import.meta.url).resolve(specifier)).href, shortCircuit: true };
          return next(specifier, { ...context, parentURL: import.meta.url });
        } catch {
          throw error;
        }
      }
    },
  });
}

function lookedFor<Context>(asked: string, asking: Context): readonly [string, Context] {
  if (!asked.startsWith(FROM)) return [asked, asking];
  const [name, directory] = JSON.parse(decodeURIComponent(asked.slice(FROM.length))) as [string, string];
  return [name, { ...asking, parentURL: pathToFileURL(join(directory, 'plugins')).href }];
}

/** @throws for what begins with `outband/` and is not part of its API: a copy that a plugin has installed must not take its place */
function ownModule(specifier: string): URL | undefined {
  if (specifier === 'outband') return new URL(`src/index${EXTENSION}`, HOME);
  if (!specifier.startsWith('outband/')) return undefined;
  if (/^outband\/(package|otel-config\.schema)\.json$/.test(specifier))
    return new URL(specifier.slice('outband/'.length), PACKAGE);
  if (/^outband\/(component|testing)$/.test(specifier))
    return new URL(`src/${specifier.slice('outband/'.length)}/index${EXTENSION}`, HOME);
  const [, kind = '', name] = /^outband\/(\w+)\/([a-z-]+)$/.exec(specifier) ?? [];
  const folder = FOLDERS[kind];
  const module = folder === undefined ? undefined : new URL(`${folder}/${name}/index${EXTENSION}`, HOME);
  if (module && existsSync(module)) return module;
  throw new Error(`"${specifier}" is no part of what outband exports`);
}
