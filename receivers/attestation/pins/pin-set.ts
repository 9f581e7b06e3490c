import type { Algorithm, ProbeResult } from '../probe/result.ts';

export type PinSource = 'initial' | 'cumulative' | 'targeted' | 'restored';

/** A key that was proven on the connection that presented it. Plain data: it is stored as it is. Times are milliseconds since the epoch. */
export interface Pin {
  /** SHA-256 of the SubjectPublicKeyInfo, 64 hex digits. */
  readonly fingerprint: string;
  readonly firstSeen: number;
  readonly lastSeen: number;
  readonly lastVerified: number;
  /** End of the certificate's life. */
  readonly notAfter: number;
  readonly evidenceSha256?: string;
  readonly tcbStatus?: string;
  readonly advisoryIds: readonly string[];
  /** Where an enumeration found it last. */
  readonly index?: number;
  readonly instanceId?: string;
  /** When each backend behind this key was proven last: more than one where backends share it. */
  readonly identities: Readonly<Record<string, number>>;
  /** Signing address by algorithm. */
  readonly algos: Readonly<Partial<Record<Algorithm, string>>>;
  readonly source: PinSource;
}

export type Pins = ReadonlyMap<string, Pin>;

export type Eviction = 'not_in_complete_set' | 'ttl' | 'max_age' | 'revoked' | 'policy_changed' | 'pool_removed';

export interface PinRules {
  /** Milliseconds since the last proof after which a pin goes, if others are left. */
  readonly ttl: number;
  /** Milliseconds since the last proof after which a pin goes in any case. */
  readonly maxAge: number;
  /** Pins that `ttl` and a complete set leave. */
  readonly floor: number;
  /** Backends of one key are told apart by their index. */
  readonly sharedKeys: boolean;
}

export interface PinChange {
  readonly pins: Pins;
  readonly added: readonly Pin[];
  readonly evicted: readonly { readonly pin: Pin; readonly reason: Eviction }[];
}

/** Failed checks that say "this very key belongs to a backend that must not be trusted". */
const REVOKING: ReadonlySet<string> = new Set([
  ...['debug', 'tcb_status', 'os_image', 'compose_hash', 'mr_config_id', 'measurement', 'gpu_verdict'],
]);

/** Which backend a proven probe reached, as far as it can be told. */
export function identityOf({ fingerprint, evidence, via }: ProbeResult, sharedKeys: boolean): string {
  if (evidence.instanceId !== undefined) return `${fingerprint}/${evidence.instanceId}`;
  return sharedKeys && via.kind !== 'plain' ? `${fingerprint}/${via.kind}-${via.index}` : fingerprint!;
}

/**
 * What one cycle does to the set; pure. Only a proven probe adds or renews a pin. A failed check of the backend itself
 * removes the key it was seen with, and wins over a proof in the same cycle.
 * @param results in launch order
 * @param isFull whether the cycle saw every backend, so that what it did not see is gone
 */
export function applyCycle(
  before: Pins,
  {
    results,
    isFull,
    source,
    now,
  }: { results: readonly ProbeResult[]; isFull: boolean; source: PinSource; now: number },
  rules: PinRules,
): PinChange {
  const revoked = new Set(
    results.flatMap(({ outcome, check, fingerprint }) =>
      outcome === 'verify_failed' && fingerprint !== undefined && REVOKING.has(check ?? '') ? [fingerprint] : [],
    ),
  );
  // A clock that was set back must not make a proof last longer than it may.
  const pins = new Map(
    [...before.values()].map((pin) => [pin.fingerprint, { ...pin, lastVerified: Math.min(pin.lastVerified, now) }]),
  );
  const proven = new Set<string>();
  for (const result of results) {
    const { fingerprint, outcome } = result;
    const known = fingerprint === undefined ? undefined : pins.get(fingerprint);
    if (outcome === 'ok' && !revoked.has(fingerprint!)) {
      proven.add(fingerprint!);
      pins.set(fingerprint!, renew(known, result, source, now, rules));
    } else if (known) pins.set(known.fingerprint, { ...known, lastSeen: now });
  }
  const evicted: { pin: Pin; reason: Eviction }[] = [];
  const evict = (pin: Pin, reason: Eviction) => {
    pins.delete(pin.fingerprint);
    evicted.push({ pin, reason });
  };
  for (const pin of before.values()) {
    if (revoked.has(pin.fingerprint)) evict(pin, 'revoked');
    else if (now - pins.get(pin.fingerprint)!.lastVerified >= rules.maxAge) evict(pin, 'max_age');
  }
  const spare = (reason: Eviction, isGone: (pin: Pin) => boolean) => {
    const gone = [...pins.values()].filter(isGone).sort((a, b) => a.lastVerified - b.lastVerified);
    for (const pin of gone.slice(0, Math.max(0, pins.size - rules.floor))) evict(pin, reason);
  };
  if (isFull) spare('not_in_complete_set', ({ fingerprint }) => !proven.has(fingerprint));
  spare('ttl', (pin) => isOverTtl(pin, now, rules));
  return { pins, added: [...pins.values()].filter(({ fingerprint }) => !before.has(fingerprint)), evicted };
}

/** It is only there because nothing newer is. */
export function isOverTtl({ lastVerified }: Pin, now: number, { ttl }: Pick<PinRules, 'ttl'>): boolean {
  return now - lastVerified > ttl;
}

/** Backends behind the pins that were proven since then. */
export function identitiesSince(pins: Pins, since: number): number {
  return [...pins.values()].flatMap(({ identities }) => Object.values(identities)).filter((at) => at >= since).length;
}

/** An identity that nobody proved for as long as a pin lives is another backend's past. */
function renew(known: Pin | undefined, result: ProbeResult, source: PinSource, now: number, rules: PinRules): Pin {
  const { evidence, via, fingerprint, notAfter = 0, algo } = result;
  const identities = Object.entries(known?.identities ?? {}).filter(([, at]) => now - at <= rules.ttl);
  return {
    ...{ firstSeen: now, source },
    ...known,
    ...(known?.source === 'restored' && { source }),
    fingerprint: fingerprint!,
    ...{ lastSeen: now, lastVerified: now, notAfter, advisoryIds: evidence.advisoryIds ?? [] },
    ...(evidence.evidenceSha256 !== undefined && { evidenceSha256: evidence.evidenceSha256 }),
    ...(evidence.tcbStatus !== undefined && { tcbStatus: evidence.tcbStatus }),
    ...(evidence.instanceId !== undefined && { instanceId: evidence.instanceId }),
    ...(via.kind !== 'plain' && { index: via.index }),
    identities: { ...Object.fromEntries(identities), [identityOf(result, rules.sharedKeys)]: now },
    algos: {
      ...known?.algos,
      ...(evidence.signingAddress !== undefined && { [evidence.algo ?? algo]: evidence.signingAddress }),
    },
  };
}
