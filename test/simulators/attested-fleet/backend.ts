import { randomBytes, type webcrypto } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { SecureContext, SecureVersion } from 'node:tls';
import type { Clock } from '../../../src/component/clock.ts';
import { makeKeys } from './certify.ts';
import { type Algo, FaultList, isAnswerFault, isHandshakeFault } from './faults.ts';
import { type Identity, makeIdentities } from './identity.ts';
import type { Ledger } from './ledger.ts';
import { makeReport, type Quoters } from './report.ts';
import { spoilAnswer, spoilHandshake } from './spoil.ts';
import type { TlsAuthority } from './tls-authority.ts';
import { TlsIdentity } from './tls-identity.ts';
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
  readonly #tls: TlsIdentity;
  /** What reports say instead of the truth. */
  #staleFingerprint: string | undefined;
  #evidence: Promise<void> = Promise.resolve();

  private constructor(setup: BackendSetup, { index, instanceId }: BackendOptions, keys: webcrypto.CryptoKeyPair) {
    this.index = index;
    this.address = `10.0.0.${index}`;
    this.instanceId = instanceId ?? randomBytes(20).toString('hex');
    this.faults = new FaultList(setup.random);
    this.#setup = setup;
    const secureOptions = setup.hasTickets ? 0 : NO_TICKET;
    const options = { ...setup.tls, secureOptions, sessionIdContext: `backend ${index}` };
    this.#tls = new TlsIdentity(setup.authority, options, keys);
    this.#listener = new TlsListener(setup.ledger, {
      context: (tcp) => this.#contextFor(tcp),
      handle: (request, response, tcp) =>
        void this.#answer(request, response, tcp)
          .catch(() => response.destroy())
          .then(() => setup.ledger.changed()),
    });
  }

  static async start(setup: BackendSetup, options: BackendOptions): Promise<Backend> {
    const backend = new Backend(setup, options, options.keys ?? (await makeKeys()));
    await backend.#tls.context('good');
    await backend.#listener.start();
    return backend;
  }

  get port(): number {
    return this.#listener.port;
  }

  /** SHA-256 of the key it presents, in hex. */
  get fingerprint(): string {
    return this.#tls.fingerprint;
  }

  kill(): void {
    this.healthy = false;
    this.#listener.cut();
  }

  /** Renews key and certificate, or only the certificate. With a stale report, reports go on to name the old key. */
  async rotate({ reuseKey = false, staleReport = false } = {}): Promise<void> {
    this.#staleFingerprint = staleReport ? this.fingerprint : undefined;
    await this.#tls.renew(reuseKey);
  }

  stop(): Promise<void> {
    return this.#listener.stop();
  }

  async #contextFor(tcp: Socket): Promise<SecureContext | undefined> {
    const fault = this.faults.take();
    if (fault === undefined || !isHandshakeFault(fault)) return this.#tls.context('good');
    if (fault !== 'handshakeStall' && fault !== 'handshakeAlert') return this.#tls.context(fault);
    spoilHandshake(fault, tcp);
    return undefined;
  }

  async #answer(request: IncomingMessage, response: ServerResponse, tcp: Socket): Promise<void> {
    const { clock, quoters, hasGpu } = this.#setup;
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
    this.#setup.ledger.changed();
    if (fault !== undefined && isAnswerFault(fault))
      await spoilAnswer(fault, { clock, tcp, request, response, report });
    else send(response, 200, report);
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
