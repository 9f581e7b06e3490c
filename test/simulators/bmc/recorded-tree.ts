import { readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';

/** Serves `<folder>/redfish/v1/X/index.json` as `/redfish/v1/X`, the layout of the DMTF mockup server. */
export function recordedTree(folder: string): (path: string) => unknown {
  return (path) => {
    const inside = normalize(decodeURIComponent(path)).replace(/\/+$/, '');
    if (!inside.startsWith('/redfish')) return undefined;
    try {
      return JSON.parse(readFileSync(join(folder, inside, 'index.json'), 'utf8'));
    } catch {
      return undefined;
    }
  };
}
