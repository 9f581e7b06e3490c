import { createHash, KeyObject, type webcrypto } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { makeKeys } from './certify.ts';
import type { LeafKind, TlsAuthority } from './tls-authority.ts';

/** The TLS key of a backend, with good and bad certificates for it. */
export class TlsIdentity {
  readonly #authority: TlsAuthority;
  readonly #options: SecureContextOptions;
  readonly #contexts = new Map<LeafKind, Promise<SecureContext>>();
  #keys: webcrypto.CryptoKeyPair;

  constructor(authority: TlsAuthority, options: SecureContextOptions, keys: webcrypto.CryptoKeyPair) {
    this.#authority = authority;
    this.#options = options;
    this.#keys = keys;
  }

  /** SHA-256 of the DER of the public key, in hex. */
  get fingerprint(): string {
    const spki = KeyObject.from(this.#keys.publicKey).export({ type: 'spki', format: 'der' });
    return createHash('sha256').update(spki).digest('hex');
  }

  /** Made when it is first needed. */
  context(kind: LeafKind): Promise<SecureContext> {
    const known = this.#contexts.get(kind);
    if (known) return known;
    const leaf = this.#authority.leaf(kind, this.#keys);
    const context = leaf.then((pem) => createSecureContext({ ...pem, ...this.#options }));
    this.#contexts.set(kind, context);
    return context;
  }

  /** Renews the certificates, and the key unless it is to be used again. */
  async renew(reuseKey: boolean): Promise<void> {
    if (!reuseKey) this.#keys = await makeKeys();
    this.#contexts.clear();
    await this.context('good');
  }
}
