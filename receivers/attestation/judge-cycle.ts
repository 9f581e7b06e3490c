import type { AttestationConfig } from './config.ts';
import { type CycleReport, distinctIdentities } from './cycle.ts';
import type { CycleSummary } from './cycle-record.ts';
import { type CycleSight, isFullCycle, judgeCoverage } from './diagnosis/coverage.ts';
import { addDraws, type DrawWindow, EMPTY_WINDOW } from './diagnosis/draws.ts';
import { estimate, judgeBalance } from './diagnosis/estimates.ts';
import { judgeStall, type Stall, stallP } from './diagnosis/stall.ts';
import { brokenSums, tally } from './outcome.ts';
import type { Candidates, CandidateVerdict } from './pins/candidates.ts';
import { applyCycle, identitiesSince, type PinChange, type Pins } from './pins/pin-set.ts';
import type { ProbeResult } from './probe/result.ts';

/** What a pool knows between two cycles; plain data. */
export interface PoolMemory {
  readonly pins: Pins;
  /** Grows with each change of the set of pins. */
  readonly generation: number;
  readonly window: DrawWindow;
  /** Backends that the proxy counted last, as far as that was believed. */
  readonly lastCount: number | undefined;
  /** `since`: milliseconds since the epoch. */
  readonly stall: (Stall & { readonly since: number }) | undefined;
  /** Cycles in a row without a proven probe. */
  readonly fruitless: number;
  /** Cycles in a row of an enumeration that left backends unpinned. */
  readonly incomplete: number;
  /** Cycles of this process. */
  readonly ended: number;
  /** A cycle of this process has proven a backend. */
  readonly hasSucceeded: boolean;
}

export const NO_MEMORY: PoolMemory = {
  ...{ pins: new Map(), generation: 0, window: EMPTY_WINDOW, lastCount: undefined, stall: undefined },
  ...{ fruitless: 0, incomplete: 0, ended: 0, hasSucceeded: false },
};

export type PoolState = 'bootstrap' | 'pinned' | 'blocked';

export function stateOf({ pins, ended }: Pick<PoolMemory, 'pins' | 'ended'>): PoolState {
  if (pins.size > 0) return 'pinned';
  return ended > 0 ? 'blocked' : 'bootstrap';
}

export interface JudgedCycle {
  readonly memory: PoolMemory;
  readonly summary: CycleSummary;
  /** In launch order. */
  readonly results: readonly ProbeResult[];
  readonly change: PinChange;
  readonly verdicts: readonly CandidateVerdict[];
  /** Sums that do not hold; the pins are as before then. */
  readonly broken: readonly string[];
}

type CycleFacts = Pick<CycleSummary, 'id' | 'kind' | 'trigger' | 'seq' | 'startedAt' | 'durationMs' | 'isCut' | 'mode'>;

/** Backends that were proven within so many intervals are there. */
const RECENT_INTERVALS = 3;

/**
 * What the results of one cycle mean: for the pins, for how sure it is that they are all there are, and for whether discovery
 * stands still. Decides only; nothing is told here.
 * @param now milliseconds since the epoch
 */
export function judgeCycle(
  before: PoolMemory,
  report: CycleReport,
  facts: CycleFacts,
  { config, candidates, now }: { config: AttestationConfig; candidates: Candidates; now: number },
): JudgedCycle {
  const results = [...report.results].sort((a, b) => a.attempt - b.attempt);
  const counts = tally(results);
  const broken = brokenSums(report.planned, results, counts);
  const { declared, strategy, count } = report;
  const isEnumerating = strategy !== 'sample';
  const drawn = windowAfter(before, results, config.sampling.window, now);
  const seen = new Set([...before.pins.keys(), ...counts.observedFingerprints]);
  const balance = judgeBalance(drawn, Math.max(declared ?? 0, seen.size), config.stall.min_draws);
  const identities = distinctIdentities(results, config.pins.shared_keys);
  const sight: CycleSight = { declared, isEnumerating, results, count, balance, identities };
  const isFull = broken.length === 0 && isFullCycle(sight);
  const { ttl, max_age: maxAge, floor, shared_keys: sharedKeys } = config.pins;
  const change: PinChange =
    broken.length > 0
      ? { pins: before.pins, added: [], evicted: [] }
      : applyCycle(before.pins, { results, isFull, source: facts.kind, now }, { ttl, maxAge, floor, sharedKeys });
  const { pins, added, evicted } = change;
  const window = evicted.length > 0 ? { ...drawn, sinceChange: 0 } : drawn;
  const pinned = (fingerprint: string) => pins.has(fingerprint);
  const { unverifiedFingerprints: unverified } = counts;
  const verdicts = candidates.settle({ pinned, unverified, isFull, since: facts.startedAt }, now);
  const isCandidateOpen = candidates.open(now).length > 0;

  const known = identitiesSince(pins, 0);
  // What the agent itself cut off says nothing about the pool.
  const counted = facts.isCut ? 0 : 1;
  const fruitless = counts.ok > 0 ? 0 : before.fruitless + counted;
  const incomplete = isEnumerating && known < (declared ?? 0) ? before.incomplete + counted : 0;
  const estimates = estimate(window, config.sampling.confidence);
  const coverage = judgeCoverage({
    ...{ sight, isCandidateOpen, unseenMassUpper: estimates.unseenMassUpper, unseenMass: config.sampling.unseen_mass },
    recentIdentities: identitiesSince(pins, now - RECENT_INTERVALS * config.refresh_interval),
  });
  const stallInput = {
    ...{ known, declared, isCandidateOpen, balance, isEnumerating },
    ...{ incompleteCycles: incomplete, fruitlessCycles: fruitless },
    drawsSinceNew: drawsInVain(window, candidates, now),
    isFailing: counts.failedCalls + counts.verifyFailures > 0,
  };
  const stall = judgeStall(before.stall, stallInput, config.stall);
  const memory: PoolMemory = {
    ...{ pins, window, fruitless, incomplete, ended: before.ended + counted },
    generation: before.generation + (added.length + evicted.length > 0 ? 1 : 0),
    // A smaller number counts from its second time on, a larger one when it has proven true.
    lastCount: isFull || count.includes('declared_shrank') ? report.counted : before.lastCount,
    stall: stall && { ...stall, since: before.stall?.cause === stall.cause ? before.stall.since : now },
    hasSucceeded: before.hasSucceeded || counts.ok > 0,
  };
  const summary: CycleSummary = {
    ...{ ...facts, counts, ...coverage, ...estimates, balance, known, stallP: stallP(stallInput) },
    ...{ strategy, declared, declaredSource: report.declaredSource, state: stateOf(memory), endedAt: now },
    ...(report.countError !== undefined && { countError: report.countError }),
    ...{ newFingerprints: added.length, evicted: evicted.length, totalPinned: pins.size },
    sharedKeys: coverage.coverage === 'complete' && pins.size < (declared ?? 0),
  };
  return { memory, summary, results, change, verdicts, broken };
}

/** Draws that found nothing new; of a key that a client met, only those since then could have found it. */
function drawsInVain({ draws, sinceNew }: DrawWindow, candidates: Candidates, now: number): number {
  const since = Math.min(...candidates.open(now).map(({ receivedAt }) => receivedAt));
  return Number.isFinite(since) ? Math.min(sinceNew, draws.filter(({ at }) => at > since).length) : sinceNew;
}

/**
 * The window with the draws of these results.
 * @param span milliseconds that a draw counts
 */
export function windowAfter(
  { window, pins }: Pick<PoolMemory, 'window' | 'pins'>,
  results: readonly ProbeResult[],
  span: number,
  now: number,
): DrawWindow {
  const proven = results.filter(({ outcome }) => outcome === 'ok').sort((a, b) => a.attempt - b.attempt);
  const isKnown = (fingerprint: string) => pins.has(fingerprint);
  const draws = proven
    .filter(({ via }) => via.kind === 'plain')
    .map(({ fingerprint }) => ({ fingerprint: fingerprint!, at: now }));
  const drawn = addDraws(window, draws, isKnown, now - span);
  // A key that an enumeration found is news, too.
  const isNews = proven.some(({ via, fingerprint }) => via.kind !== 'plain' && !isKnown(fingerprint!));
  return isNews ? { ...drawn, sinceChange: 0, sinceNew: 0 } : drawn;
}
