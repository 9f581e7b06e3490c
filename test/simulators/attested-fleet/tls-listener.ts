import { once } from 'node:events';
import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import type { Ledger, LedgerEntry } from './ledger.ts';

/** What a port does. */
export interface TlsService {
  /** Asked when the first bytes are there. Undefined: the connection was dealt with below TLS. */
  context(tcp: Socket): Promise<SecureContext | undefined>;
  /** @param tcp what is beneath TLS */
  handle(request: IncomingMessage, response: ServerResponse, tcp: Socket): void;
}

/**
 * A port on loopback that speaks HTTP over TLS; made of parts so that each connection can get another certificate.
 * Enters in the ledger what only the end of TLS can see.
 */
export class TlsListener {
  readonly #ledger: Ledger;
  readonly #service: TlsService;
  readonly #http: HttpServer;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** What is beneath each TLS connection, and above each of TCP. */
  readonly #beneath = new WeakMap<Socket, Socket>();
  readonly #above = new WeakMap<Socket, Socket>();

  constructor(ledger: Ledger, service: TlsService) {
    this.#ledger = ledger;
    this.#service = service;
    this.#http = createHttpServer((request, response) => {
      const tcp = this.#beneath.get(request.socket)!;
      const entry = ledger.forwarded(tcp.remotePort);
      if (entry) entry.requests++;
      service.handle(request, response, tcp);
      ledger.changed();
    });
    this.#http.keepAliveTimeout = 0;
    this.#server = createServer({ noDelay: true }, (tcp) => void this.#take(tcp));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  /** Resets all connections. */
  cut(): void {
    for (const socket of this.#sockets) reset(socket, this.#above.get(socket));
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, 'close');
  }

  async #take(tcp: Socket): Promise<void> {
    this.#sockets.add(tcp);
    tcp.on('error', () => {});
    tcp.on('close', () => this.#sockets.delete(tcp));
    await new Promise((resolve) => tcp.once('readable', resolve));
    const secureContext = await this.#service.context(tcp);
    if (!secureContext || tcp.destroyed) return;
    const secured = new TLSSocket(tcp, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] });
    this.#above.set(tcp, secured);
    secured.on('error', () => tcp.destroy());
    secured.on('secure', () => {
      this.#beneath.set(secured, tcp);
      this.#http.emit('connection', secured);
      const entry = this.#ledger.forwarded(tcp.remotePort);
      if (entry) this.#note(secured, entry);
    });
  }

  #note(secured: TLSSocket, entry: LedgerEntry): void {
    entry.resumed = secured.isSessionReused();
    secured.on('data', (chunk: Buffer) => {
      entry.requestBytes += chunk.length;
    });
    this.#ledger.changed();
  }
}

/**
 * Resets a connection, unless its end is on the way: Node never closes a socket that is reset then, and a process with such a
 * socket spins at its exit.
 */
export function reset(tcp: Socket, above: Socket = tcp): void {
  const isEnding = [tcp, above].some(({ writableEnded, writableFinished }) => writableEnded && !writableFinished);
  if (isEnding) tcp.destroy();
  else tcp.resetAndDestroy();
}
