import { resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { LogBatch } from '../telemetry/log-batch.ts';

const RESOURCE = resourceFromAttributes({ 'redfish.endpoint': 'test' });
const SCOPE = { name: 'test' };

export function record(body: string): ReadableLogRecord {
  return {
    hrTime: [1_700_000_000, 5],
    hrTimeObserved: [1_700_000_001, 0],
    severityNumber: 9,
    severityText: 'OK',
    body,
    eventName: 'test.event',
    resource: RESOURCE,
    instrumentationScope: SCOPE,
    attributes: { 'log.record.uid': body, list: ['a', 'b'], count: 3, ratio: 0.5, yes: true },
    droppedAttributesCount: 0,
  };
}

/** A frozen batch: whoever writes to it fails the test. */
export function batch(...bodies: string[]): LogBatch {
  return Object.freeze({
    resource: RESOURCE,
    scope: SCOPE,
    records: Object.freeze(bodies.map((body) => deepFrozen(record(body)))),
    origin: Object.freeze({ receiver: 'test', target: 'test' }),
  });
}

/** Down to its attributes; not the resource, which computes its own when it is asked. */
function deepFrozen(one: ReadableLogRecord): ReadableLogRecord {
  Object.freeze(one.attributes);
  return Object.freeze(one);
}
