import { TLSSocket } from 'node:tls';
import { buildConnector } from 'undici';
import type { Clock } from '../../../src/component/clock.ts';
import { deadline } from '../../../src/component/deadline.ts';
import type { Semaphore } from '../../../src/resilience/semaphore.ts';
import { pinMistake, type TlsOptions } from './tls.ts';

const TCP_KEEP_ALIVE_MS = 30_000;

export interface ConnectorOptions {
  readonly tls: TlsOptions;
  /** Keys to accept, base64 of their SHA-256; []: any. */
  readonly pins: readonly string[];
  /** Milliseconds for TCP and TLS together. */
  readonly connectTimeoutMs: number;
  /** One for all endpoints of a receiver: set-ups in flight. A fleet that comes back at once must not starve the event loop. */
  readonly handshakes: Semaphore;
  readonly clock: Clock;
  /** Ends a set-up that begins now. */
  readonly signal: () => AbortSignal;
}

/**
 * How undici gets its sockets: through the gate for handshakes, under our own deadline, HTTP/1.1 only. A key that is not
 * pinned gets no byte of HTTP.
 */
export function createConnector(options: ConnectorOptions): buildConnector.connector {
  const { tls, pins, connectTimeoutMs, handshakes, clock } = options;
  const connect = buildConnector({
    allowH2: false,
    timeout: 0,
    keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
    ...tls,
  });
  return (target, callback) => {
    void (async () => {
      const signal = options.signal();
      const release = await handshakes.acquire(signal);
      const limit = deadline(clock, connectTimeoutMs, 'the connection set-up', signal);
      const finish: typeof callback = (error, connected) => {
        limit[Symbol.dispose]();
        release();
        if (error || !connected) return callback(error ?? new Error('no socket'), null);
        const mistake = connected instanceof TLSSocket ? pinMistake(connected, pins) : undefined;
        if (!mistake) return callback(null, connected);
        connected.destroy();
        callback(mistake, null);
      };
      // undici's connector returns its socket, which its types do not say.
      const socket = connect(target, finish) as unknown as { destroy(error: Error): void };
      limit.signal.addEventListener('abort', () => socket.destroy(limit.signal.reason), { once: true });
    })().catch((error) => callback(error, null));
  };
}
