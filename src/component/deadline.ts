import type { Clock } from './clock.ts';
import { OutbandError } from './errors.ts';

/** A time limit that is running. Dispose it, or its timer stays. */
export interface Deadline extends Disposable {
  /** Aborts when the time has passed (reason: `deadline_exceeded`), or with its parent. */
  readonly signal: AbortSignal;
}

/** A reason for an abort that nobody reads: without one each abort makes an exception with a stack, at half a millisecond. */
export const NO_LONGER_NEEDED = 'no longer needed';

/**
 * A time limit on the given clock: `using limit = deadline(...)`. Leaving the block takes the timer back. Listens to its
 * parent by hand: there is one per request, and `AbortSignal.any` costs more than the rest of it.
 * @param ms milliseconds; > 0
 * @param what is limited, for the message: `<what> took longer than 30s`
 */
export function deadline(clock: Clock, ms: number, what: string, parent?: AbortSignal): Deadline {
  const limit = new AbortController();
  const timer = new AbortController();
  const onParent = () => {
    limit.abort(parent!.reason);
    timer.abort(NO_LONGER_NEEDED);
  };
  if (parent?.aborted) onParent();
  else parent?.addEventListener('abort', onParent, { once: true });
  clock.sleep(ms, timer.signal).then(
    () => limit.abort(new OutbandError('deadline_exceeded', `${what} took longer than ${ms / 1_000}s`)),
    () => {},
  );
  return {
    signal: limit.signal,
    [Symbol.dispose]: () => {
      parent?.removeEventListener('abort', onParent);
      timer.abort(NO_LONGER_NEEDED);
    },
  };
}
