import { OutbandError, RetryableError } from '../../src/component/errors.ts';

/** Why a stream could not be opened. */
export type ConnectOutcome =
  /** This BMC does not stream, and says so. */
  | { readonly kind: 'unsupported'; readonly why: string; readonly status?: number }
  /** It may stream another time. */
  | {
      readonly kind: 'failure';
      readonly type: ConnectErrorType;
      readonly why: string;
      readonly status?: number;
      /** Milliseconds that the BMC asked for. */
      readonly retryAfterMs?: number;
    }
  /** We did not ask: the account is on hold, or there is none. That is no fault of the stream. */
  | { readonly kind: 'not_sent'; readonly why: string };

/** Closed list; value of the attribute `error.type`. */
export type ConnectErrorType =
  | ('dns' | 'refused' | 'timeout_connect' | 'timeout_headers' | 'tls' | 'auth' | 'http_4xx' | 'http_5xx')
  /** The BMC answered something that is no Redfish on the way to its stream. */
  | 'body';

const NOT_SENT: ReadonlySet<string> = new Set(['auth_hold', 'config_source', 'config_reference']);
const UNSUPPORTED_STATUS: ReadonlySet<number> = new Set([404, 405, 406, 501]);
const BUSY_STATUS: ReadonlySet<number> = new Set([429, 503]);
/** A BMC that is busy gets at least this pause, whatever it says. */
const LEAST_BUSY_WAIT_MS = 20_000;
const MOST_RETRY_AFTER_MS = 300_000;

export interface StreamAnswer {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  /** `Retry-After` in milliseconds, if it was there and made sense. */
  readonly retryAfterMs: number | undefined;
}

/** @returns undefined when the answer opens a stream */
export function classifyAnswer(answer: StreamAnswer): ConnectOutcome | undefined {
  const { status, contentType = '', contentEncoding = 'identity', retryAfterMs } = answer;
  if (status === 200) {
    if (contentType.split(';')[0]!.trim().toLowerCase() !== 'text/event-stream')
      return { kind: 'unsupported', why: `the stream URI answers ${contentType || 'without content type'}` };
    if (contentEncoding !== 'identity')
      return { kind: 'unsupported', why: `the stream is encoded as ${contentEncoding}` };
    return undefined;
  }
  const why = `the stream URI answers ${status}`;
  if (UNSUPPORTED_STATUS.has(status)) return { kind: 'unsupported', why, status };
  return { kind: 'failure', type: typeOfStatus(status), why, status, ...waitAfter(status, retryAfterMs) };
}

/** Whether the answer may be about the filter: it is asked once without. */
export function mayBlameFilter(outcome: ConnectOutcome): boolean {
  return 'status' in outcome && [400, 406, 501].includes(outcome.status ?? 0);
}

/** An attempt that ended without an answer of the stream URI. */
export function classifyError(error: unknown): ConnectOutcome {
  if (!(error instanceof OutbandError)) return { kind: 'failure', type: 'body', why: String(error) };
  const why = error.message;
  if (NOT_SENT.has(error.code)) return { kind: 'not_sent', why };
  // An answer on the way to the stream URI: the root, the EventService, or a login.
  const status = Number(/answered (\d{3})$/.exec(why)?.[1]);
  if (status >= 300) {
    const asked = error instanceof RetryableError ? error.afterMs : undefined;
    return { kind: 'failure', type: typeOfStatus(status), why, ...waitAfter(status, asked) };
  }
  const types: Partial<Record<OutbandError['code'], ConnectErrorType>> = {
    bmc_tls: 'tls',
    certificate_mismatch: 'tls',
    auth_rejected: 'auth',
  };
  if (error.code === 'deadline_exceeded')
    return { kind: 'failure', type: why.includes('connection set-up') ? 'timeout_connect' : 'timeout_headers', why };
  if (error.code === 'bmc_unreachable') {
    const { code = '' } = (error.cause ?? {}) as { code?: string };
    return { kind: 'failure', type: /^(ENOTFOUND|EAI_)/.test(code) ? 'dns' : 'refused', why };
  }
  return { kind: 'failure', type: types[error.code] ?? 'body', why };
}

function typeOfStatus(status: number): ConnectErrorType {
  if (status === 401 || status === 403) return 'auth';
  return status >= 500 ? 'http_5xx' : 'http_4xx';
}

function waitAfter(status: number, asked: number | undefined): { readonly retryAfterMs?: number } {
  const least = BUSY_STATUS.has(status) ? LEAST_BUSY_WAIT_MS : 0;
  const wait = Math.max(least, Math.min(asked ?? 0, MOST_RETRY_AFTER_MS));
  return wait > 0 ? { retryAfterMs: wait } : {};
}
