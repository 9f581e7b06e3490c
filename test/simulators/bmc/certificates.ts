import { createHash, webcrypto, X509Certificate } from 'node:crypto';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;

/** What is wrong with a certificate. */
export type CertificateKind = 'good' | 'self_signed' | 'expired' | 'not_yet_valid' | 'wrong_name';

/** A certificate with its key. PEM. */
export interface Leaf {
  readonly cert: string;
  readonly key: string;
  /** Base64 of the SHA-256 of its SubjectPublicKeyInfo. */
  readonly spkiSha256: string;
}

/** A certificate for 127.0.0.1 and localhost, signed by an authority of its own. All PEM. */
export interface Certificates extends Leaf {
  /** Of the authority, also where that did not sign. */
  readonly ca: string;
  /** Another certificate of the same kind and authority, with a new key. */
  readonly renew: () => Promise<Leaf>;
}

export async function makeCertificates(kind: CertificateKind = 'good'): Promise<Certificates> {
  x509.cryptoProvider.set(webcrypto as never);
  const authorityKeys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    ...{ serialNumber: '01', name: 'CN=Simulated BMC authority' },
    ...validity('good'),
    keys: authorityKeys as never,
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
  });
  let serial = 1;
  const renew = () => makeLeaf(kind, authority, authorityKeys.privateKey, ++serial);
  return { ca: authority.toString('pem'), ...(await renew()), renew };
}

async function makeLeaf(
  kind: CertificateKind,
  authority: x509.X509Certificate,
  authorityKey: webcrypto.CryptoKey,
  serial: number,
): Promise<Leaf> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const isSelfSigned = kind === 'self_signed';
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial.toString(16).padStart(2, '0'),
    subject: 'CN=127.0.0.1',
    issuer: isSelfSigned ? 'CN=127.0.0.1' : authority.subject,
    ...validity(kind),
    publicKey: keys.publicKey as never,
    signingKey: (isSelfSigned ? keys.privateKey : authorityKey) as never,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.SubjectAlternativeNameExtension(
        kind === 'wrong_name'
          ? [{ type: 'dns', value: 'other.invalid' }]
          : [
              { type: 'ip', value: '127.0.0.1' },
              { type: 'dns', value: 'localhost' },
            ],
      ),
    ],
  });
  const cert = certificate.toString('pem');
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const spki = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' });
  return {
    cert,
    key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
    spkiSha256: createHash('sha256').update(spki).digest('base64'),
  };
}

function validity(kind: CertificateKind): { readonly notBefore: Date; readonly notAfter: Date } {
  const now = Date.now();
  if (kind === 'expired') return { notBefore: new Date(now - 30 * DAY_MS), notAfter: new Date(now - DAY_MS) };
  if (kind === 'not_yet_valid') return { notBefore: new Date(now + DAY_MS), notAfter: new Date(now + 30 * DAY_MS) };
  return { notBefore: new Date(now - DAY_MS), notAfter: new Date(now + 30 * DAY_MS) };
}
