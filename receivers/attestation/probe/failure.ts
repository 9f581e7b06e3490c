import { STATUS_CODES } from 'node:http';

/** What a probe did not get past, coarse. People match on these words. */
export type Category =
  | ('client_build' | 'query_encode' | 'connect' | 'send_timeout' | 'timeout' | 'request' | 'send')
  | ('malformed_json' | 'verify')
  | `status:${number}`;

/** Where it ended, fine. The closed list, but for the names of checks. */
export const STAGES = [
  ...(['client', 'query', 'dns', 'tcp_refused', 'tcp_unreachable', 'tcp_timeout'] as const),
  ...(['tls_timeout', 'tls_alert', 'tls_untrusted', 'tls_expired', 'tls_name', 'tls_closed'] as const),
  ...(['header_timeout', 'body_timeout', 'http', 'reset', 'closed', 'status'] as const),
  ...(['body_truncated', 'body_too_large', 'encoding', 'json', 'json_shape'] as const),
] as const;
export type Stage = (typeof STAGES)[number] | `verify.${string}`;

/** Why a probe gave no key. Every text is composed here: nothing that a library or a peer said gets in. */
export interface Failure {
  readonly category: Category;
  readonly stage: Stage;
  readonly detail: string;
  readonly httpStatus?: number;
}

/** Ends a probe. */
export class ProbeFailed extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(reasonOf(failure));
    this.failure = failure;
  }
}

const MAX_REASON_CHARS = 120;

/** `category: detail`, on one line of at most 120 characters. */
export function reasonOf({ category, detail }: Failure): string {
  return `${category}: ${detail}`.slice(0, MAX_REASON_CHARS);
}

const FIXED = {
  client: ['client_build', 'tls client could not be built'],
  query: ['query_encode', 'index label too long'],
  dns: ['connect', 'name not resolved'],
  tcp_refused: ['connect', 'refused'],
  tcp_unreachable: ['connect', 'unreachable'],
  tls_untrusted: ['connect', 'certificate not trusted'],
  tls_expired: ['connect', 'certificate outside its dates'],
  tls_name: ['connect', 'certificate for another name'],
  tls_closed: ['connect', 'closed in the handshake'],
  http: ['request', 'answer is not HTTP/1.1'],
  reset: ['send', 'reset before the answer'],
  closed: ['send', 'closed before the answer'],
  body_truncated: ['malformed_json', 'body cut short'],
  encoding: ['malformed_json', 'unknown content encoding'],
  json: ['malformed_json', 'not JSON'],
  json_shape: ['malformed_json', 'not an object'],
} as const satisfies Partial<Record<Stage, readonly [Category, string]>>;

/** A failure whose text never varies. */
export function failure(stage: keyof typeof FIXED): Failure {
  const [category, detail] = FIXED[stage];
  return { category, stage, detail };
}

/** No answer within the time for TCP and TLS. @param ms milliseconds */
export function setUpTimeout(stage: 'tcp_timeout' | 'tls_timeout', ms: number): Failure {
  return { category: 'connect', stage, detail: `no answer in ${ms} ms` };
}

/** The whole call took too long. @param ms milliseconds */
export function callTimeout(part: 'headers' | 'body', ms: number): Failure {
  return {
    category: 'timeout',
    stage: part === 'body' ? 'body_timeout' : 'header_timeout',
    detail: `${ms} ms in ${part}`,
  };
}

/** No byte came for so long. @param ms milliseconds */
export function idleTimeout(part: 'headers' | 'body', ms: number): Failure {
  const stage = part === 'body' ? 'body_timeout' : 'header_timeout';
  return { category: 'send_timeout', stage, detail: `no byte in ${ms} ms of ${part}` };
}

export function badStatus(status: number): Failure {
  const detail = STATUS_CODES[status] ?? 'no standard status';
  return { category: `status:${status}`, stage: 'status', detail, httpStatus: status };
}

/** @param limit bytes */
export function bodyTooLarge(limit: number): Failure {
  return { category: 'malformed_json', stage: 'body_too_large', detail: `over ${limit} bytes` };
}

/** @param text one of the fixed texts of the check, if it has several ways to fail */
export function checkFailed(check: string, text?: string): Failure {
  return { category: 'verify', stage: `verify.${check}`, detail: text === undefined ? check : `${check}: ${text}` };
}

/** Names of RFC 8446, section 6, and RFC 5246, section 7.2, by the words of OpenSSL. */
const ALERTS = [
  ...['close_notify', 'unexpected_message', 'bad_record_mac', 'record_overflow', 'handshake_failure'],
  ...[
    'bad_certificate',
    'unsupported_certificate',
    'certificate_revoked',
    'certificate_expired',
    'certificate_unknown',
  ],
  ...['illegal_parameter', 'unknown_ca', 'access_denied', 'decode_error', 'decrypt_error', 'protocol_version'],
  ...['insufficient_security', 'internal_error', 'inappropriate_fallback', 'user_canceled', 'missing_extension'],
  ...['unsupported_extension', 'unrecognized_name', 'certificate_required', 'no_application_protocol'],
];

const TLS_CODES: readonly (readonly [RegExp, 'tls_expired' | 'tls_name' | 'tls_untrusted'])[] = [
  [/CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/, 'tls_expired'],
  [/ALTNAME|HOSTNAME_MISMATCH/, 'tls_name'],
  [/^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|UNSPECIFIED)/, 'tls_untrusted'],
];

/** What ended a TLS handshake, by the code of OpenSSL or Node. */
export function handshakeFailure(error: unknown): Failure {
  const code = codeOf(error);
  const known = TLS_CODES.find(([pattern]) => pattern.test(code));
  if (known) return failure(known[1]);
  const words = /_ALERT_(?:NUMBER_\d+|(\w+))$/.exec(code);
  if (!words) return failure('tls_closed');
  const name = ALERTS.find((alert) => alert === words[1]?.toLowerCase()) ?? 'alert';
  return { category: 'connect', stage: 'tls_alert', detail: name };
}

/** What ended a TCP connect, by the code of the system. */
export function connectFailure(error: unknown): Failure {
  const { errors = [] } = error as { errors?: readonly unknown[] };
  const codes = [error, ...errors].map(codeOf);
  if (codes.some((code) => code === 'ECONNREFUSED')) return failure('tcp_refused');
  return failure(codes.some((code) => /^(ENOTFOUND|EAI_)/.test(code)) ? 'dns' : 'tcp_unreachable');
}

/** What ended an exchange before its head had come. */
export function headFailure(error: unknown): Failure {
  const code = codeOf(error);
  if (/^HPE_INVALID_EOF/.test(code) || code === 'UND_ERR_SOCKET' || code === 'UND_ERR_CLOSED') return failure('closed');
  const { name } = (error ?? {}) as { name?: unknown };
  if (name === 'HTTPParserError' || /^HPE_/.test(code) || /HEADERS_OVERFLOW|INVALID_RETURN|NOT_SUPPORTED/.test(code))
    return failure('http');
  return failure(code === 'ECONNRESET' || code === 'EPIPE' ? 'reset' : 'closed');
}

function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : '';
}
