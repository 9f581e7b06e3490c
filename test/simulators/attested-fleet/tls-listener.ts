import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';

/** What differs from connection to connection. */
export interface TlsHooks {
  /** Asked when the first bytes are there. Undefined: the connection was dealt with below TLS. */
  context(tcp: Socket): Promise<SecureContext | undefined>;
  /** The handshake is over. */
  secured?(secured: TLSSocket, tcp: Socket): void;
  readonly handle: RequestListener;
}

/** A port on loopback that speaks HTTP over TLS; made of parts so that each connection can get another certificate. */
export class TlsListener {
  readonly #hooks: TlsHooks;
  readonly #http: HttpServer;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(hooks: TlsHooks) {
    this.#hooks = hooks;
    this.#http = createHttpServer(hooks.handle);
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
    for (const socket of this.#sockets) socket.resetAndDestroy();
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
    const secureContext = await this.#hooks.context(tcp);
    if (!secureContext || tcp.destroyed) return;
    const secured = new TLSSocket(tcp, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] });
    secured.on('error', () => tcp.destroy());
    secured.on('secure', () => {
      this.#http.emit('connection', secured);
      this.#hooks.secured?.(secured, tcp);
    });
  }
}
