import type { Clock } from '../../src/component/clock.ts';
import { systemClock } from '../../src/platform/system-clock.ts';

/** A clock that runs so many times as fast as real time: minutes of an agent's life on real sockets pass in moments. */
export function fastClock(factor: number): Clock {
  const started = systemClock.monotonic();
  const epochNanos = systemClock.now();
  const monotonic = () => (systemClock.monotonic() - started) * factor;
  return {
    now: () => epochNanos + BigInt(Math.round(monotonic() * 1e6)),
    monotonic,
    async sleep(ms, signal) {
      const end = monotonic() + ms;
      // Timers round: whoever sleeps must not wake early.
      for (let left = ms; left > 0; left = end - monotonic()) await systemClock.sleep(left / factor, signal);
      signal?.throwIfAborted();
    },
  };
}
