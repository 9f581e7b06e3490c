import type { HrTime } from '@opentelemetry/api';

const NANOS_PER_SECOND = 1_000_000_000n;

/** No time: OTLP writes 0, which means "unknown" for `timeUnixNano`. */
export const UNSET_TIME: HrTime = [0, 0];

/** Nanoseconds since the epoch (0 or more) as OpenTelemetry JS wants them. */
export function toHrTime(epochNanos: bigint): HrTime {
  return [Number(epochNanos / NANOS_PER_SECOND), Number(epochNanos % NANOS_PER_SECOND)];
}
