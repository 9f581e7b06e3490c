/** Openings of a breaker from closed, and whether they came too often. Immutable. */
export interface Flapping {
  /** Instants in milliseconds, oldest first. */
  readonly openings: readonly number[];
  readonly flaps: boolean;
}

export interface FlappingSettings {
  /** Openings inside the window that count as flapping; 2 to 10. */
  readonly threshold: number;
  readonly windowMs: number;
}

export const STEADY: Flapping = { openings: [], flaps: false };

/** One more opening. */
export function opened(last: Flapping, at: number, settings: FlappingSettings): Flapping {
  const openings = [...inWindow(last, at, settings.windowMs), at].slice(-settings.threshold);
  return { openings, flaps: isFlapping(last, at, settings.windowMs) || openings.length >= settings.threshold };
}

/** Once it flaps, it does until fewer than two openings are left in the window. */
export function isFlapping(flapping: Flapping, now: number, windowMs: number): boolean {
  return flapping.flaps && inWindow(flapping, now, windowMs).length >= 2;
}

function inWindow({ openings }: Flapping, now: number, windowMs: number): number[] {
  return openings.filter((at) => at > now - windowMs);
}
