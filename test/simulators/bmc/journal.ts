import type { IncomingMessage } from 'node:http';
import { type AuthKind, authKindOf } from './access.ts';

/** One request that a BMC saw. */
export interface JournalLine {
  /** Monotonic milliseconds. */
  readonly at: number;
  readonly method: string;
  readonly path: string;
  /** Behind the question mark, as it came. */
  readonly query: string;
  readonly lastEventId: string | undefined;
  readonly accept: string | undefined;
  readonly ifNoneMatch: string | undefined;
  readonly authorized: boolean;
  readonly authKind: AuthKind;
  /** Counts the connections of this BMC. */
  readonly socketId: number;
  /** Those that tell something about the client, in lower case; never a secret. */
  readonly headers: Readonly<Record<string, string>>;
  /** Of the answer; undefined: there is none yet, or never will be. */
  status: number | undefined;
}

const KEPT = [
  'user-agent',
  'odata-version',
  'accept',
  'accept-encoding',
  'forwarded',
  'last-event-id',
  'if-none-match',
] as const;

/** The line of a request that has just come. */
export function journalLine(request: IncomingMessage, authorized: boolean, socketId: number): JournalLine {
  const { path, query } = splitUrl(request);
  const headers: Record<string, string> = {};
  for (const name of KEPT) {
    const value = request.headers[name];
    if (value !== undefined) headers[name] = String(value);
  }
  return {
    at: performance.now(),
    method: request.method ?? '',
    path,
    query,
    lastEventId: headers['last-event-id'],
    accept: headers.accept,
    ifNoneMatch: headers['if-none-match'],
    authorized,
    authKind: authKindOf(request.headers),
    socketId,
    headers,
    status: undefined,
  };
}

/** Path and query of a request, as they came. */
export function splitUrl({ url = '' }: IncomingMessage): { readonly path: string; readonly query: string } {
  const mark = url.indexOf('?');
  return mark < 0 ? { path: url, query: '' } : { path: url.slice(0, mark), query: url.slice(mark + 1) };
}
