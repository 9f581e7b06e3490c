import { STATUS_CODES } from 'node:http';

/** Every way in which the API says no, with its status. The closed list; clients match on the code. */
const STATUS = {
  bad_query: 400,
  bad_request: 400,
  unauthenticated: 401,
  actions_disabled: 403,
  origin_refused: 403,
  host_refused: 403,
  not_found: 404,
  target_unknown: 404,
  method_not_allowed: 405,
  header_timeout: 408,
  run_in_flight: 409,
  body_refused: 413,
  rate_limited: 429,
  too_many_failed_logins: 429,
  headers_too_large: 431,
  internal_error: 500,
  scheduler_starting: 503,
  too_many_connections: 503,
} as const;

export type ProblemCode = keyof typeof STATUS;

/** The connection is not used any further: what else is on it cannot be told apart from what was refused. */
const CLOSES: ReadonlySet<ProblemCode> = new Set([
  ...(['body_refused', 'headers_too_large', 'header_timeout', 'too_many_connections'] as const),
]);

/** An answer that refuses: RFC 9457, one body, no stack. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ProblemCode, detail: string, headers: Readonly<Record<string, string>> = {}) {
    super(detail);
    this.code = code;
    this.status = STATUS[code];
    this.headers = {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      ...(this.status === 503 && { 'retry-after': '1' }),
      ...(CLOSES.has(code) && { connection: 'close' }),
      ...headers,
    };
  }

  get body(): string {
    const { code, status, message: detail } = this;
    return JSON.stringify({ type: `urn:outband:problem:${code}`, title: STATUS_CODES[status], status, detail, code });
  }
}
