import type { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { Client, type Dispatcher } from 'undici';
import type { Clock } from '../../../src/component/clock.ts';
import { deadline, NO_LONGER_NEEDED } from '../../../src/component/deadline.ts';
import { VERSION } from '../../../src/component/version.ts';
import { parseJson } from '../parse-json.ts';
import { badStatus, bodyTooLarge, callTimeout, failure, headFailure, idleTimeout, ProbeFailed } from './failure.ts';

const MAX_HEAD_BYTES = 16 * 1024;
/** Silence is looked for so often in the time that it may last. */
const IDLE_CHECKS = 4;

export interface ExchangeOptions {
  readonly socket: TLSSocket;
  /** Of the URL; for the Host header. */
  readonly origin: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Bytes, on the wire and decoded. */
  readonly bodyLimit: number;
  /** Milliseconds without a byte. */
  readonly idleMs: number;
  /** Milliseconds of the whole call, for the text, and what is left of it. */
  readonly callMs: number;
  readonly leftMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface Exchanged {
  readonly body: Record<string, unknown>;
  /** Milliseconds to the head, and from there to the end of the body. */
  readonly elapsed: { readonly ttfb: number; readonly body: number };
}

/**
 * One GET over a connection that is already open, as HTTP/1.1, for a JSON object. The connection is gone afterwards.
 * @throws ProbeFailed; the reason of `signal` when that aborted
 */
export async function getJson(options: ExchangeOptions): Promise<Exchanged> {
  const { socket, clock, signal, callMs, idleMs, bodyLimit } = options;
  const began = clock.monotonic();
  using limit = deadline(clock, Math.max(1, options.leftMs), 'the call', signal);
  const idle = watchSilence(socket, idleMs < callMs ? idleMs : undefined, clock, limit.signal);
  const client = new Client(options.origin, {
    // undici wants its socket in a later turn.
    connect: (_options, callback) => queueMicrotask(() => callback(null, socket)),
    headersTimeout: 0,
    bodyTimeout: 0,
    maxHeaderSize: MAX_HEAD_BYTES,
  });
  const onTime = (part: 'headers' | 'body') => {
    signal.throwIfAborted();
    if (idle.isSilent) throw new ProbeFailed(idleTimeout(part, idleMs));
    if (limit.signal.aborted) throw new ProbeFailed(callTimeout(part, callMs));
  };
  try {
    const response = await requestOver(client, options, idle.signal).catch((error) => {
      onTime('headers');
      throw new ProbeFailed(headFailure(error));
    });
    const headed = clock.monotonic();
    if (response.statusCode < 200 || response.statusCode > 299) {
      response.body.on('error', () => {}).destroy();
      throw new ProbeFailed(badStatus(response.statusCode));
    }
    const raw = await readBody(response, bodyLimit).catch((error) => {
      if (error instanceof ProbeFailed) throw error;
      onTime('body');
      throw new ProbeFailed(failure('body_truncated'));
    });
    const body = parseObject(await decode(raw, response.headers['content-encoding'], bodyLimit));
    return { body, elapsed: { ttfb: headed - began, body: clock.monotonic() - headed } };
  } finally {
    idle.stop();
    await client.destroy().catch(() => {});
    socket.destroy();
  }
}

function requestOver(client: Client, { path, headers }: ExchangeOptions, signal: AbortSignal) {
  return client.request({
    ...{ method: 'GET', path, signal, reset: true },
    headers: {
      accept: 'application/json',
      'accept-encoding': 'identity, gzip, deflate, br',
      'user-agent': `outband/${VERSION}`,
      ...headers,
    },
  });
}

/** Aborts with the parent, and when no byte came for so long; exact to a quarter of it. @param ms undefined: never */
function watchSilence(socket: TLSSocket, ms: number | undefined, clock: Clock, parent: AbortSignal) {
  const silent = new AbortController();
  const done = new AbortController();
  let isSilent = false;
  const onParent = () => silent.abort(parent.reason);
  if (parent.aborted) onParent();
  else parent.addEventListener('abort', onParent, { once: true });
  const watch = async (span: number) => {
    let { bytesRead } = socket;
    for (let quiet = 0; quiet < IDLE_CHECKS; quiet++) {
      await clock.sleep(span / IDLE_CHECKS, done.signal);
      if (socket.bytesRead !== bytesRead) quiet = -1;
      ({ bytesRead } = socket);
    }
    isSilent = true;
    silent.abort(NO_LONGER_NEEDED);
  };
  if (ms !== undefined) watch(ms).catch(() => {});
  return {
    signal: silent.signal,
    get isSilent() {
      return isSilent;
    },
    stop: () => {
      parent.removeEventListener('abort', onParent);
      done.abort(NO_LONGER_NEEDED);
    },
  };
}

async function readBody({ headers, body }: Dispatcher.ResponseData, limit: number): Promise<Buffer> {
  const tooLarge = () => {
    body.on('error', () => {}).destroy();
    return new ProbeFailed(bodyTooLarge(limit));
  };
  if (Number(headers['content-length']) > limit) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const DECODERS = { gzip: promisify(gunzip), deflate: promisify(inflate), br: promisify(brotliDecompress) };

async function decode(raw: Buffer, encoding: string | string[] | undefined, limit: number): Promise<Buffer> {
  const name = String(encoding ?? 'identity')
    .trim()
    .toLowerCase();
  if (name === 'identity' || name === '') return raw;
  if (!Object.hasOwn(DECODERS, name)) throw new ProbeFailed(failure('encoding'));
  try {
    return await DECODERS[name as keyof typeof DECODERS](raw, { maxOutputLength: limit });
  } catch (error) {
    const isTooLarge = (error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE';
    throw new ProbeFailed(isTooLarge ? bodyTooLarge(limit) : failure('body_truncated'));
  }
}

function parseObject(text: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(text.toString('utf8'));
  } catch {
    throw new ProbeFailed(failure('json'));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ProbeFailed(failure('json_shape'));
  return value as Record<string, unknown>;
}
