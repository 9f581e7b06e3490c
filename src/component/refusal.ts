import { RetryableError } from './errors.ts';

/** How far an error is followed to its causes. */
const MOST_CAUSES = 8;
const refusals = new WeakSet<Error>();

/** A pipeline did not take data for now: what its source did is not at fault. Called by whoever stands between the two. */
export function noteRefusal(error: unknown): void {
  if (error instanceof RetryableError) refusals.add(error);
}

/** Whether an error is the refusal of a pipeline, or was caused by one. */
export function isRefusal(error: unknown): boolean {
  for (let at = error, n = 0; at instanceof Error && n < MOST_CAUSES; at = at.cause, n++)
    if (refusals.has(at)) return true;
  return false;
}
