import { Agent, request } from 'undici';
import type { Host } from '../../../src/component/component.ts';
import { OutbandError } from '../../../src/component/errors.ts';
import { publicAddress } from '../../../src/component/public-message.ts';
import { VERSION } from '../../../src/component/version.ts';
import { readAccount } from '../client/account.ts';
import type { TlsContexts } from '../client/tls.ts';
import type { BmcLogsConfig } from '../config.ts';
import { MAX_LIST_BYTES } from './endpoint-list.ts';
import type { RawList } from './files.ts';

export type HttpDiscovery = BmcLogsConfig['http_discovery'][number];

/**
 * What a discovery answers.
 * @throws OutbandError `endpoint_source` for everything but a JSON body with status 200
 */
export async function readHttpDiscovery(
  { url, headers, auth, tls = {} }: HttpDiscovery,
  host: Host,
  contexts: TlsContexts,
  signal: AbortSignal,
): Promise<RawList> {
  const what = publicAddress(url);
  const { maxCachedSessions: _, ...connect } = await contexts.optionsFor(tls);
  const dispatcher = new Agent({ connect, headersTimeout: 0, bodyTimeout: 0 });
  try {
    const { statusCode, body } = await request(url, {
      dispatcher,
      signal,
      headers: {
        accept: 'application/json',
        'user-agent': `outband/${VERSION}`,
        ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.reveal()])),
        ...(auth && auth.mode !== 'none' && { authorization: await authorization(auth, host) }),
      },
    });
    if (statusCode !== 200) {
      body.on('error', () => {}).destroy();
      throw new OutbandError('endpoint_source', `${what} answered ${statusCode}`);
    }
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_LIST_BYTES) throw new OutbandError('endpoint_source', `${what}: over ${MAX_LIST_BYTES} bytes`);
      chunks.push(chunk);
    }
    const text = Buffer.concat(chunks).toString('utf8');
    return { text, parse: () => parseJsonList(text, what) };
  } catch (cause) {
    if (cause instanceof OutbandError) throw cause;
    throw new OutbandError('endpoint_source', `${what}: ${(cause as Error).message}`, { cause });
  } finally {
    await dispatcher.destroy();
  }
}

function parseJsonList(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new OutbandError('endpoint_source', `${what} answered no JSON`, { cause });
  }
}

async function authorization(auth: NonNullable<HttpDiscovery['auth']>, host: Host): Promise<string> {
  const account = await readAccount(auth, host);
  if (account.kind === 'header') return account.authorization.reveal();
  return `Basic ${Buffer.from(`${account.username}:${account.password.reveal()}`).toString('base64')}`;
}
