import { describeError } from './errors.ts';

const MOST_CHARACTERS = 256;
/** What is looked at; bounds the work that a hostile message causes. */
const MOST_INPUT = 2_048;
/** Between the scheme of a URL and its host, up to the last `@`. */
const USER_INFO = /(\b[a-z][a-z0-9+.-]{0,20}:[\\/]{1,3})[^\s/?#\\]*@/gi;
/** `user:password@` without a scheme. */
const BARE_USER_INFO = /[^\s/:@]{1,256}:[^\s/]*@/g;
const QUERY = /\?[^\s?]\S*/g;
const FRAGMENT = /(:\/\/[^\s#]*)#\S*/g;
const SECRET_NAME = '(?:x-auth-)?token|password|passwd|secret|api-?key|cookie';
/** `password=x`, `"password": "x y"`, `Authorization: Digest x`. */
const NAMED_SECRET = new RegExp(`\\b(${SECRET_NAME})(["']?\\s*[:=]\\s*)(?:"[^"]*"|'[^']*'|[^\\s,;"'}]+)`, 'gi');
const AUTHORIZATION = /\b(authorization["']?\s*[:=]\s*)["']?(?:[a-z]+\s+)?[^\s"',;}]+/gi;

/** What may be shown of anything that was thrown to people who may not see credentials: one line, bounded, without them. */
export function publicMessage(error: unknown): string {
  let text: string;
  try {
    text = describeError(error);
  } catch {
    text = 'an error that cannot be described';
  }
  const shown = withoutSecrets(text.slice(0, MOST_INPUT).replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')).toWellFormed();
  const characters = [...shown];
  return characters.length <= MOST_CHARACTERS ? shown : `${characters.slice(0, MOST_CHARACTERS - 1).join('')}…`;
}

/** An address as people may see it: without user info, query and fragment. */
export function publicAddress(connection: string): string {
  return withoutSecrets(connection.slice(0, MOST_INPUT)).replace(/#.*$/, '');
}

function withoutSecrets(text: string): string {
  return text
    .replaceAll(USER_INFO, '$1')
    .replaceAll(BARE_USER_INFO, '')
    .replaceAll(QUERY, '')
    .replaceAll(FRAGMENT, '$1')
    .replaceAll(AUTHORIZATION, '$1[REDACTED]')
    .replaceAll(NAMED_SECRET, '$1$2[REDACTED]');
}
