import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Component, ConfigView, Host } from '../../component/component.ts';
import { OutbandError } from '../../component/errors.ts';
import type { HealthCheckConfig } from './index.ts';
import { aggregate, aggregateOne, groupsOf } from './status-tree.ts';

/** What a client may take, in milliseconds, bytes and connections: this port is open to whoever probes. */
const HEADERS_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
/** Node looks for clients that are too slow this often. */
const SLOW_CLIENT_CHECK_MS = 500;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_CONNECTIONS = 100;
/** What the Collector prints for "never". */
const NEVER = '0001-01-01T00:00:00Z';

interface Answer {
  readonly status: number;
  /** Text as it is, or JSON. */
  readonly body: string | object;
}

/** Says whether the agent is there, ready and well; never anything of a target. */
export class HealthCheck implements Component {
  readonly #config: HealthCheckConfig;
  readonly #host: Host;
  #server: Server | undefined;
  /** Connections without a request at work, the oldest first. */
  readonly #idle = new Set<Socket>();
  #connections = 0;

  constructor(config: HealthCheckConfig, host: Host) {
    this.#config = config;
    this.#host = host;
  }

  /** The port in use. */
  get port(): number {
    return (this.#server!.address() as AddressInfo).port;
  }

  async start(): Promise<void> {
    const { endpoint } = this.#config;
    const colon = endpoint.lastIndexOf(':');
    const server = createServer(
      {
        ...{ maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS },
        connectionsCheckingInterval: SLOW_CLIENT_CHECK_MS,
      },
      (request, response) => void this.#answer(request, response),
    );
    server.on('connection', (socket) => this.#admit(socket));
    try {
      server.listen(Number(endpoint.slice(colon + 1)), endpoint.slice(0, colon).replace(/^\[|\]$/g, '') || undefined);
      await once(server, 'listening');
    } catch (cause) {
      throw new OutbandError('config_value', `extensions::health_check::endpoint: cannot listen on ${endpoint}`, {
        cause,
        hint: 'Another process uses this port; choose another `endpoint`.',
      });
    }
    this.#server = server;
    this.#host.logger.info('health check is listening', { address: `http://${endpoint.slice(0, colon)}:${this.port}` });
  }

  async shutdown(): Promise<void> {
    this.#server?.close();
    this.#server?.closeAllConnections();
  }

  /** Beyond the limit the connection goes that has asked for nothing for the longest: slow clients must not lock a probe out. */
  #admit(socket: Socket): void {
    this.#connections++;
    this.#idle.add(socket);
    socket.once('close', () => {
      this.#connections--;
      this.#idle.delete(socket);
    });
    if (this.#connections > MAX_CONNECTIONS) this.#idle.values().next().value?.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, headers, url = '/', socket } = request;
    this.#idle.delete(socket);
    response.once('finish', () => {
      if (!socket.destroyed) this.#idle.add(socket);
    });
    const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
    // Not as a reference to resolve: `//livez` would be a host.
    const asked = url.startsWith('/') ? `http://host${url}` : url;
    const target = URL.canParse(asked) ? new URL(asked) : undefined;
    const answer: Answer =
      method !== 'GET' && method !== 'HEAD'
        ? { status: 405, body: 'use GET\n' }
        : hasBody || !target
          ? { status: 400, body: 'this page takes no body\n' }
          : await this.#route(target);
    const isText = typeof answer.body === 'string';
    const text = isText ? (answer.body as string) : JSON.stringify(answer.body);
    response.writeHead(answer.status, {
      'content-type': isText ? 'text/plain; charset=utf-8' : 'application/json',
      'content-length': Buffer.byteLength(text),
      ...(hasBody && { connection: 'close' }),
    });
    response.end(method === 'HEAD' ? undefined : text);
  }

  async #route({ pathname, searchParams }: URL): Promise<Answer> {
    const { path, http } = this.#config;
    if (pathname === path) return this.#short();
    if (pathname === http.status.path && http.status.enabled) return this.#status(searchParams);
    if (pathname === http.config.path && http.config.enabled) return this.#configuration();
    if (pathname === '/livez') return plain(await this.#host.notAlive());
    if (pathname === '/readyz') {
      const { phase } = this.#host.agent();
      return plain(phase === 'running' ? undefined : phase);
    }
    return { status: 404, body: 'there is no such page\n' };
  }

  /** As the Collector's `healthcheck` answers, byte for byte in form. */
  #short(): Answer {
    const { phase, runningSince } = this.#host.agent();
    const isReady = phase === 'running';
    const { healthy = '', unhealthy = '' } = this.#config.response_body ?? {};
    const text = isReady ? healthy : unhealthy;
    const status = isReady ? 200 : 503;
    if (text !== '') return { status, body: text };
    if (!isReady) return { status, body: { status: 'Server not available', upSince: NEVER, uptime: '' } };
    const uptime = Number(this.#host.clock.now() - runningSince!) / 1e9;
    return { status, body: { status: 'Server available', upSince: iso(runningSince!), uptime: goDuration(uptime) } };
  }

  #configuration(): Answer {
    const { config } = this.#host.agent();
    return config ? { status: 200, body: config.shown } : { status: 404, body: 'the configuration is not known\n' };
  }

  #status(query: URLSearchParams): Answer {
    const { component_health: rules } = this.#config;
    const agent = this.#host.agent();
    const groups = groupsOf(agent, this.#host.statuses());
    const wanted = query.get('pipeline');
    const one = wanted === null ? undefined : groups[`pipeline:${wanted}`];
    if (wanted !== null && !one) return { status: 404, body: 'there is no such pipeline\n' };
    const isVerbose = query.has('verbose') && query.get('verbose') !== 'false';
    const now = this.#host.clock.now();
    const { httpStatus, node } = one
      ? aggregateOne(one, rules, now, isVerbose)
      : aggregate(groups, rules, now, isVerbose);
    const body = {
      ...{ start_time: iso(agent.startedAt), ...node },
      ...(agent.config && { attributes: { config: configAttribute(agent.config) } }),
    };
    const isPassing = agent.phase !== 'running' && node.status !== 'StatusFatalError';
    return { status: isPassing ? 503 : httpStatus, body };
  }
}

function plain(failing: string | undefined): Answer {
  return failing === undefined ? { status: 200, body: 'ok' } : { status: 503, body: failing };
}

function configAttribute({ hash, loadedAt, lastReload }: ConfigView) {
  const { at, outcome, error } = lastReload ?? {};
  return {
    ...{ hash, loaded_at: iso(loadedAt) },
    ...(at !== undefined && { last_reload: { at: iso(at), outcome, ...(error !== undefined && { error }) } }),
  };
}

function iso(epochNanos: bigint): string {
  return new Date(Number(epochNanos / 1_000_000n)).toISOString();
}

/** Seconds as Go prints a duration: `50.01s`, `1m2s`, `3h0m1.5s`. */
export function goDuration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1e6) / 1e3}ms`;
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60];
  const rest = `${Math.round((seconds % 60) * 1e9) / 1e9}s`;
  if (hours > 0) return `${hours}h${minutes}m${rest}`;
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}
