import { readFile } from 'node:fs/promises';
import { buildConnector } from 'undici';
import type { Clock } from '../../../src/component/clock.ts';
import { deadline } from '../../../src/component/deadline.ts';
import { OutbandError } from '../../../src/component/errors.ts';
import type { Semaphore } from '../../../src/resilience/semaphore.ts';
import type { EndpointConfig } from '../config.ts';

const TCP_KEEP_ALIVE_MS = 30_000;

export interface ConnectorOptions {
  readonly tls: EndpointConfig['tls'];
  /** Milliseconds for TCP and TLS together. */
  readonly connectTimeoutMs: number;
  /** One for all endpoints of a receiver: set-ups in flight. A fleet that comes back at once must not starve the event loop. */
  readonly handshakes: Semaphore;
  readonly clock: Clock;
  /** Ends all set-ups under way. */
  readonly signal: AbortSignal;
}

/** How undici gets its sockets: through the gate for handshakes, under our own deadline, HTTP/1.1 only. */
export async function createConnector(options: ConnectorOptions): Promise<buildConnector.connector> {
  const { tls, connectTimeoutMs, handshakes, clock, signal } = options;
  const connect = buildConnector({
    allowH2: false,
    timeout: 0,
    keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
    rejectUnauthorized: !tls.insecure_skip_verify,
    ...(tls.ca_file !== undefined && { ca: await readCertificates(tls.ca_file) }),
  });
  return (target, callback) => {
    void (async () => {
      const release = await handshakes.acquire(signal);
      const limit = deadline(clock, connectTimeoutMs, 'the connection set-up', signal);
      const finish: typeof callback = (...result) => {
        limit[Symbol.dispose]();
        release();
        callback(...result);
      };
      // undici's connector returns its socket, which its types do not say.
      const socket = connect(target, finish) as unknown as { destroy(error: Error): void };
      limit.signal.addEventListener('abort', () => socket.destroy(limit.signal.reason), { once: true });
    })().catch((error) => callback(error, null));
  };
}

async function readCertificates(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new OutbandError('config_source', `tls::ca_file: cannot read ${path}`, { cause });
  }
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw new OutbandError('config_source', `tls::ca_file: ${path} holds no certificate in PEM form`);
}
