import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';

/** Where data came from; for errors and dead letters. */
export interface Origin {
  /** Id of the receiver. */
  readonly receiver: string;
  /** What it read: a BMC, a pool. */
  readonly target: string;
}

/**
 * Log records of one resource and one scope. Readonly after hand-off: a processor that changes something returns a new
 * batch, one that changes nothing passes the same object on.
 */
export interface LogBatch {
  /** ONE cached object per endpoint: the OTLP serializer groups by identity. */
  readonly resource: Resource;
  readonly scope: InstrumentationScope;
  readonly records: readonly ReadableLogRecord[];
  readonly origin: Origin;
}
