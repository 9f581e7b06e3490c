import { describeError, OutbandError } from '../../../src/component/errors.ts';

/** An error in sentences: what happened, and what to do about it. */
export function explained(error: unknown): string {
  const text = describeError(error);
  return error instanceof OutbandError ? `${text}. ${error.advice}` : `${text}.`;
}
