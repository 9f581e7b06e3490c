import { createLocalJWKSet, errors, type JSONWebKeySet, jwtVerify } from 'jose';
import { aborted } from '../../../src/component/aborted.ts';
import type { Clock } from '../../../src/component/clock.ts';
import { fetchDocument } from '../fetch-document.ts';
import { parseJson } from '../parse-json.ts';
import type { VerificationConfig } from './config.ts';
import type { GpuEvidence } from './report.ts';
import type { CheckFailure } from './verifier.ts';

const KEYS_LIFE_MS = 3_600_000;
/** A key that nobody knows is looked for so often; milliseconds. */
const REFETCH_SPACING_MS = 300_000;

/** Asks NVIDIA's Remote Attestation Service about evidence of GPUs, and checks that the answer is its own and about this. */
export class GpuVerifier {
  readonly #config: VerificationConfig['gpu'];
  readonly #clock: Clock;
  readonly #stopped: AbortSignal;
  #keys: { readonly set: KeySet; readonly fetchedAt: number } | undefined;
  /** Milliseconds; when keys were asked for last, whatever came of it. */
  #askedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | undefined;

  /** @param stopped ends what many wait for; who asks has a signal of its own */
  constructor(config: VerificationConfig['gpu'], clock: Clock, stopped: AbortSignal) {
    this.#config = config;
    this.#clock = clock;
    this.#stopped = stopped;
  }

  /**
   * @param nonce of the call, hex
   * @returns the check that the evidence does not pass; `skipped` where it need not be there
   */
  async verify(
    evidence: GpuEvidence | undefined,
    nonce: string,
    signal: AbortSignal,
  ): Promise<CheckFailure | 'ok' | 'skipped'> {
    const isRequired = this.#config.mode === 'required';
    if (!evidence) return isRequired ? { check: 'gpu_missing' } : 'skipped';
    if (!sameHex(evidence.nonce, nonce)) return { check: 'gpu_nonce' };
    let token: string | undefined;
    try {
      token = await this.#ask(evidence, signal);
    } catch {
      return isRequired ? { check: 'gpu_service' } : 'skipped';
    }
    if (token === undefined) return { check: 'gpu_token', text: 'none' };
    return this.#judge(token, nonce, signal);
  }

  async #ask({ body }: GpuEvidence, signal: AbortSignal): Promise<string | undefined> {
    const { nras_url: url, timeout: timeoutMs } = this.#config;
    const answer = await fetchDocument({ url: url!, method: 'POST', body, timeoutMs, clock: this.#clock, signal });
    if (answer.status !== 200) throw new Error('the service refused');
    return overallToken(answer.body.toString('utf8'));
  }

  async #judge(token: string, nonce: string, signal: AbortSignal): Promise<CheckFailure | 'ok' | 'skipped'> {
    const check = async (keys: KeySet) =>
      (
        await jwtVerify(token, keys, {
          ...{ issuer: this.#config.issuer!, algorithms: ['ES384', 'ES256', 'RS256', 'PS256'] },
          currentDate: new Date(Number(this.#clock.now() / 1_000_000n)),
          requiredClaims: ['exp'],
        })
      ).payload;
    try {
      const claims = await check(await this.#knownKeys(signal)).catch(async (error) => {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
        return check(await this.#newKeys(signal));
      });
      if (!sameHex(claims.eat_nonce, nonce)) return { check: 'gpu_token', text: 'nonce' };
      return claims['x-nvidia-overall-att-result'] === true ? 'ok' : { check: 'gpu_verdict' };
    } catch (error) {
      if (!(error instanceof errors.JOSEError) || error instanceof errors.JWKSInvalid)
        return this.#config.mode === 'required' ? { check: 'gpu_service', text: 'no keys' } : 'skipped';
      return { check: 'gpu_token', text: TOKEN_FAULTS[error.code] ?? 'signature' };
    }
  }

  async #knownKeys(signal: AbortSignal): Promise<KeySet> {
    const { fetchedAt = Number.NEGATIVE_INFINITY } = this.#keys ?? {};
    if (this.#clock.monotonic() - fetchedAt > KEYS_LIFE_MS) await this.#refetch(signal);
    return this.#keys!.set;
  }

  async #newKeys(signal: AbortSignal): Promise<KeySet> {
    if (this.#fetching || this.#clock.monotonic() - this.#askedAt > REFETCH_SPACING_MS) await this.#refetch(signal);
    return this.#keys!.set;
  }

  /** Once for all who ask at the same time. */
  async #refetch(signal: AbortSignal): Promise<void> {
    this.#fetching ??= this.#fetchKeys().finally(() => {
      this.#fetching = undefined;
    });
    await Promise.race([this.#fetching, aborted(signal)]);
    signal.throwIfAborted();
  }

  async #fetchKeys(): Promise<void> {
    const { jwks_url: url, timeout: timeoutMs } = this.#config;
    this.#askedAt = this.#clock.monotonic();
    const answer = await fetchDocument({ url: url!, timeoutMs, clock: this.#clock, signal: this.#stopped });
    if (answer.status !== 200) throw new Error('the keys were refused');
    const keys = parseJson(answer.body.toString('utf8')) as JSONWebKeySet;
    this.#keys = { set: createLocalJWKSet(keys), fetchedAt: this.#clock.monotonic() };
  }
}

type KeySet = ReturnType<typeof createLocalJWKSet>;

const TOKEN_FAULTS: Readonly<Record<string, string>> = {
  ERR_JWT_EXPIRED: 'expired',
  ERR_JWT_CLAIM_VALIDATION_FAILED: 'issuer',
  ERR_JWKS_NO_MATCHING_KEY: 'unknown key',
};

/** `[["JWT", token], {...}]`; the first stands for all GPUs together. */
function overallToken(text: string): string | undefined {
  try {
    const [first] = parseJson(text) as unknown[];
    return Array.isArray(first) && first[0] === 'JWT' && typeof first[1] === 'string' ? first[1] : undefined;
  } catch {
    return undefined;
  }
}

function sameHex(value: unknown, nonce: string): boolean {
  return typeof value === 'string' && value.replace(/^0x/i, '').toLowerCase() === nonce;
}
