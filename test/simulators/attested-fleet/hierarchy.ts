import { type Certified, certify, type Extension, makeExtension } from './certify.ts';
import { enumerated, integer, octets, oid, sequence } from './der.ts';
import { CPU_SVN, PCE_SVN } from './tcb-levels.ts';

const SGX_OID = '1.2.840.113741.1.13.1';
const DAY_MS = 86_400_000;

/** The kind of platform that all backends are, as PCK certificate and TCB info name it. */
export const FMSPC = Buffer.from('b0c06f000000', 'hex');
export const PCE_ID = Buffer.from('0000', 'hex');

/** All who sign for quotes and collateral. */
export interface Hierarchy {
  readonly root: Certified;
  readonly pckCa: Certified;
  readonly pck: Certified;
  readonly tcbSigner: Certified;
}

/** Makes a root and everything beneath it, with the names Intel uses; valid around `nowMs` for 20 years. */
export async function makeHierarchy(nowMs: number): Promise<Hierarchy> {
  const validity = { notBefore: new Date(nowMs - 365 * DAY_MS), notAfter: new Date(nowMs + 20 * 365 * DAY_MS) };
  const root = await certify({ name: 'Intel SGX Root CA', isAuthority: true, ...validity });
  const pckCa = await certify({ name: 'Intel SGX PCK Platform CA', signer: root, isAuthority: true, ...validity });
  const [pck, tcbSigner] = await Promise.all([
    certify({ name: 'Intel SGX PCK Certificate', signer: pckCa, extensions: [sgxExtension()], ...validity }),
    certify({ name: 'Intel SGX TCB Signing', signer: root, ...validity }),
  ]);
  return { root, pckCa, pck, tcbSigner };
}

function sgxExtension(): Extension {
  const item = (suffix: string, value: Buffer) => sequence(oid(`${SGX_OID}.${suffix}`), value);
  const svns = [...CPU_SVN].map((svn, place) => item(`2.${place + 1}`, integer(svn)));
  return makeExtension(
    SGX_OID,
    sequence(
      item('1', octets(Buffer.alloc(16, 0x11))),
      item('2', sequence(...svns, item('2.17', integer(PCE_SVN)), item('2.18', octets(CPU_SVN)))),
      item('3', octets(PCE_ID)),
      item('4', octets(FMSPC)),
      item('5', enumerated(1)),
    ),
  );
}
