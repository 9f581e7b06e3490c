/**
 * The slots of a target: all instants `t` with `t = phase mod interval`. Pinned to absolute time, so a restart does
 * not bunch a fleet and two agents do not meet (the idea is Prometheus's).
 */
export interface Grid {
  /** Milliseconds; > 0. */
  readonly interval: number;
  /** Milliseconds; 0 or more, also above the interval. */
  readonly phase: number;
}

/** The first slot later than `after`. */
export function nextSlot({ interval, phase }: Grid, after: number): number {
  return Math.floor((after - phase) / interval) * interval + phase + interval;
}

/** How many slots lie in (`from`, `to`). */
export function slotsBetween(grid: Grid, from: number, to: number): number {
  const first = nextSlot(grid, from);
  return first >= to ? 0 : Math.ceil((to - first) / grid.interval);
}

const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/**
 * FNV-1a, 64 bits, over the UTF-8 bytes of `key`, modulo the longest interval that the target can have: the same target
 * has the same slots in every process, and a fleet is spread over all of its interval.
 * @param longestInterval whole milliseconds; > 0
 */
export function phaseOf(key: string, longestInterval: number): number {
  let hash = FNV_OFFSET;
  for (const byte of new TextEncoder().encode(key)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  return Number(hash % BigInt(longestInterval));
}
