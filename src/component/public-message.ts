import { describeError } from './errors.ts';

const MOST_CHARACTERS = 256;
/** What is looked at; bounds the work that a hostile message causes. */
const MOST_INPUT = 2_048;
/** Between the scheme of a URL and its host, up to the last `@`. */
const USER_INFO = /(\b[a-z][a-z0-9+.-]{0,20}:[\\/]{1,3})[^\s/?#\\]*@/gi;
/** `user:password@` without a scheme. */
const BARE_USER_INFO = /[^\s/:@]{1,256}:[^\s/]*@/g;
const QUERY = /\?\S*/g;
const FRAGMENT = /(:\/\/[^\s#]*)#\S*/g;
const NAMED_SECRET =
  /\b((?:x-auth-)?token|password|passwd|secret|api-?key|authorization|cookie)(\s*[:=]\s*)(?:(?:bearer|basic)\s+)?\S+/gi;

/** What may be shown of anything that was thrown to people who may not see credentials: one line, bounded, without them. */
export function publicMessage(error: unknown): string {
  let text: string;
  try {
    text = describeError(error);
  } catch {
    text = 'an error that cannot be described';
  }
  const shown = withoutSecrets(text.slice(0, MOST_INPUT).replaceAll(/\p{Cc}+/gu, ' ')).toWellFormed();
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
    .replaceAll(NAMED_SECRET, '$1$2[REDACTED]');
}
