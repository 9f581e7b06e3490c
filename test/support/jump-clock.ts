import type { Clock } from '../../src/component/clock.ts';
import { systemClock } from '../../src/platform/system-clock.ts';

/** Real time, so that sockets have theirs, which a test moves on by hours at once. */
export interface JumpClock extends Clock {
  /** Wakes whoever would have woken meanwhile. */
  jump(ms: number): void;
}

export function jumpClock(): JumpClock {
  let jumped = 0;
  const wakers = new Set<() => void>();
  const monotonic = () => systemClock.monotonic() + jumped;
  return {
    now: () => systemClock.now() + BigInt(Math.round(jumped * 1e6)),
    monotonic,
    async sleep(ms, signal) {
      const end = monotonic() + ms;
      do {
        signal?.throwIfAborted();
        const stop = new AbortController();
        const wake = () => stop.abort('woken');
        wakers.add(wake);
        signal?.addEventListener('abort', wake, { once: true });
        await systemClock.sleep(end - monotonic(), stop.signal).catch(() => {});
        wakers.delete(wake);
        signal?.removeEventListener('abort', wake);
      } while (monotonic() < end || signal?.aborted);
    },
    jump(ms) {
      jumped += ms;
      for (const wake of [...wakers]) wake();
    },
  };
}
