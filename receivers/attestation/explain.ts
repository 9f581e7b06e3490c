import type { Blocker } from './diagnosis/coverage.ts';
import type { StallCause } from './diagnosis/stall.ts';

export interface Explained {
  /** Whether hardware proves keys in this mode. */
  readonly isProven: boolean;
  /** Each backend was asked for by name or address. */
  readonly isEnumerating: boolean;
  /** The proxy could not say how many there are. */
  readonly countError: string | undefined;
  readonly isSkewed: boolean;
  readonly state: 'bootstrap' | 'pinned' | 'blocked';
  readonly coverage: string;
  readonly blockers: readonly Blocker[];
  readonly stall: StallCause | undefined;
  readonly declared: number | undefined;
  /** Backends behind the pins. */
  readonly pinned: number;
  readonly draws: number;
  readonly drawn: number;
  readonly effectiveSize: number | null;
  readonly unseenMassUpper: number;
  readonly candidates: number;
  /** Of the last cycle. */
  readonly failed: number;
  readonly verifyFailed: number;
  readonly calls: number;
  readonly fruitlessCycles: number;
  /** The commonest reason of the last cycle. */
  readonly reason: string | undefined;
}

const BLOCKER_TEXTS: Readonly<Record<Blocker, (pool: Explained) => string>> = {
  below_declared: () => 'Not every declared backend was proven lately.',
  probe_failed: ({ failed, calls, reason }) =>
    `${failed} of ${calls} probes got no report${because(reason)}: look at those backends.`,
  verify_failed: ({ verifyFailed, calls, reason }) =>
    `${verifyFailed} of ${calls} probes reached a backend that did not pass verification${because(reason)}.`,
  count_changed: () =>
    'The number of backends changed while they were asked, or could not be confirmed: the next cycle decides.',
  count_capped: () => 'There are more backends than index_sni::max_backends: raise it.',
  declared_shrank: () => 'The proxy counts fewer backends than before: the next cycle decides whether they are gone.',
  declared_disagrees: () => 'Another number of backends was found than is declared: correct one of the two.',
  collapsed: ({ draws, drawn, effectiveSize, isEnumerating }) =>
    `The last ${draws} probes reached only ${drawn} of them (effective size ${(effectiveSize ?? 1).toFixed(1)}): the balancer collapses.${advice(isEnumerating)}`,
  candidate_open: ({ candidates }) =>
    `Clients met ${candidates} ${candidates === 1 ? 'key' : 'keys'} that no probe has reached yet.`,
  identities_below_declared: () =>
    'Several indexes gave the same key: shared keys (set pins::shared_keys), or the proxy ignores the index.',
};

const CAUSE_TEXTS: Readonly<Record<StallCause, (pool: Explained) => string>> = {
  collapsed: () => 'Discovery stands still.',
  failing: ({ failed, verifyFailed, calls, reason }) =>
    `Discovery stands still: ${failed + verifyFailed} of ${calls} probes failed${because(reason)}.`,
  unseen: ({ draws, isEnumerating }) =>
    isEnumerating
      ? 'Discovery stands still: asking for each backend never reached what is missing. Look at what the proxy counts.'
      : `Discovery stands still: in ${draws} draws the balancer never chose what is missing. Use index_sni or addresses, or look at that backend's weight.`,
  no_success: ({ fruitlessCycles, reason }) =>
    `No probe of the last ${fruitlessCycles} cycles succeeded${because(reason)}.`,
};

const MAX_SENTENCES = 3;

/** "Why is this pool incomplete?" in at most three plain sentences or what counts as one; pure. */
export function explain(pool: Explained): string {
  const { state, coverage, declared, pinned, blockers, stall } = pool;
  if (state === 'bootstrap') return 'No cycle has ended yet.';
  const head =
    declared !== undefined && pinned > declared
      ? `${pinned} backends pinned, ${declared} declared.`
      : declared === undefined
        ? `${pinned} ${pinned === 1 ? 'backend' : 'backends'} pinned; nobody says how many there are.`
        : `${pinned} of ${declared} declared backends pinned.`;
  if (coverage === 'complete') return `${head} Every one of them was ${pool.isProven ? 'proven' : 'seen'}.`;
  const causes = [
    ...(stall === 'no_success' ? [CAUSE_TEXTS.no_success(pool)] : []),
    ...blockers.filter((blocker) => blocker !== 'below_declared').map((blocker) => BLOCKER_TEXTS[blocker](pool)),
    ...(stall !== undefined && stall !== 'no_success' && stall !== 'collapsed' ? [CAUSE_TEXTS[stall](pool)] : []),
  ];
  if (causes.length === 0 && pool.failed + pool.verifyFailed > 0) causes.push(failuresOf(pool));
  if (causes.length === 0 || pool.countError !== undefined) causes.push(restOf(pool));
  return [head, ...causes].slice(0, MAX_SENTENCES).join(' ');
}

function failuresOf({ failed, verifyFailed, calls, reason }: Explained): string {
  return `${failed + verifyFailed} of ${calls} probes of the last cycle failed${because(reason)}.`;
}

/** Who is asked by name already needs no such advice. */
function advice(isEnumerating: boolean): string {
  return isEnumerating ? '' : ' Use index_sni or addresses.';
}

function restOf(pool: Explained): string {
  const { coverage, blockers, unseenMassUpper, countError, isSkewed } = pool;
  if (countError !== undefined)
    return `The number of backends could not be read (${countError}), so this cycle was a sample.`;
  if (blockers.includes('below_declared')) return BLOCKER_TEXTS.below_declared(pool);
  const share = `${Math.round(unseenMassUpper * 100)} %`;
  return coverage === 'probable'
    ? `Backends without a pin get at most ${share} of the calls.`
    : `${isSkewed ? 'The balancer favours some backends, so rare ones may be unseen' : `Backends without a pin may get up to ${share} of the calls`}: set declared, or use index_sni or addresses.`;
}

function because(reason: string | undefined): string {
  return reason === undefined ? '' : ` (${reason})`;
}
