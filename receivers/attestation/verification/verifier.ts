import { createHash, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { constants } from '@phala/dcap-qvl';
import { aborted } from '../../../src/component/aborted.ts';
import type { Clock } from '../../../src/component/clock.ts';
import { OutbandError } from '../../../src/component/errors.ts';
import type { Semaphore } from '../../../src/resilience/semaphore.ts';
import { FetchFailed } from '../fetch-document.ts';
import type { Evidence } from '../probe/result.ts';
import {
  type CheckedCollateral,
  type CollateralKey,
  CollateralRefused,
  checkCollateral,
  platformOf,
} from './collateral.ts';
import { CollateralCache } from './collateral-cache.ts';
import { fetchCollateral, readCollateral } from './collateral-sources.ts';
import type { VerificationConfig } from './config.ts';
import { proveQuote } from './dcap.ts';
import { readIdentity, replayRtmr3 } from './event-log.ts';
import { GpuVerifier } from './gpu.ts';
import { checkWorkload } from './policy.ts';
import { isDebugged, isOfIntelModule, type ParsedQuote, parseQuote } from './quote.ts';
import { type Report, readReport } from './report.ts';

/** A check that did not pass, with one of its fixed texts. */
export interface CheckFailure {
  readonly check: string;
  readonly text?: string;
}

export interface VerifyRequest {
  /** JSON of the peer. */
  readonly report: Readonly<Record<string, unknown>>;
  /** That was sent; 32 bytes. */
  readonly nonce: Buffer;
  /** Key of the peer on the connection that the report came over; 64 hex digits. */
  readonly fingerprint: string;
  readonly signal: AbortSignal;
}

export interface Verdict {
  /** Undefined: every check that this mode asks for has passed. */
  readonly failed?: CheckFailure;
  /** Checks that nobody asked for. */
  readonly skipped: readonly string[];
  readonly reportedFingerprint?: string;
  readonly evidence: Evidence;
}

export interface Verifier {
  verify(request: VerifyRequest): Promise<Verdict>;
  /** Milliseconds until collateral that is held expires. */
  readonly collateralTtl?: number | undefined;
}

/** Stages whose duration is measured. */
export type VerifyStage = 'binding' | 'collateral' | 'dcap' | 'replay' | 'gpu';

export interface VerifierOptions {
  readonly config: VerificationConfig;
  readonly clock: Clock;
  /** Path of a file that a setting names. */
  readonly resolvePath: (path: string) => string;
  /** Of the whole agent: proofs keep this thread, so they take turns. */
  readonly turns: Semaphore;
  readonly onStage: (stage: VerifyStage, ms: number) => void;
  /** Collateral could not be had, for the first time in a row. @param why in words of ours */
  readonly onCollateralFailed: (why: string) => void;
  readonly signal: AbortSignal;
}

const DCAP_CHECKS = [
  ...['collateral', 'pck_chain', 'quote_signature', 'tcb_status', 'rtmr3', 'event_log_order'],
  ...['os_image', 'compose_hash', 'mr_config_id', 'measurement', 'gpu'],
];
const ADDRESS_BYTES = 32;

/** Judges reports by one set of rules, cheap and local checks first; stops at the first that fails. */
export class ReportVerifier implements Verifier {
  readonly #options: VerifierOptions;
  readonly #rootDer: Buffer;
  readonly #cache: CollateralCache;
  readonly #gpu: GpuVerifier;

  constructor(options: VerifierOptions, rootDer: Buffer) {
    this.#options = options;
    this.#rootDer = rootDer;
    this.#cache = new CollateralCache(
      (key) => this.#load(key),
      options.clock,
      (error) => options.onCollateralFailed(whyNot(error)),
    );
    this.#gpu = new GpuVerifier(options.config.gpu, options.clock, options.signal);
  }

  get collateralTtl(): number | undefined {
    return this.#cache.minTtl;
  }

  async verify({ report: raw, nonce, fingerprint, signal }: VerifyRequest): Promise<Verdict> {
    const { config } = this.#options;
    const skipped = skippedBy(config);
    if (config.mode === 'none') return { skipped, evidence: {} };
    const report = readReport(raw, config);
    if (!report) return { failed: { check: 'report_schema' }, skipped, evidence: {} };
    const quoteSha256 = createHash('sha256').update(report.quote).digest('hex');
    const base = {
      skipped,
      ...(report.fingerprint !== undefined && { reportedFingerprint: report.fingerprint }),
      evidence: {
        signingAddress: report.signingAddress.toString('hex'),
        algo: report.signingAlgo,
        evidenceSha256: quoteSha256,
      },
    };
    const parsed = this.#timed('binding', () => checkBinding(report, nonce, fingerprint));
    if ('check' in parsed) return { ...base, failed: parsed };
    return config.mode === 'binding' ? base : this.#prove(report, parsed, base, nonce, signal);
  }

  async #prove(
    report: Report,
    quote: ParsedQuote,
    base: Verdict,
    nonce: Buffer,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const { config, turns, clock } = this.#options;
    const fail = (failed: CheckFailure, evidence: Evidence = base.evidence) => ({ ...base, failed, evidence });
    const collateral = await this.#collateralFor(quote, signal);
    if ('check' in collateral) return fail(collateral);
    const release = await turns.acquire(signal).catch(() => undefined);
    if (!release) return fail({ check: 'collateral', text: 'no turn in time' });
    try {
      const now = Number(clock.now() / 1_000_000n);
      const proven = this.#timed('dcap', () => proveQuote(report.quote, collateral, this.#rootDer, now));
      if ('check' in proven) return fail(proven);
      const levels: Evidence = { ...base.evidence, ...proven };
      if (!(config.accept_tcb as readonly string[]).includes(proven.tcbStatus))
        return fail({ check: 'tcb_status', text: proven.tcbStatus }, levels);
      if (!isOfIntelModule(quote.report)) return fail({ check: 'tcb_status', text: 'another TDX module' }, levels);
      const replayed = this.#timed('replay', () => replayRtmr3(report.events));
      if (!replayed?.equals(Buffer.from(quote.report.rtMr3))) return fail({ check: 'rtmr3' }, levels);
      const identity = readIdentity(report.events);
      if (!identity) return fail({ check: 'event_log_order' }, levels);
      const evidence: Evidence = { ...levels, instanceId: identity['instance-id'] };
      const distrusted = checkWorkload(quote.report, identity, report.appCompose, config.policy);
      if (distrusted) return fail(distrusted, evidence);
      base = { ...base, evidence };
    } finally {
      // Others have this thread before the next proof has it.
      await new Promise<void>((resolve) => setImmediate(resolve));
      release();
    }
    return this.#withGpu(report, base, nonce, signal);
  }

  async #withGpu(report: Report, base: Verdict, nonce: Buffer, signal: AbortSignal): Promise<Verdict> {
    if (this.#options.config.gpu.mode === 'off') return base;
    const began = this.#options.clock.monotonic();
    const judged = await this.#gpu.verify(report.gpu, nonce.toString('hex'), signal);
    this.#options.onStage('gpu', this.#options.clock.monotonic() - began);
    if (judged === 'ok') return base;
    return judged === 'skipped' ? { ...base, skipped: [...base.skipped, 'gpu'] } : { ...base, failed: judged };
  }

  async #collateralFor({ pckChain }: ParsedQuote, signal: AbortSignal): Promise<CheckedCollateral | CheckFailure> {
    if (pckChain === undefined) return { check: 'pck_chain', text: 'not in the quote' };
    const began = this.#options.clock.monotonic();
    let platform: ReturnType<typeof platformOf>;
    try {
      platform = platformOf(pckChain);
    } catch {
      return { check: 'pck_chain', text: 'unreadable' };
    }
    const found = await Promise.race([this.#cache.get(platform), aborted(signal)]);
    this.#options.onStage('collateral', this.#options.clock.monotonic() - began);
    if (!found) return { check: 'collateral', text: 'none that holds now' };
    // A list of another authority says nothing about this platform.
    return found.pckCaKey.equals(platform.caKey) ? found : { check: 'pck_chain', text: 'of another authority' };
  }

  async #load(key: CollateralKey): Promise<CheckedCollateral> {
    const { config, clock, signal, resolvePath } = this.#options;
    const { directory, pccs } = config.collateral!;
    const documents =
      directory === undefined
        ? await fetchCollateral(pccs!, key, { clock, signal })
        : await readCollateral(resolvePath(directory), key);
    return checkCollateral(documents, this.#rootDer, key);
  }

  #timed<T>(stage: VerifyStage, work: () => T): T {
    const { clock, onStage } = this.#options;
    const began = clock.monotonic();
    const result = work();
    onStage(stage, clock.monotonic() - began);
    return result;
  }
}

/** Checks that this very answer is about this call, this connection and this key. */
function checkBinding(report: Report, nonce: Buffer, fingerprint: string): ParsedQuote | CheckFailure {
  if (!report.nonce.equals(nonce)) return { check: 'nonce_echo' };
  if (report.fingerprint === undefined) return { check: 'fingerprint_missing' };
  if (report.fingerprint !== fingerprint) return { check: 'spki_mismatch' };
  const quote = parseQuote(report.quote);
  if ('check' in quote) return quote;
  const data = Buffer.from(quote.report.reportData);
  if (!data.subarray(32).equals(nonce)) return { check: 'quote_nonce' };
  const { signingAddress } = report;
  const padded = Buffer.concat([signingAddress], ADDRESS_BYTES);
  if (data.subarray(0, 32).equals(padded)) return { check: 'padded_address' };
  const bound = createHash('sha256').update(signingAddress).update(Buffer.from(fingerprint, 'hex')).digest();
  if (!data.subarray(0, 32).equals(bound)) return { check: 'key_binding' };
  return isDebugged(quote.report) ? { check: 'debug' } : quote;
}

function skippedBy({ mode, policy, gpu }: VerificationConfig): string[] {
  if (mode === 'none') return ['binding', ...DCAP_CHECKS];
  if (mode === 'binding') return DCAP_CHECKS;
  return [
    ...(policy.os_images.length === 0 ? ['os_image'] : []),
    ...(policy.compose_hashes.length === 0 ? ['compose_hash'] : []),
    ...(Object.values(policy.measurements).every((list) => list.length === 0) ? ['measurement'] : []),
    ...(gpu.mode === 'off' ? ['gpu'] : []),
  ];
}

/** Why there is no collateral, without a word of a peer or a file system. */
function whyNot(error: unknown): string {
  const isOurs = error instanceof CollateralRefused || error instanceof FetchFailed;
  return isOurs ? error.message : 'no file, or not readable';
}

/** @throws OutbandError `config_source` when the file cannot be read, or holds no certificate */
export async function readRootCa(file: string | undefined): Promise<Buffer> {
  if (file === undefined) return constants.TRUSTED_ROOT_CA_DER;
  try {
    const bytes = await readFile(file);
    return Buffer.from(new X509Certificate(bytes).raw);
  } catch (cause) {
    const message = `verification::root_ca_file: cannot read root certificate from ${file}`;
    throw new OutbandError('config_source', message, { cause, hint: 'It must be one certificate, PEM or DER.' });
  }
}

/** @throws OutbandError `config_source` when there is no such directory */
export async function checkDirectory(directory: string): Promise<void> {
  const isThere = await stat(directory)
    .then((found) => found.isDirectory())
    .catch(() => false);
  if (isThere) return;
  const hint = 'It holds one file `<fmspc>-<ca>.json` for each kind of platform.';
  throw new OutbandError('config_source', `verification::collateral::directory: no directory ${directory}`, { hint });
}

/** What says whether a proof of before still counts: the rules that it was made by. */
export function policyDigest({ mode, accept_tcb, policy, gpu }: VerificationConfig, rootDer: Buffer): string {
  const rules = [mode, accept_tcb, policy, gpu.mode, rootDer.toString('base64')];
  return createHash('sha256').update(JSON.stringify(rules)).digest('hex').slice(0, 16);
}
