import { type Dispatcher, Pool } from 'undici';
import type { Clock } from '../../../src/component/clock.ts';
import { deadline } from '../../../src/component/deadline.ts';
import { OutbandError } from '../../../src/component/errors.ts';
import { VERSION } from '../../../src/component/version.ts';
import { Semaphore } from '../../../src/resilience/semaphore.ts';
import type { EndpointConfig } from '../config.ts';
import type { Json, JsonObject } from '../json.ts';
import { isObject, parseJson } from '../json.ts';
import type { createConnector } from './connector.ts';
import { resolveLink } from './links.ts';

const MAX_BODY_BYTES = 16 * 1024 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_REDIRECTS = 3;
/** Statuses whose `Location` is followed. */
export const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 307, 308]);

export interface RedfishClientOptions {
  readonly endpoint: EndpointConfig;
  readonly connector: Awaited<ReturnType<typeof createConnector>>;
  readonly concurrency: number;
  readonly requestTimeoutMs: number;
  readonly bodyIdleTimeoutMs: number;
  readonly clock: Clock;
  /** Called once per request with its status, or `error`. */
  readonly onRequest: (status: number | 'error') => void;
  /** Called once per link that was not followed. */
  readonly onRefusedLink: (error: OutbandError) => void;
}

/** A resource and the URL it was finally read from. */
export interface Resource {
  readonly url: URL;
  readonly body: JsonObject;
  /** Of the body, as it came. */
  readonly bytes: number;
}

/** GETs of one BMC: bounded in number, size and time, and never anywhere else than there. */
export class RedfishClient {
  readonly #options: RedfishClientOptions;
  readonly #pool: Pool;
  readonly #slots: Semaphore;

  constructor(options: RedfishClientOptions) {
    this.#options = options;
    this.#slots = new Semaphore(options.concurrency);
    this.#pool = new Pool(options.endpoint.address, {
      connect: options.connector,
      connections: options.concurrency,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: 0,
      bodyTimeout: 0,
      allowH2: false,
    });
  }

  /**
   * Reads one JSON object. Redirects on the same origin are followed, at most three.
   * @throws OutbandError with a code that says what went wrong; the text names the path
   */
  async get(link: unknown, signal: AbortSignal): Promise<Resource> {
    const release = await this.#slots.acquire(signal);
    try {
      using limit = deadline(this.#options.clock, this.#options.requestTimeoutMs, 'the request', signal);
      let url = this.resolve(link);
      for (let redirects = 0; ; redirects++) {
        const answer = await this.#request(url, limit.signal);
        if (!REDIRECTS.has(answer.statusCode) || redirects === MAX_REDIRECTS)
          return { url, ...(await this.#readObject(url, answer, limit.signal)) };
        discard(answer.body);
        url = this.resolve([answer.headers.location].flat()[0], url);
      }
    } finally {
      release();
    }
  }

  /**
   * A link of this BMC as a URL.
   * @throws OutbandError `bmc_link_refused` when it leads anywhere else
   */
  resolve(link: unknown, base = this.#options.endpoint.address): URL {
    try {
      return resolveLink(base, link);
    } catch (error) {
      this.#options.onRefusedLink(error as OutbandError);
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async #request(url: URL, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const { endpoint, onRequest } = this.#options;
    const send = () =>
      this.#pool.request({
        path: url.pathname + url.search,
        method: 'GET',
        headers: { ...requestHeaders(endpoint), accept: 'application/json', 'accept-encoding': 'identity' },
        signal,
      });
    try {
      const answer = await send().catch((error) => {
        // A connection that the BMC closed while it was idle says nothing about the BMC: once more on a new one.
        if (isStaleConnection(error) && !signal.aborted) return send();
        throw error;
      });
      onRequest(answer.statusCode);
      return answer;
    } catch (error) {
      onRequest('error');
      throw asBmcError(error, url, signal);
    }
  }

  async #readObject(url: URL, answer: Dispatcher.ResponseData, signal: AbortSignal) {
    const { statusCode: status, body } = answer;
    if (status !== 200) {
      discard(body);
      throw statusError(status, url);
    }
    const text = await this.#readText(url, body, signal);
    let parsed: Json;
    try {
      parsed = parseJson(text);
    } catch {
      throw new OutbandError('bmc_bad_body', `GET ${url.pathname} answered 200 with something that is not JSON`);
    }
    if (!isObject(parsed)) throw new OutbandError('bmc_bad_body', `GET ${url.pathname} answered no JSON object`);
    return { body: parsed, bytes: text.length };
  }

  async #readText(url: URL, body: Dispatcher.ResponseData['body'], signal: AbortSignal): Promise<string> {
    const { clock, bodyIdleTimeoutMs } = this.#options;
    const chunks: Buffer[] = [];
    let size = 0;
    let lastByte = clock.monotonic();
    const done = new AbortController();
    void (async () => {
      for (;;) {
        const left = lastByte + bodyIdleTimeoutMs - clock.monotonic();
        if (left <= 0) break;
        await clock.sleep(left, done.signal);
      }
      body.destroy(new OutbandError('deadline_exceeded', `GET ${url.pathname}: the body stopped`));
    })().catch(() => {});
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        lastByte = clock.monotonic();
        size += chunk.length;
        if (size > MAX_BODY_BYTES)
          throw new OutbandError('bmc_body_too_large', `GET ${url.pathname}: body over ${MAX_BODY_BYTES} bytes`);
        chunks.push(chunk);
      }
    } catch (error) {
      throw asBmcError(error, url, signal);
    } finally {
      done.abort();
    }
    return Buffer.concat(chunks).toString('utf8');
  }
}

/** Headers of every request to a BMC. */
export function requestHeaders({ auth }: EndpointConfig): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': `outband/${VERSION}`, 'odata-version': '4.0' };
  if (auth) {
    const credentials = Buffer.from(`${auth.username}:${auth.password.reveal()}`).toString('base64');
    headers.authorization = `Basic ${credentials}`;
  }
  return headers;
}

export function statusError(status: number, url: URL): OutbandError {
  const message = `GET ${url.pathname} answered ${status}`;
  if (status === 401 || status === 403) return new OutbandError('auth_rejected', message);
  return new OutbandError('bmc_http_status', message);
}

/** Any failure of a request as an error with a code. */
export function asBmcError(error: unknown, url: URL, signal?: AbortSignal): OutbandError {
  if (error instanceof OutbandError) return error;
  if (signal?.aborted && signal.reason instanceof OutbandError) return signal.reason;
  const { code = '', message = '' } = error as { code?: string; message?: string };
  const text = `GET ${url.pathname}: ${message || code}`;
  if (/^(ERR_TLS_CERT|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|INVALID_CA|HOSTNAME_MISMATCH)/.test(code))
    return new OutbandError('certificate_mismatch', text, { cause: error });
  if (/^(ERR_TLS|ERR_SSL|EPROTO)/.test(code)) return new OutbandError('bmc_tls', text, { cause: error });
  return new OutbandError('bmc_unreachable', text, { cause: error });
}

/** Drops a body unread, with its connection: what it holds is the peer's choice. undici tells of that as an error. */
function discard(body: Dispatcher.ResponseData['body']): void {
  body.on('error', () => {}).destroy();
}

function isStaleConnection(error: unknown): boolean {
  const { code, message } = error as { code?: string; message?: string };
  return code === 'UND_ERR_SOCKET' && message === 'other side closed';
}
