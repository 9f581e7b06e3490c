import { anyValue, attributes, messages, number, readFields, text } from './decode-protobuf.ts';

/** A log record as the sink understood it. */
export interface SinkRecord {
  readonly timeUnixNano: bigint;
  readonly observedTimeUnixNano: bigint;
  readonly severityNumber: number;
  readonly severityText: string;
  readonly eventName: string;
  readonly body: unknown;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
  readonly scope: string;
}

/** Fields of a metric that hold its points: gauge, sum, histogram, exponential histogram, summary. */
const POINT_FIELDS = [5, 7, 9, 10, 11];

/** Data points of a request with metrics in protobuf. */
export function countPoints(bytes: Uint8Array): number {
  return messages(readFields(bytes), 1)
    .flatMap((resourceMetrics) => messages(readFields(resourceMetrics), 2))
    .flatMap((scopeMetrics) => messages(readFields(scopeMetrics), 2))
    .flatMap((metric) => POINT_FIELDS.flatMap((field) => messages(readFields(metric), field)))
    .reduce((sum, data) => sum + messages(readFields(data), 1).length, 0);
}

export function decodeProtobuf(bytes: Uint8Array): SinkRecord[] {
  return messages(readFields(bytes), 1).flatMap((resourceLogs) => {
    const group = readFields(resourceLogs);
    const resource = attributes(readFields(messages(group, 1)[0] ?? new Uint8Array()), 1);
    return messages(group, 2).flatMap((scopeLogs) => {
      const inner = readFields(scopeLogs);
      const scope = text(readFields(messages(inner, 1)[0] ?? new Uint8Array()), 1);
      return messages(inner, 2).map((bytesOfRecord) => {
        const record = readFields(bytesOfRecord);
        const body = messages(record, 5)[0];
        return {
          timeUnixNano: number(record, 1),
          observedTimeUnixNano: number(record, 11),
          severityNumber: Number(number(record, 2)),
          severityText: text(record, 3),
          eventName: text(record, 12),
          body: body ? anyValue(body) : undefined,
          attributes: attributes(record, 6),
          resource,
          scope,
        };
      });
    });
  });
}

interface JsonValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: string | number;
  readonly doubleValue?: number;
  readonly arrayValue?: { readonly values?: readonly JsonValue[] };
}
type JsonAttributes = readonly { readonly key: string; readonly value?: JsonValue }[];
interface JsonRequest {
  readonly resourceLogs?: readonly {
    readonly resource?: { readonly attributes?: JsonAttributes };
    readonly scopeLogs?: readonly {
      readonly scope?: { readonly name?: string };
      readonly logRecords?: readonly {
        readonly timeUnixNano?: string;
        readonly observedTimeUnixNano?: string;
        readonly severityNumber?: number;
        readonly severityText?: string;
        readonly eventName?: string;
        readonly body?: JsonValue;
        readonly attributes?: JsonAttributes;
      }[];
    }[];
  }[];
}

export function decodeJson(bytes: Uint8Array): SinkRecord[] {
  const request = JSON.parse(Buffer.from(bytes).toString('utf8')) as JsonRequest;
  return (request.resourceLogs ?? []).flatMap(({ resource, scopeLogs = [] }) =>
    scopeLogs.flatMap(({ scope, logRecords = [] }) =>
      logRecords.map((record) => ({
        timeUnixNano: BigInt(record.timeUnixNano ?? 0),
        observedTimeUnixNano: BigInt(record.observedTimeUnixNano ?? 0),
        severityNumber: record.severityNumber ?? 0,
        severityText: record.severityText ?? '',
        eventName: record.eventName ?? '',
        body: fromJson(record.body),
        attributes: jsonAttributes(record.attributes),
        resource: jsonAttributes(resource?.attributes),
        scope: scope?.name ?? '',
      })),
    ),
  );
}

function jsonAttributes(list: JsonAttributes = []): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }) => [key, fromJson(value)]));
}

function fromJson(value: JsonValue | undefined): unknown {
  if (value?.intValue !== undefined) return Number(value.intValue);
  if (value?.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(fromJson);
  return value?.stringValue ?? value?.boolValue ?? value?.doubleValue;
}
