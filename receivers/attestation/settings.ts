import { z } from 'zod';
import { httpUrl, text } from '../../src/config/schema/values.ts';

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
