import { Quote, type TDReport10 } from '@phala/dcap-qvl';
import type { CheckFailure } from './verifier.ts';

const VERSION = 4;
const TEE_TYPE_TDX = 0x81;
const PCK_CERTIFICATE_CHAIN = 5;
const TUD_BITS = 0;

/** What a quote says, before anybody proved it. */
export interface ParsedQuote {
  readonly report: TDReport10;
  /** PEM: the platform's key and who signed it; undefined when the quote carries none. */
  readonly pckChain: string | undefined;
}

/** @returns the check that it does not pass: only TDX quotes of version 4 are understood */
export function parseQuote(bytes: Buffer): ParsedQuote | CheckFailure {
  if (bytes.length < 8) return { check: 'quote_malformed' };
  const isTdx = bytes.readUInt32LE(4) === TEE_TYPE_TDX;
  if (bytes.readUInt16LE(0) !== VERSION || !isTdx) return { check: 'quote_version' };
  try {
    const quote = Quote.parse(bytes);
    const { certType, body } = quote.authData.intoV3().certificationData;
    const pckChain = certType === PCK_CERTIFICATE_CHAIN ? Buffer.from(body).toString('latin1') : undefined;
    return { report: quote.report.asTd10()!, pckChain };
  } catch {
    return { check: 'quote_malformed' };
  }
}

/**
 * A trust domain under a debugger shows its secrets.
 * @see Intel TDX Module ABI, ATTRIBUTES.TUD
 */
export function isDebugged({ tdAttributes }: TDReport10): boolean {
  return tdAttributes[TUD_BITS] !== 0;
}

/**
 * Whether the module that measured the domain is Intel's, for production: its levels say nothing of another.
 * @see Intel TDX Module ABI, TEE_TCB_INFO
 */
export function isOfIntelModule({ mrSignerSeam, seamAttributes }: TDReport10): boolean {
  return [...mrSignerSeam, ...seamAttributes].every((byte) => byte === 0);
}
