import type { Happening } from '../happening.ts';

/**
 * Entries oldest first, whatever the order of the pages was. The direction is that of most neighbours, by vendor
 * sequence, else integer Id, else time; a list without any of them is taken as it came.
 */
export function oldestFirst(entries: readonly Happening[]): readonly Happening[] {
  for (const rank of [bySequence, byId, byTime]) {
    let rising = 0;
    let falling = 0;
    for (let i = 1; i < entries.length; i++) {
      const before = rank(entries[i - 1]!);
      const after = rank(entries[i]!);
      if (before === undefined || after === undefined) continue;
      if (after > before) rising++;
      else if (after < before) falling++;
    }
    if (rising + falling > 0) return falling > rising ? entries.toReversed() : entries;
  }
  return entries;
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
