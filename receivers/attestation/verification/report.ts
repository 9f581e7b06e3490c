import { parseJson } from '../parse-json.ts';
import { ALGORITHMS, type Algorithm } from '../probe/result.ts';
import type { VerificationConfig } from './config.ts';

/** One entry of an event log. */
export interface LoggedEvent {
  readonly imr: number;
  readonly type: number;
  readonly name: string;
  readonly payload: Buffer;
}

/** What a backend says of itself; nothing of it is proven yet. */
export interface Report {
  readonly nonce: Buffer;
  readonly signingAddress: Buffer;
  readonly signingAlgo: Algorithm;
  /** Undefined when it names none. */
  readonly fingerprint: string | undefined;
  readonly quote: Buffer;
  readonly events: readonly LoggedEvent[];
  /** What `compose-hash` is the hash of. */
  readonly appCompose: string | undefined;
  /** Evidence of the GPUs, as it goes to the verifier service. */
  readonly gpu: GpuEvidence | undefined;
}

export interface GpuEvidence {
  readonly nonce: string;
  readonly body: Readonly<Record<string, unknown>>;
}

const MAX_QUOTE_BYTES = 16 * 1024;
const MAX_EVENTS = 512;
const MAX_KEY_BYTES = 256;
const DIGEST_BYTES = 48;

/** @returns undefined when a field that these settings need is missing, or of a wrong type or length */
export function readReport(raw: Readonly<Record<string, unknown>>, config: VerificationConfig): Report | undefined {
  const isDcap = config.mode === 'dcap';
  const nonce = hex(raw.request_nonce, 32, 32);
  const signingAddress = hex(raw.signing_address, 20, 32);
  const signingAlgo = ALGORITHMS.find((algo) => algo === raw.signing_algo);
  const key = hex(raw.signing_public_key, 1, MAX_KEY_BYTES);
  const quote = hex(raw.intel_quote, 1, MAX_QUOTE_BYTES);
  const hasFingerprint = raw.tls_cert_fingerprint !== undefined && raw.tls_cert_fingerprint !== null;
  const fingerprint = hasFingerprint ? hex(raw.tls_cert_fingerprint, 32, 32) : undefined;
  const events = isDcap ? readEvents(raw.event_log) : [];
  const appCompose = isDcap ? readAppCompose(raw.info) : undefined;
  const gpu = config.gpu.mode === 'off' ? undefined : readGpu(raw.nvidia_payload);
  if (!nonce || !signingAddress || !signingAlgo || !key || !quote || !events) return undefined;
  if (![20, 32].includes(signingAddress.length) || (hasFingerprint && !fingerprint)) return undefined;
  if (isDcap && config.policy.compose_hashes.length > 0 && appCompose === undefined) return undefined;
  if (gpu === 'malformed') return undefined;
  return {
    nonce,
    signingAddress,
    signingAlgo,
    fingerprint: fingerprint?.toString('hex'),
    quote,
    events,
    appCompose,
    gpu,
  };
}

/** Hex digits in any case, with or without `0x`. */
function hex(value: unknown, minBytes: number, maxBytes: number): Buffer | undefined {
  if (typeof value !== 'string' || value.length > 2 * maxBytes + 2) return undefined;
  const digits = value.replace(/^0x/i, '');
  if (digits.length % 2 !== 0 || digits.length < 2 * minBytes || digits.length > 2 * maxBytes) return undefined;
  return /^[0-9a-f]*$/i.test(digits) ? Buffer.from(digits, 'hex') : undefined;
}

function readEvents(value: unknown): LoggedEvent[] | undefined {
  const list = parsed(value);
  if (!Array.isArray(list) || list.length > MAX_EVENTS) return undefined;
  const events: LoggedEvent[] = [];
  for (const one of list as unknown[]) {
    const {
      imr,
      event_type: type,
      event: name,
      digest: rawDigest,
      event_payload,
    } = (one ?? {}) as Record<string, unknown>;
    const digest = hex(rawDigest ?? '', 0, DIGEST_BYTES);
    const payload = hex(event_payload ?? '', 0, MAX_QUOTE_BYTES);
    if (!Number.isSafeInteger(imr) || !Number.isSafeInteger(type) || typeof name !== 'string' || !digest || !payload)
      return undefined;
    events.push({ imr: imr as number, type: type as number, name, payload });
  }
  return events;
}

function readAppCompose(info: unknown): string | undefined {
  const { tcb_info } = (objectOf(info) ?? {}) as { tcb_info?: unknown };
  const { app_compose } = (objectOf(tcb_info) ?? {}) as { app_compose?: unknown };
  return typeof app_compose === 'string' ? app_compose : undefined;
}

function readGpu(value: unknown): GpuEvidence | undefined | 'malformed' {
  if (value === undefined || value === null) return undefined;
  const body = objectOf(value);
  return body && typeof body.nonce === 'string' && Array.isArray(body.evidence_list)
    ? { nonce: body.nonce, body }
    : 'malformed';
}

function objectOf(value: unknown): Record<string, unknown> | undefined {
  const object = parsed(value);
  return typeof object === 'object' && object !== null && !Array.isArray(object)
    ? (object as Record<string, unknown>)
    : undefined;
}

/** Some fields are JSON inside a JSON text. */
function parsed(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return parseJson(value);
  } catch {
    return undefined;
  }
}
