import { sign } from 'node:crypto';
import { type Certified, makeCrl, pemChain, privateKeyOf } from './certify.ts';
import { FMSPC, type Hierarchy, PCE_ID } from './hierarchy.ts';
import { QE } from './quote.ts';
import { type TcbName, tcbLevels } from './tcb-levels.ts';

const DAY_MS = 86_400_000;

/** A JSON document with its signature in hex. */
export interface SignedDocument {
  readonly text: string;
  readonly signature: string;
}

/** Everything but the quote that its verification needs. */
export interface Collateral {
  readonly rootCrl: Buffer;
  readonly pckCrl: Buffer;
  readonly tcbInfo: SignedDocument;
  readonly qeIdentity: SignedDocument;
  /** PEM: PCK CA, root. */
  readonly pckChain: string;
  /** PEM: TCB signer, root. */
  readonly tcbChain: string;
}

/** What is free in {@link Collateral}. */
export interface CollateralContent {
  readonly nowMs: number;
  readonly nextUpdateMs: number;
  /** What TCB info says of good backends. */
  readonly status: TcbName;
  readonly advisories: readonly string[];
}

/** Makes collateral, issued a day ago, or a day before it expires if that is earlier. */
export async function makeCollateral(hierarchy: Hierarchy, content: CollateralContent): Promise<Collateral> {
  const { root, pckCa, tcbSigner } = hierarchy;
  const { nowMs, nextUpdateMs, status, advisories } = content;
  const issued = new Date(Math.min(nowMs, nextUpdateMs) - DAY_MS);
  const nextUpdate = new Date(nextUpdateMs);
  const dates = { issueDate: seconds(issued), nextUpdate: seconds(nextUpdate), tcbEvaluationDataNumber: 17 };
  return {
    rootCrl: await makeCrl(root, issued, nextUpdate),
    pckCrl: await makeCrl(pckCa, issued, nextUpdate),
    tcbInfo: signed(tcbSigner, {
      ...{ id: 'TDX', version: 3, ...dates, tcbType: 0 },
      ...{ fmspc: FMSPC.toString('hex').toUpperCase(), pceId: PCE_ID.toString('hex') },
      tdxModule: { mrsigner: '0'.repeat(96), attributes: '0'.repeat(16), attributesMask: 'F'.repeat(16) },
      tcbLevels: tcbLevels({ status, advisories }),
    }),
    qeIdentity: signed(tcbSigner, {
      ...{ id: 'TD_QE', version: 2, ...dates, miscselect: '00000000', miscselectMask: 'FFFFFFFF' },
      ...{ attributes: QE.attributes.toString('hex'), attributesMask: `FBFFFFFFFFFFFFFF${'0'.repeat(16)}` },
      ...{ mrsigner: QE.mrSigner.toString('hex').toUpperCase(), isvprodid: QE.productId },
      tcbLevels: [{ tcb: { isvsvn: QE.svn }, tcbDate: '2024-03-13T00:00:00Z', tcbStatus: 'UpToDate' }],
    }),
    pckChain: pemChain(pckCa, root),
    tcbChain: pemChain(tcbSigner, root),
  };
}

function signed(signer: Certified, document: object): SignedDocument {
  const text = JSON.stringify(document);
  const key = { key: privateKeyOf(signer), dsaEncoding: 'ieee-p1363' } as const;
  return { text, signature: sign('sha256', Buffer.from(text), key).toString('hex') };
}

/** As Intel writes time. */
function seconds(date: Date): string {
  return date.toISOString().replace(/\.\d+/, '');
}
