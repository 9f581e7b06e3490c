import { createHash } from 'node:crypto';
import { type Attributes, SeverityNumber } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { VERSION } from '../../src/component/version.ts';
import { toHrTime } from '../../src/telemetry/time.ts';
import { redact } from './redact.ts';

/** One for all records of the receiver. */
export const SCOPE: InstrumentationScope = { name: 'outband.receiver.attestation', version: VERSION };

const SEVERITIES = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
} as const;
export type Severity = keyof typeof SEVERITIES;

/** Everything that is told. Users match on names and bodies. */
export const EVENTS = {
  initial: ['attestation.discovery.initial', 'info', 'Initial attestation discovery complete'],
  expanded: ['attestation.discovery.expanded', 'info', 'Cumulative discovery expanded pinned backend set'],
  unchanged: ['attestation.discovery.unchanged', 'info', 'Cumulative discovery cycle (no new fingerprints)'],
  probe: ['attestation.probe', 'debug', 'Attestation probe'],
  stalled: ['attestation.pool.stalled', 'warn', 'Backend discovery stalled'],
  recovered: ['attestation.pool.recovered', 'info', 'Backend discovery recovered'],
  blocked: ['attestation.pool.blocked', 'error', 'No TLS fingerprints pinned, pool blocked'],
  discovered: ['attestation.backend.discovered', 'info', 'Pinned new TLS SPKI fingerprint'],
  evicted: ['attestation.backend.evicted', 'warn', 'Evicted TLS SPKI fingerprint'],
  candidate: ['attestation.backend.candidate', 'warn', 'Unpinned TLS SPKI fingerprint reported'],
  loaded: ['attestation.source.loaded', 'info', 'Loaded attestation models'],
  sourceFailed: ['attestation.source.failed', 'warn', 'Model source failed'],
  skipped: ['attestation.cycle.skipped', 'warn', 'Attestation cycle skipped'],
} as const satisfies Record<string, readonly [string, Severity, string]>;
export type EventKind = keyof typeof EVENTS;

/** What makes a record the same record when it is made again. */
export interface RecordIdentity {
  /** Id of the receiver. */
  readonly component: string;
  readonly pool: string;
  readonly cycleId: string;
  readonly fingerprint?: string | undefined;
}

/** Attributes whose text is meant to be long hex, or is composed of words of ours. */
const NOT_REDACTED: ReadonlySet<string> = new Set([
  ...['fingerprint', 'observed_fingerprints', 'unverified_fingerprints', 'reported_fingerprint', 'evidence_sha256'],
  ...['attestation.cycle.id', 'log.record.uid', 'instance_id', 'model'],
]);

/** @param atNanos since the epoch */
export function attestationRecord(
  kind: EventKind,
  atNanos: bigint,
  identity: RecordIdentity,
  attributes: Readonly<Record<string, unknown>>,
  resource: Resource,
  severity: Severity = EVENTS[kind][1],
): ReadableLogRecord {
  const [eventName, , body] = EVENTS[kind];
  const time = toHrTime(atNanos);
  return {
    hrTime: time,
    hrTimeObserved: time,
    severityNumber: SEVERITIES[severity],
    severityText: severity.toUpperCase(),
    body,
    eventName,
    resource,
    instrumentationScope: SCOPE,
    attributes: { 'log.record.uid': uidOf(eventName, identity), ...cleaned(attributes) },
    droppedAttributesCount: 0,
  };
}

function uidOf(eventName: string, { component, pool, cycleId, fingerprint = '' }: RecordIdentity): string {
  return createHash('sha256')
    .update(JSON.stringify([component, pool, cycleId, eventName, fingerprint]))
    .digest('hex')
    .slice(0, 32);
}

function cleaned(attributes: Readonly<Record<string, unknown>>): Attributes {
  const given = Object.entries(attributes).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(
    given.map(([name, value]) => [name, NOT_REDACTED.has(name) ? value : redacted(value)]),
  ) as Attributes;
}

function redacted(value: unknown): unknown {
  if (typeof value === 'string') return redact(value);
  return Array.isArray(value) ? value.map(redacted) : value;
}
