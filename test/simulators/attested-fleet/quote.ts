import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { pemChain, privateKeyOf } from './certify.ts';
import type { Hierarchy } from './hierarchy.ts';
import { CPU_SVN } from './tcb-levels.ts';

/** The quoting enclave, as its report and the QE identity name it. */
export const QE = {
  mrSigner: Buffer.from('dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5', 'hex'),
  attributes: Buffer.from('11000000000000000000000000000000', 'hex'),
  productId: 2,
  svn: 4,
};

const TEE_TDX = 0x81;
const KEY_P256 = 2;
const BODY_TD10 = 2;
const CERTS_PCK_CHAIN = 5;
const CERTS_QE_REPORT = 6;
const INTEL_QE = Buffer.from('939a7233f79c4ca9940a0db3957f0607', 'hex');
/** Bit 28: SEPT_VE_DISABLE, without which no quote verifies. */
const TD_ATTRIBUTES = Buffer.from('0000001000000000', 'hex');

/** What a quote is to say. */
export interface QuoteContent {
  readonly reportData: Buffer;
  readonly teeTcbSvn: Buffer;
  readonly mrtd: Buffer;
  readonly mrConfigId: Buffer;
  /** 0 to 3. */
  readonly rtmrs: readonly Buffer[];
  /** Default 4. 5 is as well formed as 4. */
  readonly version?: 4 | 5;
  readonly isDebug?: boolean;
  /** Who signed the TDX module; default: Intel, as zeros. */
  readonly mrSignerSeam?: Buffer;
  readonly isSignatureBad?: boolean;
}

/** Makes quotes of TDX, signed by the PCK key of a hierarchy. */
export class Quoter {
  readonly #attestationKey: KeyObject;
  /** All behind the signature of the quote: the same in every quote. */
  readonly #certification: Buffer;

  constructor(hierarchy: Hierarchy) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#attestationKey = privateKey;
    const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
    const point = Buffer.concat([Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
    const authData = Buffer.alloc(32, 0x2a);
    const report = qeReport(createHash('sha256').update(point).update(authData).digest());
    const chain = Buffer.from(pemChain(hierarchy.pck, hierarchy.pckCa, hierarchy.root));
    this.#certification = Buffer.concat([
      point,
      typed(
        CERTS_QE_REPORT,
        report,
        signP1363(report, privateKeyOf(hierarchy.pck)),
        u16(authData.length),
        authData,
        typed(CERTS_PCK_CHAIN, chain),
      ),
    ]);
  }

  quote(content: QuoteContent): Buffer {
    const { version = 4, isSignatureBad } = content;
    const body = tdReport(content);
    const signed = Buffer.concat([header(version), ...(version === 5 ? [typed(BODY_TD10, body)] : [body])]);
    const signature = signP1363(signed, this.#attestationKey);
    if (isSignatureBad) signature[40]! ^= 1;
    const size = signature.length + this.#certification.length;
    return Buffer.concat([signed, u32(size), signature, this.#certification]);
  }
}

function header(version: number): Buffer {
  return Buffer.concat([u16(version), u16(KEY_P256), u32(TEE_TDX), u16(0), u16(0), INTEL_QE, Buffer.alloc(20)]);
}

function tdReport(content: QuoteContent): Buffer {
  const { teeTcbSvn, isDebug, mrtd, mrConfigId, rtmrs, reportData, mrSignerSeam = Buffer.alloc(48) } = content;
  const attributes = Buffer.from(TD_ATTRIBUTES);
  if (isDebug) attributes[0] = 1;
  // MRSEAM, later MROWNER and MROWNERCONFIG, may be anything; SEAMATTRIBUTES are none.
  const seam = Buffer.concat([Buffer.alloc(48), mrSignerSeam, Buffer.alloc(8)]);
  const features = Buffer.from('e702060000000000', 'hex');
  const owner = Buffer.alloc(48 + 48);
  return Buffer.concat([teeTcbSvn, seam, attributes, features, mrtd, mrConfigId, owner, ...rtmrs, reportData]);
}

/** The report of the quoting enclave that vouches for the attestation key. */
function qeReport(keyHash: Buffer): Buffer {
  const report = Buffer.alloc(384);
  CPU_SVN.copy(report, 0);
  QE.attributes.copy(report, 48);
  QE.mrSigner.copy(report, 128);
  report.writeUInt16LE(QE.productId, 256);
  report.writeUInt16LE(QE.svn, 258);
  keyHash.copy(report, 320);
  return report;
}

function signP1363(data: Buffer, key: KeyObject): Buffer {
  return sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' });
}

/** Type, size, contents. */
function typed(type: number, ...contents: readonly Buffer[]): Buffer {
  const body = Buffer.concat(contents);
  return Buffer.concat([u16(type), u32(body.length), body]);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
