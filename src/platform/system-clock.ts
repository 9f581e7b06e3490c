import type { Clock } from '../component/clock.ts';

/** Node answers a longer timer at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => BigInt(Date.now()) * 1_000_000n,
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    for (let left = ms; ; left -= LONGEST_TIMER_MS) {
      await timer(Math.min(left, LONGEST_TIMER_MS), signal);
      if (left <= LONGEST_TIMER_MS) return;
    }
  },
};

/** Uniform in [0, 1); for jitter, not for secrets. */
export const systemRandom: () => number = Math.random;

function timer(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const elapsed = () => {
      signal?.removeEventListener('abort', aborted);
      resolve();
    };
    const aborted = () => {
      clearTimeout(handle);
      reject(signal?.reason);
    };
    const handle = setTimeout(elapsed, Math.max(0, ms));
    signal?.addEventListener('abort', aborted, { once: true });
  });
}
