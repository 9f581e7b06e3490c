import type { Attributes } from '@opentelemetry/api';
import { cut } from '../cut.ts';
import { countOf, type Happening, oem } from '../happening.ts';
import { idOf, isObject, type Json, type JsonObject, linkOf, textOf } from '../json.ts';

const MAX_ATTRIBUTE_CHARS = 16_384;
const MAX_LIST_ITEMS = 128;

/** What the receiver knows about a record beside the JSON itself. */
export interface RecordContext {
  readonly uid: string;
  readonly readReason: 'initial' | 'periodic' | 'gap_fill' | 'reconcile' | undefined;
  readonly sseId: string | undefined;
  readonly updated: boolean;
  /** How often its log had begun anew; undefined for an event. */
  readonly generation: number | undefined;
  readonly history: boolean;
  readonly loss: boolean;
  /** The body was cut. */
  readonly truncated: boolean;
  readonly includeOem: boolean;
  readonly includeOriginal: boolean;
}

/** Last segment before the Id in the path of a component, and the hardware type that OpenTelemetry calls it. */
const HARDWARE_TYPES: ReadonlyMap<string, string> = new Map([
  ['Fans', 'fan'],
  ['Temperatures', 'temperature'],
  ['PowerSupplies', 'power_supply'],
  ['Memory', 'memory'],
  ['Processors', 'cpu'],
  ['Drives', 'physical_disk'],
  ['Volumes', 'logical_disk'],
  ['Storage', 'disk_controller'],
  ['NetworkAdapters', 'network'],
  ['Chassis', 'enclosure'],
]);
const HARDWARE_STATES: ReadonlyMap<string, string> = new Map([
  ['ok', 'ok'],
  ['warning', 'degraded'],
  ['critical', 'failed'],
]);

/** The attributes of a record. Only what is known is there; a text that is too long is cut and marked. */
export function attributesOf(what: Happening, context: RecordContext): Attributes {
  const { json, transport, time, service, uri, id, sequence } = what;
  const attributes: Attributes = { 'log.record.uid': context.uid, 'redfish.transport': transport };
  const set = (name: string, value: Json | undefined) => {
    if (value === undefined || value === null || value === '') return;
    const { plain, whole } = printable(value);
    attributes[name] = plain;
    if (!whole) attributes['redfish.truncated'] = true;
  };
  if (context.truncated) set('redfish.truncated', true);

  set('redfish.read_reason', context.readReason);
  if (context.history) set('redfish.history', true);
  if (context.loss) set('redfish.loss', true);
  if (context.updated) set('redfish.entry.change', 'updated');
  if (typeof json.Resolved === 'boolean') set('redfish.entry.resolved', json.Resolved);
  if (time.epochNanos === undefined) set('redfish.time.raw', time.raw);
  else if (time.zoneAssumed) set('redfish.time.zone_assumed', true);

  set('redfish.log_service', service);
  set('redfish.entry.uri', uri);
  set('redfish.entry.id', id);
  set('redfish.entry.type', textOf(json.EntryType));
  set('redfish.entry.sequence', sequence === undefined ? undefined : exactInteger(sequence));
  set('redfish.entry.generation', context.generation);
  set('redfish.entry.count', countOf(json));
  set('redfish.entry.updated', textOf(oem(json, 'Updated')) ?? textOf(json.Modified));
  set('redfish.entry.code', json.EntryCode);
  set('redfish.sensor.type', json.SensorType);
  set('redfish.sensor.number', json.SensorNumber);
  set('redfish.generator_id', json.GeneratorId);

  set('redfish.message_id', textOf(json.MessageId));
  set('redfish.message_args', messageArgs(json.MessageArgs));
  set('redfish.resolution', json.Resolution);
  if (transport === 'sse') {
    set('redfish.event.id', idOf(json.EventId));
    set('redfish.event.type', json.EventType);
    set('redfish.event.group_id', json.EventGroupId);
    set('redfish.event.member_id', idOf(json.MemberId));
    set('redfish.sse.id', context.sseId);
  }
  const links = isObject(json.Links) ? json.Links : undefined;
  const origin = (linkOf(json.OriginOfCondition) ?? linkOf(links?.OriginOfCondition))?.replace(/\/+$/, '');
  set('redfish.origin_of_condition', origin);
  set('redfish.diagnostic.type', json.DiagnosticDataType);
  set('redfish.diagnostic.uri', json.AdditionalDataURI);
  set('redfish.diagnostic.size', json.AdditionalDataSizeBytes);
  if (isObject(json.CPER)) {
    const vendor = isObject(json.CPER.Oem) ? Object.values(json.CPER.Oem).find(isObject) : undefined;
    set('redfish.cper.section_type', json.CPER.SectionType ?? vendor?.SectionType);
    set('redfish.cper.notification_type', json.CPER.NotificationType);
  }
  if (context.includeOem) set('redfish.oem', json.Oem);
  if (context.includeOriginal) set('log.record.original', JSON.stringify(json));
  if (origin !== undefined) Object.assign(attributes, hardwareOf(origin, json));
  return attributes;
}

/** `hw.*` of the component that the message is about, when its path says what it is. */
function hardwareOf(origin: string, json: JsonObject): Attributes {
  const segments = origin.split('/');
  const place = segments.findLastIndex((segment) => HARDWARE_TYPES.has(segment));
  const id = segments[place + 1];
  if (place < 0 || id === undefined) return {};
  const segment = segments[place]!;
  const parent = segments.slice(0, place).join('/');
  const state = HARDWARE_STATES.get((textOf(json.MessageSeverity) ?? textOf(json.Severity) ?? '').toLowerCase());
  return {
    'hw.id': origin,
    'hw.type': segment === 'Processors' && /GPU/i.test(id) ? 'gpu' : HARDWARE_TYPES.get(segment),
    'hw.name': id,
    ...(segment !== 'Chassis' && { 'hw.parent': parent }),
    ...(state !== undefined && { 'hw.state': state }),
  };
}

function messageArgs(args: Json | undefined): string[] | undefined {
  if (args === undefined || args === null) return undefined;
  const list = (Array.isArray(args) ? args : [args]).map((arg) =>
    typeof arg === 'string' ? arg : JSON.stringify(arg),
  );
  return list.length === 0 ? undefined : list;
}

/** A value as an attribute may hold it: a list of texts, or one plain value; cut where it is too long. */
function printable(value: NonNullable<Json>): { readonly plain: Json; readonly whole: boolean } {
  if (typeof value === 'number') return { plain: exactNumber(value), whole: true };
  if (typeof value === 'boolean') return { plain: value, whole: true };
  if (typeof value === 'object' && isTexts(value)) {
    const list = value as string[];
    let left = MAX_ATTRIBUTE_CHARS;
    const plain = list.slice(0, MAX_LIST_ITEMS).map((item) => {
      const kept = cut(item, left);
      left -= kept.length;
      return kept;
    });
    return {
      plain,
      whole: plain.length === list.length && plain.every((item, index) => item.length === list[index]!.length),
    };
  }
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return { plain: cut(text, MAX_ATTRIBUTE_CHARS), whole: text.length <= MAX_ATTRIBUTE_CHARS };
}

/** An integer beyond 2^53 is written as text: OTLP's intValue would refuse it. */
function exactNumber(value: number): Json {
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? String(value) : value;
}

function isTexts(value: object): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** Beyond 2^53 the text is exact and the number is not. */
function exactInteger(text: string): Json {
  return Number.isSafeInteger(Number(text)) ? Number(text) : text;
}
