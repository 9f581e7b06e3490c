import { randomBytes, type webcrypto } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { createSecureContext, type SecureContext, type SecureVersion, type TLSSocket } from 'node:tls';
import type { Clock } from '../../../src/component/clock.ts';
import { makeKeys } from './certify.ts';
import { type Algo, FaultList, isAnswerFault, isHandshakeFault } from './faults.ts';
import { type Identity, makeIdentities } from './identity.ts';
import type { Ledger } from './ledger.ts';
import { makeReport, type Quoters } from './report.ts';
import { spoilAnswer, spoilHandshake } from './spoil.ts';
import { fingerprintOf, type LeafKind, type TlsAuthority } from './tls-authority.ts';
import { TlsListener } from './tls-listener.ts';

/** What the backends of a fleet share. */
export interface BackendSetup {
  readonly clock: Clock;
  readonly random: () => number;
  readonly authority: TlsAuthority;
  readonly quoters: Quoters;
  readonly ledger: Ledger;
  readonly hasGpu: boolean;
  readonly hasTickets: boolean;
  readonly tls: { readonly minVersion?: SecureVersion; readonly maxVersion?: SecureVersion };
  readonly evidenceMs: number;
  readonly stopped: AbortSignal;
}

/** What is a backend's own. */
export interface BackendOptions {
  readonly index: number;
  readonly keys?: webcrypto.CryptoKeyPair | undefined;
  readonly instanceId?: string | undefined;
}

const NO_TICKET = 0x4000;
const ANY_NONCE = /^[\da-f]{64}$/i;

/** A TLS server that attests itself. */
export class Backend {
  readonly index: number;
  /** What an index counts by; made of the index, so both orders are the same. */
  readonly address: string;
  readonly instanceId: string;
  readonly identities: Readonly<Record<Algo, Identity>> = makeIdentities();
  readonly faults: FaultList;
  healthy = true;
  /** Reports made. */
  reports = 0;
  readonly #setup: BackendSetup;
  readonly #listener: TlsListener;
  readonly #sockets = new WeakMap<Socket, Socket>();
  readonly #contexts = new Map<LeafKind, Promise<SecureContext>>();
  #keys: webcrypto.CryptoKeyPair;
  /** What reports say instead of the truth. */
  #staleFingerprint: string | undefined;
  #evidence: Promise<void> = Promise.resolve();

  private constructor(setup: BackendSetup, { index, instanceId }: BackendOptions, keys: webcrypto.CryptoKeyPair) {
    this.index = index;
    this.address = `10.0.0.${index}`;
    this.instanceId = instanceId ?? randomBytes(20).toString('hex');
    this.faults = new FaultList(setup.random);
    this.#setup = setup;
    this.#keys = keys;
    this.#listener = new TlsListener({
      context: (tcp) => this.#contextFor(tcp),
      secured: (secured, tcp) => this.#note(secured, tcp),
      handle: (request, response) => void this.#answer(request, response).catch(() => response.destroy()),
    });
  }

  static async start(setup: BackendSetup, options: BackendOptions): Promise<Backend> {
    const backend = new Backend(setup, options, options.keys ?? (await makeKeys()));
    await backend.#contextOf('good');
    await backend.#listener.start();
    return backend;
  }

  get port(): number {
    return this.#listener.port;
  }

  /** SHA-256 of the key it presents, in hex. */
  get fingerprint(): string {
    return fingerprintOf(this.#keys);
  }

  kill(): void {
    this.healthy = false;
    this.#listener.cut();
  }

  /** Renews key and certificate, or only the certificate. With a stale report, reports go on to name the old key. */
  async rotate({ reuseKey = false, staleReport = false } = {}): Promise<void> {
    const old = this.fingerprint;
    if (!reuseKey) this.#keys = await makeKeys();
    this.#staleFingerprint = staleReport ? old : undefined;
    this.#contexts.clear();
    await this.#contextOf('good');
  }

  stop(): Promise<void> {
    return this.#listener.stop();
  }

  async #contextFor(tcp: Socket): Promise<SecureContext | undefined> {
    const fault = this.faults.take();
    if (fault === undefined || !isHandshakeFault(fault)) return this.#contextOf('good');
    if (fault !== 'handshakeStall' && fault !== 'handshakeAlert') return this.#contextOf(fault);
    spoilHandshake(fault, tcp);
    return undefined;
  }

  #contextOf(kind: LeafKind): Promise<SecureContext> {
    const { authority, hasTickets, tls } = this.#setup;
    const known = this.#contexts.get(kind);
    if (known) return known;
    const context = authority.leaf(kind, this.#keys).then((leaf) =>
      createSecureContext({
        ...leaf,
        ...tls,
        sessionIdContext: `backend ${this.index}`,
        ...(!hasTickets && { secureOptions: NO_TICKET }),
      }),
    );
    this.#contexts.set(kind, context);
    return context;
  }

  /** Enters in the ledger what only the end of TLS can see. */
  #note(secured: TLSSocket, tcp: Socket): void {
    this.#sockets.set(secured, tcp);
    const entry = this.#setup.ledger.forwarded(tcp.remotePort);
    if (!entry) return;
    entry.resumed = secured.isSessionReused();
    secured.on('data', (chunk: Buffer) => {
      entry.requestBytes += chunk.length;
    });
    this.#setup.ledger.changed();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { ledger, clock, quoters, hasGpu } = this.#setup;
    const tcp = this.#sockets.get(request.socket)!;
    const entry = ledger.forwarded(tcp.remotePort);
    if (entry) entry.requests++;
    ledger.changed();
    const url = new URL(request.url ?? '/', 'https://backend');
    if (url.pathname === '/v1/models') return send(response, 200, { object: 'list', data: [{ id: 'model' }] });
    if (url.pathname !== '/v1/attestation/report') return send(response, 404, { error: 'not found' });
    const { model = '', nonce = '', signing_algo: algo = 'ecdsa' } = Object.fromEntries(url.searchParams);
    if (!ANY_NONCE.test(nonce)) return send(response, 400, { error: 'nonce must be 32 bytes in hex' });
    if (algo !== 'ecdsa' && algo !== 'ed25519') return send(response, 400, { error: 'unknown signing_algo' });
    const fault = this.faults.take(algo);
    await this.#makeEvidence();
    const report = makeReport(
      quoters,
      {
        ...{ model, algo, nonce, hasGpu, instanceId: this.instanceId, identity: this.identities[algo] },
        fingerprint: this.#staleFingerprint ?? this.fingerprint,
      },
      fault,
    );
    this.reports++;
    if (fault !== undefined && isAnswerFault(fault))
      await spoilAnswer(fault, { clock, tcp, request, response, report });
    else send(response, 200, report);
    ledger.changed();
  }

  /** One at a time. */
  #makeEvidence(): Promise<void> {
    const { clock, evidenceMs, stopped } = this.#setup;
    if (evidenceMs > 0) this.#evidence = this.#evidence.then(() => clock.sleep(evidenceMs, stopped));
    return this.#evidence;
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
