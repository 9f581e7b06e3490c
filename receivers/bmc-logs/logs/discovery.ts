import { describeError, OutbandError } from '../../../src/component/errors.ts';
import { canonicalPath, resolveLink } from '../client/links.ts';
import type { RedfishClient, Resource } from '../client/redfish-client.ts';
import { isObject, type JsonObject, linkOf, objectsOf, textOf } from '../json.ts';
import { parseOffset } from '../record/time.ts';

const MAX_MEMBERS = 512;
const MAX_SERVICES = 256;

export interface LogService {
  /** Canonical path; identity of the service. */
  readonly path: string;
  /** Link to its entries. */
  readonly entries: string;
  /** The service's own clock, if it tells. */
  readonly dateTime: string | undefined;
  /** Minutes east of UTC; 0 when it does not tell. */
  readonly offsetMinutes: number;
}

/** Whether and where a BMC streams. */
export type EventStreamCapability = { readonly uri: string } | { readonly unsupported: string };

/** What a BMC told about itself; facts that it did not tell are undefined. */
export interface Facts {
  readonly vendor?: string | undefined;
  readonly model?: string | undefined;
  readonly serialNumber?: string | undefined;
  readonly systemUuid?: string | undefined;
  readonly serviceUuid?: string | undefined;
  readonly redfishVersion?: string | undefined;
  readonly firmwareVersion?: string | undefined;
}

export interface Discovery {
  readonly services: readonly LogService[];
  readonly facts: Facts;
  /** Branches that could not be read; their services are missing from the list. */
  readonly failures: readonly { readonly path: string; readonly error: OutbandError }[];
}

/** The service root; every other resource is found by following its links. */
export async function readRoot(client: RedfishClient, signal: AbortSignal): Promise<JsonObject> {
  try {
    return (await client.get('/redfish/v1/', signal)).body;
  } catch (error) {
    if (error instanceof OutbandError && /answered (404|410)$/.test(error.message))
      throw new OutbandError('service_root_not_found', error.message, { cause: error });
    throw error;
  }
}

/**
 * Where the BMC streams events, from its EventService.
 * @see DSP0266 "Server-sent events"; iDRAC advertises a URI while its EventService is disabled
 */
export async function readEventStream(
  client: RedfishClient,
  root: JsonObject,
  signal: AbortSignal,
): Promise<EventStreamCapability> {
  const link = linkOf(root.EventService);
  if (link === undefined) return { unsupported: 'no EventService' };
  const { body } = await client.get(link, signal);
  const state = isObject(body.Status) ? body.Status.State : undefined;
  if (body.ServiceEnabled === false) return { unsupported: 'EventService is disabled' };
  if (state === 'Disabled' || state === 'Absent') return { unsupported: `EventService state is ${state}` };
  const uri = textOf(body.ServerSentEventUri);
  return uri === undefined ? { unsupported: 'no ServerSentEventUri' } : { uri };
}

/** All log services of Systems, Chassis and Managers, in that order, each once, and the facts on the way. */
export async function discoverLogs(
  client: RedfishClient,
  root: JsonObject,
  exclude: readonly string[],
  signal: AbortSignal,
): Promise<Discovery> {
  const failures: { path: string; error: OutbandError }[] = [];
  /** A branch that fails harms only itself. */
  const attempt = async (link: string | undefined): Promise<Resource | undefined> => {
    if (link === undefined) return undefined;
    try {
      return await client.get(link, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const known = error instanceof OutbandError ? error : new OutbandError('bmc_bad_body', describeError(error));
      failures.push({ path: link, error: known });
      return undefined;
    }
  };
  const members = async (link: string | undefined): Promise<Resource[]> => {
    const collection = await attempt(link);
    const links = objectsOf(collection?.body.Members).slice(0, MAX_MEMBERS).map(linkOf);
    return (await Promise.all(links.map(attempt))).filter((one) => one !== undefined);
  };

  const systems = await members(linkOf(root.Systems));
  const chassis = await members(linkOf(root.Chassis));
  const managers = await members(linkOf(root.Managers));

  const services = new Map<string, LogService>();
  for (const owner of [...systems, ...chassis, ...managers]) {
    for (const { url, body } of await members(linkOf(owner.body.LogServices))) {
      const path = canonicalPath(url);
      const entries = linkOf(body.Entries);
      if (entries === undefined || services.has(path) || services.size === MAX_SERVICES) continue;
      if (exclude.some((part) => path.includes(part))) continue;
      const offset = parseOffset(body.DateTimeLocalOffset);
      services.set(path, { path, entries, dateTime: textOf(body.DateTime), offsetMinutes: offset ?? 0 });
    }
  }
  const facts = factsOf(root, systems, managers);
  return { services: [...services.values()], facts, failures };
}

function factsOf(root: JsonObject, systems: readonly Resource[], managers: readonly Resource[]): Facts {
  const system = systems.length === 1 ? systems[0]!.body : undefined;
  const firmware = managers.map(({ body }) => textOf(body.FirmwareVersion)).find((version) => version !== undefined);
  return {
    vendor: textOf(root.Vendor) ?? textOf(system?.Manufacturer),
    model: textOf(system?.Model),
    serialNumber: textOf(system?.SerialNumber),
    systemUuid: textOf(system?.UUID),
    serviceUuid: textOf(root.UUID),
    redfishVersion: textOf(root.RedfishVersion),
    firmwareVersion: firmware,
  };
}

/** The canonical path of a member link, for comparing; undefined when the link is refused. */
export function pathOfMember(base: URL, member: JsonObject): string | undefined {
  const link = linkOf(member);
  try {
    return link === undefined ? undefined : canonicalPath(resolveLink(base, link));
  } catch {
    return undefined;
  }
}
