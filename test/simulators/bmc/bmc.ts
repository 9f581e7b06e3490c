import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Watchers } from '../watchers.ts';
import { playScript, SSE_HEADERS, type StreamBehaviour, writeEvent, writeHeartbeat } from './event-stream.ts';
import { type Fault, spoil } from './faults.ts';
import type { LiveLog, StoredEntry } from './live-log.ts';
import { generateMachine, type Machine, SSE_PATH } from './machine.ts';
import type { Profile } from './profiles.ts';
import type { Truth } from './truth.ts';

/** One request that a BMC saw. */
export interface JournalLine {
  /** Monotonic milliseconds. */
  readonly at: number;
  readonly method: string;
  readonly path: string;
  readonly lastEventId: string | undefined;
  readonly authorized: boolean;
}

export interface SimulatedBmcOptions {
  readonly name: string;
  readonly profile: Profile;
  readonly truth: Truth;
  readonly watchers: Watchers;
  readonly tls: { readonly key: string; readonly cert: string } | undefined;
  /** A recorded tree to serve instead of a generated machine. */
  readonly tree: ((path: string) => unknown) | undefined;
  readonly account: { readonly username: string; readonly password: string } | undefined;
  readonly port: number;
}

/** A baseboard controller on a loopback port, with faults on demand. */
export class SimulatedBmc {
  readonly name: string;
  readonly machine: Machine;
  readonly journal: JournalLine[] = [];
  readonly faults: Fault[] = [];
  /** What the EventService says about itself. */
  eventService: 'none' | 'disabled' | 'null_uri' | 'enabled' = 'enabled';
  stream: StreamBehaviour = { kind: 'live' };
  /** The stream accepts and tells nothing of what is appended. */
  mute = false;
  readonly #options: SimulatedBmcOptions;
  readonly #streams = new Set<ServerResponse>();
  #server: Server | undefined;
  #port: number;
  #eventId = 0;

  constructor(options: SimulatedBmcOptions) {
    this.#options = options;
    this.#port = options.port;
    this.name = options.name;
    const { name, profile } = options;
    this.machine = generateMachine({ name, profile, eventService: () => this.eventService });
  }

  get address(): string {
    return `${this.#options.tls ? 'https' : 'http'}://127.0.0.1:${this.#port}`;
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** Listens, on the same port every time. */
  async up(): Promise<void> {
    const { tls } = this.#options;
    const handle = (request: IncomingMessage, response: ServerResponse) => this.#handle(request, response);
    const server = tls ? createTlsServer({ ...tls }, handle) : createServer(handle);
    server.keepAliveTimeout = 0;
    server.requestTimeout = 0;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    server.on('error', () => {});
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Gone from the network: refuses connections, all open ones are cut. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
    this.#streams.clear();
    this.#options.watchers.notify();
  }

  /** Cuts all open streams; the BMC itself stays up. */
  cutStreams(): void {
    for (const stream of this.#streams) stream.socket?.destroy();
  }

  log(index = 0): LiveLog {
    return this.machine.logs[index]!;
  }

  /** Appends a numbered entry, and tells open streams if this log is streamed. */
  append(
    options: {
      readonly log?: number;
      readonly severity?: string;
      readonly createdMs?: number;
      readonly text?: string;
    } = {},
  ): StoredEntry {
    const log = this.log(options.log);
    const number = this.#options.truth.offer(this.name, log.path);
    const entry = log.append({
      createdMs: options.createdMs ?? Date.now(),
      message: options.text ?? `Sensor reading ${number % 90} crossed a threshold #${number}`,
      messageArgs: [String(number % 90)],
      messageId: `Sim.1.0.${log.profile.id}Event`,
      severity: options.severity ?? ['OK', 'Warning', 'Critical'][number % 3]!,
    });
    if (log.profile.streamed && !this.mute) {
      const event = { ...entry, id: ++this.#eventId, entryUri: log.uriOf(entry) };
      this.write(writeEvent(this.machine.profile, event));
    }
    return entry;
  }

  /** Writes bytes to all open streams. */
  write(text: string): void {
    for (const stream of this.#streams) stream.write(text);
  }

  heartbeat(): void {
    this.write(writeHeartbeat(this.machine.profile));
  }

  /** Requests for the stream so far. */
  get streamRequests(): number {
    return this.journal.filter(({ path }) => path === SSE_PATH).length;
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    response.on('error', () => {});
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const { account, watchers, tree } = this.#options;
    const authorized =
      !account ||
      request.headers.authorization ===
        `Basic ${Buffer.from(`${account.username}:${account.password}`).toString('base64')}`;
    this.journal.push({
      at: performance.now(),
      method: request.method ?? '',
      path,
      lastEventId: request.headers['last-event-id'] as string | undefined,
      authorized,
    });
    watchers.notify();

    const fault = this.#takeFault(path);
    if (fault) return spoil(fault, request, response);
    const canonical = path.replace(/\/+$/, '');
    if (!authorized && canonical !== '/redfish/v1')
      return json(response, 401, { error: { code: 'Base.1.0.NoValidSession' } });
    if (request.method !== 'GET') return json(response, 405, {});
    if (canonical === SSE_PATH && !tree) return this.#answerStream(response);
    const resource = tree ? tree(canonical) : this.#generated(canonical, query);
    if (resource === undefined) return json(response, 404, { error: { code: 'Base.1.0.ResourceMissingAtURI' } });
    json(response, 200, resource);
  }

  #takeFault(path: string): Fault | undefined {
    const fault = this.faults.find(({ path: prefix = '/', exact = path }) => path.startsWith(prefix) && path === exact);
    if (fault?.count !== undefined && --fault.count <= 0) this.faults.splice(this.faults.indexOf(fault), 1);
    return fault;
  }

  #generated(path: string, query: string): unknown {
    const log = this.machine.logs.find((one) => path.startsWith(`${one.path}/Entries`));
    if (!log) return this.machine.resource(path);
    const id = path.slice(`${log.path}/Entries`.length + 1);
    if (id !== '') return log.entry(decodeURIComponent(id));
    return log.page(Number(new URLSearchParams(query).get('$skip') ?? 0));
  }

  #answerStream(response: ServerResponse): void {
    const { stream } = this;
    switch (stream.kind) {
      case 'hang':
        return;
      case 'status':
        response.writeHead(stream.status, stream.headers).end(stream.body ?? '');
        return;
      case 'eof':
        response.writeHead(200, SSE_HEADERS).end();
        return;
      case 'script':
        return playScript(stream, response);
      default:
        if (stream.kind === 'live' && this.#streams.size >= (stream.maxStreams ?? Number.POSITIVE_INFINITY)) {
          response.writeHead(200, SSE_HEADERS).end();
          return;
        }
        response.writeHead(200, SSE_HEADERS);
        response.flushHeaders();
        if (stream.kind === 'silent') return;
        this.#streams.add(response);
        response.on('close', () => {
          this.#streams.delete(response);
          this.#options.watchers.notify();
        });
        this.#options.watchers.notify();
    }
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text);
}
