import type { Balance } from './estimates.ts';

export const STALL_CAUSES = ['collapsed', 'failing', 'unseen', 'no_success'] as const;
export type StallCause = (typeof STALL_CAUSES)[number];

export interface StallInput {
  /** Backends behind the pins. */
  readonly known: number;
  readonly declared: number | undefined;
  readonly isCandidateOpen: boolean;
  readonly drawsSinceNew: number;
  readonly isEnumerating: boolean;
  /** Cycles in a row, this one included, of an enumeration that left backends unpinned. */
  readonly incompleteCycles: number;
  /** Cycles in a row, this one included, without a proven probe. */
  readonly fruitlessCycles: number;
  /** Whether a probe of this cycle failed. */
  readonly isFailing: boolean;
  readonly balance: Balance;
}

export interface StallRules {
  /** Less likely than this is no chance. */
  readonly p: number;
  /** Cycles in a row. */
  readonly cycles: number;
}

export interface Stall {
  readonly cause: StallCause;
}

/** @returns how likely so many draws without anything new are; null where nobody says how many backends there are */
export function stallP({
  drawsSinceNew,
  ...pool
}: Pick<StallInput, 'known' | 'declared' | 'isCandidateOpen' | 'drawsSinceNew'>): number | null {
  const backends = backendsOf(pool);
  return backends === undefined || backends === 0 ? null : Math.min(1, (pool.known / backends) ** drawsSinceNew);
}

/**
 * Whether discovery stands still although something is missing; pure. A stall ends only when nothing is missing any
 * more, or when there is a success after none.
 * @param before the stall until now
 */
export function judgeStall(before: Stall | undefined, input: StallInput, rules: StallRules): Stall | undefined {
  const { known, isCandidateOpen, fruitlessCycles } = input;
  const backends = backendsOf(input);
  const isMissing = known < (backends ?? 0) || isCandidateOpen;
  const isFruitless = fruitlessCycles >= rules.cycles;
  const lingers =
    before !== undefined && (before.cause === 'no_success' ? fruitlessCycles > 0 : isMissing && !isFruitless);
  if (lingers) return before;
  if (isFruitless) return { cause: 'no_success' };
  if (!isMissing) return undefined;
  const p = stallP(input);
  const stands = (p !== null && p < rules.p) || (input.isEnumerating && input.incompleteCycles >= rules.cycles);
  if (!stands || known >= (backends ?? 0)) return undefined;
  if (input.isFailing) return { cause: 'failing' };
  return { cause: input.balance === 'collapsed' ? 'collapsed' : 'unseen' };
}

function backendsOf({ known, declared, isCandidateOpen }: Pick<StallInput, 'known' | 'declared' | 'isCandidateOpen'>) {
  return isCandidateOpen ? Math.max(declared ?? 0, known + 1) : declared;
}
