import { createGunzip } from 'node:zlib';
import { type buildConnector, Client, type Dispatcher } from 'undici';
import type { Clock } from '../../../src/component/clock.ts';
import { deadline, NO_LONGER_NEEDED } from '../../../src/component/deadline.ts';
import { OutbandError, RetryableError } from '../../../src/component/errors.ts';
import { VERSION } from '../../../src/component/version.ts';
import { parseRetryAfter } from '../../../src/resilience/retry-after.ts';
import { Semaphore } from '../../../src/resilience/semaphore.ts';
import type { EndpointConfig } from '../endpoint-settings.ts';
import type { Json, JsonObject } from '../json.ts';
import { isObject, parseBody } from '../json.ts';
import { turn } from '../turn.ts';
import { Credentials, type CredentialsOptions, type Headers, type LoginAnswer } from './credentials.ts';
import { resolveLink } from './links.ts';
import type { RequestLimiter } from './request-limiter.ts';
import { tlsFault } from './tls.ts';

const MAX_BODY_BYTES = 16 * 1024 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_LOGIN_BYTES = 64 * 1024;
export const MAX_REDIRECTS = 3;
/** Statuses whose `Location` is followed. */
export const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 307, 308]);

export interface RedfishClientOptions {
  readonly endpoint: EndpointConfig;
  readonly connector: buildConnector.connector;
  readonly limiter: RequestLimiter;
  readonly credentials: Omit<CredentialsOptions, 'endpoint' | 'auth' | 'clock' | 'login' | 'logout'>;
  readonly concurrency: number;
  readonly requestTimeoutMs: number;
  readonly bodyIdleTimeoutMs: number;
  readonly clock: Clock;
  /** Called once per request with its status, or `error`, and the milliseconds that it took. */
  readonly onRequest: (status: number | 'error', durationMs: number) => void;
  /** Called once per link that was not followed. */
  readonly onRefusedLink: (error: OutbandError) => void;
}

/** A resource and the URL it was finally read from. */
export interface Resource {
  readonly url: URL;
  readonly body: JsonObject;
  /** Of the body, as it came. */
  readonly bytes: number;
  readonly etag: string | undefined;
}

export interface GetOptions {
  /** Asks for the resource only if it is another one than this. */
  readonly ifNoneMatch?: string | undefined;
  /** The service root needs no credentials, and says which kind there is. */
  readonly open?: boolean;
}

/** GETs of one BMC: bounded in number, size and time, and never anywhere else than there. */
export class RedfishClient {
  readonly #options: RedfishClientOptions;
  /** Connections without a request. A pool of undici would take 16 KiB more for each BMC. */
  readonly #idle: Client[] = [];
  readonly #clients = new Set<Client>();
  /** Those that an answer has come over. */
  readonly #used = new WeakSet<Client>();
  readonly #slots: Semaphore;
  readonly credentials: Credentials;

  constructor(options: RedfishClientOptions) {
    this.#options = options;
    this.#slots = new Semaphore(options.concurrency);
    const { endpoint, clock } = options;
    this.credentials = new Credentials({
      ...options.credentials,
      endpoint: endpoint.name,
      auth: endpoint.auth,
      clock,
      login: (path, body, signal) => this.#login(path, body, signal),
      logout: (location, headers, signal) => this.#logout(location, headers, signal),
    });
  }

  /**
   * Reads one JSON object. Redirects on the same origin are followed, at most three.
   * @returns undefined when the resource is still the one of `ifNoneMatch`
   * @throws OutbandError with a code that says what went wrong; the text names the path
   */
  async get(link: unknown, signal: AbortSignal): Promise<Resource>;
  async get(link: unknown, signal: AbortSignal, options: GetOptions): Promise<Resource | undefined>;
  async get(link: unknown, signal: AbortSignal, options: GetOptions = {}): Promise<Resource | undefined> {
    const release = await this.#slots.acquire(signal);
    const client = this.#take();
    try {
      let url = this.resolve(link);
      for (let redirects = 0; ; redirects++) {
        await this.#options.limiter.pass(signal);
        using limit = deadline(this.#options.clock, this.#options.requestTimeoutMs, 'the request', signal);
        const answer = await this.#answer(client, url, options, limit.signal);
        const { statusCode: status, headers, body } = answer;
        if (REDIRECTS.has(status) && redirects < MAX_REDIRECTS) {
          discard(body);
          url = this.resolve([headers.location].flat()[0], url);
          continue;
        }
        if (status === 304 && options.ifNoneMatch !== undefined) {
          discard(body);
          return undefined;
        }
        // Awaited here: the limit ends with this block.
        return await this.#readObject(url, answer, limit.signal);
      }
    } finally {
      this.#idle.push(client);
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

  /**
   * A connection for a stream: one that an earlier request has made, if there is one, so that a stream costs no handshake of
   * its own. It is the caller's from now on, to be destroyed.
   */
  handOver(): { readonly client: Client; readonly isReused: boolean } {
    const isReused = this.#idle.length > 0;
    const client = this.#take();
    this.#clients.delete(client);
    return { client, isReused };
  }

  /** Lets connections go that no request uses: the next read is minutes away, and each costs both sides memory. */
  releaseIdle(): void {
    for (const client of this.#idle.splice(0)) {
      this.#clients.delete(client);
      void client.destroy().catch(() => {});
    }
  }

  /** @param signal ends the good-bye to the BMC */
  async close(signal: AbortSignal): Promise<void> {
    await this.credentials.close(signal).catch(() => {});
    await Promise.all([...this.#clients].map((client) => client.destroy()));
  }

  async #answer(client: Client, url: URL, options: GetOptions, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const { ifNoneMatch, open } = options;
    const send = async (proof: Headers) => {
      const answer = await this.#request(client, 'GET', url, signal, {
        ...proof,
        ...(ifNoneMatch !== undefined && { 'if-none-match': ifNoneMatch }),
      });
      return { status: answer.statusCode, answer };
    };
    if (open) {
      const first = await send({});
      if (first.status !== 401) return first.answer;
      discard(first.answer.body);
    }
    return (await this.credentials.prove(signal, send, ({ answer }) => discard(answer.body))).answer;
  }

  async #request(
    client: Client,
    method: 'GET' | 'POST' | 'DELETE',
    url: URL,
    signal: AbortSignal,
    headers: Headers,
    body?: string,
  ) {
    const { endpoint, onRequest, clock } = this.#options;
    const started = clock.monotonic();
    const send = () =>
      client.request({
        path: url.pathname + url.search,
        method,
        headers: {
          ...requestHeaders(endpoint),
          accept: 'application/json',
          'accept-encoding': 'identity',
          ...headers,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        body: body ?? null,
        signal,
      });
    try {
      const answer = await send().catch((error) => {
        // A connection that the BMC closed while it was idle says nothing about the BMC: once more on a new one.
        if (this.#used.has(client) && isStaleConnection(error) && !signal.aborted) return send();
        throw error;
      });
      this.#used.add(client);
      onRequest(answer.statusCode, clock.monotonic() - started);
      return answer;
    } catch (error) {
      onRequest('error', clock.monotonic() - started);
      throw asBmcError(error, url, signal);
    }
  }

  /** A connection without a request; given back to `#idle` when its answer was read. */
  #take(): Client {
    const idle = this.#idle.pop();
    if (idle) return idle;
    const { endpoint, connector } = this.#options;
    const client = new Client(endpoint.proxy ?? endpoint.address, {
      connect: connector,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: 0,
      bodyTimeout: 0,
      allowH2: false,
    });
    this.#clients.add(client);
    return client;
  }

  /** Only a redirect that keeps the method, or adds a slash, is followed: a password goes nowhere else. */
  async #login(path: string, body: string, outer: AbortSignal): Promise<LoginAnswer> {
    await this.#options.limiter.pass(outer);
    using limit = deadline(this.#options.clock, this.#options.requestTimeoutMs, 'the login', outer);
    const { signal } = limit;
    let url = this.resolve(path);
    const client = this.#take();
    using _ = { [Symbol.dispose]: () => void this.#idle.push(client) };
    for (let redirects = 0; ; redirects++) {
      const answer = await this.#request(client, 'POST', url, signal, {}, body);
      const { statusCode: status, headers } = answer;
      const location = [headers.location].flat()[0];
      if (REDIRECTS.has(status) && redirects < MAX_REDIRECTS) {
        discard(answer.body);
        const next = this.resolve(location, url);
        const sameMethod = status === 307 || status === 308 || next.pathname === `${url.pathname}/`;
        if (!sameMethod) throw statusError(answer, url, this.#options.clock);
        url = next;
        continue;
      }
      const text = await this.#readText(url, answer, MAX_LOGIN_BYTES, signal).catch(() => '');
      return { status, token: [headers['x-auth-token']].flat()[0], location: this.#pathOf(location), body: text };
    }
  }

  /** Relative or absolute, a session that lies elsewhere is not ours to end. */
  #pathOf(location: string | undefined): string | undefined {
    try {
      return location === undefined ? undefined : this.resolve(location).pathname;
    } catch {
      return undefined;
    }
  }

  async #logout(location: string, headers: Headers, signal: AbortSignal): Promise<{ readonly status: number }> {
    const client = this.#take();
    try {
      const { statusCode: status, body } = await this.#request(
        client,
        'DELETE',
        this.resolve(location),
        signal,
        headers,
      );
      discard(body);
      return { status };
    } finally {
      this.#idle.push(client);
    }
  }

  async #readObject(url: URL, answer: Dispatcher.ResponseData, signal: AbortSignal): Promise<Resource> {
    if (answer.statusCode !== 200) {
      discard(answer.body);
      throw statusError(answer, url, this.#options.clock);
    }
    const text = await this.#readText(url, answer, MAX_BODY_BYTES, signal);
    let parsed: Json;
    try {
      parsed = await parseBody(text, turn);
    } catch {
      throw new OutbandError('bmc_bad_body', `GET ${url.pathname} answered 200 with something that is not JSON`);
    }
    if (!isObject(parsed)) throw new OutbandError('bmc_bad_body', `GET ${url.pathname} answered no JSON object`);
    const etag = [answer.headers.etag].flat()[0];
    return { url, body: parsed, bytes: text.length, etag };
  }

  /** @param most bytes, after decoding */
  async #readText(url: URL, answer: Dispatcher.ResponseData, most: number, signal: AbortSignal): Promise<string> {
    const { clock, bodyIdleTimeoutMs } = this.#options;
    const { body, headers } = answer;
    // We ask for plain bodies; some BMCs compress all the same.
    const isZipped = [headers['content-encoding']].flat()[0]?.toLowerCase() === 'gzip';
    const source = isZipped ? body.pipe(createGunzip()) : body;
    body.on('error', (error) => source.destroy(error));
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
      for await (const chunk of source as AsyncIterable<Buffer>) {
        lastByte = clock.monotonic();
        size += chunk.length;
        if (size > most) throw new OutbandError('bmc_body_too_large', `GET ${url.pathname}: body over ${most} bytes`);
        chunks.push(chunk);
      }
    } catch (error) {
      throw asBmcError(error, url, signal);
    } finally {
      done.abort(NO_LONGER_NEEDED);
      if (isZipped) discard(body);
    }
    return Buffer.concat(chunks).toString('utf8');
  }
}

/** Headers of every request to a BMC, but what proves who we are. */
export function requestHeaders({ address, proxy }: EndpointConfig): Headers {
  return {
    'user-agent': `outband/${VERSION}`,
    'odata-version': '4.0',
    ...(proxy && { forwarded: `host=${address.hostname.startsWith('[') ? `"${address.host}"` : address.host}` }),
  };
}

type Answer = Pick<Dispatcher.ResponseData, 'statusCode' | 'headers'>;

function statusError({ statusCode: status, headers }: Answer, url: URL, clock: Clock): OutbandError {
  const message = `GET ${url.pathname} answered ${status}`;
  if (status === 401 || status === 403) return new OutbandError('auth_rejected', message);
  const afterMs = parseRetryAfter([headers['retry-after']].flat()[0], Number(clock.now() / 1_000_000n));
  if (afterMs !== undefined && (status === 429 || status === 503))
    return new RetryableError('bmc_http_status', message, { afterMs });
  return new OutbandError('bmc_http_status', message);
}

/** Any failure of a request as an error with a code. */
export function asBmcError(error: unknown, url: URL, signal?: AbortSignal): OutbandError {
  if (error instanceof OutbandError) return error;
  if (signal?.aborted && signal.reason instanceof OutbandError) return signal.reason;
  const { code = '', message = '' } = error as { code?: string; message?: string };
  const what = `GET ${url.pathname}`;
  return tlsFault(error, what) ?? new OutbandError('bmc_unreachable', `${what}: ${message || code}`, { cause: error });
}

/** Drops a body unread, with its connection: what it holds is the peer's choice. undici tells of that as an error. */
function discard(body: Dispatcher.ResponseData['body']): void {
  body.on('error', () => {}).destroy();
}

function isStaleConnection(error: unknown): boolean {
  const { code, message } = error as { code?: string; message?: string };
  return code === 'ECONNRESET' || code === 'EPIPE' || (code === 'UND_ERR_SOCKET' && message === 'other side closed');
}
