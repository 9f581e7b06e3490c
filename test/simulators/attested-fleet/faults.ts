import type { TcbName } from './tcb-levels.ts';
import type { LeafKind } from './tls-authority.ts';

/** What goes wrong before there is TLS. */
export type HandshakeFault = 'handshakeStall' | 'handshakeAlert' | Exclude<LeafKind, 'good'>;

/** What goes wrong with the answer, whatever the report says. */
export type AnswerFault =
  | 'stallBody'
  /** One byte per second. */
  | 'trickleBody'
  | 'resetBeforeHead'
  | 'finBeforeHead'
  | 'notHttp'
  | 'hugeHead'
  | 'html'
  | 'truncated'
  | 'array'
  | 'body3MB'
  | 'gzipBomb'
  | 'unknownEncoding'
  | 'notJson'
  | { readonly delayHeaders: number }
  | { readonly status: number };

/** What is wrong with the report. */
export type ReportFault =
  | 'wrongNonce'
  | 'replay'
  | 'padded'
  | 'wrongFingerprint'
  | 'wrongBinding'
  | 'quoteV5'
  | 'badSignature'
  | 'foreignRoot'
  | 'debugBit'
  | 'unknownTcb'
  | 'wrongRtmr3'
  | 'duplicateImageHash'
  | 'lateImageHash'
  | 'unlistedImage'
  | 'wrongCompose'
  | 'wrongMrConfig'
  | 'wrongMeasurement'
  | 'noGpu'
  | 'gpuNonce'
  | 'gpuFail'
  | { readonly tcb: TcbName }
  | { readonly dropField: string };

/** What a backend does instead of what it should. */
export type Fault = HandshakeFault | AnswerFault | ReportFault;

/** Which connections a fault is for. */
export interface FaultOptions {
  /** How many it spoils; default: all. */
  readonly times?: number;
  /** Of each to be spoilt; default 1. */
  readonly probability?: number;
  /** Only reports signed so. A fault of the handshake comes before the question and takes no notice. */
  readonly algo?: Algo;
}

/** What a report can be signed with. */
export type Algo = 'ecdsa' | 'ed25519';

const HANDSHAKE: readonly Fault[] = ['handshakeStall', 'handshakeAlert', 'expiredLeaf', 'wrongName', 'foreignCa'];
const ANSWER: readonly Fault[] = [
  ...(['stallBody', 'trickleBody', 'resetBeforeHead', 'finBeforeHead', 'notHttp', 'hugeHead', 'html'] as const),
  ...(['truncated', 'array', 'body3MB', 'gzipBomb', 'unknownEncoding', 'notJson'] as const),
];
const REPORT: readonly Fault[] = [
  ...(['wrongNonce', 'replay', 'padded', 'wrongFingerprint', 'wrongBinding', 'quoteV5', 'badSignature'] as const),
  ...(['foreignRoot', 'debugBit', 'unknownTcb', 'wrongRtmr3', 'duplicateImageHash', 'lateImageHash'] as const),
  ...(['unlistedImage', 'wrongCompose', 'wrongMrConfig', 'wrongMeasurement', 'noGpu', 'gpuNonce', 'gpuFail'] as const),
];
const WITH_VALUE = ['delayHeaders', 'status', 'tcb', 'dropField'];

/** Whether a fault is acted out before TLS. */
export function isHandshakeFault(fault: Fault): fault is HandshakeFault {
  return HANDSHAKE.includes(fault);
}

/** Whether a fault is acted out by what is sent, not by what the report says. */
export function isAnswerFault(fault: Fault): fault is AnswerFault {
  return typeof fault === 'string' ? ANSWER.includes(fault) : 'delayHeaders' in fault || 'status' in fault;
}

/** The faults of one backend, first come, first acted out. */
export class FaultList {
  readonly #random: () => number;
  #active: { readonly fault: Fault; readonly options: FaultOptions; left: number }[] = [];

  constructor(random: () => number) {
    this.#random = random;
  }

  add(fault: Fault, options: FaultOptions = {}): void {
    const isKnown =
      typeof fault === 'string'
        ? [...HANDSHAKE, ...ANSWER, ...REPORT].includes(fault)
        : WITH_VALUE.includes(Object.keys(fault)[0] ?? '');
    if (!isKnown) throw new Error(`no fault ${JSON.stringify(fault)}`);
    this.#active.push({ fault, options, left: options.times ?? Number.POSITIVE_INFINITY });
  }

  clear(): void {
    this.#active = [];
  }

  /** The fault for a handshake, or, with the algorithm asked for, for a report; used-up ones leave the list. */
  take(algo?: Algo): Fault | undefined {
    const hit = this.#active.find(
      ({ fault, options }) =>
        isHandshakeFault(fault) === (algo === undefined) &&
        (algo === undefined || (options.algo ?? algo) === algo) &&
        this.#random() < (options.probability ?? 1),
    );
    if (hit && --hit.left <= 0) this.#active = this.#active.filter((one) => one !== hit);
    return hit?.fault;
  }
}
