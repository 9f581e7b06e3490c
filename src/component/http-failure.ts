import type { SendResult } from './exporter.ts';

const TRY_AGAIN: ReadonlySet<number> = new Set([408, 425, 429, 502, 503, 504]);
const DATA_AT_FAULT: ReadonlySet<number> = new Set([400, 422]);

/**
 * What a status that is not 2xx says about a request, whoever sent it. Total from 100 to 599.
 *
 * OTLP/HTTP calls every status but 429, 502, 503 and 504 final. We keep the data for all that speak about the set-up
 * (a token, a path, a redirect), and blame it for a server error only on evidence: many backends answer 500 during an
 * outage of their own, and a wrong token must not cost a night of logs.
 * @param afterMs what the server asked for, in milliseconds
 * @see OTLP specification, section "OTLP/HTTP Response"
 */
export function failureOfStatus(status: number, reason: string, afterMs?: number): SendResult {
  const failure = { reason, status };
  const wish = afterMs !== undefined && { afterMs };
  if (TRY_AGAIN.has(status) || status < 300) return { kind: 'retry', ...failure, ...wish };
  if (status >= 500) return { kind: 'suspect', cause: 'server_error', ...failure, ...wish };
  if (DATA_AT_FAULT.has(status)) return { kind: 'reject', ...failure };
  if (status === 413) return { kind: 'too_large', ...failure };
  return { kind: 'hold', ...failure };
}
