import type { Category, Stage } from './failure.ts';

export const ALGORITHMS = ['ecdsa', 'ed25519'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/**
 * `ok`: a key was observed, and proven as far as the mode asks. `failed`: no answer that could be judged.
 * `verify_failed`: an answer that did not prove the key. `unbound`: a connection without a key of its own. `cancelled`: the
 * agent ended it.
 */
export type ProbeOutcome = 'ok' | 'failed' | 'verify_failed' | 'unbound' | 'cancelled';

/** Where a probe went: to the name of the pool, to one index of it, or to one address. */
export type Via = { readonly kind: 'plain' } | { readonly kind: 'index' | 'address'; readonly index: number };

/** Milliseconds of each part that was reached. */
export type Elapsed = Partial<Record<'dns' | 'tcp' | 'tls' | 'ttfb' | 'body' | 'verify', number>> & {
  readonly total: number;
};

/** What a proven report says about its backend. */
export interface Evidence {
  readonly signingAddress?: string;
  readonly algo?: Algorithm;
  /** SHA-256 of the quote. */
  readonly evidenceSha256?: string;
  readonly tcbStatus?: string;
  readonly advisoryIds?: readonly string[];
  /** From the verified event log. */
  readonly instanceId?: string;
}

/** One probe: everything that is counted and listed about a cycle derives from these. */
export interface ProbeResult {
  /** Launch index, from 0. */
  readonly attempt: number;
  readonly via: Via;
  readonly algo: Algorithm;
  readonly outcome: ProbeOutcome;
  readonly failure?: { readonly category: Category; readonly stage: Stage; readonly detail: string };
  readonly httpStatus?: number;
  /** Why it is `unbound`. */
  readonly unbound?: 'session_reused' | 'no_peer_certificate';
  /** The key of the peer on this connection; 64 hex digits. */
  readonly fingerprint?: string;
  /** The key that the report names. */
  readonly reportedFingerprint?: string;
  /** The check that failed. */
  readonly check?: string;
  readonly checksSkipped: readonly string[];
  readonly localPort?: number;
  readonly elapsed: Elapsed;
  readonly evidence: Evidence;
  /** End of the certificate's life; milliseconds since the epoch. */
  readonly notAfter?: number;
}

/** As it is shown to people: without what is absent. */
export function shownResult(cycleId: string, result: ProbeResult): Record<string, unknown> {
  const { failure, evidence, via, elapsed } = result;
  const all = {
    cycle_id: cycleId,
    attempt: result.attempt,
    via,
    algo: result.algo,
    outcome: result.outcome,
    category: failure?.category ?? result.unbound,
    stage: failure?.stage,
    detail: failure?.detail,
    http_status: result.httpStatus,
    fingerprint: result.fingerprint,
    reported_fingerprint: result.reportedFingerprint,
    check: result.check,
    checks_skipped: result.checksSkipped,
    elapsed_ms: Object.fromEntries(Object.entries(elapsed).map(([part, ms]) => [part, Math.round(ms * 10) / 10])),
    evidence_sha256: evidence.evidenceSha256,
    tcb_status: evidence.tcbStatus,
    advisory_ids: evidence.advisoryIds ?? [],
    instance_id: evidence.instanceId,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}
