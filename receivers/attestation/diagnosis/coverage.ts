import type { ProbeResult } from '../probe/result.ts';
import type { Balance } from './estimates.ts';

/** Why a pool cannot be called complete. The closed list. */
export const BLOCKERS = [
  ...(['below_declared', 'probe_failed', 'verify_failed', 'count_changed', 'count_capped'] as const),
  ...(['declared_shrank', 'declared_disagrees', 'collapsed', 'candidate_open', 'identities_below_declared'] as const),
] as const;
export type Blocker = (typeof BLOCKERS)[number];
/** What a count of backends alone can say against completeness. */
export type CountBlocker = Extract<Blocker, `count_${string}` | `declared_${string}`>;

export const COVERAGES = ['complete', 'probable', 'incomplete', 'unknown'] as const;
export type Coverage = (typeof COVERAGES)[number];

export interface CycleSight {
  /** Backends that there are, where somebody says so. */
  readonly declared: number | undefined;
  /** Each backend was asked for by name or address. */
  readonly isEnumerating: boolean;
  readonly results: readonly ProbeResult[];
  /** Distinct backends that the cycle proved. */
  readonly identities: number;
  readonly count: readonly CountBlocker[];
  readonly balance: Balance;
}

/**
 * What stands against "this cycle saw every backend"; pure. A cycle against which nothing stands, and that proved as many
 * backends as there are, is full: what it did not see is gone.
 */
export function blockersOfCycle({
  declared,
  isEnumerating,
  results,
  identities,
  count,
  balance,
}: CycleSight): Blocker[] {
  const blockers: Blocker[] = [...count];
  if (isEnumerating) {
    if (results.some(({ outcome }) => outcome !== 'ok' && outcome !== 'verify_failed')) blockers.push('probe_failed');
    if (results.some(({ outcome }) => outcome === 'verify_failed')) blockers.push('verify_failed');
    const allOk = results.every(({ outcome }) => outcome === 'ok');
    if (allOk && identities < (declared ?? 0)) blockers.push('identities_below_declared');
  }
  if (balance === 'collapsed') blockers.push('collapsed');
  return blockers;
}

export function isFullCycle(sight: CycleSight): boolean {
  return sight.declared !== undefined && sight.identities >= sight.declared && blockersOfCycle(sight).length === 0;
}

export interface CoverageInput {
  readonly sight: CycleSight;
  /** Distinct backends that were proven within three intervals. */
  readonly recentIdentities: number;
  readonly isCandidateOpen: boolean;
  readonly unseenMassUpper: number;
  /** What is asked of it. */
  readonly unseenMass: number;
}

/** Whether the pins are all there are; pure. Sampling without a declared number never says `complete`. */
export function judgeCoverage({
  sight,
  recentIdentities,
  isCandidateOpen,
  unseenMassUpper,
  unseenMass,
}: CoverageInput): {
  readonly coverage: Coverage;
  readonly blockers: readonly Blocker[];
} {
  const { declared, balance } = sight;
  const blockers = blockersOfCycle(sight);
  if (isCandidateOpen) blockers.push('candidate_open');
  const isBelow = declared !== undefined && recentIdentities < declared;
  if (isBelow && !blockers.includes('identities_below_declared')) blockers.unshift('below_declared');
  if (blockers.length > 0) return { coverage: 'incomplete', blockers };
  if (declared !== undefined) return { coverage: 'complete', blockers };
  const isSpread = balance === 'balanced' || balance === 'round_robin';
  // A cycle that proved nobody supports no guess.
  if (!sight.results.some(({ outcome }) => outcome === 'ok')) return { coverage: 'unknown', blockers };
  return { coverage: isSpread && unseenMassUpper <= unseenMass ? 'probable' : 'unknown', blockers };
}
