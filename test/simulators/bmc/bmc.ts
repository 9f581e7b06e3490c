import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SecureContext } from 'node:tls';
import type { Watchers } from '../watchers.ts';
import { Access, type Auth, authKindOf, SESSIONS_PATH } from './access.ts';
import { type Answer, bodyOf, redfishError } from './answer.ts';
import { type StreamBehaviour, wrapRecord, writeEvent, writeHeartbeat, writePayload } from './event-stream.ts';
import { type Fault, spoil, takeFault } from './faults.ts';
import { type JournalLine, journalLine, splitUrl } from './journal.ts';
import { Listener } from './listener.ts';
import type { LiveLog, StoredEntry } from './live-log.ts';
import { generateMachine, type Machine, SSE_PATH } from './machine.ts';
import { applyOverlays, type Overlay } from './overlay.ts';
import type { Profile } from './profiles.ts';
import { StreamDesk } from './stream-desk.ts';
import type { Truth } from './truth.ts';

export type { JournalLine } from './journal.ts';

/** The certificate that a BMC shows. */
export interface TlsIdentity {
  readonly context: SecureContext;
  /** Base64 of the SHA-256 of its SubjectPublicKeyInfo. */
  readonly spkiSha256: string;
  /** The same with a new key. */
  readonly renew: () => Promise<TlsIdentity>;
}

export interface SimulatedBmcOptions {
  readonly name: string;
  readonly profile: Profile;
  readonly truth: Truth;
  readonly watchers: Watchers;
  readonly tls: TlsIdentity | undefined;
  /** A recorded tree to serve instead of a generated machine. */
  readonly tree: ((path: string) => unknown) | undefined;
  readonly account: { readonly username: string; readonly password: string } | undefined;
}

export interface AppendOptions {
  /** Index of the log. */
  readonly log?: number;
  readonly severity?: string;
  readonly createdMs?: number;
  /** The message; a function is given the number that must stand in it as `#<number>`. */
  readonly text?: string | ((number: number) => string);
}

/** A baseboard controller on a loopback port, with faults on demand. */
export class SimulatedBmc {
  readonly name: string;
  readonly machine: Machine;
  readonly journal: JournalLine[] = [];
  readonly faults: Fault[] = [];
  /** Changes of its JSON answers. */
  overlay: Overlay[] = [];
  /** Which query options the root promises; what the logs make of them is theirs. */
  protocol = { filterQuery: false, topSkipQuery: false };
  /** What the EventService says about itself. */
  eventService: 'none' | 'disabled' | 'null_uri' | 'enabled' = 'enabled';
  stream: StreamBehaviour = { kind: 'live' };
  /** The stream accepts and tells nothing of what is appended. */
  mute = false;
  /** Indexes of the logs whose entries reach the stream; undefined: as the profile says. */
  covers: ReadonlySet<number> | undefined;
  /** Most GETs in flight at once; streams do not count. */
  peakRequests = 0;
  readonly #options: SimulatedBmcOptions;
  readonly #access: Access;
  readonly #desk: StreamDesk;
  readonly #listener: Listener;
  readonly #connections = new WeakMap<Socket, { readonly id: number; served: number }>();
  #tls: TlsIdentity | undefined;
  #lastConnection = 0;
  #inFlight = 0;
  #hasEnded = false;
  #eventId = 0;

  constructor(options: SimulatedBmcOptions) {
    const { name, profile, truth, watchers } = options;
    this.#options = options;
    this.name = name;
    this.#tls = options.tls;
    this.#access = new Access(options.account && { ...options.account });
    this.#desk = new StreamDesk(profile, () => watchers.notify());
    this.#listener = new Listener((request, response) => this.#handle(request, response), this.#tls?.context);
    this.machine = generateMachine({
      ...{ name, profile },
      eventService: () => this.eventService,
      protocol: () => this.protocol,
      listener: {
        changed: ({ number, message }) => number !== undefined && truth.says(number, message),
        left: (entries) => truth.left(entries.map(({ number }) => number)),
      },
    });
  }

  get address(): string {
    return `${this.#tls ? 'https' : 'http'}://127.0.0.1:${this.#listener.port}`;
  }

  get openStreams(): number {
    return this.#desk.open;
  }

  /** What it asks of clients; undefined: nothing. */
  get auth(): Auth | undefined {
    return this.#access.auth;
  }

  set auth(auth: Auth | undefined) {
    this.#access.auth = auth;
  }

  /** Sessions that were ever begun. */
  get logins(): number {
    return this.#access.logins;
  }

  /** Bad Basic credentials and bad logins so far. */
  get rejectedLogins(): number {
    return this.#access.rejectedLogins;
  }

  get liveSessions(): number {
    return this.#access.liveSessions;
  }

  get sessionsDeleted(): number {
    return this.#access.sessionsDeleted;
  }

  get lockedOut(): boolean {
    return this.#access.lockedOut;
  }

  /** Base64 of the SHA-256 of the SubjectPublicKeyInfo of its certificate; undefined for http. */
  get spkiSha256(): string | undefined {
    return this.#tls?.spkiSha256;
  }

  /** Takes new connections and never answers them, not even with TLS. */
  get hangConnections(): boolean {
    return this.#listener.hangs;
  }

  set hangConnections(hangs: boolean) {
    this.#listener.hangs = hangs;
  }

  /** Makes all tokens invalid. */
  dropSessions(): void {
    this.#access.dropSessions();
  }

  /** Shows a certificate with a new key to connections that come from now on. */
  async rotateKey(): Promise<void> {
    this.#tls = await this.#tls?.renew();
    this.#listener.secureContext = this.#tls?.context;
  }

  /** Listens, on the same port every time. */
  async up(): Promise<void> {
    if (!this.#hasEnded) await this.#listener.up();
  }

  /** Gone for good: a reboot that is under way does not bring it back. */
  async end(): Promise<void> {
    this.#hasEnded = true;
    await this.down();
  }

  /** Gone from the network: refuses connections, all open ones are cut. */
  async down(): Promise<void> {
    await this.#listener.down();
    this.#desk.reset();
    this.#options.watchers.notify();
  }

  /** Goes down, forgets sessions, streams and events, and comes up again on the same port. */
  async reboot({ firmware, downMs = 0 }: { readonly firmware?: string; readonly downMs?: number } = {}): Promise<void> {
    await this.down();
    this.#access.dropSessions();
    this.#desk.forget();
    this.#eventId = 0;
    if (firmware !== undefined) this.machine.facts.firmware = firmware;
    if (downMs > 0) await sleep(downMs);
    await this.up();
  }

  /** Cuts all open streams; the BMC itself stays up. */
  cutStreams(): void {
    this.#desk.cut();
  }

  log(index = 0): LiveLog {
    return this.machine.logs[index]!;
  }

  /** Appends a numbered entry, and tells open streams if this log is streamed. */
  append(options: AppendOptions = {}): StoredEntry {
    const { truth } = this.#options;
    const log = this.log(options.log);
    const isStreamed = !this.mute && (this.covers?.has(options.log ?? 0) ?? log.profile.streamed);
    const number = truth.offer(this.name, log.path, { stream: isStreamed, log: true });
    const text = typeof options.text === 'function' ? options.text(number) : options.text;
    const entry = log.append({
      number,
      createdMs: options.createdMs ?? Date.now() + log.clockOffsetMs,
      message: text ?? `Sensor reading ${number % 90} crossed a threshold #${number}`,
      messageArgs: [String(number % 90)],
      messageId: `Sim.1.0.${log.profile.id}Event`,
      severity: options.severity ?? ['OK', 'Warning', 'Critical'][number % 3]!,
    });
    truth.says(number, entry.message);
    if (isStreamed) {
      const id = ++this.#eventId;
      this.#desk.send(id, this.stream, () =>
        writeEvent(this.machine.profile, { ...entry, id, entryUri: log.uriOf(entry) }),
      );
    }
    return entry;
  }

  /** Appends many entries. @param options.stepMs how much later each is than the one before, with `createdMs` */
  appendMany(n: number, { stepMs = 0, ...options }: AppendOptions & { readonly stepMs?: number } = {}): StoredEntry[] {
    const { createdMs } = options;
    return Array.from({ length: n }, (_, index) =>
      this.append({ ...options, ...(createdMs !== undefined && { createdMs: createdMs + index * stepMs }) }),
    );
  }

  /** Sends an event that stands in no log: a record, or a whole payload when it has `Events`. */
  event(json: object): void {
    const id = ++this.#eventId;
    const payload = 'Events' in json ? json : wrapRecord(id, json);
    this.#desk.send(id, this.stream, () => writePayload(this.machine.profile, id, payload));
  }

  /** Sends a payload as it is, such as a metric report. */
  report(json: unknown): void {
    const id = ++this.#eventId;
    this.#desk.send(id, this.stream, () => writePayload(this.machine.profile, id, json));
  }

  /** Writes bytes to all open streams. */
  write(text: string): void {
    this.#desk.write(text);
  }

  heartbeat(): void {
    this.write(writeHeartbeat(this.machine.profile));
  }

  /** Requests for the stream so far. */
  get streamRequests(): number {
    return this.journal.filter(({ path }) => path === SSE_PATH).length;
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    response.on('error', () => {});
    const { path, query } = splitUrl(request);
    const canonical = path.replace(/\/+$/, '');
    const isOpen = canonical === '/redfish/v1' || (request.method === 'POST' && canonical === SESSIONS_PATH);
    const connection = this.#connectionOf(request.socket);
    const isAuthorized = this.#access.isAllowed(request.headers, !isOpen);
    const line = journalLine(request, isAuthorized, connection.id);
    this.journal.push(line);
    if (request.method === 'GET' && canonical !== SSE_PATH) this.#countInFlight(response);
    this.#options.watchers.notify();

    const posted = request.method === 'POST' ? readBody(request) : undefined;
    request.resume();
    const settle = () => {
      if (response.headersSent) line.status = response.statusCode;
    };
    response.on('close', settle);
    const send = (answer: Answer) => {
      if (response.destroyed) return;
      const body = bodyOf(answer);
      response.writeHead(answer.status, {
        ...(body.length > 0 && { 'content-type': 'application/json', 'content-length': body.length }),
        ...answer.headers,
      });
      settle();
      response.end(body);
    };
    const isStream = request.method === 'GET' && canonical === SSE_PATH;
    const judge = () => this.#refusal(request, isAuthorized || isOpen, isStream);
    const answer = () => judge() ?? this.#answer(request, canonical, query);
    const act = () => {
      const refusal = judge();
      if (refusal) return send(refusal);
      if (isStream) return this.#desk.answer(this.stream, request, response);
      if (!posted) return send(this.#answer(request, canonical, query));
      void posted.then((body) => send(this.#post(canonical, body)));
    };

    const fault = takeFault(this.faults, path, connection.served++ > 0);
    if (fault) spoil(fault, request, response, { answer: act, body: () => bodyOf(answer()) });
    else act();
    settle();
  }

  /** The answer that keeps a request out; undefined: let it in. */
  #refusal({ headers }: IncomingMessage, isAuthorized: boolean, isStream: boolean): Answer | undefined {
    const isLocked = this.#access.lockedOut && authKindOf(headers) !== 'none';
    if (isLocked || !isAuthorized) return redfishError(401, 'NoValidSession');
    return isStream && this.auth?.sseForbidden ? redfishError(403, 'InsufficientPrivilege') : undefined;
  }

  #answer({ method, headers }: IncomingMessage, path: string, query: string): Answer {
    if (method === 'DELETE' && path.startsWith(`${SESSIONS_PATH}/`)) return this.#access.logout(path);
    if (method !== 'GET') return redfishError(405, 'OperationNotAllowed');
    return applyOverlays(this.overlay, path, this.#resource(path, query, headers['if-none-match']));
  }

  #post(path: string, body: string): Answer {
    if (path === SESSIONS_PATH && this.auth?.sessions) return this.#access.login(body, this.address);
    return redfishError(405, 'OperationNotAllowed');
  }

  #resource(path: string, query: string, ifNoneMatch: string | undefined): Answer {
    const { tree } = this.#options;
    const log = tree ? undefined : this.machine.logs.find((one) => path.startsWith(`${one.path}/Entries`));
    if (log) {
      const id = path.slice(`${log.path}/Entries`.length + 1);
      return id === '' ? log.read(new URLSearchParams(query), ifNoneMatch) : log.readEntry(decodeURIComponent(id));
    }
    const body = this.#access.resource(path) ?? (tree ? tree(path) : this.machine.resource(path));
    if (body === undefined) return redfishError(404, 'ResourceMissingAtURI');
    if (path !== '/redfish/v1' || !this.auth?.sessions) return { status: 200, body };
    return { status: 200, body: { ...(body as object), Links: { Sessions: { '@odata.id': SESSIONS_PATH } } } };
  }

  #connectionOf(socket: Socket): { readonly id: number; served: number } {
    const known = this.#connections.get(socket);
    if (known) return known;
    const connection = { id: ++this.#lastConnection, served: 0 };
    this.#connections.set(socket, connection);
    return connection;
  }

  #countInFlight(response: ServerResponse): void {
    this.peakRequests = Math.max(this.peakRequests, ++this.#inFlight);
    let isOver = false;
    // Both: a client may send its next request before "close" of this answer is heard.
    const end = () => {
      if (!isOver) this.#inFlight--;
      isOver = true;
    };
    response.on('finish', end);
    response.on('close', end);
  }
}

function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => resolve(Buffer.concat(chunks).toString()));
  });
}
