import type { SecureContext } from 'node:tls';
import type { Clock } from '../../src/component/clock.ts';
import { FetchFailed, fetchDocument } from './fetch-document.ts';
import { parseJson } from './parse-json.ts';

export interface CountRequest {
  /** Of the pool: `<label>.<base>`. */
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly secureContext: () => Promise<SecureContext>;
}

/** `zero`: there is nobody to ask by index. */
export type CountError = 'connect' | 'timeout' | 'status' | 'malformed' | 'zero';
export type BackendCount = { readonly healthy: number } | { readonly error: CountError };

/** How many backends the proxy has for a pool, as it says at its base name. Never rejects. */
export async function readBackendCount({ host, port, path, ...rest }: CountRequest): Promise<BackendCount> {
  const base = host.slice(host.indexOf('.') + 1);
  const url = new URL(`https://${base}:${port}${path}`);
  url.searchParams.set('domain', host);
  try {
    const secureContext = await rest.secureContext();
    const { status, body } = await fetchDocument({ ...rest, url: url.href, secureContext });
    if (status !== 200) return { error: 'status' };
    const healthy = healthyOf(body.toString('utf8'));
    if (healthy === undefined) return { error: 'malformed' };
    return healthy === 0 ? { error: 'zero' } : { healthy };
  } catch (error) {
    if (error instanceof FetchFailed) return { error: error.fault === 'too_large' ? 'malformed' : error.fault };
    return { error: 'connect' };
  }
}

function healthyOf(text: string): number | undefined {
  try {
    const { healthy } = parseJson(text) as { healthy?: unknown };
    return Number.isSafeInteger(healthy) && (healthy as number) >= 0 ? (healthy as number) : undefined;
  } catch {
    return undefined;
  }
}
