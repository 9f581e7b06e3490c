import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Collateral, makeCollateral, type SignedDocument } from './collateral.ts';
import { FMSPC, type Hierarchy } from './hierarchy.ts';
import type { TcbName } from './tcb-levels.ts';

const LIFE_MS = 30 * 86_400_000;

/** The documents a PCCS is asked for. */
export type PccsDocument = 'pckCrl' | 'rootCrl' | 'tcbInfo' | 'qeIdentity';

/** A stand-in for Intel's provisioning certification service. What it serves is issued anew for each request. */
export class Pccs {
  readonly #hierarchy: Hierarchy;
  readonly #now: () => number;
  readonly #requests: Record<PccsDocument, number> = { pckCrl: 0, rootCrl: 0, tcbInfo: 0, qeIdentity: 0 };
  #isOut = false;
  #expiryMs: number | undefined;
  #tcb: { status: TcbName; advisories: readonly string[] } = { status: 'UpToDate', advisories: [] };

  constructor(hierarchy: Hierarchy, now: () => number) {
    this.#hierarchy = hierarchy;
    this.#now = now;
  }

  /** While on, every request is answered with 503. */
  outage(on: boolean): void {
    this.#isOut = on;
  }

  /** The nextUpdate of documents from now on; default: 30 days after each request. */
  setExpiry(epochMs: number | undefined): void {
    this.#expiryMs = epochMs;
  }

  /** What TCB info says of good backends from now on. */
  setTcb(status: TcbName, advisories: readonly string[] = []): void {
    this.#tcb = { status, advisories };
  }

  /** How often each document was asked for, also in an outage. */
  requests(): Readonly<Record<PccsDocument, number>> {
    return { ...this.#requests };
  }

  /** The collateral of this moment. */
  collateral(): Promise<Collateral> {
    const nowMs = this.#now();
    return makeCollateral(this.#hierarchy, { nowMs, nextUpdateMs: this.#expiryMs ?? nowMs + LIFE_MS, ...this.#tcb });
  }

  readonly handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const document = documentOf(new URL(request.url ?? '/', 'http://pccs'));
    if (document) this.#requests[document]++;
    if (!document || this.#isOut) {
      response.writeHead(document ? 503 : 404).end();
      return;
    }
    const collateral = await this.collateral();
    const [type, body, issuer = '', chain = ''] = answerOf(document, collateral);
    response.writeHead(200, { 'content-type': type, ...(issuer && { [issuer]: encodeURIComponent(chain) }) }).end(body);
  };
}

/** Content type and body, then the header that names the issuer, and the chain in it. */
function answerOf(document: PccsDocument, collateral: Collateral): [string, string | Buffer, string?, string?] {
  const { pckCrl, rootCrl, tcbInfo, qeIdentity, pckChain, tcbChain } = collateral;
  const signed = (name: string, { text, signature }: SignedDocument) =>
    `{"${name}":${text},"signature":"${signature}"}`;
  switch (document) {
    case 'pckCrl':
      return ['application/pkix-crl', pckCrl, 'SGX-PCK-CRL-Issuer-Chain', pckChain];
    case 'rootCrl':
      return ['text/plain', rootCrl.toString('hex')];
    case 'tcbInfo':
      return ['application/json', signed('tcbInfo', tcbInfo), 'TCB-Info-Issuer-Chain', tcbChain];
    case 'qeIdentity':
      return ['application/json', signed('enclaveIdentity', qeIdentity), 'SGX-Enclave-Identity-Issuer-Chain', tcbChain];
  }
}

/** There are only backends of one platform, beneath the platform's CA. */
function documentOf({ pathname, searchParams }: URL): PccsDocument | undefined {
  switch (pathname) {
    case '/sgx/certification/v4/pckcrl':
      return searchParams.get('ca') === 'platform' && searchParams.get('encoding') === 'der' ? 'pckCrl' : undefined;
    case '/sgx/certification/v4/rootcacrl':
      return 'rootCrl';
    case '/tdx/certification/v4/tcb':
      return searchParams.get('fmspc')?.toLowerCase() === FMSPC.toString('hex') ? 'tcbInfo' : undefined;
    case '/tdx/certification/v4/qe/identity':
      return 'qeIdentity';
    default:
      return undefined;
  }
}
