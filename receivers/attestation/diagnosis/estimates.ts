import type { DrawWindow } from './draws.ts';
import { chiSquareTail } from './statistics.ts';

/** What draws say about the backends that were not seen. */
export interface Estimates {
  /** How many backends there are (Chao1); null without draws. */
  readonly estimated: number | null;
  /** With the asked confidence, no more than this share of the calls goes to backends that are not pinned. */
  readonly unseenMassUpper: number;
  /** How many equally loaded backends would repeat themselves as often; null while nothing was repeated. */
  readonly effectiveSize: number | null;
}

export const BALANCES = ['unknown', 'collapsed', 'round_robin', 'skewed', 'balanced'] as const;
export type Balance = (typeof BALANCES)[number];

/**
 * @param confidence between 0 and 1
 * @see Chao, 1984 (bias-corrected form); Good, 1953; Simpson, 1949
 */
export function estimate(window: DrawWindow, confidence: number): Estimates {
  const counts = [...countsOf(window).values()];
  const total = window.draws.length;
  const once = counts.filter((count) => count === 1).length;
  const twice = counts.filter((count) => count === 2).length;
  const pairs = counts.reduce((sum, count) => sum + count * (count - 1), 0);
  return {
    estimated: total === 0 ? null : counts.length + (once * (once - 1)) / (2 * (twice + 1)),
    // No draw of the last n found anything new: (1 - mass)^n <= 1 - confidence.
    unseenMassUpper: window.sinceChange === 0 ? 1 : 1 - (1 - confidence) ** (1 / window.sinceChange),
    effectiveSize: pairs === 0 ? null : (total * (total - 1)) / pairs,
  };
}

const COLLAPSED_SHARE = 0.5;
const LEAST_COMPARISONS = 8;
const EQUAL_SHARE = 0.9;
const SKEW_P = 0.01;

/** Draws of late, in which a balancer that collapses now shows itself, however well it did before. */
const RECENT_PER_BACKEND = 4;

/** @param backends that there are, as far as is known */
export function recentDraws({ draws }: DrawWindow, backends: number, minDraws: number): DrawWindow {
  const recent = draws.slice(-Math.max(minDraws, RECENT_PER_BACKEND * backends));
  return { draws: recent, sinceChange: 0, sinceNew: 0 };
}

/** How the balancer spreads calls. @param backends that there are, as far as is known */
export function judgeBalance(window: DrawWindow, backends: number, minDraws: number): Balance {
  const { draws } = window;
  const total = draws.length;
  if (total < minDraws || backends < 2) return 'unknown';
  const counts = countsOf(window);
  const sizes = [window, recentDraws(window, backends, minDraws)].map((some) => estimate(some, 0.5).effectiveSize);
  if (sizes.some((size) => size !== null && size < COLLAPSED_SHARE * backends)) return 'collapsed';
  const comparisons = total - backends;
  const equal = draws.filter(
    (draw, n) => n >= backends && draw.fingerprint === draws[n - backends]!.fingerprint,
  ).length;
  if (comparisons >= LEAST_COMPARISONS && equal >= EQUAL_SHARE * comparisons) return 'round_robin';
  const expected = total / backends;
  const seen = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  const unseen = Math.max(0, backends - counts.size) * expected;
  return chiSquareTail(seen + unseen, backends - 1) < SKEW_P ? 'skewed' : 'balanced';
}

function countsOf({ draws }: DrawWindow): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { fingerprint } of draws) counts.set(fingerprint, (counts.get(fingerprint) ?? 0) + 1);
  return counts;
}
