import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server that nobody should ever talk to. */
export interface Trap {
  readonly origin: string;
  /** Requests so far. */
  readonly requests: number;
  /** Connections so far; one that speaks TLS never becomes a request. */
  readonly connections: number;
  close(): Promise<void>;
}

/** Starts a server that counts who comes, for links that lead away from a BMC. */
export async function startTrap(): Promise<Trap> {
  let requests = 0;
  let connections = 0;
  const server = createServer((request, response) => {
    requests++;
    request.resume();
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  server.on('connection', () => void connections++);
  server.on('clientError', (_, socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get requests() {
      return requests;
    },
    get connections() {
      return connections;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
