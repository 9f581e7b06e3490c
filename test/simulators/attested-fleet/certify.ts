import { KeyObject, randomBytes, webcrypto } from 'node:crypto';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto as never);

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** A certificate with its P-256 key pair. */
export interface Certified {
  readonly cert: x509.X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

/** What a certificate is to say. */
export interface CertificateRequest {
  /** Common name. */
  readonly name: string;
  /** Who signs; default: itself. */
  readonly signer?: Certified;
  readonly isAuthority?: boolean;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly extensions?: readonly Extension[];
  /** Default: new ones. */
  readonly keys?: webcrypto.CryptoKeyPair;
}

/** Makes a P-256 key pair. */
export function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

/** Makes a certificate. */
export async function certify(request: CertificateRequest): Promise<Certified> {
  const { name, signer, isAuthority = false, notBefore, notAfter, extensions = [] } = request;
  const keys = request.keys ?? (await makeKeys());
  const cert = await x509.X509CertificateGenerator.create({
    ...{ notBefore, notAfter, signingAlgorithm: ALGORITHM },
    serialNumber: `40${randomBytes(7).toString('hex')}`,
    subject: `CN=${name}`,
    issuer: signer?.cert.subject ?? `CN=${name}`,
    publicKey: keys.publicKey as never,
    signingKey: (signer?.keys ?? keys).privateKey as never,
    extensions: [new x509.BasicConstraintsExtension(isAuthority, undefined, true), ...extensions],
  });
  return { cert, keys };
}

/** An extension of a certificate, with its DER value. */
export type Extension = x509.Extension;

/** Makes an extension that is not critical. */
export function makeExtension(oid: string, value: Uint8Array): Extension {
  return new x509.Extension(oid, false, value);
}

/** The names a TLS server goes by. */
export function dnsNames(...names: readonly string[]): Extension {
  return new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value })));
}

/** DER of a list of revoked certificates without entries. */
export async function makeCrl(issuer: Certified, thisUpdate: Date, nextUpdate: Date): Promise<Buffer> {
  const crl = await x509.X509CrlGenerator.create({
    ...{ thisUpdate, nextUpdate, signingAlgorithm: ALGORITHM },
    issuer: issuer.cert.subject,
    signingKey: issuer.keys.privateKey as never,
  });
  return Buffer.from(crl.rawData);
}

/** The private key as node:crypto takes it. */
export function privateKeyOf({ keys }: Certified): KeyObject {
  return KeyObject.from(keys.privateKey);
}

/** PEM of certificates behind one another. */
export function pemChain(...chain: readonly Certified[]): string {
  return chain.map(({ cert }) => `${cert.toString('pem')}\n`).join('');
}
