import type { RunCause } from '../../src/component/scheduler.ts';
import type { CycleReport } from './cycle.ts';
import type { Blocker, Coverage } from './diagnosis/coverage.ts';
import type { Balance, Estimates } from './diagnosis/estimates.ts';
import type { PoolState } from './judge-cycle.ts';
import type { Tally } from './outcome.ts';
import type { VerificationMode } from './verification/config.ts';

/** Raised when an attribute gets another name or meaning; additions do not count. */
const SCHEMA_VERSION = 1;

export type CycleKind = 'initial' | 'cumulative' | 'targeted';
export type Trigger = 'schedule' | 'retry' | 'candidate' | 'operator';

/** Everything about a cycle that is told. Times are milliseconds since the epoch. */
export interface CycleSummary
  extends Estimates,
    Pick<CycleReport, 'strategy' | 'declared' | 'declaredSource' | 'countError'> {
  readonly id: string;
  readonly seq: number;
  readonly kind: CycleKind;
  readonly trigger: Trigger;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly durationMs: number;
  /** The agent ended it. */
  readonly isCut: boolean;
  readonly counts: Tally;
  readonly newFingerprints: number;
  readonly evicted: number;
  readonly totalPinned: number;
  /** Backends behind the pins. */
  readonly known: number;
  /** After the cycle. */
  readonly state: PoolState;
  readonly mode: VerificationMode;
  readonly coverage: Coverage;
  readonly blockers: readonly Blocker[];
  readonly balance: Balance;
  readonly stallP: number | null;
  /** Complete, although some backends share a key. */
  readonly sharedKeys: boolean;
}

export function triggerOf(cause: RunCause): Trigger {
  if (cause === 'manual') return 'operator';
  if (cause === 'requested') return 'candidate';
  return cause === 'breaker' || cause === 'dead_letter' || cause === 'retry_after' ? 'retry' : 'schedule';
}

/** Attributes of the one record that every cycle writes. */
export function cycleAttributes(model: string, cycle: CycleSummary): Record<string, unknown> {
  const { counts, mode, coverage, blockers } = cycle;
  const proof = counts.verifyFailures > 0 ? 'failed' : counts.ok > 0 ? 'verified' : 'unverified';
  return {
    model,
    calls: counts.calls,
    successful_calls: counts.successfulCalls,
    failed_calls: counts.failedCalls,
    verify_failures: counts.verifyFailures,
    new_fingerprints: cycle.newFingerprints,
    total_pinned: cycle.totalPinned,
    observed_fingerprints: counts.observedFingerprints,
    observed_attempts: counts.observedAttempts,
    failure_reasons: counts.failureReasons,
    failure_attempts: counts.failureAttempts,
    failure_stages: counts.failureStages,
    unbound_attempts: counts.unboundAttempts,
    unverified_fingerprints: counts.unverifiedFingerprints,
    'attestation.schema_version': SCHEMA_VERSION,
    'attestation.cycle.id': cycle.id,
    'attestation.cycle.seq': cycle.seq,
    'attestation.cycle.kind': cycle.kind,
    'attestation.cycle.trigger': cycle.trigger,
    'attestation.cycle.duration_ms': Math.round(cycle.durationMs),
    'attestation.strategy': cycle.strategy,
    'attestation.unbound_calls': counts.unboundCalls,
    'attestation.cancelled_calls': counts.cancelledCalls,
    'attestation.evicted_count': cycle.evicted,
    'attestation.pool.state': cycle.state,
    'attestation.verification.mode': mode,
    ...(mode !== 'none' && {
      'tee.type': 'tdx',
      'tee.report_data.bound_to_tls': counts.ok > 0,
    }),
    'tee.verification.outcome': mode === 'dcap' ? proof : 'unverified',
    'attestation.declared': cycle.declared,
    'attestation.declared_source': cycle.declaredSource,
    'attestation.count_error': cycle.countError,
    'attestation.coverage': coverage,
    'attestation.coverage_blockers': blockers,
    'attestation.estimated': rounded(cycle.estimated),
    'attestation.unseen_mass_upper': rounded(cycle.unseenMassUpper),
    'attestation.effective_size': rounded(cycle.effectiveSize),
    'attestation.balance': cycle.balance,
    'attestation.stall_p': rounded(cycle.stallP),
    'attestation.shared_keys': cycle.sharedKeys,
  };
}

/** To six digits; more would only be longer. */
function rounded(value: number | null): number | null {
  return value === null ? null : Number(value.toPrecision(6));
}
