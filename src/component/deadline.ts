import type { Clock } from './clock.ts';
import { OutbandError } from './errors.ts';

/** A time limit that is running. Dispose it, or its timer stays. */
export interface Deadline extends Disposable {
  /** Aborts when the time has passed (reason: `deadline_exceeded`), or with its parent. */
  readonly signal: AbortSignal;
}

/**
 * A time limit on the given clock: `using limit = deadline(...)`. Leaving the block takes the timer back.
 * @param ms milliseconds; > 0
 * @param what is limited, for the message: `<what> took longer than 30s`
 */
export function deadline(clock: Clock, ms: number, what: string, parent?: AbortSignal): Deadline {
  const limit = new AbortController();
  const done = new AbortController();
  const stop = parent ? AbortSignal.any([parent, done.signal]) : done.signal;
  clock.sleep(ms, stop).then(
    () => limit.abort(new OutbandError('deadline_exceeded', `${what} took longer than ${ms / 1_000}s`)),
    () => {},
  );
  return {
    signal: parent ? AbortSignal.any([parent, limit.signal]) : limit.signal,
    [Symbol.dispose]: () => done.abort(),
  };
}
