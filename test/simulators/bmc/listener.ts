import { createServer as createHttpServer, type Server as HttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, type SecureVersion, TLSSocket } from 'node:tls';
import type { Leaf } from './certificates.ts';

/**
 * A port that speaks HTTP, over TLS when there is a secure context. Made of parts where `https` has one of its own:
 * thousands of them share one context, a key changes while the port stays, and a connection can be left unanswered.
 */
export class Listener {
  /** Accepts connections and never answers, not even TLS. */
  hangs = false;
  /** For connections that come; undefined: plain http. */
  secureContext: SecureContext | undefined;
  readonly #http: HttpServer;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;

  constructor(handle: RequestListener, secureContext: SecureContext | undefined) {
    this.secureContext = secureContext;
    this.#http = createHttpServer(handle);
    this.#http.keepAliveTimeout = 0;
    this.#http.requestTimeout = 0;
  }

  get port(): number {
    return this.#port;
  }

  /** Listens, on the same port every time. */
  async up(): Promise<void> {
    const server = createServer({ allowHalfOpen: !this.secureContext, noDelay: true }, (socket) => this.#take(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    server.on('error', () => {});
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Refuses connections, and cuts all open ones. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  #take(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    if (this.hangs) return;
    const { secureContext } = this;
    if (!secureContext) {
      this.#http.emit('connection', socket);
      return;
    }
    const secured = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] });
    secured.on('error', () => socket.destroy());
    secured.on('secure', () => this.#http.emit('connection', secured));
  }
}

/** What all BMCs with the same certificate share. */
export function secureContextOf({ cert, key }: Leaf, maxVersion?: SecureVersion): SecureContext {
  return createSecureContext({
    ...{ cert, key },
    // OpenSSL speaks the old versions only when told that little security is enough.
    ...(maxVersion && { maxVersion, minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' }),
  });
}
