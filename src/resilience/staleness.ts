const LEAST_SLACK_MS = 1_000;
const SLACK_RATIO = 0.1;

/** A target is late above this. */
export const LATE_SCORE = 0.5;

/** After how long the next success is due, with what a run itself and a busy agent may take. Milliseconds. */
export function expectedInterval(interval: number): number {
  return interval + Math.max(LEAST_SLACK_MS, interval * SLACK_RATIO);
}

/**
 * How stale what we know of a target is: 0 just read, 0.5 due, 1 twice as old as it should be, or never read. Three
 * decimals, so that what is printed is what is compared.
 * @param age milliseconds since the last success; NaN when there was none
 */
export function stalenessScore(age: number, expected: number): number {
  if (Number.isNaN(age)) return 1;
  const score = Math.round((1_000 * Math.max(0, age)) / (2 * expected)) / 1_000;
  return Math.min(1, score);
}
