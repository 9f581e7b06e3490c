import { ERROR_CODES, type ErrorCode } from './error-codes.ts';

/** What an error may carry beside its code and text. */
export interface ErrorOptions {
  /** The underlying error; kept, and printed by debuggers. */
  readonly cause?: unknown;
  /** What the operator can do about this very case. */
  readonly hint?: string;
}

/** An error with a code of the closed list in `error-codes.ts`. */
export class OutbandError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
  }

  /** What the operator can do: about this case if it was said, else about any error of this code. */
  get advice(): string {
    return this.hint ?? ERROR_CODES[this.code].remedy;
  }
}

/** The consumer did not take the data; offer the same batch again, not before `afterMs` has passed if it is given. */
export class RetryableError extends OutbandError {
  readonly afterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions & { readonly afterMs?: number } = {}) {
    super(code, message, options);
    this.afterMs = options.afterMs;
  }
}

/** The consumer will never take this data; offering it again is pointless. The caller moves on and counts it. */
export class PermanentError extends OutbandError {}

/** The text of anything that was thrown, on one line; of an error of somebody else's (`fetch failed`) with its cause. */
export function describeError(error: unknown): string {
  const text = (error instanceof Error ? String(error.message || error.name) : String(error))
    .replaceAll(/\s+/g, ' ')
    .trim();
  const { cause } = error instanceof Error && !(error instanceof OutbandError) ? error : {};
  const why = cause instanceof Error && cause.cause === undefined ? describeError(cause) : '';
  return why === '' || text.includes(why) ? text : `${text}: ${why}`;
}
