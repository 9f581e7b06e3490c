/** One proven answer to a plain probe: what the balancer chose. */
export interface Draw {
  readonly fingerprint: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** What the balancer chose lately, and how long nothing was new. Plain data: it is stored as it is. */
export interface DrawWindow {
  /** In launch order. */
  readonly draws: readonly Draw[];
  /** Draws since a pin came or went. */
  readonly sinceChange: number;
  /** Draws since a pin came. */
  readonly sinceNew: number;
}

export const EMPTY_WINDOW: DrawWindow = { draws: [], sinceChange: 0, sinceNew: 0 };

/** A window never holds more, whatever the settings: its oldest go. */
const MAX_DRAWS = 2_000;

/**
 * Adds draws in launch order. A draw that shows a key for the first time starts the counts anew and is not counted itself.
 * @param isKnown whether a key was pinned before these draws
 * @param since draws before that time are forgotten; milliseconds since the epoch
 */
export function addDraws(
  window: DrawWindow,
  draws: readonly Draw[],
  isKnown: (fingerprint: string) => boolean,
  since: number,
): DrawWindow {
  let { sinceChange, sinceNew } = window;
  const fresh = new Set<string>();
  for (const { fingerprint } of draws) {
    if (isKnown(fingerprint) || fresh.has(fingerprint)) {
      sinceChange++;
      sinceNew++;
      continue;
    }
    fresh.add(fingerprint);
    sinceChange = 0;
    sinceNew = 0;
  }
  const kept = [...window.draws, ...draws].filter(({ at }) => at >= since).slice(-MAX_DRAWS);
  return { draws: kept, sinceChange, sinceNew };
}
