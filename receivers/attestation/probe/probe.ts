import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { SecureContext } from 'node:tls';
import { aborted } from '../../../src/component/aborted.ts';
import type { Clock } from '../../../src/component/clock.ts';
import { deadline } from '../../../src/component/deadline.ts';
import type { Verdict, Verifier } from '../verification/verifier.ts';
import { type Connect, type Connection, openConnection } from './connection.ts';
import { getJson } from './exchange.ts';
import { checkFailed, type Failure, failure, ProbeFailed } from './failure.ts';
import type { Algorithm, Elapsed, ProbeResult, Via } from './result.ts';

/** What all probes of a pool share. */
export interface ProbeSettings {
  readonly model: string;
  /** Of the report. */
  readonly path: string;
  readonly connectTimeoutMs: number;
  readonly callTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly verifyTimeoutMs: number;
  /** Bytes. */
  readonly bodyLimit: number;
}

export interface Prober {
  readonly settings: ProbeSettings;
  readonly verifier: Verifier;
  readonly clock: Clock;
  /** Made anew when its file changed. Rejects when that cannot be used. */
  secureContext(): Promise<SecureContext>;
  /** Headers of the request, the account among them. */
  headers(): Promise<Readonly<Record<string, string>>>;
  /** Default: {@link openConnection}. */
  readonly connect?: Connect;
}

/** One probe, decided before the cycle begins. */
export interface ProbePlan {
  readonly attempt: number;
  readonly via: Via;
  readonly algo: Algorithm;
  /** Name in SNI, in the Host header and of the certificate. */
  readonly host: string;
  readonly port: number;
  /** Where to connect to, if not to what the name resolves to. */
  readonly address?: string | undefined;
  readonly addressPort?: number | undefined;
}

const NONCE_BYTES = 32;
const MAX_LABEL_BYTES = 63;

/**
 * One call on a connection of its own: fresh nonce, fresh handshake, one GET, then the checks.
 * @param signal ends the cycle
 * @returns always a result, whatever goes wrong
 */
export async function runProbe(prober: Prober, plan: ProbePlan, signal: AbortSignal): Promise<ProbeResult> {
  const { clock } = prober;
  const began = clock.monotonic();
  const run: Run = { elapsed: {}, nonce: randomBytes(NONCE_BYTES) };
  const common = () => ({
    ...{ attempt: plan.attempt, via: plan.via, algo: plan.algo, checksSkipped: run.verdict?.skipped ?? [] },
    ...(run.connection?.peer && {
      fingerprint: run.connection.peer.fingerprint,
      notAfter: run.connection.peer.notAfter,
    }),
    ...(run.connection?.localPort !== undefined && { localPort: run.connection.localPort }),
    ...(run.verdict?.reportedFingerprint !== undefined && { reportedFingerprint: run.verdict.reportedFingerprint }),
    elapsed: { ...run.elapsed, total: clock.monotonic() - began },
    evidence: run.verdict?.evidence ?? {},
  });
  try {
    const unbound = await call(prober, plan, run, signal);
    if (unbound !== undefined) return { ...common(), outcome: 'unbound', unbound };
    if (run.verdict?.failed === undefined) return { ...common(), outcome: 'ok' };
    const { check, text } = run.verdict.failed;
    return { ...common(), outcome: 'verify_failed', check, failure: checkFailed(check, text) };
  } catch (error) {
    if (signal.aborted) return { ...common(), outcome: 'cancelled' };
    // What nobody foresaw counts like an answer that is none, and its text stays here.
    const why: Failure = error instanceof ProbeFailed ? error.failure : failure('closed');
    const { httpStatus, ...shown } = why;
    return { ...common(), outcome: 'failed', failure: shown, ...(httpStatus !== undefined && { httpStatus }) };
  } finally {
    run.connection?.socket.destroy();
  }
}

interface Run {
  readonly nonce: Buffer;
  readonly elapsed: Omit<Elapsed, 'total'> & Record<string, number>;
  connection?: Connection;
  verdict?: Verdict;
}

async function call(prober: Prober, plan: ProbePlan, run: Run, signal: AbortSignal): Promise<ProbeResult['unbound']> {
  const { settings, clock } = prober;
  const { callTimeoutMs } = settings;
  const path = pathOf(settings, plan, run.nonce);
  const parts = Promise.all([prober.secureContext(), prober.headers()]).catch(() => {
    throw new ProbeFailed(failure('client'));
  });
  // Who gives the account may take longer for it than a cycle, or a stop, has time.
  const made = await Promise.race([parts, aborted(signal)]);
  if (!made) throw signal.reason;
  const [secureContext, headers] = made;
  const began = clock.monotonic();
  run.connection = await (prober.connect ?? openConnection)({
    ...{ host: plan.host, port: plan.addressPort ?? plan.port, address: plan.address, secureContext, clock, signal },
    timeoutMs: settings.connectTimeoutMs,
  });
  const { socket, peer, reused, elapsed } = run.connection;
  Object.assign(run.elapsed, elapsed);
  // A key of before proves nothing about this peer: it gets no byte of a request.
  if (reused) return 'session_reused';
  if (!peer) return 'no_peer_certificate';
  const leftMs = callTimeoutMs - (clock.monotonic() - began);
  const answer = await getJson({
    ...{ socket, path, headers, clock, signal, leftMs, callMs: callTimeoutMs },
    origin: `https://${isIP(plan.host) === 6 ? `[${plan.host}]` : plan.host}:${plan.port}`,
    idleMs: settings.idleTimeoutMs,
    bodyLimit: settings.bodyLimit,
  });
  Object.assign(run.elapsed, answer.elapsed);
  const verifying = clock.monotonic();
  using limit = deadline(clock, settings.verifyTimeoutMs, 'the verification', signal);
  run.verdict = await prober.verifier.verify({
    ...{ report: answer.body, nonce: run.nonce, fingerprint: peer.fingerprint },
    signal: limit.signal,
  });
  signal.throwIfAborted();
  run.elapsed.verify = clock.monotonic() - verifying;
  return undefined;
}

function pathOf({ path, model }: ProbeSettings, { host, via, algo }: ProbePlan, nonce: Buffer): string {
  if (via.kind === 'index' && host.slice(0, host.indexOf('.')).length > MAX_LABEL_BYTES)
    throw new ProbeFailed(failure('query'));
  const query = new URLSearchParams({
    ...{ model, signing_algo: algo, nonce: nonce.toString('hex') },
    include_tls_fingerprint: 'true',
  });
  return `${path}${path.includes('?') ? '&' : '?'}${query}`;
}
