import { QuoteVerifier } from '@phala/dcap-qvl';
import type { CheckedCollateral } from './collateral.ts';
import type { CheckFailure } from './verifier.ts';

export interface ProvenQuote {
  readonly tcbStatus: string;
  readonly advisoryIds: readonly string[];
}

/** What the library says, and which check that is. What it says is matched here and told to nobody. */
const FAULTS: readonly (readonly [RegExp, CheckFailure])[] = [
  [/No matching TCB level/, { check: 'tcb_status', text: 'no matching level' }],
  [/QE ISVSVN|TCB status is invalid/, { check: 'tcb_status', text: 'Revoked' }],
  [/Debug mode|Reserved bits|SEPT_VE_DISABLE/, { check: 'debug', text: 'attributes of the domain' }],
  [/ISV enclave report signature|qe_report in quote|QE report hash/, { check: 'quote_signature' }],
  [
    /TCBInfo|QE Identity|TcbInfo|QeIdentity|tcb_info|qe_identity|TCB Info/,
    { check: 'collateral', text: 'not genuine' },
  ],
  [/Fmspc mismatch|non-TDX TCB info/, { check: 'collateral', text: 'of another platform' }],
  [/revoked/, { check: 'pck_chain', text: 'revoked' }],
  [/QE (MRSIGNER|ISVPRODID|MISCSELECT|ATTRIBUTES)/, { check: 'pck_chain', text: 'quoting enclave' }],
  [/chain|Certificate|certificate|CaUsedAsEndEntity|PCK/, { check: 'pck_chain' }],
];

/**
 * Proves a quote by the hardware's own signatures; takes some 8 ms of this thread.
 * @param now milliseconds since the epoch
 */
export function proveQuote(
  quote: Buffer,
  collateral: CheckedCollateral,
  rootDer: Buffer,
  now: number,
): ProvenQuote | CheckFailure {
  try {
    const report = QuoteVerifier.newWithRootCa(rootDer).verify(quote, collateral.documents, Math.floor(now / 1_000));
    return { tcbStatus: report.status, advisoryIds: report.advisory_ids };
  } catch (error) {
    const said = error instanceof Error ? error.message : '';
    // What is not understood is not proven.
    return FAULTS.find(([pattern]) => pattern.test(said))?.[1] ?? { check: 'quote_signature', text: 'not proven' };
  }
}
