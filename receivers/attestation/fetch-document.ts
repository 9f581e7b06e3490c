import { isIP } from 'node:net';
import type { SecureContext } from 'node:tls';
import { Agent, buildConnector, request } from 'undici';
import type { Clock } from '../../src/component/clock.ts';
import { deadline } from '../../src/component/deadline.ts';
import type { Secret } from '../../src/component/secret.ts';
import { VERSION } from '../../src/component/version.ts';
import { resolveHost } from './probe/connection.ts';

/** Bytes; a document beyond it is none. */
export const MAX_DOCUMENT_BYTES = 1024 * 1024;

export interface DocumentRequest {
  readonly url: string;
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string | Secret>>;
  /** JSON. */
  readonly body?: unknown;
  /** Milliseconds for everything. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Default: the authorities that Node knows. */
  readonly secureContext?: SecureContext | undefined;
}

export interface FetchedDocument {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

const FAULTS = {
  connect: 'no connection to the service',
  timeout: 'no answer in time',
  too_large: 'its answer is too large',
};
export type FetchFault = keyof typeof FAULTS;

/** Why a document could not be had; the peer's own words are not in it. */
export class FetchFailed extends Error {
  readonly fault: FetchFault;

  constructor(fault: FetchFault) {
    super(FAULTS[fault]);
    this.fault = fault;
  }
}

/**
 * Reads one small document over a connection of its own. Redirects are not followed.
 * @throws FetchFailed; the reason of `signal` when that aborted
 */
export async function fetchDocument(options: DocumentRequest): Promise<FetchedDocument> {
  const { url, method = 'GET', headers = {}, body, timeoutMs, clock, signal, secureContext } = options;
  using limit = deadline(clock, timeoutMs, 'the document', signal);
  const dispatcher = new Agent({
    connect: connectorFor(limit.signal, secureContext),
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  try {
    const revealed = Object.entries(headers).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : value.reveal(),
    ]);
    const answer = await request(url, {
      ...{ dispatcher, method, signal: limit.signal, reset: true },
      headers: {
        ...{ accept: 'application/json', 'user-agent': `outband/${VERSION}` },
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...Object.fromEntries(revealed),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: answer.statusCode, headers: answer.headers, body: await readAll(answer.body) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof FetchFailed) throw error;
    throw new FetchFailed(limit.signal.aborted ? 'timeout' : 'connect');
  } finally {
    await dispatcher.destroy().catch(() => {});
  }
}

/** @param signal ends a set-up that is under way: undici itself waits for it, even to destroy the client */
function connectorFor(signal: AbortSignal, secureContext: SecureContext | undefined): buildConnector.connector {
  return buildConnector({
    ...{ allowH2: false, timeout: 0, maxCachedSessions: 0, signal },
    ...(secureContext && { secureContext }),
    lookup: (host, { all }, callback) => {
      resolveHost(host).then(
        (addresses) => {
          const found = addresses.map((address) => ({ address, family: isIP(address) }));
          if (all) callback(null, found);
          else callback(null, found[0]!.address, found[0]!.family);
        },
        (error) => callback(error, []),
      );
    },
  });
}

async function readAll(
  body: AsyncIterable<Buffer> & { on(event: 'error', listener: () => void): { destroy(): void } },
) {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_DOCUMENT_BYTES) {
      body.on('error', () => {}).destroy();
      throw new FetchFailed('too_large');
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
