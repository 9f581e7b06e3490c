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

/**
 * What another tool, which kept the last integer Id that it saw, says of entries.
 * @param ids of the entries
 * @param lastId undefined: nothing
 * @param isAll the ids are those of the whole log
 * @returns whether an entry was seen; undefined where that tool does not say
 */
export function importedRule(
  ids: readonly (string | undefined)[],
  lastId: number | undefined,
  isAll: boolean,
): (index: number) => boolean | undefined {
  const numbers = ids.map((id) => (id !== undefined && /^\d{1,15}$/.test(id) ? Number(id) : undefined));
  const largest = numbers.reduce<number>((most, number) => Math.max(most, number ?? 0), 0);
  // Smaller than what was seen: the log was cleared since, and its Ids began anew.
  const wasCleared = isAll && lastId !== undefined && largest < lastId;
  return (index) => {
    const number = numbers[index];
    if (lastId === undefined || number === undefined) return undefined;
    return !wasCleared && number <= lastId;
  };
}
