import { createHash } from 'node:crypto';
import { bootEvents, replay } from './event-log.ts';
import type { Algo, Fault } from './faults.ts';
import type { Identity } from './identity.ts';
import type { Quoter } from './quote.ts';
import { teeTcbSvn } from './tcb-levels.ts';
import { mrConfigId, OTHER, WORKLOAD } from './workload.ts';

/** Who makes the quotes of a fleet. */
export interface Quoters {
  readonly own: Quoter;
  /** Beneath another root. */
  readonly foreign: Quoter;
}

/** What a report is asked for, and what of. */
export interface ReportSubject {
  readonly model: string;
  readonly algo: Algo;
  /** 64 hex digits. */
  readonly nonce: string;
  readonly identity: Identity;
  readonly fingerprint: string;
  readonly instanceId: string;
  readonly hasGpu: boolean;
}

const hex = (text: string) => Buffer.from(text, 'hex');
const sha256 = (...parts: readonly Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest();

/** Makes an attestation report, with at most one thing wrong with it. */
export function makeReport(quoters: Quoters, subject: ReportSubject, fault?: Fault): object {
  const { model, algo, nonce, identity, instanceId, hasGpu } = subject;
  const is = (name: Fault) => fault === name;
  const fingerprint = is('wrongFingerprint') ? OTHER.fingerprint : subject.fingerprint;
  const events = bootEvents({
    ...{ composeHash: WORKLOAD.composeHash, instanceId },
    osImageHash: is('unlistedImage') ? OTHER.osImageHash : WORKLOAD.osImageHash,
    ...(is('duplicateImageHash') && { imageHash: 'twice' }),
    ...(is('lateImageHash') && { imageHash: 'late' }),
  });
  const { mrtd, rtmr0, rtmr1, rtmr2 } = WORKLOAD.measurements;
  const quote = (is('foreignRoot') ? quoters.foreign : quoters.own).quote({
    reportData: Buffer.concat([
      bound(hex(identity.address), fingerprint, fault),
      hex(is('replay') ? OTHER.nonce : nonce),
    ]),
    teeTcbSvn: teeTcbSvn(
      is('unknownTcb') ? 'unknown' : typeof fault === 'object' && 'tcb' in fault ? fault.tcb : 'UpToDate',
    ),
    mrtd: hex(is('wrongMeasurement') ? OTHER.mrtd : mrtd),
    mrConfigId: mrConfigId(is('wrongMrConfig') ? OTHER.composeHash : WORKLOAD.composeHash),
    rtmrs: [hex(rtmr0), hex(rtmr1), hex(rtmr2), is('wrongRtmr3') ? hex(OTHER.rtmr3) : replay(events)],
    ...{ version: is('quoteV5') ? 5 : 4, isDebug: is('debugBit'), isSignatureBad: is('badSignature') },
  });
  const report: Record<string, unknown> = {
    request_nonce: is('wrongNonce') ? OTHER.nonce : nonce,
    signing_address: identity.address,
    signing_algo: algo,
    signing_public_key: identity.publicKey,
    tls_cert_fingerprint: fingerprint,
    intel_quote: quote.toString('hex'),
    event_log: JSON.stringify(events),
    info: { tcb_info: { app_compose: is('wrongCompose') ? OTHER.appCompose : WORKLOAD.appCompose } },
    model_name: model,
    ...(hasGpu && !is('noGpu') && { nvidia_payload: gpuPayload(is('gpuNonce') ? OTHER.nonce : nonce, is('gpuFail')) }),
  };
  if (typeof fault === 'object' && 'dropField' in fault) delete report[fault.dropField];
  return report;
}

/** The first half of the report data: the hash that binds an identity to a TLS key. */
function bound(address: Buffer, fingerprint: string, fault?: Fault): Buffer {
  if (fault === 'padded') return Buffer.concat([address, Buffer.alloc(32 - address.length)]);
  return sha256(address, hex(fault === 'wrongBinding' ? OTHER.fingerprint : fingerprint));
}

/** What evidence says that the NRAS stand-in is to fail. */
export const FAILING_EVIDENCE = Buffer.from('evidence of a GPU that fails').toString('base64');

function gpuPayload(nonce: string, isFailing: boolean): string {
  const evidence = isFailing ? FAILING_EVIDENCE : Buffer.from('evidence of a GPU').toString('base64');
  const certificate = Buffer.from('certificates of a GPU').toString('base64');
  return JSON.stringify({ nonce, evidence_list: [{ certificate, evidence, arch: 'HOPPER' }], arch: 'HOPPER' });
}
