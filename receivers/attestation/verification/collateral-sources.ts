import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Collateral } from '@phala/dcap-qvl';
import type { Clock } from '../../../src/component/clock.ts';
import { type FetchedDocument, fetchDocument } from '../fetch-document.ts';
import { parseJson } from '../parse-json.ts';
import { type CollateralKey, CollateralRefused } from './collateral.ts';
import type { VerificationConfig } from './config.ts';

type Sources = NonNullable<VerificationConfig['collateral']>;

/** Reads collateral from a folder: one file per platform, in the form that `dcap-qvl` writes. */
export async function readCollateral(directory: string, { fmspc, ca }: CollateralKey): Promise<Collateral> {
  return JSON.parse(await readFile(resolve(directory, `${fmspc}-${ca}.json`), 'utf8')) as Collateral;
}

/**
 * Reads collateral from a provisioning certificate caching service: four documents.
 * @throws CollateralRefused, FetchFailed when one of them is not to be had
 * @see Intel PCS API, version 4
 */
export async function fetchCollateral(
  { url, headers, timeout: timeoutMs }: NonNullable<Sources['pccs']>,
  { fmspc, ca }: CollateralKey,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<Collateral> {
  const base = url.replace(/\/+$/, '').replace(/\/(sgx|tdx)\/certification\/v4$/, '');
  const get = async (path: string) => {
    const answer = await fetchDocument({ url: `${base}${path}`, headers, timeoutMs, clock, signal });
    if (answer.status !== 200) throw new CollateralRefused(`a document was answered with status ${answer.status}`);
    return answer;
  };
  const [pckCrl, rootCrl, tcb, qe] = await Promise.all([
    get(`/sgx/certification/v4/pckcrl?ca=${ca}&encoding=der`),
    get('/sgx/certification/v4/rootcacrl'),
    get(`/tdx/certification/v4/tcb?fmspc=${fmspc}`),
    get('/tdx/certification/v4/qe/identity?update=standard'),
  ]);
  const [tcbInfo, qeIdentity] = [signedPart(tcb, 'tcbInfo'), signedPart(qe, 'enclaveIdentity')];
  return {
    pck_crl_issuer_chain: chainOf(pckCrl, 'sgx-pck-crl-issuer-chain'),
    pck_crl: derOf(pckCrl.body),
    root_ca_crl: derOf(rootCrl.body),
    tcb_info_issuer_chain: chainOf(tcb, 'tcb-info-issuer-chain'),
    tcb_info: tcbInfo.text,
    tcb_info_signature: tcbInfo.signature,
    qe_identity_issuer_chain: chainOf(qe, 'sgx-enclave-identity-issuer-chain'),
    qe_identity: qeIdentity.text,
    qe_identity_signature: qeIdentity.signature,
  };
}

/** What is signed is the text of this member, as it stands there. */
function signedPart({ body }: FetchedDocument, member: string): { readonly text: string; readonly signature: string } {
  const document = parseJson(body.toString('utf8')) as Record<string, unknown>;
  return { text: JSON.stringify(document[member]), signature: String(document.signature) };
}

function chainOf({ headers }: FetchedDocument, name: string): string {
  return decodeURIComponent(String(headers[name] ?? ''));
}

/** Services give lists as DER, or as its hex digits. @returns hex */
function derOf(body: Buffer): string {
  const DER_SEQUENCE = 0x30;
  if (body[0] === DER_SEQUENCE && body[1]! >= 0x80) return body.toString('hex');
  return body.toString('latin1').trim();
}
