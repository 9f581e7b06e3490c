import { type Answer, redfishError } from './answer.ts';

/** Changes the JSON answers of one BMC. All that match take effect, one after the other. */
export interface Overlay {
  /** The path without a trailing slash, or the start of it with one `*` behind. */
  readonly path: string;
  /** Merged into the object, nested objects too; lists and null are put in place. */
  readonly merge?: object;
  /** Answered in its place, also where there is nothing. */
  readonly replace?: unknown;
  readonly remove?: true;
  readonly status?: number;
  /** How many answers it changes; default: all until it is removed. */
  count?: number;
}

/** What the overlays make of an answer; used-up ones leave the list. */
export function applyOverlays(overlays: Overlay[], path: string, answer: Answer): Answer {
  let changed = answer;
  for (const overlay of [...overlays]) {
    const isMatch = overlay.path.endsWith('*') ? path.startsWith(overlay.path.slice(0, -1)) : path === overlay.path;
    if (!isMatch) continue;
    changed = apply(overlay, changed);
    if (overlay.count !== undefined && --overlay.count <= 0) overlays.splice(overlays.indexOf(overlay), 1);
  }
  return changed;
}

function apply(overlay: Overlay, answer: Answer): Answer {
  if (overlay.remove) return redfishError(404, 'ResourceMissingAtURI');
  if (overlay.status !== undefined) return redfishError(overlay.status, 'GeneralError');
  if ('replace' in overlay) return { status: 200, body: overlay.replace };
  if (overlay.merge && answer.status === 200) return { ...answer, body: merged(answer.body, overlay.merge) };
  return answer;
}

function merged(value: unknown, patch: unknown): unknown {
  if (!isObject(value) || !isObject(patch)) return patch;
  const result = { ...value };
  for (const [key, part] of Object.entries(patch)) result[key] = merged(value[key], part);
  return result;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
