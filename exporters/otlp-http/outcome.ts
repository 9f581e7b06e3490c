import type { SendResult } from '../../src/component/exporter.ts';
import type { Reply } from './reply.ts';

export interface Answer {
  /** HTTP status, 100 to 599. */
  readonly status: number;
  /** What the server asked for, in milliseconds; see `parseRetryAfter`. */
  readonly retryAfterMs: number | undefined;
  readonly reply: Reply;
}

const TRY_AGAIN: ReadonlySet<number> = new Set([408, 425, 429, 502, 503, 504]);
const DATA_AT_FAULT: ReadonlySet<number> = new Set([400, 422]);

/**
 * What becomes of a request that was answered. Total over all statuses.
 *
 * OTLP/HTTP calls every status but 429, 502, 503 and 504 final. We keep the data for all that speak about the set-up
 * (a token, a path, a redirect), and blame it for a server error only on evidence: many backends answer 500 during an
 * outage of their own, and a wrong token must not cost a night of logs.
 * @see OTLP specification, section "OTLP/HTTP Response"
 */
export function outcomeOf({ status, retryAfterMs, reply }: Answer): SendResult {
  if (status >= 200 && status < 300) return accepted(reply, status);
  const message = 'message' in reply && reply.message !== '' ? `: ${reply.message}` : '';
  const failure = { reason: `HTTP ${status}${message}`, status };
  const afterMs = retryAfterMs !== undefined && { afterMs: retryAfterMs };
  if (TRY_AGAIN.has(status) || status < 200) return { kind: 'retry', ...failure, ...afterMs };
  if (status >= 500) return { kind: 'suspect', cause: 'server_error', ...failure, ...afterMs };
  if (DATA_AT_FAULT.has(status)) return { kind: 'reject', ...failure };
  if (status === 413) return { kind: 'too_large', ...failure };
  return { kind: 'hold', ...failure };
}

function accepted(reply: Reply, status: number): SendResult {
  if ('unreadable' in reply) return { kind: 'unknown', reason: `HTTP ${status}, but ${reply.unreadable}`, status };
  const { rejected, message } = reply;
  return { kind: 'accepted', ...(rejected > 0 && { rejected }), ...(message !== '' && { message }) };
}

/** Codes of Node and OpenSSL for a certificate that is not to be trusted, and will not be by trying again. */
const CERTIFICATE = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(VERIFY|GET_ISSUER)|ERR_TLS_CERT_)/;
const YEAR_2024_NANOS = 1_704_067_200_000_000_000n;

/**
 * What becomes of a request that was not answered.
 * @param nowNanos wall clock: a machine that believes to be in 1970 finds every certificate "not yet valid"
 */
export function outcomeOfError(error: Error & { readonly code?: string }, nowNanos: bigint): SendResult {
  const reason = error.message || error.code || error.name;
  if (!CERTIFICATE.test(error.code ?? '')) return { kind: 'retry', reason };
  const subject = nowNanos < YEAR_2024_NANOS ? 'the clock of this machine' : 'the certificate';
  return { kind: 'hold', reason: `${subject}: ${reason}` };
}
