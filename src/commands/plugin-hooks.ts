import { registerHooks } from 'node:module';

/** Of this very program: sources in a checkout, compiled files in a package. */
export const HOME = new URL('../../', import.meta.url).href;
const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

/** What a plugin may import of the agent, by what stands behind `outband/`. */
const FOLDERS: Readonly<Record<string, string>> = {
  receivers: 'receivers',
  exporters: 'exporters',
  processors: 'src/processors',
  extensions: 'src/extensions',
};

let isRegistered = false;

/**
 * Makes `outband` and what is below it the modules of this program, wherever a plugin lies and whatever copy it has installed:
 * an error that it throws is then of the class that the agent knows. What a plugin cannot find itself (`zod`) it gets from the agent.
 */
export function registerPluginHooks(): void {
  if (isRegistered) return;
  isRegistered = true;
  registerHooks({
    resolve(specifier, context, next) {
      const own = ownModule(specifier);
      if (own !== undefined) return { url: own.href, shortCircuit: true };
      try {
        return next(specifier, context);
      } catch (error) {
        const isBare = !/^[./]|^\w+:/.test(specifier);
        if (!isBare || (error as { code?: unknown }).code !== 'ERR_MODULE_NOT_FOUND') throw error;
        try {
          return next(specifier, { ...context, parentURL: import.meta.url });
        } catch {
          throw error;
        }
      }
    },
  });
}

function ownModule(specifier: string): URL | undefined {
  if (specifier === 'outband') return new URL(`src/index${EXTENSION}`, HOME);
  if (/^outband\/(component|testing)$/.test(specifier))
    return new URL(`src/${specifier.slice('outband/'.length)}/index${EXTENSION}`, HOME);
  const [, kind = '', name] = /^outband\/(\w+)\/([a-z-]+)$/.exec(specifier) ?? [];
  const folder = FOLDERS[kind];
  return folder === undefined ? undefined : new URL(`${folder}/${name}/index${EXTENSION}`, HOME);
}
