import { SeverityNumber } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { toHrTime, UNSET_TIME } from '../../../src/telemetry/time.ts';
import { cut } from '../cut.ts';
import { longDigest } from '../digest.ts';
import { type Happening, updatedUid } from '../happening.ts';
import { attributesOf, type RecordContext } from './attributes.ts';
import { bodyOf } from './body.ts';
import { SCOPE } from './resource.ts';
import { severityOf } from './severity.ts';

const MAX_RAW_CHARS = 4_096;

export interface RecordOptions extends Omit<RecordContext, 'uid' | 'truncated'> {
  readonly resource: Resource;
  readonly observedNanos: bigint;
  readonly criticalAs: 'error' | 'fatal';
}

/** A log record in the form that every OpenTelemetry JS exporter takes; a plain object, the SDK's logger is slower. */
export function toRecord(what: Happening, options: RecordOptions): ReadableLogRecord {
  const severity = severityOf(what.json, options.criticalAs);
  const body = bodyOf(what.json);
  const uid = options.updated ? updatedUid(what) : what.uid;
  return {
    hrTime: what.time.epochNanos === undefined ? UNSET_TIME : toHrTime(what.time.epochNanos),
    hrTimeObserved: toHrTime(options.observedNanos),
    severityNumber: severity.number,
    ...(severity.text !== undefined && { severityText: severity.text }),
    body: body.text,
    eventName: what.transport === 'sse' ? 'redfish.event' : 'redfish.log_entry',
    resource: options.resource,
    instrumentationScope: SCOPE,
    attributes: attributesOf(what, { ...options, uid, truncated: body.truncated }),
    droppedAttributesCount: 0,
  };
}

export interface RawOptions {
  readonly endpoint: string;
  readonly resource: Resource;
  readonly observedNanos: bigint;
  readonly sseId: string | undefined;
  readonly error: string;
}

/** What a stream sent and nobody can read: kept as it came, so that it is not lost. */
export function toRawRecord(text: string, options: RawOptions): ReadableLogRecord {
  return {
    hrTime: UNSET_TIME,
    hrTimeObserved: toHrTime(options.observedNanos),
    severityNumber: SeverityNumber.UNSPECIFIED,
    body: cut(text, MAX_RAW_CHARS),
    eventName: 'redfish.event',
    resource: options.resource,
    instrumentationScope: SCOPE,
    attributes: {
      'log.record.uid': longDigest(options.endpoint, options.sseId, text),
      'redfish.transport': 'sse',
      'redfish.parse_error': options.error,
      ...(options.sseId !== undefined && { 'redfish.sse.id': options.sseId }),
    },
    droppedAttributesCount: 0,
  };
}
