import { verify, X509Certificate } from 'node:crypto';
import { type Collateral, utils } from '@phala/dcap-qvl';
import { readRevocationList } from '../der.ts';

/** Which kind of authority signed the key of a platform. */
export type PckCa = 'processor' | 'platform';

/** What quotes of one kind of platform are judged by. */
export interface CollateralKey {
  /** 12 hex digits, lower case. */
  readonly fmspc: string;
  readonly ca: PckCa;
}

/** Why collateral is of no use, in words of ours. */
export class CollateralRefused extends Error {}

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
 * long they hold. A list that is unsigned, of another authority, or that the verifier cannot read and so leaves out, would
 * let revoked keys pass. The rest is proven here, too: what is not genuine must not be held until it says that it expires.
 * @param rootDer the one trusted certificate
 * @param key what the collateral was asked for
 * @throws CollateralRefused when something is missing, not signed or of another platform
 * @see RFC 5280, section 6.3
 */
export function checkCollateral(
  documents: Collateral,
  rootDer: Buffer,
  { fmspc, ca }: CollateralKey,
): CheckedCollateral {
  const root = new X509Certificate(rootDer);
  const pckCa = signerIn(documents.pck_crl_issuer_chain, root);
  if (!pckCa.ca || caNamed(pckCa.subject) !== ca) throw new CollateralRefused('revocations are of another authority');
  const lists = [
    [documents.root_ca_crl, root],
    [documents.pck_crl, pckCa],
  ] as const;
  const dates = lists.map(([raw, issuer]) => {
    const bytes = bytesOf(raw);
    const list = readRevocationList(bytes);
    utils.CertificateList.decode(bytes, 'der');
    if (!verify('sha256', list.signed, issuer.publicKey, list.signature))
      throw new CollateralRefused('revocations are not signed');
    return [list.thisUpdate, list.nextUpdate] as const;
  });
  const signed = [
    [documents.tcb_info, documents.tcb_info_signature, documents.tcb_info_issuer_chain],
    [documents.qe_identity, documents.qe_identity_signature, documents.qe_identity_issuer_chain],
  ] as const;
  for (const [json, signature, chain] of signed) {
    const key = { key: signerIn(chain, root).publicKey, dsaEncoding: 'ieee-p1363' } as const;
    if (!verify('sha256', Buffer.from(json), key, bytesOf(signature)))
      throw new CollateralRefused('a document is not signed');
    const { issueDate, nextUpdate, fmspc: of = fmspc } = JSON.parse(json) as Record<string, string>;
    if (of.toLowerCase() !== fmspc) throw new CollateralRefused('a document is of another platform');
    dates.push([Date.parse(issueDate!), Date.parse(nextUpdate!)]);
  }
  const validFrom = Math.max(...dates.map(([from]) => from));
  const validUntil = Math.min(...dates.map(([, until]) => until));
  if (!Number.isFinite(validFrom) || !Number.isFinite(validUntil))
    throw new CollateralRefused('collateral without dates');
  // Certificates of one machine, which dcap-qvl writes too, would be taken for those of every quote.
  const { pck_certificate_chain: _, ...shared } = documents as Collateral & { pck_certificate_chain?: unknown };
  return { documents: shared, validFrom, validUntil, pckCaKey: keyOf(pckCa) };
}

/**
 * Who the platform is that a quote comes from.
 * @param pckChain PEM: the platform's own certificate, its authority, the root
 * @throws CollateralRefused when it is not that
 */
export function platformOf(pckChain: string): CollateralKey & { readonly caKey: Buffer } {
  const [leaf, authority, , ...more] = certificatesIn(pckChain);
  if (!authority || more.length > 0) throw new CollateralRefused('no chain of a platform');
  return {
    fmspc: Buffer.from(utils.getFmspc(utils.getIntelExtension(Buffer.from(leaf!.raw)))).toString('hex'),
    ca: caNamed(leaf!.issuer),
    caKey: keyOf(authority),
  };
}

/** As Intel names its two authorities. */
function caNamed(name: string): PckCa {
  return /Platform CA/.test(name) ? 'platform' : 'processor';
}

/** Who signed a document, proven up to the root. @param chain PEM, the signer first */
function signerIn(chain: string, root: X509Certificate): X509Certificate {
  const [signer, ...above] = certificatesIn(chain);
  const issuers = [...above, root];
  for (const [index, certificate] of [signer!, ...above].entries())
    if (!certificate.verify(issuers[index]!.publicKey) || !issuers[index]!.ca)
      throw new CollateralRefused('a signer is not trusted');
  return signer!;
}

export function keyOf(certificate: X509Certificate): Buffer {
  return certificate.publicKey.export({ type: 'spki', format: 'der' });
}

/** Found as the quote verifier finds them: what only one of the two sees would be judged by the rules of another. */
function certificatesIn(pem: string): X509Certificate[] {
  const found = utils.extractCerts(Buffer.from(pem));
  if (found.length === 0) throw new CollateralRefused('no certificate');
  return found.map((one) => new X509Certificate(one));
}

function bytesOf(value: string | number[]): Buffer {
  return typeof value === 'string' ? Buffer.from(value, 'hex') : Buffer.from(value);
}
