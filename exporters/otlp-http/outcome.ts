import type { SendResult } from '../../src/component/exporter.ts';

export interface Answer {
  /** HTTP status, 100 to 599. */
  readonly status: number;
  /** What the server asked for, in milliseconds; see `parseRetryAfter`. */
  readonly retryAfterMs: number | undefined;
  /** From the reply: what `partial_success` refused, and any message. */
  readonly rejected: number;
  readonly message: string;
}

/** The data is at fault and will be refused again. Everything else that is not 2xx may heal. */
const DATA_AT_FAULT: ReadonlySet<number> = new Set([400, 413, 422]);

/**
 * What becomes of a request that was answered. Total over all statuses.
 *
 * OTLP/HTTP calls every status but 429, 502, 503 and 504 final. We keep the data for all that speak about the set-up
 * (a token, a path, a redirect) or about the server: a wrong token must not cost a night of logs.
 * @see OTLP specification, section "OTLP/HTTP Response"
 */
export function outcomeOf({ status, retryAfterMs, rejected, message }: Answer): SendResult {
  if (status >= 200 && status < 300) {
    return { kind: 'accepted', ...(rejected > 0 && { rejected }), ...(message !== '' && { message }) };
  }
  const reason = `HTTP ${status}${message === '' ? '' : `: ${message}`}`;
  if (DATA_AT_FAULT.has(status)) return { kind: 'reject', reason, status };
  return { kind: 'retry', reason, status, ...(retryAfterMs !== undefined && { afterMs: retryAfterMs }) };
}
