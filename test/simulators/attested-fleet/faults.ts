import type { TcbName } from './tcb-levels.ts';

const HANDSHAKE = ['handshakeStall', 'handshakeAlert', 'expiredLeaf', 'wrongName', 'foreignCa'] as const;
const ANSWER = [
  ...(['stallBody', 'trickleBody', 'resetBeforeHead', 'finBeforeHead', 'notHttp', 'hugeHead', 'html'] as const),
  ...(['truncated', 'array', 'body3MB', 'gzipBomb', 'unknownEncoding', 'notJson'] as const),
] as const;
const REPORT = [
  ...(['wrongNonce', 'replay', 'padded', 'wrongFingerprint', 'wrongBinding', 'quoteV5', 'badSignature'] as const),
  ...(['foreignRoot', 'debugBit', 'unknownTcb', 'wrongRtmr3', 'duplicateImageHash', 'lateImageHash'] as const),
  ...(['unlistedImage', 'wrongCompose', 'wrongMrConfig', 'wrongMeasurement', 'noGpu', 'gpuNonce', 'gpuFail'] as const),
] as const;
const ALL = new Set<unknown>([...HANDSHAKE, ...ANSWER, ...REPORT, 'delayHeaders', 'status', 'tcb', 'dropField']);

/** What goes wrong before there is TLS. */
export type HandshakeFault = (typeof HANDSHAKE)[number];

/** What goes wrong with the answer, whatever the report says. `trickleBody`: one byte per second. */
export type AnswerFault = (typeof ANSWER)[number] | { readonly delayHeaders: number } | { readonly status: number };

/** What is wrong with the report. */
export type ReportFault = (typeof REPORT)[number] | { readonly tcb: TcbName } | { readonly dropField: string };

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

/** Whether a fault is acted out before TLS. */
export function isHandshakeFault(fault: Fault): fault is HandshakeFault {
  return (HANDSHAKE as readonly Fault[]).includes(fault);
}

/** Whether a fault is acted out by what is sent, not by what the report says. */
export function isAnswerFault(fault: Fault): fault is AnswerFault {
  return typeof fault === 'string'
    ? (ANSWER as readonly Fault[]).includes(fault)
    : 'delayHeaders' in fault || 'status' in fault;
}

/** The faults of one backend, first come, first acted out. */
export class FaultList {
  readonly #random: () => number;
  #active: { readonly fault: Fault; readonly options: FaultOptions; left: number }[] = [];

  constructor(random: () => number) {
    this.#random = random;
  }

  add(fault: Fault, options: FaultOptions = {}): void {
    const name = typeof fault === 'string' ? fault : Object.keys(fault)[0];
    if (!ALL.has(name)) throw new Error(`no fault ${JSON.stringify(fault)}`);
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
        (options.probability === undefined || this.#random() < options.probability),
    );
    if (hit && --hit.left <= 0) this.#active = this.#active.filter((one) => one !== hit);
    return hit?.fault;
  }
}
