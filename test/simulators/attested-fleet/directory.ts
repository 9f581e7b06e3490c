import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Backend } from './backend.ts';

/** What the count of backends is said to be: so many, an error of the server, no such page, what it was before, the truth. */
export type Declared = number | 'error' | 404 | 'stale' | undefined;

interface Count {
  readonly healthy: number;
  readonly total: number;
}

/** What the proxy says of the backends behind it. */
export class Directory {
  declared: Declared;
  /** How often the count was asked for. */
  requests = 0;
  readonly #backends: readonly Backend[];
  #before: Count;

  constructor(backends: readonly Backend[]) {
    this.#backends = backends;
    this.#before = this.#count();
  }

  /** To be called before the backends change. */
  remember(): void {
    this.#before = this.#count();
  }

  readonly handle = (request: IncomingMessage, response: ServerResponse): void => {
    const send = (status: number, body: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    const { pathname } = new URL(request.url ?? '/', 'https://base');
    if (pathname === '/endpoints') {
      send(200, { endpoints: this.#backends.map(({ address, healthy }) => ({ address, healthy })) });
      return;
    }
    if (pathname !== '/backends/count') {
      send(404, { error: 'not found' });
      return;
    }
    this.requests++;
    const { declared } = this;
    if (declared === 'error') send(500, { error: 'count failed' });
    else if (declared === 404) send(404, { error: 'not found' });
    else if (declared === 'stale') send(200, this.#before);
    else send(200, declared === undefined ? this.#count() : { healthy: declared, total: declared });
  };

  #count(): Count {
    return { healthy: this.#backends.filter(({ healthy }) => healthy).length, total: this.#backends.length };
  }
}
