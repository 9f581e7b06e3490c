import type { EventTime } from '../record/time.ts';

const NEWEST_UNDATED = 100;

/**
 * Which entries of a first contact are too old to be sent.
 *
 * An undated entry takes the time of its nearest older dated neighbour. A log without any date gives its newest 100.
 * @param times of the entries, oldest first
 * @param cutOffNanos entries before it are history; `-Infinity` as undefined: everything is sent
 * @returns for each entry whether it is left out
 */
export function historyOf(times: readonly EventTime[], cutOffNanos: bigint | undefined): readonly boolean[] {
  if (cutOffNanos === undefined) return times.map(() => false);
  if (times.every((time) => time.epochNanos === undefined))
    return times.map((_, index) => index < times.length - NEWEST_UNDATED);
  let last: bigint | undefined;
  return times.map(({ epochNanos }) => {
    last = epochNanos ?? last;
    return last === undefined || last < cutOffNanos;
  });
}
