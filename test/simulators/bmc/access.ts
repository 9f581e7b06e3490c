import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { type Answer, redfishError } from './answer.ts';

export const SESSIONS_PATH = '/redfish/v1/SessionService/Sessions';

/** What a BMC asks of who talks to it. */
export interface Auth {
  username: string;
  password: string;
  /** Takes Basic credentials; default: yes. */
  basic?: boolean;
  /** Has sessions; default: none, and no word of them in the root. */
  sessions?: {
    slots: number;
    /** A session that is not used for so long is gone. */
    idleMs?: number;
    /** Of a login; 204 has no body. */
    status?: 201 | 204;
    location?: 'absolute' | 'relative';
    /** Answers every login like this. */
    refuse?: 404 | 405 | 501 | 503 | undefined;
  };
  /** Bad logins in a row that lock the account. */
  lockoutAfter?: number;
  /** The account has no right to the event stream. */
  sseForbidden?: boolean;
}

export type AuthKind = 'none' | 'basic' | 'token';

/** Who may talk to one BMC: its sessions, its counters and its lockout. */
export class Access {
  auth: Auth | undefined;
  logins = 0;
  rejectedLogins = 0;
  sessionsDeleted = 0;
  lockedOut = false;
  readonly #sessions = new Map<string, { readonly id: string; usedAt: number }>();
  #badInARow = 0;
  #lastId = 0;

  constructor(auth: Auth | undefined) {
    this.auth = auth;
  }

  get liveSessions(): number {
    this.#dropIdle();
    return this.#sessions.size;
  }

  /** Makes all tokens invalid. */
  dropSessions(): void {
    this.#sessions.clear();
  }

  /** Judges the credentials of a request. @param counts whether Basic credentials are a try to log in */
  isAllowed(headers: IncomingHttpHeaders, counts: boolean): boolean {
    const { auth } = this;
    if (!auth) return true;
    const kind = authKindOf(headers);
    if (kind === 'none') return false;
    if (kind === 'token') return !this.lockedOut && this.#use(String(headers['x-auth-token']));
    if (auth.basic === false) return false;
    const expected = Buffer.from(`${auth.username}:${auth.password}`).toString('base64');
    const isRight = !this.lockedOut && headers.authorization === `Basic ${expected}`;
    return counts ? this.#count(isRight) : isRight;
  }

  /** Answers a POST to the sessions. @param origin scheme and host, for an absolute location */
  login(body: string, origin: string): Answer {
    const { auth } = this;
    if (!auth?.sessions) return redfishError(404, 'ResourceMissingAtURI');
    const { refuse, slots, status = 201, location = 'relative' } = auth.sessions;
    if (refuse !== undefined) return redfishError(refuse, 'GeneralError');
    const { UserName, Password } = parsed(body);
    const isRight = !this.lockedOut && UserName === auth.username && Password === auth.password;
    if (!this.#count(isRight)) return redfishError(401, 'NoValidSession');
    if (this.liveSessions >= slots) return redfishError(503, 'SessionLimitExceeded');
    this.logins++;
    const id = String(++this.#lastId);
    const token = randomBytes(16).toString('hex');
    this.#sessions.set(token, { id, usedAt: performance.now() });
    const path = `${SESSIONS_PATH}/${id}`;
    const headers = { 'x-auth-token': token, location: location === 'absolute' ? `${origin}${path}` : path };
    return { status, headers, ...(status === 201 && { body: sessionOf(id, auth.username) }) };
  }

  /** Answers a DELETE of a session. */
  logout(path: string): Answer {
    for (const [token, { id }] of this.#sessions)
      if (path === `${SESSIONS_PATH}/${id}`) {
        this.#sessions.delete(token);
        this.sessionsDeleted++;
        return { status: 204 };
      }
    return redfishError(404, 'ResourceMissingAtURI');
  }

  /** The resources of the session service; undefined: not one of them, or there is none. */
  resource(path: string): object | undefined {
    if (!this.auth?.sessions) return undefined;
    if (path === '/redfish/v1/SessionService')
      return { '@odata.id': path, ServiceEnabled: true, Sessions: { '@odata.id': SESSIONS_PATH } };
    if (path !== SESSIONS_PATH) return undefined;
    const members = [...this.#sessions.values()].map(({ id }) => ({ '@odata.id': `${SESSIONS_PATH}/${id}` }));
    return { '@odata.id': path, Members: members, 'Members@odata.count': members.length };
  }

  #use(token: string): boolean {
    this.#dropIdle();
    const session = this.#sessions.get(token);
    if (session) session.usedAt = performance.now();
    return session !== undefined;
  }

  /** Counts one try to log in. @returns whether it was good */
  #count(isGood: boolean): boolean {
    this.#badInARow = isGood ? 0 : this.#badInARow + 1;
    if (!isGood) this.rejectedLogins++;
    if (this.#badInARow >= (this.auth?.lockoutAfter ?? Number.POSITIVE_INFINITY)) this.lockedOut = true;
    return isGood;
  }

  #dropIdle(): void {
    const idleMs = this.auth?.sessions?.idleMs;
    if (idleMs === undefined) return;
    const limit = performance.now() - idleMs;
    for (const [token, { usedAt }] of this.#sessions) if (usedAt < limit) this.#sessions.delete(token);
  }
}

/** What credentials a request has, without them. */
export function authKindOf(headers: IncomingHttpHeaders): AuthKind {
  if (headers['x-auth-token'] !== undefined) return 'token';
  return headers.authorization === undefined ? 'none' : 'basic';
}

function sessionOf(id: string, username: string): object {
  return { '@odata.id': `${SESSIONS_PATH}/${id}`, Id: id, Name: 'User Session', UserName: username };
}

function parsed(body: string): { readonly UserName?: unknown; readonly Password?: unknown } {
  try {
    return JSON.parse(body) ?? {};
  } catch {
    return {};
  }
}
