import { OutbandError } from '../../../src/component/errors.ts';

/**
 * Resolves a link that a BMC gave (`@odata.id`, nextLink, `ServerSentEventUri`, a redirect) and keeps it only if it
 * stays at home: same scheme, host and port, and a path under `/redfish/`. WHATWG URL parsing settles `..`, `//host`
 * and backslashes before the check.
 * @param base the address of the endpoint, or the URL of the page that held the link
 * @throws OutbandError `bmc_link_refused`
 */
export function resolveLink(base: URL, link: unknown): URL {
  const text = typeof link === 'string' ? link : JSON.stringify(link);
  if (typeof link !== 'string' || !URL.canParse(link, base.href)) throw refused(text, 'is no link');
  const url = new URL(link, base);
  if (url.origin !== base.origin || url.username !== '' || url.password !== '')
    throw refused(text, 'leaves the endpoint');
  if (!url.pathname.startsWith('/redfish/')) throw refused(text, 'leaves /redfish/');
  url.hash = '';
  return url;
}

/** The path that names a resource: without a trailing slash, so that both spellings are one. */
export function canonicalPath(url: URL): string {
  return url.pathname.replace(/\/+$/, '');
}

function refused(link: string, why: string): OutbandError {
  return new OutbandError('bmc_link_refused', `link ${String(link).slice(0, 256)} ${why}`);
}
