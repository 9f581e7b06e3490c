import { describeError } from './errors.ts';

const MOST_CHARACTERS = 256;
/** A URL with what may hold secrets: user info before its host, query and fragment behind its path. */
const URL_SECRETS = /\b([a-z][a-z0-9+.-]{0,20}:\/\/)(?:[^\s/@"']{1,256}@)?([^\s?#"']*)(?:[?#][^\s"')>]*)?/gi;
/** A query behind a path without a host. */
const BARE_QUERY = /\?[^\s"')>]*/g;

/** What may be shown of an error to people who may not see credentials: one line, bounded, without secrets of URLs. */
export function publicMessage(error: unknown): string {
  const text = describeError(error)
    .slice(0, 4 * MOST_CHARACTERS)
    .replaceAll(/\p{Cc}+/gu, ' ')
    .replaceAll(URL_SECRETS, '$1$2')
    .replaceAll(BARE_QUERY, '');
  const characters = [...text];
  return characters.length <= MOST_CHARACTERS ? text : `${characters.slice(0, MOST_CHARACTERS - 1).join('')}…`;
}

/** An address as people may see it. */
export function publicAddress(connection: string): string {
  return connection.replaceAll(URL_SECRETS, '$1$2');
}
