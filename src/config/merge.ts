import { kindOf } from './schema/values.ts';
import type { Path } from './yaml-file.ts';

/**
 * Several configurations as one, the last wins: maps are merged, lists and scalars replaced as a whole, `null` takes away what
 * stood there. Where `null` stood, it means the defaults both times.
 */
export function mergeValues(values: readonly unknown[]): unknown {
  return values.reduce((below, above) => merge(below, above), undefined);
}

function merge(below: unknown, above: unknown): unknown {
  if (above === undefined) return below;
  if (kindOf(below) !== 'map' || kindOf(above) !== 'map') return above;
  const merged = new Map<string, unknown>(Object.entries(below as object));
  for (const [key, value] of Object.entries(above as object))
    if (value === null && (merged.get(key) ?? null) !== null) merged.delete(key);
    else merged.set(key, merge(merged.get(key), value));
  return Object.fromEntries(merged);
}

/**
 * Which of the configurations a path in the merged one comes from: the last that set it, or something around it that is no
 * map. Where none did, the one that has the most of the way.
 * @returns its place in `values`
 */
export function ownerOf(values: readonly unknown[], path: Path): number {
  let owner = values.length - 1;
  let longest = -1;
  for (let index = values.length - 1; index >= 0; index--) {
    const depth = knownDepth(values[index], path);
    if (depth >= path.length) return index;
    if (depth > longest) {
      longest = depth;
      owner = index;
    }
  }
  return Math.max(0, owner);
}

/** Steps of the path that exist; all of them, when something that is no map stands on the way. */
function knownDepth(root: unknown, path: Path): number {
  let node = root;
  for (const [depth, step] of path.entries()) {
    if (node === undefined) return depth - 1;
    if (kindOf(node) !== 'map') return path.length;
    node = (node as Record<string, unknown>)[String(step)];
  }
  return node === undefined ? path.length - 1 : path.length;
}
