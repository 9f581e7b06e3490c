import { verify, X509Certificate } from 'node:crypto';
import type { Collateral } from '@phala/dcap-qvl';
import { readRevocationList } from '../der.ts';

/** Which kind of authority signed the key of a platform. */
export type PckCa = 'processor' | 'platform';

/** What quotes of one kind of platform are judged by. */
export interface CollateralKey {
  /** 12 hex digits, lower case. */
  readonly fmspc: string;
  readonly ca: PckCa;
}

/** Collateral whose revocation lists were proven and whose dates are known. */
export interface CheckedCollateral {
  readonly documents: Collateral;
  /** Milliseconds since the epoch between which all of it holds. */
  readonly validFrom: number;
  readonly validUntil: number;
  /** DER of the key that signed the list of revoked platform keys. */
  readonly pckCaKey: Buffer;
}

/**
 * Proves what the quote verifier leaves unproven: that the revocation lists come from the authorities themselves, and how
 * long they hold. A list that is unsigned, or of another authority, would let revoked keys pass.
 * @param rootDer the one trusted certificate
 * @throws Error when something is missing or not signed; the text is for nobody
 * @see RFC 5280, section 6.3
 */
export function checkCollateral(documents: Collateral, rootDer: Buffer): CheckedCollateral {
  const root = new X509Certificate(rootDer);
  const [pckCa, ...above] = certificatesIn(documents.pck_crl_issuer_chain);
  const signers = [pckCa!, ...above];
  for (const [index, certificate] of signers.entries()) {
    const issuer = signers[index + 1] ?? root;
    if (!certificate.verify(issuer.publicKey) || !certificate.ca)
      throw new Error('issuer of revocations is not trusted');
  }
  const lists = [
    [documents.root_ca_crl, root],
    [documents.pck_crl, pckCa!],
  ] as const;
  const dates = lists.map(([raw, issuer]) => {
    const list = readRevocationList(bytesOf(raw));
    if (!verify('sha256', list.signed, issuer.publicKey, list.signature)) throw new Error('revocations are not signed');
    return [list.thisUpdate, list.nextUpdate] as const;
  });
  for (const json of [documents.tcb_info, documents.qe_identity]) {
    const { issueDate, nextUpdate } = JSON.parse(json) as { issueDate: string; nextUpdate: string };
    dates.push([Date.parse(issueDate), Date.parse(nextUpdate)]);
  }
  const validFrom = Math.max(...dates.map(([from]) => from));
  const validUntil = Math.min(...dates.map(([, until]) => until));
  if (!Number.isFinite(validFrom) || !Number.isFinite(validUntil)) throw new Error('collateral without dates');
  return { documents, validFrom, validUntil, pckCaKey: keyOf(pckCa!) };
}

/** Who the platform is that a quote comes from. @param pckChain PEM, the platform's own certificate first */
export function platformOf(
  pckChain: string,
  fmspcOf: (leaf: Buffer) => Buffer,
): CollateralKey & { readonly caKey: Buffer } {
  const [leaf, authority] = certificatesIn(pckChain);
  return {
    fmspc: Buffer.from(fmspcOf(Buffer.from(leaf!.raw))).toString('hex'),
    // As Intel names its two authorities.
    ca: /Platform CA/.test(leaf!.issuer) ? 'platform' : 'processor',
    caKey: keyOf(authority!),
  };
}

export function keyOf(certificate: X509Certificate): Buffer {
  return certificate.publicKey.export({ type: 'spki', format: 'der' });
}

function certificatesIn(pem: string): X509Certificate[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0) throw new Error('no certificate');
  return found.map((one) => new X509Certificate(one));
}

function bytesOf(value: string | number[]): Buffer {
  return typeof value === 'string' ? Buffer.from(value, 'hex') : Buffer.from(value);
}
