import type { Happening } from '../happening.ts';

/** A list whose neighbours agree on a direction to this share is ordered; any other is sorted. */
const AGREEMENT = 0.9;

/**
 * The order of a list by what its neighbours agree on.
 * @param ranks vendor sequence or integer Id, else time; undefined where there is neither
 * @returns undefined: neither, or too short to tell
 */
export function directionOf(ranks: readonly (bigint | undefined)[]): 'newest_first' | 'oldest_first' | undefined {
  const { rising, falling } = neighbours(ranks);
  if (Math.max(rising, falling) < AGREEMENT * (rising + falling) || rising === falling) return undefined;
  return falling > rising ? 'newest_first' : 'oldest_first';
}

function neighbours(ranks: readonly (bigint | undefined)[]): { readonly rising: number; readonly falling: number } {
  let rising = 0;
  let falling = 0;
  for (let i = 1; i < ranks.length; i++) {
    const before = ranks[i - 1];
    const after = ranks[i];
    if (before === undefined || after === undefined) continue;
    if (after > before) rising++;
    else if (after < before) falling++;
  }
  return { rising, falling };
}

/**
 * Items oldest first, whatever the order of the pages was: by vendor sequence, else integer Id, else time. A list that
 * is ordered is kept or turned around as a whole, so that one clock that jumped moves nothing; a shuffled one is sorted.
 * A list without any of the three is taken as it came.
 */
export function oldestFirst<T>(items: readonly T[], entryOf: (item: T) => Happening): readonly T[] {
  for (const rank of [bySequence, byId, byTime]) {
    const ranks = items.map((item) => rank(entryOf(item)));
    const { rising, falling } = neighbours(ranks);
    if (rising + falling === 0) continue;
    if (Math.max(rising, falling) >= AGREEMENT * (rising + falling))
      return falling > rising ? items.toReversed() : items;
    if (ranks.some((one) => one === undefined)) continue;
    const places = items
      .map((_, index) => index)
      .sort((a, b) => (ranks[a]! < ranks[b]! ? -1 : ranks[a]! > ranks[b]! ? 1 : a - b));
    return places.map((place) => items[place]!);
  }
  return items;
}

function bySequence({ sequence }: Happening): bigint | undefined {
  return integer(sequence);
}

function byId({ id }: Happening): bigint | undefined {
  return integer(id);
}

function byTime({ time }: Happening): bigint | undefined {
  return time.epochNanos;
}

function integer(text: string | undefined): bigint | undefined {
  return text !== undefined && /^\d{1,30}$/.test(text) ? BigInt(text) : undefined;
}
