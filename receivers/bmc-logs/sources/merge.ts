import { Secret } from '../../../src/component/secret.ts';
import { longDigest } from '../digest.ts';
import type { EndpointSettings } from '../endpoint-settings.ts';

/** One source's list, and what to call it. */
export interface NamedList {
  readonly name: string;
  readonly list: readonly EndpointSettings[];
}

export interface Merged {
  readonly endpoints: ReadonlyMap<string, EndpointSettings>;
  /** Names that more than one source has, with the source that was passed over. */
  readonly conflicts: readonly { readonly endpoint: string; readonly source: string }[];
}

/** All endpoints of all sources; of two with one name the earlier source's. @param lists static ones first, then files, then HTTP */
export function mergeLists(lists: readonly NamedList[]): Merged {
  const endpoints = new Map<string, EndpointSettings>();
  const conflicts: { endpoint: string; source: string }[] = [];
  for (const { name: source, list } of lists)
    for (const one of list) {
      if (endpoints.has(one.name)) conflicts.push({ endpoint: one.name, source });
      else endpoints.set(one.name, one);
    }
  return { endpoints, conflicts };
}

/** Changes with everything that an endpoint is configured by, its secrets included. */
export function digestOfSettings(settings: EndpointSettings): string {
  const text = JSON.stringify(settings, function (this: Record<string, unknown>, key, value) {
    const raw = this[key];
    return raw instanceof Secret ? raw.reveal() : value;
  });
  return longDigest(text);
}
