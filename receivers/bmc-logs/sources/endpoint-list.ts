import { OutbandError } from '../../../src/component/errors.ts';
import { addressMistake, type EndpointDefaults, type EndpointSettings, endpoint } from '../endpoint-settings.ts';
import { isObject, type Json, type JsonObject } from '../json.ts';

export const MAX_LIST_BYTES = 16 * 1024 * 1024;
const MAX_ENDPOINTS = 50_000;
/** Mistakes that a message names. */
const SHOWN_MISTAKES = 3;

/** Labels of a discovery that are settings. */
const FIELDS: Readonly<Record<string, 'name' | 'machine_id' | 'mode'>> = {
  __name: 'name',
  __machine_id: 'machine_id',
  __mode: 'mode',
};

export interface ListOptions {
  /** A discovery must not bring secrets, nor paths of files to read them from. */
  readonly groupsOnly?: boolean;
  /** Where an item stands, for people. */
  readonly placeOf?: ((path: readonly PropertyKey[]) => string | undefined) | undefined;
}

/**
 * Reads a list of endpoints: endpoint objects, or groups of targets as Prometheus http_sd has them. All or nothing: a list
 * with a mistake in it is not taken in part.
 * @throws OutbandError `endpoint_source`
 */
export function parseEndpointList(
  list: unknown,
  defaults: EndpointDefaults,
  { groupsOnly = false, placeOf = () => undefined }: ListOptions = {},
): EndpointSettings[] {
  if (!Array.isArray(list)) throw unusable('is no list');
  if (groupsOnly && !(list as Json[]).every(isGroup)) throw unusable('must hold groups with targets and labels only');
  const items = (list as Json[]).flatMap((item, index) =>
    (isGroup(item) ? endpointsOf(item) : [item]).map((one) => ({ one, index })),
  );
  if (items.length > MAX_ENDPOINTS) throw unusable(`has more than ${MAX_ENDPOINTS} endpoints`);
  const mistakes: string[] = [];
  const names = new Set<string>();
  const note = (path: readonly PropertyKey[], text: string) =>
    mistakes.push(`${placeOf(path) ?? path[0]?.toString()} ${path.slice(1).map(String).join('::')}: ${text}`);
  const endpoints = items.flatMap(({ one, index }) => {
    const parsed = endpoint.safeParse(one);
    if (!parsed.success) {
      for (const { path, message } of parsed.error.issues) note([index, ...path], message);
      return [];
    }
    const { name, address, tls } = parsed.data;
    const mistake = addressMistake(address, tls?.insecure ?? defaults.tls?.insecure ?? false);
    if (mistake) note([index, 'address'], mistake);
    if (names.has(name)) note([index, 'name'], `duplicate endpoint name "${name}"`);
    names.add(name);
    return [parsed.data];
  });
  if (mistakes.length === 0) return endpoints;
  const more = mistakes.length > SHOWN_MISTAKES ? `, and ${mistakes.length - SHOWN_MISTAKES} more` : '';
  throw unusable(`has mistakes: ${mistakes.slice(0, SHOWN_MISTAKES).join('; ')}${more}`);
}

function isGroup(item: Json): item is JsonObject & { targets: Json[] } {
  return isObject(item) && Array.isArray(item.targets);
}

/** One endpoint per target. Secrets do not come this way: `__auth_ref` names an extension. */
function endpointsOf(group: JsonObject & { targets: Json[] }): Json[] {
  const given = isObject(group.labels) ? group.labels : {};
  const scheme = typeof given.__scheme === 'string' ? given.__scheme : 'https';
  return group.targets.map((target) => {
    const isText = typeof target === 'string';
    const fields: Record<string, Json> = {
      name: isText ? target.replaceAll(/[[\]]/g, '') : target,
      address: isText ? `${scheme}://${target}` : target,
    };
    const labels: Record<string, Json> = {};
    for (const [key, value] of Object.entries(given)) {
      const field = Object.hasOwn(FIELDS, key) ? FIELDS[key] : undefined;
      if (field !== undefined) fields[field] = value ?? null;
      else if (key === '__auth_ref') fields.auth = { authenticator: value ?? null };
      else if (!key.startsWith('__')) labels[key] = value ?? null;
    }
    return { ...fields, labels };
  });
}

function unusable(why: string): OutbandError {
  return new OutbandError('endpoint_source', `the list ${why}`);
}
