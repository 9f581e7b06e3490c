import type { HrTime } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { Origin } from './log-batch.ts';

/** What the records of a batch share. */
export interface RecordContext {
  readonly resource: Resource;
  readonly scope: ReadableLogRecord['instrumentationScope'];
  readonly origin: Origin | undefined;
}

/**
 * Telemetry as text for a store. `decode(encode(x))` equals `x` for every value that OTLP allows: JSON, in which what
 * JSON cannot say is an object with the key `$` (bytes, 64-bit integers, NaN, infinities, -0, undefined, and objects
 * that have such a key themselves).
 */
export function encodeContext({ resource, scope, origin }: RecordContext): string {
  return stringify([resource.attributes, resource.schemaUrl, scope, origin]);
}

/** @throws SyntaxError or TypeError when the text is not of {@link encodeContext} */
export function decodeContext(text: string): RecordContext {
  const [attributes, schemaUrl, scope, origin] = parse(text) as [Resource['attributes'], string, Scope, Origin];
  if (!isObject(attributes) || typeof scope?.name !== 'string') throw new TypeError('no context of records');
  return { resource: resourceFromAttributes(attributes, schemaUrl ? { schemaUrl } : {}), scope, origin };
}

type Scope = ReadableLogRecord['instrumentationScope'] & InstrumentationScope;

/** The record without its context. */
export function encodeRecord(record: ReadableLogRecord): string {
  const { hrTime, hrTimeObserved, severityNumber, severityText, eventName, body, attributes, spanContext } = record;
  const span = spanContext && [spanContext.traceId, spanContext.spanId, spanContext.traceFlags];
  return JSON.stringify([
    hrTime,
    hrTimeObserved,
    severityNumber,
    severityText,
    eventName,
    isPlain(body) ? body : tagged(body),
    isPlain(attributes) ? attributes : tagged(attributes),
    record.droppedAttributesCount,
    span,
  ]);
}

/** @throws SyntaxError or TypeError when the text is not of {@link encodeRecord} */
export function decodeRecord(text: string, { resource, scope }: RecordContext): ReadableLogRecord {
  const fields = parse(text);
  if (!isRecord(fields)) throw new TypeError('no log record');
  const [hrTime, hrTimeObserved, severityNumber, severityText, eventName, body, attributes, dropped, span] = fields;
  return {
    hrTime,
    hrTimeObserved,
    // An absent field was written as null.
    ...(severityNumber !== null && { severityNumber }),
    ...(severityText !== null && { severityText }),
    ...(eventName !== null && { eventName }),
    ...(body !== undefined && { body }),
    attributes,
    droppedAttributesCount: dropped,
    ...(span && { spanContext: { traceId: span[0], spanId: span[1], traceFlags: span[2] } }),
    resource,
    instrumentationScope: scope,
  };
}

type RecordFields = readonly [
  hrTime: HrTime,
  hrTimeObserved: HrTime,
  severityNumber: NonNullable<ReadableLogRecord['severityNumber']> | null,
  severityText: string | null,
  eventName: string | null,
  body: ReadableLogRecord['body'],
  attributes: ReadableLogRecord['attributes'],
  droppedAttributesCount: number,
  span: readonly [traceId: string, spanId: string, traceFlags: number] | null,
];

function isRecord(fields: unknown): fields is RecordFields {
  return Array.isArray(fields) && fields.length === 9 && isTime(fields[0]) && isTime(fields[1]) && isObject(fields[6]);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTime(value: unknown): value is HrTime {
  return Array.isArray(value) && Number.isInteger(value[0]) && Number.isInteger(value[1]);
}

/** The metrics without their resource. */
export function encodeMetrics({ scopeMetrics }: ResourceMetrics): string {
  return stringify(scopeMetrics);
}

/** @throws SyntaxError or TypeError when the text is not of {@link encodeMetrics} */
export function decodeMetrics(text: string, { resource }: RecordContext): ResourceMetrics {
  const scopeMetrics = parse(text) as ResourceMetrics['scopeMetrics'];
  if (!Array.isArray(scopeMetrics) || !scopeMetrics.every(({ metrics }) => Array.isArray(metrics)))
    throw new TypeError('no metrics');
  return { resource, scopeMetrics };
}

function stringify(value: unknown): string {
  return JSON.stringify(isPlain(value) ? value : tagged(value));
}

function parse(text: string): unknown {
  const value: unknown = JSON.parse(text);
  // The tag is always written first, so a text without it needs no walk.
  return text.includes('{"$":') ? untagged(value) : value;
}

/** Whether JSON says it all. */
function isPlain(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0);
    case 'object':
      if (value === null) return true;
      if (Array.isArray(value)) return value.every(isPlain);
      if (ArrayBuffer.isView(value)) return false;
      for (const key in value) if (key === '$' || !isPlain((value as Record<string, unknown>)[key])) return false;
      return true;
    default:
      return false;
  }
}

function tagged(value: unknown): unknown {
  if (value === undefined) return { $: 'undefined' };
  if (typeof value === 'bigint') return { $: 'int', v: String(value) };
  if (typeof value === 'number')
    return isPlain(value) ? value : { $: 'number', v: Object.is(value, -0) ? '-0' : String(value) };
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return { $: 'bytes', v: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map(tagged);
  const entries = Object.entries(value).map(([key, item]) => [key, tagged(item)]);
  return '$' in value ? { $: 'object', v: entries } : Object.fromEntries(entries);
}

function untagged(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(untagged);
  if (typeof value !== 'object' || value === null) return value;
  const { $, v } = value as { $?: unknown; v?: unknown };
  switch ($) {
    case undefined:
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, untagged(item)]));
    case 'undefined':
      return undefined;
    case 'int':
      return BigInt(v as string);
    case 'number':
      return Number(v);
    case 'bytes':
      return new Uint8Array(Buffer.from(v as string, 'base64'));
    case 'object':
      return Object.fromEntries((v as [string, unknown][]).map(([key, item]) => [key, untagged(item)]));
    default:
      throw new TypeError('unknown tag');
  }
}
