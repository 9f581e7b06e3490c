import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { Clock } from '../../component/clock.ts';
import type { Logger } from '../../component/component.ts';
import { deadline } from '../../component/deadline.ts';
import { OutbandError } from '../../component/errors.ts';
import type { PageAnswer } from '../../component/page.ts';
import type { Allowance } from '../../resilience/request-window.ts';
import { clientAddress, plainAddress, TrustedProxies } from './client-address.ts';
import type { Caller, Gate, Visitor } from './gate.ts';
import type { MonitoringApiConfig } from './index.ts';
import { Problem } from './problem.ts';
import type { Router } from './router.ts';
import { isStreamed, type StreamedAnswer } from './scheduler-pages.ts';
import type { StatusPage } from './status-page.ts';

const MOST_BODY_BYTES = 4_096;
/** Node looks for clients that are too slow this often. */
const SLOW_CLIENT_CHECK_MS = 500;
/** Connections above `max_connections` are told so, up to this many times as many; then they are cut. */
const HARD_LIMIT_FACTOR = 2;

export interface ApiServerOptions {
  readonly config: MonitoringApiConfig;
  readonly place: string;
  /** Files of PEM; both or neither. */
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly gate: Gate;
  readonly router: Router;
  readonly statusPage: StatusPage;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The socket side: limits on connections, headers, bodies and time, and the order in which a request is looked at:
 * number of connections, rate, credentials, route, method. Whatever a client does, it gets one bounded answer or none.
 */
export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #trusted: TrustedProxies;
  /** The answer that has a text of its own. */
  readonly #page: PageAnswer;
  /** By peer; of a TLS connection its own socket, once its handshake is done. */
  readonly #sockets = new Map<string, Socket>();
  /** Peers that came when there were too many. */
  readonly #surplus = new Set<string>();
  /** Answers under way, by peer: requests may follow each other without waiting. */
  readonly #busy = new Map<string, number>();
  #stopping = false;
  #server: Server | TlsServer | undefined;
  #lastPair = '';

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#page = {
      status: 200,
      headers: {
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': options.statusPage.contentSecurityPolicy,
        'cache-control': 'no-cache',
      },
    };
    this.#trusted = new TrustedProxies(options.config.trusted_proxies);
  }

  get port(): number | undefined {
    return (this.#server?.address() as AddressInfo | null)?.port;
  }

  /** @throws OutbandError when the port is taken, or the certificate cannot be read */
  async start(): Promise<void> {
    const { config, certificate, place } = this.#options;
    const settings: ServerOptions = {
      maxHeaderSize: config.max_header_size,
      headersTimeout: config.read_header_timeout,
      requestTimeout: config.read_header_timeout,
      keepAliveTimeout: config.idle_timeout,
      connectionsCheckingInterval: SLOW_CLIENT_CHECK_MS,
      // Looked at with everything else: Node's own refusal has none of our headers and is not counted.
      requireHostHeader: false,
    };
    const handle = (request: IncomingMessage, response: ServerResponse) => void this.#respond(request, response);
    if (certificate === undefined) this.#server = createServer(settings, handle);
    else {
      const pair = await this.#readPair().catch((cause: Error) => {
        throw new OutbandError('config_source', `${place}::tls: ${cause.message}`, { cause });
      });
      const handshakeTimeout = config.read_header_timeout;
      this.#server = createTlsServer({ ...settings, ...pair, handshakeTimeout }, handle);
    }
    const server = this.#server;
    server.on('connection', (socket) => this.#connected(socket));
    server.on('secureConnection', (socket: Socket) => {
      socket.on('error', () => {});
      this.#sockets.set(peerOf(socket), socket);
    });
    server.on('clientError', (error, socket) => this.#misread(error, socket as Socket));
    server.on('checkContinue', (request, response) => {
      response.writeContinue();
      handle(request, response);
    });
    server.on('checkExpectation', handle);
    const { host, port, text } = config.endpoint;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) =>
        reject(
          new OutbandError('config_value', `${place}::endpoint: cannot listen on ${text}: ${cause.message}`, {
            cause,
            hint: 'another process uses this port, or the address is not of this machine; set `endpoint`',
          }),
        ),
      );
      server.listen(port, host, resolve);
    });
    server.on('error', (error) => this.#options.logger.error('the monitoring API has a socket error', { error }));
  }

  /** Reads the files again. A pair that does not work leaves the old one in place. */
  async reloadCertificate(): Promise<void> {
    if (this.#options.certificate === undefined) return;
    const before = this.#lastPair;
    try {
      const pair = await this.#readPair();
      if (this.#lastPair !== before) (this.#server as TlsServer).setSecureContext(pair);
    } catch (error) {
      const told = `failed: ${(error as Error).message}`;
      if (told !== before) this.#options.logger.error('the certificate stays as it was', { error });
      this.#lastPair = told;
    }
  }

  /** Takes no more connections; cuts what is left when the signal aborts. */
  async stop(signal: AbortSignal): Promise<void> {
    const server = this.#server;
    if (!server?.listening) return;
    this.#stopping = true;
    const cut = () => {
      for (const socket of this.#sockets.values()) socket.destroy();
    };
    signal.addEventListener('abort', cut, { once: true });
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    // Who has asked for nothing is not waited for.
    for (const [peer, socket] of this.#sockets) if (!this.#busy.has(peer)) socket.destroy();
    if (signal.aborted) cut();
    await closed;
    signal.removeEventListener('abort', cut);
  }

  async #readPair() {
    const { certificate, key, config } = this.#options;
    const cert = await readFile(certificate!, 'utf8');
    const pair = { cert, key: await readFile(key!, 'utf8'), minVersion: `TLSv${config.tls.min_version}` as const };
    // A file that is being written is empty at first, and TLS would take that for no certificate at all.
    if (!pair.cert.includes('-----END') || !pair.key.includes('-----END'))
      throw new Error('cert_file or key_file is not PEM');
    createSecureContext(pair);
    this.#lastPair = `${pair.cert}\n${pair.key}`;
    return pair;
  }

  #connected(socket: Socket): void {
    const { max_connections: most } = this.#options.config;
    if (this.#sockets.size >= most * HARD_LIMIT_FACTOR) {
      socket.destroy();
      return;
    }
    const peer = peerOf(socket);
    if (this.#sockets.size >= most) this.#surplus.add(peer);
    this.#sockets.set(peer, socket);
    socket.on('error', () => {});
    socket.once('close', () => {
      this.#sockets.delete(peer);
      this.#surplus.delete(peer);
      this.#busy.delete(peer);
    });
  }

  /** What came is no request, or is too large or too slow to be one. */
  #misread(error: NodeJS.ErrnoException, socket: Socket): void {
    const isSecure = this.#options.certificate === undefined || 'encrypted' in socket;
    const isKnown = this.#sockets.get(peerOf(socket)) === socket;
    // An answer under way must not be taken for this one; and who is not through with TLS cannot read one.
    const isLate = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && socket.bytesWritten === 0;
    const isAnswering = this.#busy.has(peerOf(socket)) && !isLate;
    if (!socket.writable || !isSecure || !isKnown || isAnswering) {
      socket.destroy();
      return;
    }
    const problem =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? new Problem('headers_too_large', 'the headers are too large')
        : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? new Problem('header_timeout', 'the request did not come in time')
          : new Problem('bad_request', 'this is not HTTP/1.1');
    const allowance = this.#options.gate.admit(clientAddress(socket.remoteAddress ?? '', undefined, this.#trusted));
    const { body } = problem;
    const headers = {
      ...this.#commonHeaders(allowance),
      ...problem.headers,
      ...{ connection: 'close', 'content-length': String(Buffer.byteLength(body)) },
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    socket.end(`HTTP/1.1 ${problem.status} ${JSON.parse(body).title}\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
    socket.destroySoon();
    this.#cutWhenStuck(socket);
  }

  #begin(peer: string): void {
    this.#busy.set(peer, (this.#busy.get(peer) ?? 0) + 1);
  }

  #end(peer: string): void {
    const left = (this.#busy.get(peer) ?? 0) - 1;
    if (left > 0) this.#busy.set(peer, left);
    else {
      this.#busy.delete(peer);
      if (this.#stopping) this.#sockets.get(peer)?.destroySoon();
    }
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const peer = peerOf(request.socket);
    this.#begin(peer);
    response.once('close', () => this.#end(peer));
    const visitor = this.#visitor(request);
    const allowance = this.#options.gate.admit(visitor.address);
    const common = this.#commonHeaders(allowance);
    let answer: PageAnswer;
    try {
      answer = await this.#answer(request, visitor, allowance);
    } catch (error) {
      // The client has gone in the middle of its own request.
      if (!(error instanceof Problem) && request.destroyed) return;
      if (!(error instanceof Problem)) this.#options.logger.error('a page failed', { error });
      const problem = error instanceof Problem ? error : new Problem('internal_error', 'the page failed; see the log');
      if (request.readableLength > 0 || !request.complete) common.connection = 'close';
      return this.#write(request, response, problem.status, { ...common, ...problem.headers }, problem.body);
    }
    const { status, body, headers = {} } = answer;
    if (answer === this.#page)
      return this.#write(request, response, status, { ...common, ...headers }, this.#options.statusPage.html);
    if (isStreamed(answer)) return this.#stream(request, response, answer, { ...common, ...headers });
    const type = body !== undefined && { 'content-type': 'application/json; charset=utf-8' };
    const text = body === undefined ? '' : JSON.stringify(body);
    this.#write(request, response, status, { ...common, ...type, ...headers }, text);
  }

  async #answer(request: IncomingMessage, visitor: Visitor, allowance: Allowance): Promise<PageAnswer> {
    const { gate, router, config } = this.#options;
    if (this.#surplus.has(peerOf(request.socket)))
      throw new Problem('too_many_connections', 'there are too many connections');
    if (!allowance.allowed)
      throw new Problem('rate_limited', 'too many requests', {
        'retry-after': String(Math.max(1, Math.ceil(allowance.resetMs / 1_000))),
      });
    if (request.httpVersion === '1.1' && visitor.headers.host === undefined)
      throw new Problem('bad_request', 'a request of HTTP/1.1 names its host');
    gate.checkHost(visitor);
    const url = targetOf(request.url ?? '/');
    if (url.pathname === '/api/login' || url.pathname === '/api/logout') return this.#session(request, visitor, url);
    if (url.pathname === '/') return this.#statusPage(visitor.method);
    const caller: Caller = gate.authenticate(visitor);
    const { page, params } = router.find(visitor.method, url.pathname);
    if (page.commands && !config.allow_actions)
      throw new Problem('actions_disabled', 'set `allow_actions: true` to command through this API');
    const body = await readJson(request, page.takesBody === true);
    return page.handle({ params, query: url.searchParams, body, headers: visitor.headers, caller });
  }

  /** Public: it holds no data. */
  #statusPage(method: string): PageAnswer {
    if (method !== 'GET' && method !== 'HEAD')
      throw new Problem('method_not_allowed', 'use GET or HEAD', { allow: 'GET, HEAD' });
    return this.#page;
  }

  async #session(request: IncomingMessage, visitor: Visitor, url: URL): Promise<PageAnswer> {
    if (visitor.method !== 'POST') throw new Problem('method_not_allowed', 'use POST', { allow: 'POST' });
    const { gate } = this.#options;
    const isLogin = url.pathname === '/api/login';
    const body = await readJson(request, isLogin);
    if (!isLogin) return { status: 204, headers: { 'set-cookie': gate.logOut(visitor), 'cache-control': 'no-store' } };
    const token = (body as { token?: unknown } | null | undefined)?.token;
    if (typeof token !== 'string') throw new Problem('bad_request', 'expected {"token": "..."}');
    return { status: 204, headers: { 'set-cookie': gate.logIn(visitor, token), 'cache-control': 'no-store' } };
  }

  #visitor(request: IncomingMessage): Visitor {
    const peer = request.socket.remoteAddress ?? '';
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
    );
    return {
      address: clientAddress(peer, headers['x-forwarded-for'], this.#trusted),
      method: request.method ?? '',
      headers,
      isSecure:
        'encrypted' in request.socket ||
        (this.#trusted.has(plainAddress(peer)) && headers['x-forwarded-proto'] === 'https'),
    };
  }

  #commonHeaders({ limit, remaining, resetMs }: Allowance): Record<string, string> {
    const epochMs = Number(this.#options.clock.now() / 1_000_000n);
    return {
      'x-ratelimit-limit': String(limit),
      'x-ratelimit-remaining': String(remaining),
      'x-ratelimit-reset': String(Math.ceil((epochMs + resetMs) / 1_000)),
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    };
  }

  #write(
    request: IncomingMessage,
    response: ServerResponse,
    status: number,
    headers: Readonly<Record<string, string>>,
    text: string,
  ): void {
    const length = status === 204 || status === 304 ? {} : { 'content-length': String(Buffer.byteLength(text)) };
    response.writeHead(status, { ...headers, ...length });
    response.end(request.method === 'HEAD' ? undefined : text);
    this.#cutWhenStuck(response);
  }

  async #stream(
    request: IncomingMessage,
    response: ServerResponse,
    { status, stream }: StreamedAnswer,
    headers: Readonly<Record<string, string>>,
  ): Promise<void> {
    response.writeHead(status, headers);
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    try {
      for await (const piece of stream.read()) {
        if (response.destroyed) return;
        if (!response.write(piece)) await this.#drained(response);
      }
      response.end();
      this.#cutWhenStuck(response);
    } catch (error) {
      // Cut short is the one honest way to end a body that cannot be finished.
      response.destroy();
      if (!(error instanceof OutbandError)) this.#options.logger.error('a page failed', { error });
    }
  }

  /** Resolves when the client has taken what was written. @throws OutbandError when it does not in time */
  async #drained(response: ServerResponse): Promise<void> {
    const { clock, config } = this.#options;
    using limit = deadline(clock, config.write_timeout, 'the client');
    await new Promise<void>((resolve, reject) => {
      response.once('drain', resolve);
      response.once('close', resolve);
      limit.signal.addEventListener('abort', () => reject(limit.signal.reason), { once: true });
    });
  }

  /** Whoever does not take what was written to its end in time is cut. */
  #cutWhenStuck(stream: ServerResponse | Socket): void {
    if (stream.writableFinished || stream.destroyed) return;
    const done = new AbortController();
    stream.once('close', () => done.abort());
    stream.once('finish', () => done.abort());
    this.#options.clock.sleep(this.#options.config.write_timeout, done.signal).then(
      () => stream.destroy(),
      () => {},
    );
  }
}

/** What tells connections apart, over TLS and below it. */
function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** The target of a request, whether it came as a path or as a whole URL. */
function targetOf(target: string): URL {
  if (target.startsWith('/')) return new URL(`http://host${target}`);
  return URL.canParse(target) ? new URL(target) : new URL('http://host/');
}

/** @throws Problem `body_refused`, `bad_request` */
async function readJson(request: IncomingMessage, isTaken: boolean): Promise<unknown> {
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers;
  if (!isTaken && (length !== '0' || encoding !== undefined))
    throw new Problem('body_refused', 'this page takes no body');
  if (Number(length) > MOST_BODY_BYTES) throw tooLarge();
  if (!isTaken) return undefined;
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request) {
    size += piece.length;
    if (size > MOST_BODY_BYTES) throw tooLarge();
    pieces.push(piece);
  }
  if (size === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(pieces).toString());
  } catch {
    throw new Problem('bad_request', 'the body is not JSON');
  }
}

function tooLarge(): Problem {
  return new Problem('body_refused', `a body may have ${MOST_BODY_BYTES} bytes at most`);
}
