import { randomBytes } from 'node:crypto';
import { digestOf } from './tokens.ts';

const MOST_SESSIONS = 1_000;

interface Session {
  /** What was logged in with: the session ends with it. */
  readonly token: string;
  readonly began: number;
  used: number;
}

/** Sessions of browsers, in memory. A cookie is worth what its token is worth, for a while. */
export class Sessions {
  readonly #idleMs: number;
  readonly #maxMs: number;
  /** By digest of the cookie, the oldest first. */
  readonly #sessions = new Map<string, Session>();

  constructor(idleMs: number, maxMs: number) {
    this.#idleMs = idleMs;
    this.#maxMs = maxMs;
  }

  /** @returns the value of the cookie: 256 random bits */
  begin(token: string, now: number): string {
    const cookie = randomBytes(32).toString('base64url');
    this.#sessions.set(keyOf(cookie), { token, began: now, used: now });
    if (this.#sessions.size > MOST_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!);
    return cookie;
  }

  /** The token that a cookie stands for. Using it keeps it from being idle. */
  tokenOf(cookie: string, now: number): string | undefined {
    const key = keyOf(cookie);
    const session = this.#sessions.get(key);
    if (!session) return undefined;
    if (now - session.used >= this.#idleMs || now - session.began >= this.#maxMs) {
      this.#sessions.delete(key);
      return undefined;
    }
    session.used = now;
    return session.token;
  }

  end(cookie: string): void {
    this.#sessions.delete(keyOf(cookie));
  }
}

function keyOf(cookie: string): string {
  return digestOf(cookie).toString('base64');
}
