import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  BLOCKERS,
  type CycleSight,
  isFullCycle,
  judgeCoverage,
} from '../../../receivers/attestation/diagnosis/coverage.ts';
import { addDraws, type DrawWindow, EMPTY_WINDOW } from '../../../receivers/attestation/diagnosis/draws.ts';
import { estimate, judgeBalance } from '../../../receivers/attestation/diagnosis/estimates.ts';
import {
  judgeStall,
  STALL_CAUSES,
  type Stall,
  type StallInput,
  stallP,
} from '../../../receivers/attestation/diagnosis/stall.ts';
import { chiSquareTail } from '../../../receivers/attestation/diagnosis/statistics.ts';
import { type Explained, explain } from '../../../receivers/attestation/explain.ts';
import type { ProbeResult } from '../../../receivers/attestation/probe/result.ts';
import { seededRandom } from '../../simulators/attested-fleet/random.ts';
import { forAll } from '../../support/property.ts';

/** A window of draws by the letter. */
const windowOf = (letters: string): DrawWindow =>
  addDraws(
    EMPTY_WINDOW,
    [...letters].map((fingerprint, at) => ({ fingerprint, at })),
    () => false,
    0,
  );

test('chi-square tails agree with published tables', () => {
  for (const [x, df, p] of [
    [3.841, 1, 0.05],
    [6.635, 1, 0.01],
    [9.488, 4, 0.05],
    [13.277, 4, 0.01],
    [30.144, 19, 0.05],
    [0, 3, 1],
    [1.386, 2, 0.5],
  ] as const)
    assert.ok(Math.abs(chiSquareTail(x, df) - p) < 5e-4, `${x} ${df}: ${chiSquareTail(x, df)}`);
});

test('draws since something new, and the bound that follows', () => {
  assert.equal(windowOf('abc').sinceNew, 0);
  assert.equal(windowOf('abcabca').sinceNew, 4);
  const after = (n: number) => estimate({ draws: [], sinceNew: n, sinceChange: n }, 0.95).unseenMassUpper;
  assert.equal(after(0), 1);
  assert.ok(after(28) > 0.1 && after(29) <= 0.1, 'twenty-nine draws for a tenth at 95 %');
});

test('draws leave the window with time, and their number is bounded', () => {
  const draws = Array.from({ length: 3_000 }, (_, at) => ({ fingerprint: 'a', at }));
  assert.equal(addDraws(EMPTY_WINDOW, draws, () => false, 2_900).draws.length, 100);
  assert.equal(addDraws(EMPTY_WINDOW, draws, () => false, 0).draws.length, 2_000);
});

test('estimates by hand', () => {
  assert.deepEqual(estimate(EMPTY_WINDOW, 0.95), { estimated: null, unseenMassUpper: 1, effectiveSize: null });
  // S = 3, f1 = 2 (b, c), f2 = 0: 3 + 2 * 1 / 2.
  assert.equal(estimate(windowOf('aaabc'), 0.95).estimated, 4);
  // n = 5; pairs: 3 * 2.
  assert.equal(estimate(windowOf('aaabc'), 0.95).effectiveSize, 20 / 6);
  assert.equal(estimate(windowOf('abc'), 0.95).effectiveSize, null);
});

test('how a balancer spreads calls', () => {
  const table: readonly (readonly [string, number, string])[] = [
    ['ababababa', 2, 'unknown'],
    ['aaaaaaaaaa', 1, 'unknown'],
    ['aaaaaaaaaa', 5, 'collapsed'],
    ['abababababababababab', 5, 'collapsed'],
    ['abcdeabcdeabcde', 5, 'round_robin'],
    ['aaaaaaaaaaaaaaaabcaabacabaaaaaa', 2, 'skewed'],
    ['abbaabababbabaabba', 2, 'balanced'],
    [`${'abcde'.repeat(40)}${'a'.repeat(20)}`, 5, 'collapsed'],
  ];
  for (const [letters, backends, balance] of table)
    assert.equal(judgeBalance(windowOf(letters), backends, 10), balance, letters);
});

test('three estimates hold their promise: stopping at a tenth unseen is wrong in one of twenty runs at most', () => {
  for (const [backends, most] of [
    [2, 50],
    [5, 10],
    [9, 50],
    [20, 50],
  ] as const) {
    let wrong = 0;
    for (let seed = 1; seed <= 1_000; seed++) {
      const random = seededRandom(seed * 7919 + backends);
      let window = EMPTY_WINDOW;
      const seen = new Set<string>();
      for (let n = 0; estimate(window, 0.95).unseenMassUpper > 0.1; n++) {
        const draws = Array.from({ length: 5 }, () => ({
          fingerprint: String(Math.floor(random() * backends)),
          at: n,
        }));
        window = addDraws(window, draws, (key) => seen.has(key), 0);
        for (const { fingerprint } of draws) seen.add(fingerprint);
      }
      if ((backends - seen.size) / backends > 0.1) wrong++;
    }
    assert.ok(wrong <= most, `${backends} backends: ${wrong} of 1000`);
  }
});

test('how many draws it takes to call a silence a stall', () => {
  for (const [known, draws] of [
    [4, 21],
    [3, 10],
    [2, 6],
  ] as const) {
    const after = (drawsSinceNew: number) => stallP({ known, declared: 5, isCandidateOpen: false, drawsSinceNew })!;
    assert.ok(after(draws) < 0.01);
    assert.ok(after(draws - 1) >= 0.01);
  }
});

const STALL: StallInput = {
  ...{ known: 4, declared: 5, isCandidateOpen: false, drawsSinceNew: 21, isEnumerating: false },
  ...{ incompleteCycles: 0, fruitlessCycles: 0, isFailing: false, balance: 'balanced' },
};
const RULES = { p: 0.01, cycles: 2 };

test('when discovery stands still, why, and when that is over', () => {
  const table: readonly (readonly [string, Partial<StallInput>, Stall | undefined, string | undefined])[] = [
    ['twenty-one draws', {}, undefined, 'unseen'],
    ['twenty', { drawsSinceNew: 20 }, undefined, undefined],
    ['nothing missing', { known: 5 }, undefined, undefined],
    ['nobody says how many', { declared: undefined }, undefined, undefined],
    ['a client met one more', { declared: undefined, isCandidateOpen: true, drawsSinceNew: 30 }, undefined, 'unseen'],
    ['probes fail', { isFailing: true, balance: 'collapsed' }, undefined, 'failing'],
    ['collapsed', { balance: 'collapsed' }, undefined, 'collapsed'],
    ['no success once', { fruitlessCycles: 1, drawsSinceNew: 0 }, undefined, undefined],
    ['no success twice', { fruitlessCycles: 2, known: 5, isFailing: true }, undefined, 'no_success'],
    [
      'an enumeration that misses some',
      { isEnumerating: true, incompleteCycles: 2, drawsSinceNew: 0 },
      undefined,
      'unseen',
    ],
    ['once only', { isEnumerating: true, incompleteCycles: 1, drawsSinceNew: 0 }, undefined, undefined],
    ['one more found, one still missing', { drawsSinceNew: 0 }, { cause: 'collapsed' }, 'collapsed'],
    ['all found', { known: 5 }, { cause: 'collapsed' }, undefined],
    ['all found but a candidate', { known: 5, isCandidateOpen: true }, { cause: 'unseen' }, 'unseen'],
    ['a success after none', { known: 5 }, { cause: 'no_success' }, undefined],
    ['still none', { fruitlessCycles: 3 }, { cause: 'no_success' }, 'no_success'],
    ['none any more', { fruitlessCycles: 2 }, { cause: 'unseen' }, 'no_success'],
  ];
  for (const [name, input, before, cause] of table)
    assert.equal(judgeStall(before, { ...STALL, ...input }, RULES)?.cause, cause, name);
});

const ok = (attempt: number): ProbeResult => ({
  ...{ attempt, via: { kind: 'plain' }, algo: 'ecdsa', outcome: 'ok', fingerprint: `${attempt}`, checksSkipped: [] },
  ...{ elapsed: { total: 0 }, evidence: {} },
});
const SIGHT: CycleSight = {
  ...{ declared: 3, isEnumerating: true, results: [ok(0), ok(1), ok(2)], identities: 3, count: [], balance: 'unknown' },
};

test('when a cycle has seen everything, and what stands against it', () => {
  const failed: ProbeResult = { ...ok(2), outcome: 'failed' };
  const unproven: ProbeResult = { ...ok(2), outcome: 'verify_failed' };
  const table: readonly (readonly [string, Partial<CycleSight>, number, boolean, string, readonly string[]])[] = [
    ['everything', {}, 3, true, 'complete', []],
    ['a failed probe', { results: [ok(0), ok(1), failed], identities: 2 }, 3, false, 'incomplete', ['probe_failed']],
    [
      'an unproven one',
      { results: [ok(0), ok(1), unproven], identities: 2 },
      3,
      false,
      'incomplete',
      ['verify_failed'],
    ],
    ['shared or ignored', { identities: 2 }, 2, false, 'incomplete', ['identities_below_declared']],
    ['the count moved', { count: ['count_changed'] }, 3, false, 'incomplete', ['count_changed']],
    ['a sample that has all', { isEnumerating: false }, 3, true, 'complete', []],
    [
      'a sample with a failure that has all',
      { isEnumerating: false, results: [ok(0), ok(1), ok(2), failed] },
      3,
      true,
      'complete',
      [],
    ],
    ['a sample that has not', { isEnumerating: false, identities: 2 }, 2, false, 'incomplete', ['below_declared']],
    ['a sample that had them lately', { isEnumerating: false, identities: 2 }, 3, false, 'complete', []],
    ['nobody says how many', { isEnumerating: false, declared: undefined }, 3, false, 'unknown', []],
    [
      'and they are spread',
      { isEnumerating: false, declared: undefined, balance: 'balanced' },
      3,
      false,
      'probable',
      [],
    ],
    [
      'or not',
      { isEnumerating: false, declared: undefined, balance: 'collapsed' },
      3,
      false,
      'incomplete',
      ['collapsed'],
    ],
  ];
  for (const [name, change, recentIdentities, isFull, coverage, blockers] of table) {
    const sight = { ...SIGHT, ...change };
    assert.equal(isFullCycle(sight), isFull, name);
    const judged = judgeCoverage({
      sight,
      recentIdentities,
      isCandidateOpen: false,
      unseenMassUpper: 0.1,
      unseenMass: 0.1,
    });
    assert.deepEqual(judged, { coverage, blockers }, name);
  }
  const open = judgeCoverage({
    sight: SIGHT,
    recentIdentities: 3,
    isCandidateOpen: true,
    unseenMassUpper: 0.1,
    unseenMass: 0.1,
  });
  assert.deepEqual(open, { coverage: 'incomplete', blockers: ['candidate_open'] });
});

test('a sample without a declared number never says complete', () =>
  forAll(
    fc.record({ identities: fc.nat(9), recent: fc.nat(9), upper: fc.double({ min: 0, max: 1, noNaN: true }) }),
    ({ identities, recent, upper }) => {
      const sight: CycleSight = { ...SIGHT, declared: undefined, isEnumerating: false, identities };
      assert.equal(isFullCycle(sight), false);
      const { coverage } = judgeCoverage({
        ...{ sight, recentIdentities: recent, isCandidateOpen: false, unseenMassUpper: upper, unseenMass: 0.1 },
      });
      assert.notEqual(coverage, 'complete');
    },
  ));

const POOL: Explained = {
  ...{ state: 'pinned', coverage: 'incomplete', blockers: [], stall: undefined, declared: 5, pinned: 3 },
  ...{ draws: 20, drawn: 2, effectiveSize: 1.4, unseenMassUpper: 0.2, candidates: 1, failed: 1, verifyFailed: 1 },
  ...{ calls: 5, fruitlessCycles: 2, reason: 'connect: refused', isProven: true, isEnumerating: false },
  ...{ countError: undefined, isSkewed: false },
};

test('why a pool is incomplete, in words', () => {
  const texts: readonly (readonly [string, Partial<Explained>])[] = [
    ['No cycle has ended yet.', { state: 'bootstrap' }],
    ['5 of 5 declared backends pinned. Every one of them was proven.', { coverage: 'complete', pinned: 5 }],
    [
      '3 of 5 declared backends pinned. Not every declared backend was proven lately.',
      { blockers: ['below_declared'], failed: 0, verifyFailed: 0 },
    ],
    [
      '3 of 5 declared backends pinned. 2 of 5 probes of the last cycle failed (connect: refused).',
      { blockers: ['below_declared'] },
    ],
    [
      '5 of 5 declared backends pinned. Every one of them was seen.',
      { coverage: 'complete', pinned: 5, isProven: false },
    ],
    ['6 backends pinned, 5 declared. Every one of them was proven.', { coverage: 'complete', pinned: 6 }],
    [
      '3 backends pinned; nobody says how many there are. The number of backends could not be read (status), so this cycle was a sample.',
      { declared: undefined, coverage: 'unknown', countError: 'status', failed: 0, verifyFailed: 0 },
    ],
    [
      '3 backends pinned; nobody says how many there are. The balancer favours some backends, so rare ones may be unseen: set declared, or use index_sni or addresses.',
      { declared: undefined, coverage: 'unknown', isSkewed: true, failed: 0, verifyFailed: 0 },
    ],
    [
      '3 of 5 declared backends pinned. Discovery stands still: asking for each backend never reached what is missing. Look at what the proxy counts.',
      { blockers: ['below_declared'], stall: 'unseen', isEnumerating: true },
    ],
    [
      '3 of 5 declared backends pinned. The last 20 probes reached only 2 of them (effective size 1.4): the balancer collapses. Use index_sni or addresses.',
      { blockers: ['below_declared', 'collapsed'], stall: 'collapsed' },
    ],
    [
      '3 of 5 declared backends pinned. 1 of 5 probes got no report (connect: refused): look at those backends.',
      { blockers: ['probe_failed'] },
    ],
    [
      '3 of 5 declared backends pinned. 1 of 5 probes reached a backend that did not pass verification (verify: debug).',
      { blockers: ['verify_failed'], reason: 'verify: debug' },
    ],
    [
      '3 of 5 declared backends pinned. The number of backends changed while they were asked, or could not be confirmed: the next cycle decides.',
      { blockers: ['count_changed'] },
    ],
    [
      '3 of 5 declared backends pinned. There are more backends than index_sni::max_backends: raise it.',
      { blockers: ['count_capped'] },
    ],
    [
      '3 of 5 declared backends pinned. The proxy counts fewer backends than before: the next cycle decides whether they are gone.',
      { blockers: ['declared_shrank'] },
    ],
    [
      '3 of 5 declared backends pinned. Another number of backends was found than is declared: correct one of the two.',
      { blockers: ['declared_disagrees'] },
    ],
    [
      '3 of 5 declared backends pinned. Clients met 1 key that no probe has reached yet.',
      { blockers: ['candidate_open'] },
    ],
    [
      '3 of 5 declared backends pinned. Several indexes gave the same key: shared keys (set pins::shared_keys), or the proxy ignores the index.',
      { blockers: ['identities_below_declared'] },
    ],
    [
      '3 of 5 declared backends pinned. Discovery stands still: 2 of 5 probes failed (connect: refused).',
      { blockers: ['below_declared'], stall: 'failing' },
    ],
    [
      "3 of 5 declared backends pinned. Discovery stands still: in 20 draws the balancer never chose what is missing. Use index_sni or addresses, or look at that backend's weight.",
      { blockers: ['below_declared'], stall: 'unseen' },
    ],
    [
      '3 of 5 declared backends pinned. No probe of the last 2 cycles succeeded (connect: refused).',
      { blockers: ['below_declared'], stall: 'no_success' },
    ],
    [
      '1 backend pinned; nobody says how many there are. Backends without a pin may get up to 20 % of the calls: set declared, or use index_sni or addresses.',
      { declared: undefined, pinned: 1, coverage: 'unknown', failed: 0, verifyFailed: 0 },
    ],
    [
      '3 backends pinned; nobody says how many there are. Backends without a pin get at most 20 % of the calls.',
      { declared: undefined, coverage: 'probable', failed: 0, verifyFailed: 0 },
    ],
  ];
  for (const [text, change] of texts) assert.equal(explain({ ...POOL, ...change }), text);
  for (const blocker of BLOCKERS)
    assert.ok(
      texts.some(([, { blockers = [] }]) => blockers.includes(blocker)),
      blocker,
    );
  for (const cause of STALL_CAUSES)
    assert.ok(
      texts.some(([, { stall }]) => stall === cause),
      cause,
    );
});
