import { createRequire } from 'node:module';

/** The version of the package, from the package itself: found from the sources and from `dist/` alike. */
export const VERSION: string = (() => {
  const require = createRequire(import.meta.url);
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      return require(path).version as string;
    } catch {
      // Sources lie two levels below the package, compiled files three.
    }
  }
  return '0.0.0';
})();
