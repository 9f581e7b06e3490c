import { createHash } from 'node:crypto';
import { isIP } from 'node:net';

const MAX_NAME_CHARS = 256;
const HTTPS_PORT = '443';

/** Identity of a pool in scheduler, records, metrics and pages. An IP address is not shown: `ip-<8 hex>`. */
export function poolName({
  name,
  model,
  url,
}: {
  readonly name?: string | undefined;
  readonly model: string;
  readonly url: string;
}): string {
  if (name !== undefined) return name;
  const { hostname, port } = new URL(url);
  const host = isIpHost(hostname) ? `ip-${digest(hostname).slice(0, 8)}` : hostname;
  const whole = `${model}@${host}${port === '' || port === HTTPS_PORT ? '' : `:${port}`}`;
  if (whole.length <= MAX_NAME_CHARS) return whole;
  return `${whole.slice(0, MAX_NAME_CHARS - 9)}~${digest(whole).slice(0, 8)}`;
}

/** Where the state of a pool is kept: by what it is, not by how it is called. */
export function poolKey({ model, url }: { readonly model: string; readonly url: string }): string {
  return digest(JSON.stringify([model, url])).slice(0, 32);
}

export function isIpHost(hostname: string): boolean {
  return isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
