import { OutbandError } from '../../src/component/errors.ts';
import type { SendResult } from '../../src/component/exporter.ts';
import { failureOfStatus } from '../../src/component/http-failure.ts';
import type { Reply } from './reply.ts';

export interface Answer {
  /** HTTP status, 100 to 599. */
  readonly status: number;
  /** What the server asked for, in milliseconds; see `parseRetryAfter`. */
  readonly retryAfterMs: number | undefined;
  readonly reply: Reply;
}

/** What becomes of a request that was answered. Total over all statuses. */
export function outcomeOf({ status, retryAfterMs, reply }: Answer): SendResult {
  if (status >= 200 && status < 300) return accepted(reply, status);
  const message = 'message' in reply && reply.message !== '' ? `: ${reply.message}` : '';
  return failureOfStatus(status, `HTTP ${status}${message}`, retryAfterMs);
}

function accepted(reply: Reply, status: number): SendResult {
  if ('unreadable' in reply) return { kind: 'unknown', reason: `HTTP ${status}, but ${reply.unreadable}`, status };
  const { rejected, message } = reply;
  return { kind: 'accepted', ...(rejected > 0 && { rejected }), ...(message !== '' && { message }) };
}

/** Codes of Node and OpenSSL for a certificate that is not to be trusted, and will not be by trying again. */
const CERTIFICATE = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(VERIFY|GET_ISSUER)|ERR_TLS_CERT_)/;
/** What the other side says about ours. */
const OUR_CERTIFICATE = /^ERR_SSL_.*ALERT.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/;
const YEAR_2024_NANOS = 1_704_067_200_000_000_000n;

/**
 * What becomes of a request that was not answered.
 * @param nowNanos wall clock: a machine that believes to be in 1970 finds every certificate "not yet valid"
 */
export function outcomeOfError(error: Error & { readonly code?: string }, nowNanos: bigint): SendResult {
  const reason = error.message || error.code || error.name;
  // A file of the set-up that cannot be read: it may be in the middle of being rotated.
  if (error instanceof OutbandError && error.code === 'config_source') return { kind: 'hold', reason };
  if (OUR_CERTIFICATE.test(error.code ?? '')) return { kind: 'hold', reason: `our certificate: ${reason}` };
  if (!CERTIFICATE.test(error.code ?? '')) return { kind: 'retry', reason };
  const subject = nowNanos < YEAR_2024_NANOS ? 'the clock of this machine' : 'the certificate';
  return { kind: 'hold', reason: `${subject}: ${reason}` };
}
