import type { Clock } from '../../../src/component/clock.ts';
import { cut } from '../cut.ts';
import type { Json } from '../json.ts';

/** When something happened, as far as the BMC's text tells. */
export type EventTime =
  | { readonly epochNanos: bigint; readonly zoneAssumed: boolean }
  /** Unusable; `raw` is the text, if there was one. */
  | { readonly epochNanos: undefined; readonly raw: string | undefined };

export interface TimeContext {
  /** Our wall clock, nanoseconds since the epoch. */
  readonly nowNanos: bigint;
  /** Minutes east of UTC for texts without a zone: the log service's `DateTimeLocalOffset`, else 0. */
  readonly offsetMinutes: number;
}

const TIMESTAMP =
  /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9})\d*)?\s*(?:(Z)|([+-])(\d{2}):?(\d{2}))?$/i;
const EARLIEST_YEAR = 2000;
const DAY_NANOS = 86_400_000_000_000n;
/** A clock that shows less is not set; it cannot judge what lies in the future. */
const PLAUSIBLE_NOW = BigInt(Date.UTC(2026, 0, 1)) * 1_000_000n;

/**
 * The first usable of several fields (`EventTimestamp`, then `Created`).
 * Unusable are: no text, unparsable, month 0 (`0000-00-00`), before 2000, more than a day ahead of our clock.
 */
export function eventTime(fields: readonly (Json | undefined)[], context: TimeContext): EventTime {
  for (const field of fields) {
    const time = parseTimestamp(field, context);
    if (time) return time;
  }
  const raw = fields.find((field) => field !== undefined && field !== null);
  return {
    epochNanos: undefined,
    raw: raw === undefined ? undefined : typeof raw === 'string' ? raw : JSON.stringify(raw),
  };
}

function parseTimestamp(field: Json | undefined, { nowNanos, offsetMinutes }: TimeContext): EventTime | undefined {
  const match = typeof field === 'string' ? TIMESTAMP.exec(field.trim()) : null;
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [number, ...number[]];
  const utcMs = Date.UTC(year, month! - 1, day!, hour!, minute!, second!);
  const read = new Date(utcMs);
  const exists = read.getUTCMonth() === month! - 1 && read.getUTCDate() === day && read.getUTCHours() === hour;
  if (!exists || year < EARLIEST_YEAR) return undefined;
  const [, , , , , , , fraction = '', utc, sign, zoneHours, zoneMinutes] = match;
  const zoneAssumed = utc === undefined && sign === undefined;
  const offset = sign ? (sign === '-' ? -1 : 1) * (Number(zoneHours) * 60 + Number(zoneMinutes)) : 0;
  const east = zoneAssumed ? offsetMinutes : offset;
  const epochNanos = BigInt(utcMs - east * 60_000) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
  if (nowNanos >= PLAUSIBLE_NOW && epochNanos > nowNanos + DAY_NANOS) return undefined;
  return { epochNanos, zoneAssumed };
}

/** `+05:30` as 330; undefined for anything else. */
export function parseOffset(text: Json | undefined): number | undefined {
  const match = typeof text === 'string' ? /^([+-])(\d{2}):?(\d{2})$/.exec(text) : null;
  if (!match) return undefined;
  return (match[1] === '-' ? -1 : 1) * (Number(match[2]) * 60 + Number(match[3]));
}

/** What two tellings of the same happening agree on: whole seconds, or the text as it is. */
export function timeKey(time: EventTime): string {
  return time.epochNanos === undefined ? `text ${cut(time.raw ?? '', 64)}` : String(time.epochNanos / 1_000_000_000n);
}

/** The wall clock as ISO 8601, for people. */
export function isoNow(clock: Pick<Clock, 'now'>): string {
  return new Date(Number(clock.now() / 1_000_000n)).toISOString();
}
