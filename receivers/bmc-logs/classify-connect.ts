import type { OutbandError } from '../../src/component/errors.ts';

/** Why a stream could not be opened. */
export type ConnectOutcome =
  /** This BMC does not stream, and says so. */
  | { readonly kind: 'unsupported'; readonly why: string }
  /** It may stream another time. */
  | {
      readonly kind: 'failure';
      readonly type: ConnectErrorType;
      readonly why: string;
      /** Milliseconds that the BMC asked for. */
      readonly retryAfterMs?: number;
    };

/** Closed list; value of the attribute `error.type`. */
export type ConnectErrorType = 'refused' | 'timeout' | 'tls' | 'auth' | 'http_4xx' | 'http_5xx' | 'discovery';

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
  if (UNSUPPORTED_STATUS.has(status)) return { kind: 'unsupported', why: `the stream URI answers ${status}` };
  const why = `the stream URI answers ${status}`;
  const type = status === 401 || status === 403 ? 'auth' : status >= 500 ? 'http_5xx' : 'http_4xx';
  const least = BUSY_STATUS.has(status) ? LEAST_BUSY_WAIT_MS : 0;
  const wait = Math.max(least, Math.min(retryAfterMs ?? 0, MOST_RETRY_AFTER_MS));
  return { kind: 'failure', type, why, ...(wait > 0 && { retryAfterMs: wait }) };
}

/** An attempt that ended without an answer. */
export function classifyError(error: OutbandError): ConnectOutcome {
  const types: Partial<Record<OutbandError['code'], ConnectErrorType>> = {
    deadline_exceeded: 'timeout',
    bmc_tls: 'tls',
    certificate_mismatch: 'tls',
    auth_rejected: 'auth',
    bmc_unreachable: 'refused',
  };
  return { kind: 'failure', type: types[error.code] ?? 'discovery', why: error.message };
}
