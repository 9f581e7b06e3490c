import { createHash } from 'node:crypto';
import { SeverityNumber } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { TransitionEvent } from '../../src/component/scheduler.ts';
import { toHrTime } from '../../src/telemetry/time.ts';
import { SCOPE } from './metrics.ts';

const WARN = { number: SeverityNumber.WARN, text: 'WARN' };
const INFO = { number: SeverityNumber.INFO, text: 'INFO' };
const DEBUG = { number: SeverityNumber.DEBUG, text: 'DEBUG' };
const ERROR = { number: SeverityNumber.ERROR, text: 'ERROR' };
const BREAKER = { open: WARN, half_open: DEBUG, closed: INFO } as const;

/** One transition as a log record. The same transition has the same uid, however often it is made. */
export function transitionRecord(event: TransitionEvent, resource: Resource, observedNanos: bigint): ReadableLogRecord {
  const { severity, eventName, body, attributes } = describe(event);
  const uid = createHash('sha256')
    .update(JSON.stringify([event.key, event.kind, String(event.at), attributes]))
    .digest('hex')
    .slice(0, 32);
  return {
    hrTime: toHrTime(event.at),
    hrTimeObserved: toHrTime(observedNanos),
    severityNumber: severity.number,
    severityText: severity.text,
    body,
    eventName: `outband.scheduler.${eventName}`,
    resource,
    instrumentationScope: SCOPE,
    attributes: {
      'log.record.uid': uid,
      'outband.target.type': event.type,
      'outband.target.name': event.name,
      'outband.cause': event.cause,
      ...attributes,
      ...(event.error && { 'error.type': event.error.code }),
    },
    droppedAttributesCount: 0,
  };
}

function describe(event: TransitionEvent) {
  const because = event.error ? `: ${event.error.message}` : '';
  switch (event.kind) {
    case 'breaker': {
      const { from, to, retryAt } = event;
      const then = to === 'open' && retryAt !== undefined ? `, next attempt at ${time(retryAt)}` : '';
      return {
        eventName: 'transition',
        severity: BREAKER[to],
        body: `breaker of ${event.key} went from ${from} to ${to} (${event.cause})${then}${to === 'open' ? because : ''}`,
        attributes: {
          'outband.breaker.from': from,
          'outband.breaker.to': to,
          ...(retryAt !== undefined && { 'outband.retry_at': time(retryAt) }),
        },
      };
    }
    case 'parked':
      return {
        eventName: 'parked',
        severity: ERROR,
        body: `${event.key} is parked (${event.reason}), next attempt at ${time(event.nextRetry)}${because}`,
        attributes: {
          'outband.dead_letter.reason': event.reason,
          'outband.retry_at': time(event.nextRetry),
        },
      };
    case 'released':
      return {
        eventName: 'released',
        severity: INFO,
        body: `${event.key} is not parked any more (${event.cause})`,
        attributes: { 'outband.dead_letter.reason': event.reason },
      };
  }
}

function time(nanos: bigint): string {
  return new Date(Number(nanos / 1_000_000n)).toISOString();
}
