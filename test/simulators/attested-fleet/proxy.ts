import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../../src/component/clock.ts';
import { readClientHello } from './client-hello.ts';
import type { Ledger, LedgerEntry } from './ledger.ts';
import { reset } from './tls-listener.ts';

const HELLO_TIMEOUT_MS = 2_000;

/** Says which port a connection goes to, by its `sni`, and notes why in its entry; undefined: close it. */
export type Route = (entry: LedgerEntry, ip: string) => number | undefined;

/** A balancer below TLS: reads the name a client asks for and passes bytes. */
export class SniProxy {
  readonly #clock: Clock;
  readonly #ledger: Ledger;
  readonly #route: Route;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;

  constructor(clock: Clock, ledger: Ledger, route: Route) {
    this.#clock = clock;
    this.#ledger = ledger;
    this.#route = route;
  }

  get port(): number {
    return this.#port;
  }

  /** Listens, on the same port every time. */
  async accept(): Promise<void> {
    if (this.#server) return;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => void this.#take(client));
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Refuses new connections; open ones go on. */
  refuse(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.refuse();
    const closed = [...this.#sockets].map(
      (socket) => new Promise((resolve) => socket.once('close', resolve).destroy()),
    );
    if (server) await once(server, 'close');
    await Promise.all(closed);
  }

  async #take(client: Socket): Promise<void> {
    this.#hold(client);
    const { remotePort = 0, remoteAddress = '' } = client;
    const entry = this.#ledger.add(Number(this.#clock.now() / 1_000_000n), remotePort);
    const hello = await this.#readHello(client);
    if (!hello) return;
    entry.sni = hello.name;
    const port = this.#route(entry, remoteAddress);
    this.#ledger.changed();
    if (port === undefined) {
      client.destroy();
      return;
    }
    const upstream = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    this.#hold(upstream);
    upstream.once('connect', () => {
      const from = upstream.localPort!;
      this.#ledger.forward(entry, from);
      upstream.once('close', () => this.#ledger.done(from));
    });
    upstream.write(hello.bytes);
    upstream.on('data', (chunk) => {
      entry.bytesOut += chunk.length;
    });
    pass(client, upstream);
    pass(upstream, client);
  }

  /** Reads up to the end of the ClientHello; undefined: the connection is of no use, and closed. */
  async #readHello(client: Socket): Promise<{ readonly name: string | undefined; readonly bytes: Buffer } | undefined> {
    const enough = new AbortController();
    void this.#clock.sleep(HELLO_TIMEOUT_MS, enough.signal).then(
      () => client.destroy(),
      () => {},
    );
    try {
      let bytes = Buffer.alloc(0);
      for await (const chunk of client.iterator({ destroyOnReturn: false })) {
        bytes = Buffer.concat([bytes, chunk]);
        const reading = readClientHello(bytes);
        if (reading.kind === 'hello') return { name: reading.name, bytes };
        if (reading.kind === 'bad') break;
      }
    } catch {
      // Cut, by the client or for lack of time.
    } finally {
      enough.abort();
    }
    client.destroy();
    return undefined;
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
  }
}

/** Passes bytes, the end of them, and a reset. */
function pass(from: Socket, to: Socket): void {
  from.pipe(to);
  from.on('error', () => reset(to));
  from.on('close', () => {
    if (!from.readableEnded) to.destroy();
  });
}
