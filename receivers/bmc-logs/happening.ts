import { cut } from './cut.ts';
import { digest, longDigest } from './digest.ts';
import { idOf, isObject, type Json, type JsonObject, linkOf, textOf } from './json.ts';
import { type EventTime, timeKey } from './record/time.ts';

/** Service and Id in the path of an entry. */
const ENTRY_PATH = /^(.*)\/Entries\/([^/]+)$/;
const MAX_LINK_CHARS = 2_048;
const MAX_MESSAGE_ID_CHARS = 256;

/**
 * One thing that a BMC tells, by a log entry or by an event of its stream, with the keys by which two tellings of it
 * are recognised. Position is never by Id alone and never by time alone.
 */
export interface Happening {
  readonly json: JsonObject;
  readonly transport: 'poll' | 'sse';
  readonly time: EventTime;
  /** Path of the log service; for an event only when it names its log entry. */
  readonly service: string | undefined;
  /** Path of the entry. */
  readonly uri: string | undefined;
  readonly id: string | undefined;
  /** The vendor's own running number, if one is used. */
  readonly sequence: string | undefined;
  /** Who it is: service, sequence or Id, time, MessageId. Undefined for an event without log entry. */
  readonly base: string | undefined;
  /** Of an entry: `base` and what may change in place: count, resolution, severity. Empty for an event. */
  readonly revision: string;
  /** Time and text, for joining the two tellings when no link does. */
  readonly content: string;
  readonly text: string;
  /** At most its first 256 characters. */
  readonly messageId: string | undefined;
  readonly uid: string;
}

export interface EntryContext {
  readonly endpoint: string;
  readonly service: string;
  readonly time: EventTime;
  /** Whether the vendor's sequence may be used: it must be unique within a read. */
  readonly useSequence: boolean;
  /** Link of the member, when it was only a link; default: what the entry says of itself. */
  readonly uri?: string | undefined;
  /** Tells an undated entry from an equal one before a clear. */
  readonly generation: number;
}

/** A log entry as read from its service. */
export function fromEntry(json: JsonObject, context: EntryContext): Happening {
  const { endpoint, service, time, useSequence, generation } = context;
  const uri = context.uri ?? pathOf(linkOf(json['@odata.id']));
  const id = idOf(json.Id) ?? uri?.split('/').at(-1);
  const sequence = useSequence ? vendorSequence(json) : undefined;
  return happening(json, 'poll', { endpoint, service, uri, id, sequence, time, generation, fallbackId: '' });
}

/** An event of the stream. `LogEntry` names the entry that it stands for, on the BMCs that say so. */
export function fromEvent(json: JsonObject, endpoint: string, sseId: string | undefined, time: EventTime): Happening {
  const uri = pathOf(linkOf(json.LogEntry));
  const match = ENTRY_PATH.exec(uri ?? '');
  const fallbackId = idOf(json.EventId) ?? idOf(json.MemberId) ?? sseId ?? '';
  const place = { service: match?.[1], uri: match ? uri : undefined, id: match?.[2] };
  return happening(json, 'sse', { endpoint, ...place, sequence: undefined, time, generation: 0, fallbackId });
}

/** The log service of the entry that an event names. */
export function serviceOfEvent(json: JsonObject): string | undefined {
  return ENTRY_PATH.exec(pathOf(linkOf(json.LogEntry)) ?? '')?.[1];
}

interface Parts {
  readonly endpoint: string;
  readonly service: string | undefined;
  readonly uri: string | undefined;
  readonly id: string | undefined;
  readonly sequence: string | undefined;
  readonly time: EventTime;
  readonly generation: number;
  /** Names an event that has no log entry. */
  readonly fallbackId: string;
}

function happening(json: JsonObject, transport: 'poll' | 'sse', parts: Parts): Happening {
  const { endpoint, service, uri, id, sequence, time, generation, fallbackId } = parts;
  const when = timeKey(time);
  const told = time.epochNanos === undefined ? generation : when;
  const messageId = cut(textOf(json.MessageId) ?? '', MAX_MESSAGE_ID_CHARS) || undefined;
  const message = textOf(json.Message);
  const args = json.MessageArgs;
  const text = digest(message, normalArgs(args));
  const count = countOf(json);
  const name = sequence === undefined ? ['id', id] : ['sequence', sequence];
  const base = service === undefined ? undefined : digest(service, ...name, when, messageId);
  const uid =
    service === undefined
      ? longDigest(endpoint, fallbackId, when, digest(json))
      : longDigest(endpoint, service, ...name, told, messageId, message, normalArgs(args), count);
  return {
    json,
    transport,
    time,
    service,
    uri,
    id,
    sequence,
    base,
    revision: transport === 'poll' ? revisionOf(json, base, count) : '',
    content: `${text}${when}`,
    text,
    messageId,
    uid,
  };
}

function revisionOf(json: JsonObject, base: string | undefined, count: number | undefined): string {
  // Firmware updates reword texts; where MessageId and arguments say the same, the text is not a change.
  const named = textOf(json.MessageId) !== undefined && Array.isArray(json.MessageArgs);
  return digest(
    base,
    count,
    oem(json, 'Updated'),
    json.Modified,
    json.Resolved,
    oem(json, 'Repaired'),
    json.Severity,
    named ? normalArgs(json.MessageArgs) : textOf(json.Message),
  );
}

/** The uid of a record that tells a change of something told before. */
export function updatedUid({ uid, revision }: Happening): string {
  return longDigest(uid, revision);
}

/**
 * A vendor's running number: `Oem.<vendor>.EventNumber` (HPE), else a member whose name ends in `SequenceNumber` or
 * `RecordNumber`. HPE's `Id` is a position in a ring; only this number goes on.
 */
export function vendorSequence(json: JsonObject): string | undefined {
  for (const vendor of vendors(json)) if (Number.isInteger(vendor.EventNumber)) return String(vendor.EventNumber);
  for (const vendor of vendors(json)) {
    const name = Object.keys(vendor).find(
      (key) => /(Sequence|Record)Number$/.test(key) && Number.isInteger(vendor[key]),
    );
    if (name !== undefined) return String(vendor[name]);
  }
  return undefined;
}

/** How often the same thing happened, on firmware that counts in place. */
export function countOf(json: JsonObject): number | undefined {
  const count = oem(json, 'Count');
  return typeof count === 'number' ? count : undefined;
}

/** A member of the first vendor extension that has it. */
export function oem(json: JsonObject, name: string): Json | undefined {
  return vendors(json).find((vendor) => vendor[name] !== undefined)?.[name];
}

function vendors(json: JsonObject): JsonObject[] {
  return isObject(json.Oem) ? Object.values(json.Oem).filter(isObject) : [];
}

/** No arguments, an empty list and `null` are the same. */
function normalArgs(args: Json | undefined): Json | undefined {
  return args === null || (Array.isArray(args) && args.length === 0) ? undefined : args;
}

/** A link is remembered, so an absurd one is none. */
function pathOf(link: string | undefined): string | undefined {
  return link === undefined || link.length > MAX_LINK_CHARS ? undefined : link.replace(/\/+$/, '');
}
