import { createHash } from 'node:crypto';
import { lookup as lookupName } from 'node:dns/promises';
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls';
import { aborted } from '../../../src/component/aborted.ts';
import type { Clock } from '../../../src/component/clock.ts';
import { deadline } from '../../../src/component/deadline.ts';
import { spkiOf } from '../der.ts';
import { connectFailure, failure, handshakeFailure, ProbeFailed, setUpTimeout } from './failure.ts';

export interface ConnectOptions {
  /** Name in SNI, and of the certificate. */
  readonly host: string;
  readonly port: number;
  /** Where to connect to, when that is not what `host` resolves to. */
  readonly address?: string | undefined;
  readonly secureContext: SecureContext;
  /** Milliseconds for name, TCP and TLS together. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** A TLS connection whose chain, name and dates Node has accepted, before a byte of a request. */
export interface Connection {
  readonly socket: TLSSocket;
  /** It took up a session of before: the peer showed no certificate. */
  readonly reused: boolean;
  /** Undefined when the peer showed none. */
  readonly peer: PeerKey | undefined;
  readonly localPort: number | undefined;
  /** Milliseconds. */
  readonly elapsed: { readonly dns: number; readonly tcp: number; readonly tls: number };
}

export interface PeerKey {
  /** SHA-256 of the SubjectPublicKeyInfo, 64 hex digits. */
  readonly fingerprint: string;
  /** End of the certificate's life; milliseconds since the epoch. */
  readonly notAfter: number;
}

export type Connect = (options: ConnectOptions) => Promise<Connection>;

/**
 * Opens one TLS connection that shares nothing with any other: no session, no ticket, no early data.
 * @throws ProbeFailed with category `connect`; the reason of `signal` when that aborted
 */
export const openConnection: Connect = async ({ host, port, address, secureContext, timeoutMs, clock, signal }) => {
  using limit = deadline(clock, timeoutMs, 'the connection set-up', signal);
  const began = clock.monotonic();
  const onLimit = (stage: 'dns' | 'tcp_timeout' | 'tls_timeout') => {
    signal.throwIfAborted();
    if (limit.signal.aborted) throw new ProbeFailed(stage === 'dns' ? failure('dns') : setUpTimeout(stage, timeoutMs));
  };
  const addresses = address === undefined ? await resolveWithin(host, limit.signal, () => onLimit('dns')) : [address];
  const resolved = clock.monotonic();
  const lookup: LookupFunction = (_name, { all }, callback) =>
    all
      ? callback(
          null,
          addresses.map((one) => ({ address: one, family: isIP(one) })),
        )
      : callback(null, addresses[0]!, isIP(addresses[0]!));
  const tcp = connectTcp({ host, port, lookup, autoSelectFamily: true });
  try {
    await ready(tcp, 'connect', limit.signal);
  } catch (error) {
    onLimit('tcp_timeout');
    throw new ProbeFailed(connectFailure(error));
  }
  const connected = clock.monotonic();
  const socket = connectTls({
    socket: tcp,
    secureContext,
    rejectUnauthorized: true,
    ...(isIP(host) === 0 ? { servername: host } : { host }),
    ALPNProtocols: ['http/1.1'],
  });
  try {
    await ready(socket, 'secureConnect', limit.signal);
  } catch (error) {
    tcp.destroy();
    onLimit('tls_timeout');
    throw new ProbeFailed(handshakeFailure(error));
  }
  return {
    socket,
    reused: socket.isSessionReused(),
    peer: peerOf(socket),
    localPort: socket.localPort,
    elapsed: { dns: resolved - began, tcp: connected - resolved, tls: clock.monotonic() - connected },
  };
};

/** Reads the key that the peer showed on this very connection. */
export function peerOf(socket: TLSSocket): PeerKey | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) return undefined;
  return {
    fingerprint: createHash('sha256').update(spkiOf(certificate.raw)).digest('hex'),
    notAfter: Date.parse(certificate.validTo),
  };
}

async function resolveWithin(host: string, signal: AbortSignal, onLimit: () => void): Promise<readonly string[]> {
  try {
    const found = await Promise.race([resolveHost(host), aborted(signal)]);
    if (found && found.length > 0) return found;
  } catch {
    // The system's text names the host; ours does not.
  }
  onLimit();
  throw new ProbeFailed(failure('dns'));
}

/**
 * Addresses of a name, in the order in which the system gives them. Names below `localhost` are the loopback without
 * asking anybody.
 * @see RFC 6761, section 6.3
 */
export async function resolveHost(host: string): Promise<readonly string[]> {
  const literal = host.replace(/^\[|\]$/g, '');
  if (isIP(literal) !== 0) return [literal];
  if (/(^|\.)localhost\.?$/i.test(host)) return ['127.0.0.1'];
  return (await lookupName(host, { all: true })).map(({ address }) => address);
}

/** Resolves with the event; an error, an end or the signal destroys the socket. */
function ready(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => finish(new Error('aborted'));
    const onClose = () => finish(new Error('closed'));
    const onReady = () => finish();
    const finish = (error?: Error) => {
      signal.removeEventListener('abort', onAbort);
      socket.off(event, onReady).off('close', onClose).off('error', finish);
      if (error === undefined) return resolve();
      // Whatever it says from now on is of no interest.
      socket.on('error', () => {}).destroy();
      reject(error);
    };
    socket.once(event, onReady).once('close', onClose).once('error', finish);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
