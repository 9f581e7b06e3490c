import { KeyObject, type webcrypto } from 'node:crypto';
import { type Certified, certify, dnsNames } from './certify.ts';

const DAY_MS = 86_400_000;

/** What is wrong with a leaf. */
export type LeafKind = 'good' | 'expiredLeaf' | 'wrongName' | 'foreignCa';

/** PEM. */
export interface Leaf {
  readonly cert: string;
  readonly key: string;
}

/** Signs the TLS certificates of a domain. They are valid by the real clock, which is what Node checks them by. */
export class TlsAuthority {
  readonly #domain: string;
  readonly #own: Certified;
  readonly #foreign: Certified;

  private constructor(domain: string, own: Certified, foreign: Certified) {
    this.#domain = domain;
    this.#own = own;
    this.#foreign = foreign;
  }

  static async make(domain: string): Promise<TlsAuthority> {
    const make = (name: string) => certify({ name, isAuthority: true, ...validity() });
    return new TlsAuthority(domain, await make('Attested fleet TLS CA'), await make('Another TLS CA'));
  }

  /** PEM. */
  get ca(): string {
    return this.#own.cert.toString('pem');
  }

  async leaf(kind: LeafKind, keys: webcrypto.CryptoKeyPair): Promise<Leaf> {
    const names = kind === 'wrongName' ? ['other.invalid'] : [`*.${this.#domain}`, this.#domain];
    const { cert } = await certify({
      ...{ name: this.#domain, keys, extensions: [dnsNames(...names)], ...validity(kind === 'expiredLeaf') },
      signer: kind === 'foreignCa' ? this.#foreign : this.#own,
    });
    const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' });
    return { cert: cert.toString('pem'), key: key as string };
  }
}

function validity(isExpired = false): { readonly notBefore: Date; readonly notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - 10 * DAY_MS), notAfter: new Date(now + (isExpired ? -1 : 30) * DAY_MS) };
}
