import { z } from 'zod';
import { text } from '../../src/config/schema/values.ts';

/** An absolute URL over HTTP or TLS, without an account in it. */
export function httpUrl() {
  return text().refine(
    (value) => {
      if (!URL.canParse(value)) return false;
      const { protocol, username, password } = new URL(value);
      return ['http:', 'https:'].includes(protocol) && username === '' && password === '';
    },
    { error: 'must be an absolute http(s) URL without credentials' },
  );
}

/** The URL of a service whose answers nobody signs: plain HTTP only where nobody else is on the way. */
export function safeUrl() {
  return httpUrl().refine(isSafe, { error: 'must be https, or http on the loopback' });
}

function isSafe(value: string): boolean {
  if (!URL.canParse(value)) return true;
  const { protocol, hostname } = new URL(value);
  return protocol === 'https:' || /^(127\.|\[::1\]$|(.*\.)?localhost$)/.test(hostname);
}

export const auth = () =>
  z.strictObject({ authenticator: text().describe('Id of an extension that gives the `Authorization` header.') });
