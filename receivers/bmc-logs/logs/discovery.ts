import { describeError, OutbandError } from '../../../src/component/errors.ts';
import { canonicalPath, resolveLink } from '../client/links.ts';
import type { RedfishClient, Resource } from '../client/redfish-client.ts';
import { cut } from '../cut.ts';
import { isObject, type Json, type JsonObject, linkOf, objectsOf, textOf } from '../json.ts';
import { eventTime, parseOffset } from '../record/time.ts';

const MAX_MEMBERS = 512;
const MAX_SERVICES = 256;
const MAX_FACT_CHARS = 256;

export interface LogService {
  /** Canonical path; identity of the service. */
  readonly path: string;
  /** Link to its entries. */
  readonly entries: string;
  /** How much its clock is before ours; 0 when it does not tell. */
  readonly clockAheadNanos: bigint;
  /** Minutes east of UTC; 0 when it does not tell. */
  readonly offsetMinutes: number;
  /** What the service root promises of queries: `$filter`, `$skip`. */
  readonly canFilter: boolean;
  readonly canSkip: boolean;
  /** It holds what the platform wrote, in short. */
  readonly isSel: boolean;
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
  readonly managerSerial?: string | undefined;
}

export interface Discovery {
  readonly services: readonly LogService[];
  readonly facts: Facts;
  /** Branches that could not be read; their services are those of the last time. */
  readonly failures: readonly { readonly path: string; readonly error: OutbandError }[];
  /** There is more than is looked at. */
  readonly isCut: boolean;
}

/** The service root; every other resource is found by following its links. */
export async function readRoot(client: RedfishClient, signal: AbortSignal): Promise<JsonObject> {
  try {
    const { body } = (await client.get('/redfish/v1/', signal, { open: true }))!;
    client.credentials.learn(isObject(body.Links) ? linkOf(body.Links.Sessions) : undefined);
    return body;
  } catch (error) {
    if (error instanceof OutbandError && /answered (404|410)$/.test(error.message))
      throw new OutbandError('service_root_not_found', error.message, { cause: error });
    throw error;
  }
}

/** Where the BMC streams events, from its EventService. */
export async function readEventStream(
  client: RedfishClient,
  root: JsonObject,
  signal: AbortSignal,
): Promise<EventStreamCapability> {
  const link = linkOf(root.EventService);
  if (link === undefined) return { unsupported: 'no EventService' };
  return eventStreamOf((await client.get(link, signal)).body);
}

/**
 * What an EventService says of streaming.
 * @see DSP0266 "Server-sent events"; iDRAC advertises a URI while its EventService is disabled
 */
export function eventStreamOf(body: JsonObject): EventStreamCapability {
  const state = isObject(body.Status) ? body.Status.State : undefined;
  if (body.ServiceEnabled === false) return { unsupported: 'EventService is disabled' };
  if (state === 'Disabled' || state === 'Absent') return { unsupported: `EventService state is ${state}` };
  const uri = textOf(body.ServerSentEventUri);
  return uri === undefined ? { unsupported: 'no ServerSentEventUri' } : { uri };
}

export interface DiscoverOptions {
  readonly client: RedfishClient;
  readonly root: JsonObject;
  /** Services whose path contains one of these are left out. */
  readonly exclude: readonly string[];
  /** What was found the last time: a branch that cannot be read now keeps its services. */
  readonly previous: readonly LogService[];
  /** Our clock, nanoseconds since the epoch. */
  readonly nowNanos: () => bigint;
  readonly signal: AbortSignal;
}

/** A system, chassis or manager: what is needed of it, so that its body need not stay in memory. */
interface Owner {
  readonly logServices: string | undefined;
  readonly facts: Facts;
}

/** All log services of Systems, Chassis and Managers, in that order, each once, and the facts on the way. */
export async function discoverLogs(options: DiscoverOptions): Promise<Discovery> {
  const { client, root, exclude, previous, signal } = options;
  const failures: { path: string; error: OutbandError }[] = [];
  let isCut = false;
  /** A branch that fails harms only itself. */
  const attempt = async <T>(link: string | undefined, pick: (resource: Resource) => T): Promise<T | undefined> => {
    if (link === undefined) return undefined;
    try {
      return pick(await client.get(link, signal));
    } catch (error) {
      if (signal.aborted) throw error;
      const known = error instanceof OutbandError ? error : new OutbandError('bmc_bad_body', describeError(error));
      failures.push({ path: link.replace(/\/+$/, ''), error: known });
      return undefined;
    }
  };
  /** Links of a collection, over all its pages. */
  const linksOf = async (collection: string | undefined): Promise<(string | undefined)[]> => {
    const links: (string | undefined)[] = [];
    const pages = new Set<string>();
    for (let page = collection; page !== undefined && !pages.has(page) && links.length < MAX_MEMBERS; ) {
      pages.add(page);
      page = await attempt(page, ({ body }) => {
        links.push(...objectsOf(body.Members).map(linkOf));
        return textOf(body['Members@odata.nextLink']) ?? textOf(body['@odata.nextLink']);
      });
    }
    if (links.length > MAX_MEMBERS) isCut = true;
    return links.slice(0, MAX_MEMBERS);
  };
  const membersOf = async <T>(collection: string | undefined, pick: (resource: Resource) => T): Promise<T[]> => {
    const members: T[] = [];
    // One after the other: what a second connection would save in time, its handshake costs a BMC many times over.
    for (const link of await linksOf(collection)) {
      const member = await attempt(link, pick);
      if (member !== undefined) members.push(member);
    }
    return members;
  };

  const systems = await membersOf(linkOf(root.Systems), ownerOf);
  const chassis = await membersOf(linkOf(root.Chassis), ownerOf);
  const managers = await membersOf(linkOf(root.Managers), ownerOf);
  const services = new Map<string, LogService>();
  const features = isObject(root.ProtocolFeaturesSupported) ? root.ProtocolFeaturesSupported : {};
  const asService = (resource: Resource) => serviceOf(resource, features, options.nowNanos());
  for (const { logServices } of [...systems, ...chassis, ...managers])
    for (const service of await membersOf(logServices, asService))
      if (service && !services.has(service.path) && !exclude.some((part) => service.path.includes(part))) {
        if (services.size < MAX_SERVICES) services.set(service.path, service);
        else isCut = true;
      }
  for (const service of previous) {
    const unread = failures.some(({ path }) => service.path === path || service.path.startsWith(`${path}/`));
    if (unread && !services.has(service.path)) services.set(service.path, service);
  }
  return { services: selLast([...services.values()]), facts: factsOf(root, systems, managers), failures, isCut };
}

/** What a BMC says of itself is kept, so an absurd text is cut. */
function factOf(value: Json | undefined): string | undefined {
  const text = textOf(value);
  return text === undefined ? undefined : cut(text, MAX_FACT_CHARS);
}

function ownerOf({ body }: Resource): Owner {
  return {
    logServices: linkOf(body.LogServices),
    facts: {
      vendor: factOf(body.Manufacturer),
      model: factOf(body.Model),
      serialNumber: factOf(body.SerialNumber),
      systemUuid: factOf(body.UUID),
      firmwareVersion: factOf(body.FirmwareVersion),
    },
  };
}

/** Where one event stands in an event log and in the SEL, the event log tells more of it: that one is sent. */
function selLast(services: readonly LogService[]): readonly LogService[] {
  return [...services.filter(({ isSel }) => !isSel), ...services.filter(({ isSel }) => isSel)];
}

function serviceOf({ url, body }: Resource, features: JsonObject, nowNanos: bigint): LogService | undefined {
  const entries = linkOf(body.Entries);
  if (entries === undefined) return undefined;
  const offsetMinutes = parseOffset(body.DateTimeLocalOffset) ?? 0;
  const path = canonicalPath(url);
  const clock = eventTime([body.DateTime], { nowNanos, offsetMinutes });
  return {
    path,
    entries,
    clockAheadNanos: clock.epochNanos === undefined ? 0n : clock.epochNanos - nowNanos,
    offsetMinutes,
    canFilter: features.FilterQuery === true,
    canSkip: features.TopSkipQuery === true,
    isSel: body.LogEntryType === 'SEL' || /sel$/i.test(path),
  };
}

function factsOf(root: JsonObject, systems: readonly Owner[], managers: readonly Owner[]): Facts {
  const system = systems.length === 1 ? systems[0]!.facts : {};
  return {
    vendor: factOf(root.Vendor) ?? system.vendor,
    model: system.model,
    serialNumber: system.serialNumber,
    systemUuid: system.systemUuid,
    serviceUuid: factOf(root.UUID),
    redfishVersion: factOf(root.RedfishVersion),
    firmwareVersion: managers.map(({ facts }) => facts.firmwareVersion).find((version) => version !== undefined),
    managerSerial: managers.map(({ facts }) => facts.serialNumber).find((serial) => serial !== undefined),
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
