import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Candidates } from '../../../receivers/attestation/pins/candidates.ts';
import { applyCycle, type Pin, type PinRules, type Pins } from '../../../receivers/attestation/pins/pin-set.ts';
import { readPool, type StoredPool, writePool } from '../../../receivers/attestation/pool-state.ts';
import type { ProbeResult } from '../../../receivers/attestation/probe/result.ts';
import { forAll } from '../../support/property.ts';

const HOUR_MS = 3_600_000;
const RULES: PinRules = { ttl: HOUR_MS, maxAge: 24 * HOUR_MS, floor: 1, sharedKeys: false };
const KEYS = ['a', 'b', 'c', 'd', 'e', 'f'].map((letter) => letter.repeat(64));

function result(fingerprint: string, outcome: ProbeResult['outcome'], check?: string): ProbeResult {
  return {
    ...{ attempt: 0, via: { kind: 'plain' }, algo: 'ecdsa', outcome, fingerprint, checksSkipped: [] },
    ...{ elapsed: { total: 1 }, evidence: {}, notAfter: 1e15 },
    ...(check !== undefined && { check }),
  };
}

function after(before: Pins, results: readonly ProbeResult[], now: number, isFull = false, rules = RULES) {
  return applyCycle(before, { results, isFull, source: 'cumulative', now }, rules);
}

const [A, B, C] = KEYS as [string, string, string];

test('only a proof adds or renews a pin', () => {
  for (const outcome of ['failed', 'verify_failed', 'unbound', 'cancelled'] as const)
    assert.equal(after(new Map(), [result(A, outcome, 'rtmr3')], 0).pins.size, 0);
  const first = after(new Map(), [result(A, 'ok')], 0);
  assert.deepEqual(
    first.added.map(({ fingerprint }) => fingerprint),
    [A],
  );
  const second = after(first.pins, [result(A, 'verify_failed', 'rtmr3')], 1_000);
  assert.equal(second.pins.get(A)!.lastVerified, 0);
  assert.equal(second.pins.get(A)!.lastSeen, 1_000);
});

test('a set that was seen as a whole replaces the one of before', () => {
  const two = after(new Map(), [result(A, 'ok'), result(B, 'ok')], 0).pins;
  const whole = after(two, [result(B, 'ok'), result(C, 'ok')], 1, true);
  assert.deepEqual([...whole.pins.keys()].sort(), [B, C]);
  assert.deepEqual(
    whole.evicted.map(({ reason }) => reason),
    ['not_in_complete_set'],
  );
  assert.equal(after(two, [result(B, 'ok')], 1).pins.size, 2);
});

test('time to live spares the newest; the greatest age spares none', () => {
  const old = after(after(new Map(), [result(A, 'ok')], 0).pins, [result(B, 'ok')], 1_000).pins;
  const late = after(old, [], HOUR_MS + 2_000);
  assert.deepEqual([...late.pins.keys()], [B]);
  const three = after(old, [], HOUR_MS + 2_000, false, { ...RULES, floor: 3 });
  assert.equal(three.pins.size, 2);
  assert.equal(after(late.pins, [], 24 * HOUR_MS + 1_000).pins.size, 0);
});

test('what a backend fails of itself takes its key at once, also when another proved it in the same cycle', () => {
  const pinned = after(new Map(), [result(A, 'ok')], 0).pins;
  for (const check of [
    'debug',
    'tcb_status',
    'os_image',
    'compose_hash',
    'mr_config_id',
    'measurement',
    'gpu_verdict',
  ]) {
    const gone = after(pinned, [result(A, 'ok'), result(A, 'verify_failed', check)], 1);
    assert.equal(gone.pins.size, 0, check);
    assert.deepEqual(
      gone.evicted.map(({ reason }) => reason),
      ['revoked'],
    );
    assert.equal(after(new Map(), [result(A, 'verify_failed', check), result(A, 'ok')], 1).pins.size, 0);
  }
  for (const check of ['nonce_echo', 'quote_signature', 'collateral', 'gpu_service', 'spki_mismatch'])
    assert.equal(after(pinned, [result(A, 'verify_failed', check)], 1).pins.size, 1, check);
});

test('whatever happens: nothing unproven is pinned, changes add up, and ages hold', () => {
  const cycle = fc.record({
    gap: fc.integer({ min: 1, max: 30 * HOUR_MS }),
    isFull: fc.boolean(),
    results: fc.array(
      fc.tuple(
        fc.constantFrom(...KEYS),
        fc.constantFrom<ProbeResult['outcome']>('ok', 'failed', 'verify_failed', 'unbound', 'cancelled'),
        fc.constantFrom('debug', 'rtmr3', 'tcb_status', 'quote_signature'),
      ),
      { maxLength: 8 },
    ),
  });
  return forAll(fc.tuple(fc.array(cycle, { maxLength: 12 }), fc.integer({ min: 1, max: 3 })), ([cycles, floor]) => {
    let pins: Pins = new Map();
    let now = 0;
    const proven = new Set<string>();
    for (const { gap, isFull, results } of cycles) {
      now += gap;
      const probes = results.map(([key, outcome, check]) =>
        result(key, outcome, outcome === 'verify_failed' ? check : undefined),
      );
      for (const probe of probes) if (probe.outcome === 'ok') proven.add(probe.fingerprint!);
      const change = after(pins, probes, now, isFull, { ...RULES, floor });
      assert.equal(change.pins.size, pins.size + change.added.length - change.evicted.length);
      for (const pin of change.pins.values()) {
        assert.ok(proven.has(pin.fingerprint));
        assert.ok(now - pin.lastVerified < RULES.maxAge);
      }
      for (const { reason } of change.evicted)
        if (reason === 'ttl' || reason === 'not_in_complete_set') assert.ok(change.pins.size >= floor);
      pins = change.pins;
    }
  });
});

test('what is stored is what comes back, and what was tampered with does not', () => {
  const pin = fc.record({
    fingerprint: fc.constantFrom(...KEYS),
    ...{ firstSeen: fc.nat(), lastSeen: fc.nat(), lastVerified: fc.nat(), notAfter: fc.nat() },
    advisoryIds: fc.array(fc.string()),
    identities: fc.dictionary(
      fc.string().filter((key) => key !== '__proto__'),
      fc.nat(),
    ),
    algos: fc.constantFrom({}, { ecdsa: 'ab' }, { ecdsa: 'ab', ed25519: 'cd' }),
    source: fc.constantFrom<Pin['source']>('initial', 'cumulative', 'targeted', 'restored'),
  });
  return forAll(
    fc.tuple(
      fc.uniqueArray(pin, { selector: (one) => one.fingerprint }),
      fc.array(fc.tuple(fc.constantFrom(...KEYS), fc.nat())),
    ),
    ([pins, draws]) => {
      const pool: StoredPool = {
        ...{ mode: 'dcap', policyDigest: 'p', seq: 7, generation: 3, lastCount: null },
        pins: [...pins].sort((a, b) => b.lastVerified - a.lastVerified),
        window: { draws: draws.map(([fingerprint, at]) => ({ fingerprint, at })), sinceChange: 2, sinceNew: 1 },
        told: { stalled: 'unseen', blocked: true },
      };
      const text = writePool(pool);
      assert.deepEqual(readPool(text), JSON.parse(JSON.stringify(pool)));
      assert.equal(readPool(text.slice(0, -1)), undefined);
      assert.equal(readPool(text.replace('"seq":7', '"seq":"7"')), undefined);
    },
  );
});

test('a pool of the largest size fits into its share of the store', () => {
  const many = Array.from({ length: 3_000 }, (_, n) => n.toString(16).padStart(64, '0'));
  const pins = many.map(
    (fingerprint): Pin => ({
      ...{
        fingerprint,
        firstSeen: 1e12,
        lastSeen: 1e12,
        lastVerified: 1e12,
        notAfter: 1e12,
        index: 3,
        instanceId: 'ab'.repeat(20),
      },
      ...{ evidenceSha256: fingerprint, tcbStatus: 'UpToDate', advisoryIds: ['INTEL-SA-00001'], source: 'initial' },
      ...{
        identities: { [`${fingerprint}/${'ab'.repeat(20)}`]: 1e12 },
        algos: { ecdsa: 'ab'.repeat(20), ed25519: 'cd'.repeat(32) },
      },
    }),
  );
  const draws = many.map((fingerprint) => ({ fingerprint, at: 1e12 }));
  const text = writePool({
    ...{ mode: 'dcap', policyDigest: 'p', seq: 1, generation: 1, lastCount: 5, pins },
    ...{ window: { draws, sinceChange: 0, sinceNew: 0 }, told: { stalled: null, blocked: false } },
  });
  assert.ok(text.length <= 1024 * 1024, `${text.length}`);
});

test('candidates: told once for each thing that becomes of them', () => {
  const candidates = new Candidates(2, HOUR_MS);
  const cycle = (over: Partial<Parameters<Candidates['settle']>[0]> = {}, now = 10) =>
    candidates.settle({ pinned: () => false, unverified: [], isFull: false, since: 5, ...over }, now);
  assert.equal(candidates.offer(A, 0), 'new');
  assert.equal(candidates.offer(A, 1), 'open');
  assert.equal(candidates.offer(B, 1), 'new');
  assert.equal(candidates.offer(C, 1), 'full');
  assert.deepEqual(cycle(), [
    { fingerprint: A, result: 'not_seen' },
    { fingerprint: B, result: 'not_seen' },
  ]);
  assert.deepEqual(cycle(), []);
  assert.deepEqual(cycle({ pinned: (key) => key === A }), [{ fingerprint: A, result: 'pinned' }]);
  assert.deepEqual(cycle({ unverified: [B] }), [{ fingerprint: B, result: 'rejected' }]);
  assert.equal(candidates.offer(C, 20), 'new');
  assert.deepEqual(cycle({ isFull: true, since: 19 }, 21), [], 'it came after the cycle had begun');
  assert.deepEqual(cycle({ isFull: true, since: 25 }, 26), [{ fingerprint: C, result: 'not_seen' }]);
  assert.deepEqual(candidates.open(26), []);
  candidates.offer(A, 0);
  assert.deepEqual(candidates.open(HOUR_MS + 1), []);
});
