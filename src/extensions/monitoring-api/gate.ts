import type { Logger } from '../../component/component.ts';
import { type Allowance, RequestWindows } from '../../resilience/request-window.ts';
import { isLoopback, rateLimitKey } from './client-address.ts';
import type { MonitoringApiConfig } from './index.ts';
import { Problem } from './problem.ts';
import { Sessions } from './sessions.ts';
import type { Tokens } from './tokens.ts';

const WINDOW_MS = 60_000;
const MOST_CLIENTS = 10_000;
const COOKIE = 'outband_session';

/** What the gate looks at. */
export interface Visitor {
  /** Address of the client, as far as it is known. */
  readonly address: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** It came over TLS, to us or to a proxy that we trust. */
  readonly isSecure: boolean;
}

export interface Caller {
  readonly name: string;
  readonly address: string;
}

/** Who may come in: how many requests, with which credentials. */
export class Gate {
  readonly #tokens: Tokens;
  readonly #sessions: Sessions;
  readonly #open: boolean;
  readonly #requests: RequestWindows;
  readonly #failures: RequestWindows;
  readonly #logger: Logger;
  readonly #now: () => number;

  /** @param now milliseconds, monotonic */
  constructor({ auth, rate_limit }: MonitoringApiConfig, tokens: Tokens, logger: Logger, now: () => number) {
    this.#tokens = tokens;
    this.#sessions = new Sessions(auth.session_idle, auth.session_max);
    this.#open = auth.none === true;
    this.#requests = new RequestWindows(rate_limit.requests_per_minute, WINDOW_MS, MOST_CLIENTS);
    this.#failures = new RequestWindows(rate_limit.failed_auth_per_minute, WINDOW_MS, MOST_CLIENTS);
    this.#logger = logger;
    this.#now = now;
  }

  /** Counts a request. */
  admit(address: string): Allowance {
    return this.#requests.take(rateLimitKey(address), this.#now());
  }

  /** Without tokens any page in a browser of this machine could ask, were it not for its name. @throws Problem */
  checkHost({ headers }: Visitor): void {
    if (this.#open && !isLoopback(hostOf(headers.host)))
      throw new Problem('host_refused', 'without tokens, the API answers under a loopback name only');
  }

  /** @throws Problem */
  authenticate({ address, headers, method }: Visitor): Caller {
    if (this.#open) return { name: 'anonymous', address };
    const bearer = /^bearer\s+(.+)$/i.exec(headers.authorization ?? '')?.[1]?.trim();
    if (bearer !== undefined) {
      const name = this.#tokens.nameOf(bearer);
      if (name === undefined) throw this.#refused(address, 'the token is not valid', ', error="invalid_token"');
      return { name, address };
    }
    const tokens = cookiesOf(headers.cookie).map((value) => this.#sessions.tokenOf(value, this.#now()));
    const token = tokens.find((each) => each !== undefined);
    const name = token === undefined ? undefined : this.#tokens.nameOf(token);
    if (name === undefined) throw new Problem('unauthenticated', 'send a bearer token, or log in', challenge(''));
    if (method === 'POST' && !isSameOrigin(headers))
      throw new Problem('origin_refused', 'a session may only be used from its own page');
    return { name, address };
  }

  /** @returns the cookie to set. @throws Problem */
  logIn({ address, isSecure, headers }: Visitor, token: string): string {
    const now = this.#now();
    if (headers.origin !== undefined && !isSameOrigin(headers))
      throw new Problem('origin_refused', 'log in from the page of this host');
    if (this.#open) throw new Problem('not_found', 'there is nothing to log in to: auth is none');
    if (!this.#failures.look(rateLimitKey(address), now).allowed) throw this.#tooMany(address);
    if (this.#tokens.nameOf(token) === undefined)
      throw this.#refused(address, 'the token is not valid', ', error="invalid_token"');
    return cookie(this.#sessions.begin(token, now), isSecure);
  }

  /** @returns the cookie to clear. @throws Problem */
  logOut({ headers, isSecure }: Visitor): string {
    const values = cookiesOf(headers.cookie);
    if (values.length > 0 && !isSameOrigin(headers))
      throw new Problem('origin_refused', 'a session may only be ended from its own page');
    for (const value of values) this.#sessions.end(value);
    return `${cookie('', isSecure)}; Max-Age=0`;
  }

  #refused(address: string, detail: string, more: string): Problem {
    const { allowed, remaining } = this.#failures.take(rateLimitKey(address), this.#now());
    if (!allowed) return this.#tooMany(address);
    if (remaining === 0)
      this.#logger.warn('too many wrong tokens; more of them are not looked at for a while', { client: address });
    return new Problem('unauthenticated', detail, challenge(more));
  }

  #tooMany(address: string): Problem {
    const { resetMs } = this.#failures.look(rateLimitKey(address), this.#now());
    const retryAfter = String(Math.max(1, Math.ceil(resetMs / 1_000)));
    return new Problem('too_many_failed_logins', 'too many wrong tokens; wait', { 'retry-after': retryAfter });
  }
}

function challenge(more: string) {
  return { 'www-authenticate': `Bearer realm="outband"${more}` };
}

function cookie(value: string, isSecure: boolean): string {
  return `${COOKIE}=${value}; HttpOnly; SameSite=Strict; Path=/${isSecure ? '; Secure' : ''}`;
}

/** All that were sent: a stale one of another path may stand before the one that holds. */
function cookiesOf(header = ''): string[] {
  const pairs = header.split(';').map((pair) => pair.trim());
  return pairs.filter((pair) => pair.startsWith(`${COOKIE}=`)).map((pair) => pair.slice(COOKIE.length + 1));
}

/** The name in a `Host` header, without its port. */
function hostOf(header: string | undefined): string {
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::\d+)?$/.exec(header ?? '');
  return (match?.[1] ?? match?.[2] ?? '').toLowerCase();
}

/** The request comes from a page of this host. */
function isSameOrigin({ origin, host }: Visitor['headers']): boolean {
  return (
    origin !== undefined && host !== undefined && URL.canParse(origin) && new URL(origin).host === host.toLowerCase()
  );
}
