import type { ServiceCursor } from './cursor.ts';
import type { LogService } from './discovery.ts';

/** Logs up to this length are read whole each time: that costs a page or two, and trusts nobody. */
const SHORT_LOG = 1_000;
/** Known entries that a `$skip` asks for again; one of them back shows that the log is still the same. */
const SKIP_OVERLAP = 16;
const NANOS_PER_MS = 1_000_000n;

/** How a log is read. */
export interface ReadPlan {
  readonly kind: 'whole' | 'filter' | 'skip';
  /** Of the first page. */
  readonly link: string;
  readonly ifNoneMatch?: string | undefined;
  /** A page without anything new ends the read: the log shows its newest entries first. */
  readonly stopsAtKnown?: boolean;
}

/** From the first page to the last, believing nothing. */
export function wholeRead(service: LogService): ReadPlan {
  return { kind: 'whole', link: service.entries };
}

export interface PlanOptions {
  /** Monotonic milliseconds. */
  readonly now: number;
  /** What the BMC's clock shows; nanoseconds since the epoch. */
  readonly bmcNowNanos: bigint;
  /** Time after which a log is read whole whatever its BMC says; milliseconds. */
  readonly fullReadInterval: number;
  /** What the BMC says it can do, and has not been caught at doing wrong. */
  readonly canFilter: boolean;
  readonly canSkip: boolean;
}

/**
 * The cheapest read that can be trusted for now. ETag, `$filter`, `$skip` and an early stop are promises of a BMC: each answer
 * is checked, and all of them are off once per `full_read_interval`. Pure.
 */
export function planRead(service: LogService, cursor: ServiceCursor, options: PlanOptions): ReadPlan {
  const { now, bmcNowNanos, fullReadInterval, canFilter, canSkip } = options;
  const whole = wholeRead(service);
  if (cursor.firstContact || cursor.resumeAt !== undefined || now - cursor.wholeAt >= fullReadInterval) return whole;
  const ifNoneMatch = cursor.etag;
  if (cursor.count <= SHORT_LOG) return { ...whole, ifNoneMatch };
  if (cursor.newestFirst === true) return { ...whole, ifNoneMatch, stopsAtKnown: true };
  const { newestNanos } = cursor;
  // A clock that is behind its own entries was set back: what comes next may be older than they are.
  if (canFilter && newestNanos !== undefined && bmcNowNanos >= newestNanos) {
    const since = `${new Date(Number(newestNanos / NANOS_PER_MS)).toISOString().slice(0, 19)}Z`;
    return {
      kind: 'filter',
      link: withQuery(service.entries, `$filter=${encodeURIComponent(`Created ge '${since}'`)}`),
    };
  }
  if (canSkip && cursor.newestFirst === false)
    return { kind: 'skip', link: withQuery(service.entries, `$skip=${cursor.count - SKIP_OVERLAP}`) };
  return { ...whole, ifNoneMatch };
}

function withQuery(link: string, query: string): string {
  return `${link}${link.includes('?') ? '&' : '?'}${query}`;
}
