import { aborted } from '../../../src/component/aborted.ts';
import type { Clock } from '../../../src/component/clock.ts';
import { OutbandError } from '../../../src/component/errors.ts';
import { Semaphore } from '../../../src/resilience/semaphore.ts';
import { longDigest } from '../digest.ts';
import type { AuthSettings } from '../endpoint-settings.ts';
import type { EndpointState } from '../endpoint-state.ts';
import { textOf } from '../json.ts';
import type { Account } from './account.ts';

const MOST_REJECTED_LOGINS = 3;
const FIRST_HOLD_MS = 15 * 60_000;
const LONGEST_HOLD_MS = 6 * 3_600_000;
/** A BMC without a free session is asked for one again after this time. */
const SESSION_RETRY_MS = 30 * 60_000;
/** Where a new session is refused like the old one, no other is made for so long. */
const USELESS_LOGIN_MS = 5 * 60_000;

/** Statuses of a login that say: there are no sessions here. */
const NO_SESSIONS: ReadonlySet<number> = new Set([404, 405, 501]);
const NO_FREE_SESSION: ReadonlySet<number> = new Set([503, 507]);
const SESSION_LIMIT = /session[s]?\s*limit|limit of sessions|maximum number of (user )?sessions/i;

/** An answer to a request of the login itself. */
export interface LoginAnswer {
  readonly status: number;
  readonly token: string | undefined;
  /** As the BMC gave it. */
  readonly location: string | undefined;
  readonly body: string;
}

export interface CredentialsOptions {
  readonly endpoint: string;
  readonly auth: AuthSettings | undefined;
  /** Asked before each request that needs it. */
  readonly account: () => Promise<Account>;
  readonly clock: Clock;
  readonly state: EndpointState;
  /** Creates a session. */
  readonly login: (path: string, body: string, signal: AbortSignal) => Promise<LoginAnswer>;
  /** Ends a session. */
  readonly logout: (location: string, headers: Headers, signal: AbortSignal) => Promise<{ readonly status: number }>;
  readonly onHold: (untilMs: number) => void;
  /** Another account is there. */
  readonly onLifted: () => void;
}

export type Headers = Readonly<Record<string, string>>;

/** What a request proves itself with. */
interface Proof {
  readonly headers: Headers;
  readonly kind: 'none' | 'basic' | 'session';
  /** Digest of the account behind it. */
  readonly account: string;
  /** Others wait until this request, the first with an account that has not worked yet, was answered. */
  readonly release?: () => void;
}

/**
 * How one endpoint proves who we are: by a Redfish session, which all its requests share, or by HTTP Basic.
 *
 * Never more than three logins are rejected before the account is left alone for a while, over restarts too: BMCs lock
 * accounts. Until an account has worked once, one request at a time carries it.
 *
 * @see DSP0266 "Redfish session login authentication"
 */
export class Credentials {
  readonly #options: CredentialsOptions;
  readonly #loginLock = new Semaphore(1);
  readonly #firstLock = new Semaphore(1);
  /** From the service root; undefined until it was read. */
  #sessionsLink: string | undefined;
  #session: { readonly token: string; readonly location: string | undefined } | undefined;
  /** A login that is on its way, and what cuts it off. */
  #asked:
    | { readonly account: string; readonly answer: Promise<LoginAnswer>; readonly cut: AbortController }
    | undefined;
  #noSessions = false;
  #sessionRetryAt = Number.NEGATIVE_INFINITY;
  /** A new token was refused, too: it is not the token. Until then none is made for a 401; monotonic milliseconds. */
  #noLoginUntil = Number.NEGATIVE_INFINITY;
  /** Digest of the account that has worked. */
  #proven: string | undefined;

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  /** How requests prove themselves, for people; undefined: nothing was accepted yet. */
  get kind(): 'none' | 'basic' | 'session' | undefined {
    const { auth } = this.#options;
    if (!auth || auth.mode === 'none') return 'none';
    if (this.#session) return 'session';
    return this.#proven === undefined ? undefined : 'basic';
  }

  /** Until when no request with credentials leaves; milliseconds since the epoch. */
  get holdUntilMs(): number | undefined {
    const until = this.#options.state.current.hold?.untilMs;
    return until !== undefined && until > this.#nowMs ? until : undefined;
  }

  /** The service root was read, which needs no credentials. @param sessions where sessions are made, if anywhere */
  learn(sessions: string | undefined): void {
    this.#sessionsLink = sessions;
  }

  /**
   * Sends a request with credentials. An answer of 401 to a session makes a new one, once.
   * @param send called once or twice
   * @param drop takes an answer that is not the last
   * @throws OutbandError `auth_hold` when nothing may be sent, `auth_rejected`
   */
  async prove<T extends { readonly status: number }>(
    signal: AbortSignal,
    send: (headers: Headers) => Promise<T>,
    drop: (answer: T) => void = () => {},
  ): Promise<T> {
    const proof = await this.#proof(signal);
    const answer = await this.#judged(proof, send);
    const { clock } = this.#options;
    if (answer.status !== 401 || proof.kind !== 'session' || clock.monotonic() < this.#noLoginUntil) return answer;
    drop(answer);
    const stale = this.#session;
    if (stale && stale.token === proof.headers['x-auth-token']) {
      this.#session = undefined;
      // It may have ended by itself; if not, its place is needed.
      if (stale.location !== undefined) await this.#endOrphan(stale.location, proof, signal);
    }
    const second = await this.#judged(await this.#proof(signal), send);
    if (second.status === 401) this.#noLoginUntil = clock.monotonic() + USELESS_LOGIN_MS;
    return second;
  }

  /** Ends the session. @param signal aborts when there is no more time */
  async close(signal: AbortSignal): Promise<void> {
    const { answer, cut } = this.#asked ?? {};
    await Promise.race([answer?.catch(() => {}), aborted(signal)]);
    cut?.abort(signal.reason ?? new OutbandError('shutting_down', 'the client is closed'));
    const session = this.#session;
    if (!session) return;
    this.#session = undefined;
    if (session.location === undefined) return;
    await this.#options.logout(session.location, { 'x-auth-token': session.token }, signal);
    this.#options.state.update({ session: undefined });
  }

  async #judged<T extends { readonly status: number }>(proof: Proof, send: (headers: Headers) => Promise<T>) {
    try {
      const answer = await send(proof.headers);
      if (answer.status === 401 && proof.kind === 'basic') this.#reject(proof.account);
      else if (proof.kind !== 'none' && isAccepted(answer.status)) this.#accept(proof.account);
      return answer;
    } finally {
      proof.release?.();
    }
  }

  async #proof(signal: AbortSignal): Promise<Proof> {
    const { auth } = this.#options;
    if (!auth || auth.mode === 'none') return { headers: {}, kind: 'none', account: '' };
    const known = await this.#options.account();
    const account = digestOf(known);
    this.#checkHold(account);
    if (known.kind === 'header') return this.#basic(known.authorization.reveal(), account, signal);
    if (this.#wantsSession) {
      const token = await this.#token(known, account, signal);
      if (token !== undefined) return { headers: { 'x-auth-token': token }, kind: 'session', account };
    }
    const pair = `${known.username}:${known.password.reveal()}`;
    return this.#basic(`Basic ${Buffer.from(pair).toString('base64')}`, account, signal);
  }

  async #basic(authorization: string, account: string, signal: AbortSignal): Promise<Proof> {
    const proof = { headers: { authorization }, kind: 'basic', account } as const;
    if (this.#proven === account) return proof;
    const release = await this.#firstLock.acquire(signal);
    try {
      // Whoever went before may have found out.
      this.#checkHold(account);
    } catch (error) {
      release();
      throw error;
    }
    if (this.#proven !== account) return { ...proof, release };
    release();
    return proof;
  }

  get #current() {
    return this.#session;
  }

  get #wantsSession(): boolean {
    const { auth, clock } = this.#options;
    if (auth?.mode === 'basic' || this.#sessionsLink === undefined || this.#noSessions) return false;
    return this.#session !== undefined || clock.monotonic() >= this.#sessionRetryAt;
  }

  async #token(known: Account & { kind: 'password' }, account: string, signal: AbortSignal) {
    if (this.#session) return this.#session.token;
    const release = await this.#loginLock.acquire(signal);
    try {
      // Whoever held the lock may have found out.
      const session = this.#current;
      if (session || !this.#wantsSession) return session?.token;
      this.#checkHold(account);
      const body = JSON.stringify({ UserName: known.username, Password: known.password.reveal() });
      let answer = await this.#login(body, account, signal);
      const orphan = this.#options.state.current.session;
      if (orphan !== undefined && isFull(answer)) {
        // It may be our own, of a process that was killed, that takes the last place.
        const pair = Buffer.from(`${known.username}:${known.password.reveal()}`).toString('base64');
        await this.#endOrphan(orphan, { headers: { authorization: `Basic ${pair}` }, kind: 'basic', account }, signal);
        this.#checkHold(account);
        answer = await this.#login(body, account, signal);
      }
      return await this.#loggedIn(answer, account, signal);
    } finally {
      release();
    }
  }

  /**
   * A BMC that was asked makes a session, whether anybody waits for its answer or not: who gives up leaves the login on its way, so that
   * the session is known and can be used, or ended.
   */
  async #login(body: string, account: string, signal: AbortSignal): Promise<LoginAnswer> {
    const gaveUp = aborted(signal).then(() => {
      throw signal.reason;
    });
    // The answer to another account is none to this one.
    while (this.#asked && this.#asked.account !== account) {
      await Promise.race([this.#asked.answer.catch(() => {}), gaveUp]);
      this.#checkHold(account);
    }
    if (!this.#asked) {
      const cut = new AbortController();
      const answer = this.#options.login(this.#sessionsLink!, body, cut.signal).finally(() => {
        this.#asked = undefined;
      });
      answer.then(
        ({ status, token, location }) => {
          if (status === 401) this.#reject(account);
          if (status >= 300 || token === undefined) return;
          this.#session ??= { token, location };
          // Also over the end of this process: the next one ends it.
          if (signal.aborted) this.#options.state.update({ session: location });
        },
        () => {},
      );
      this.#asked = { account, answer, cut };
    }
    return Promise.race([this.#asked.answer, gaveUp]);
  }

  async #loggedIn(answer: LoginAnswer, account: string, signal: AbortSignal): Promise<string | undefined> {
    const { auth, state, clock, endpoint } = this.#options;
    const { status, token, location } = answer;
    if (status === 401) throw new OutbandError('auth_rejected', `${endpoint}: the login was answered 401`);
    if (status < 300 && token !== undefined) {
      const orphan = state.current.session;
      this.#session = { token, location };
      this.#accept(account);
      state.update({ session: location });
      if (orphan !== undefined && orphan !== location)
        await this.#endOrphan(orphan, { headers: { 'x-auth-token': token }, kind: 'session', account }, signal);
      return token;
    }
    if (auth?.mode === 'session')
      throw new OutbandError('auth_rejected', `${endpoint}: no session, the login was answered ${status}`, {
        hint: 'Set `auth::mode: auto` to fall back on HTTP Basic.',
      });
    if (NO_SESSIONS.has(status)) this.#noSessions = true;
    else this.#sessionRetryAt = clock.monotonic() + SESSION_RETRY_MS;
    return undefined;
  }

  async #endOrphan(location: string, proof: Proof, signal: AbortSignal): Promise<void> {
    const send = () => this.#options.logout(location, proof.headers, signal);
    await this.#judged(proof, send).catch(() => {});
    if (this.#options.state.current.session === location) this.#options.state.update({ session: undefined });
  }

  /** A changed account lifts the hold. */
  #checkHold(account: string): void {
    const { state, endpoint, onLifted } = this.#options;
    const { hold } = state.current;
    if (hold !== undefined && hold.account !== account) {
      if (this.holdUntilMs !== undefined) onLifted();
      state.update({ hold: undefined });
    }
    const until = this.holdUntilMs;
    if (until === undefined) return;
    const text = `${endpoint}: logins were rejected, the account is left alone until ${new Date(until).toISOString()}`;
    throw new OutbandError('auth_hold', text);
  }

  /** Counted in the store: a crash loop must not lock an account either. */
  #reject(account: string): void {
    const { state, onHold } = this.#options;
    this.#proven = undefined;
    // An answer to a request that was under way when the hold began.
    if (this.holdUntilMs !== undefined) return;
    const { rejected = 0, holds = 0 } = state.current.hold ?? {};
    // After a hold one more is enough: the account has had its chances.
    if (rejected + 1 < MOST_REJECTED_LOGINS && holds === 0)
      return state.update({ hold: { account, rejected: rejected + 1, holds, untilMs: 0 } });
    const untilMs = this.#nowMs + Math.min(LONGEST_HOLD_MS, FIRST_HOLD_MS * 2 ** holds);
    state.update({ hold: { account, rejected: 0, holds: holds + 1, untilMs } });
    onHold(untilMs);
  }

  #accept(account: string): void {
    this.#proven = account;
    if (this.#options.state.current.hold !== undefined) this.#options.state.update({ hold: undefined });
  }

  get #nowMs(): number {
    return Number(this.#options.clock.now() / 1_000_000n);
  }
}

/** Whether an answer shows that the account was looked at and found good. A server that is busy has not looked. */
function isAccepted(status: number): boolean {
  return (status >= 200 && status < 300) || [304, 403, 404].includes(status);
}

function isFull({ status, body }: LoginAnswer): boolean {
  return NO_FREE_SESSION.has(status) || (status >= 400 && SESSION_LIMIT.test(textOf(body) ?? ''));
}

function digestOf(account: Account): string {
  const parts =
    account.kind === 'header' ? [account.authorization.reveal()] : [account.username, account.password.reveal()];
  return longDigest(...parts).slice(0, 4);
}
