import { z } from 'zod';
import type { DrawWindow } from './diagnosis/draws.ts';
import { STALL_CAUSES, type StallCause } from './diagnosis/stall.ts';
import { NO_MEMORY, type PoolMemory } from './judge-cycle.ts';
import type { Eviction, Pin } from './pins/pin-set.ts';

/** What people have been told: a change is told once, over restarts too. */
export interface Told {
  readonly stalled: StallCause | null;
  readonly blocked: boolean;
}

/** What of a pool outlives the process. */
export interface StoredPool {
  readonly mode: string;
  readonly policyDigest: string;
  readonly seq: number;
  readonly generation: number;
  readonly lastCount: number | null;
  readonly pins: readonly Pin[];
  readonly window: DrawWindow;
  readonly told: Told;
}

/** A store takes values of at most 1 MiB; the newest pins and draws are what is worth keeping. */
const MOST_PINS = 400;
const MOST_DRAWS = 1_000;

const SCHEMA_VERSION = 1;
/** Milliseconds since the epoch; what is beyond them is no date. */
const MOST_TIME = 8.64e15;
const time = z.number().nonnegative().max(MOST_TIME);
const fingerprint = z.string().regex(/^[0-9a-f]{64}$/);

const stored = z.object({
  version: z.literal(SCHEMA_VERSION),
  mode: z.string(),
  policyDigest: z.string(),
  seq: z.int().nonnegative(),
  generation: z.int().nonnegative(),
  lastCount: z.int().positive().nullable(),
  pins: z.array(
    z.object({
      fingerprint,
      ...{ firstSeen: time, lastSeen: time, lastVerified: time, notAfter: time },
      evidenceSha256: z.string().optional(),
      tcbStatus: z.string().optional(),
      advisoryIds: z.array(z.string()),
      index: z.int().nonnegative().optional(),
      instanceId: z.string().optional(),
      identities: z.record(z.string(), time),
      algos: z.object({ ecdsa: z.string().optional(), ed25519: z.string().optional() }),
      source: z.enum(['initial', 'cumulative', 'targeted', 'restored']),
    }),
  ),
  /** Place in `keys`, and milliseconds since the epoch. */
  draws: z.array(z.tuple([z.int().nonnegative(), time])),
  keys: z.array(fingerprint),
  sinceChange: z.int().nonnegative(),
  sinceNew: z.int().nonnegative(),
  told: z.object({ stalled: z.enum(STALL_CAUSES).nullable(), blocked: z.boolean() }),
});

export function writePool(pool: StoredPool): string {
  const { window, pins, ...rest } = pool;
  const draws = window.draws.slice(-MOST_DRAWS);
  const keys = [...new Set(draws.map((draw) => draw.fingerprint))];
  const place = new Map(keys.map((key, index) => [key, index]));
  const newest = [...pins].sort((a, b) => b.lastVerified - a.lastVerified).slice(0, MOST_PINS);
  return JSON.stringify({
    version: SCHEMA_VERSION,
    ...rest,
    pins: newest,
    ...{ keys, draws: draws.map((draw) => [place.get(draw.fingerprint), draw.at]) },
    ...{ sinceChange: window.sinceChange, sinceNew: window.sinceNew },
  });
}

/** @returns undefined when it is not what {@link writePool} wrote */
export function readPool(text: string): StoredPool | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { success, data } = stored.safeParse(json);
  if (!success || data.draws.some(([key]) => key >= data.keys.length)) return undefined;
  const { keys, draws, sinceChange, sinceNew, version: _, ...rest } = data;
  const window = { draws: draws.map(([key, at]) => ({ fingerprint: keys[key]!, at })), sinceChange, sinceNew };
  return { ...rest, window } as StoredPool;
}

export interface RestoredPool {
  readonly memory: PoolMemory;
  readonly seq: number;
  readonly told: Told;
  readonly evicted: readonly { readonly pin: Pin; readonly reason: Eviction }[];
}

/**
 * Pins of before serve again when they were proven by the same rules and not too long ago; draws count when the rules are the same.
 * @param ttl milliseconds
 * @param now milliseconds since the epoch
 * @returns undefined when the text is not readable
 */
export function restorePool(
  text: string,
  { mode, policyDigest }: Pick<StoredPool, 'mode' | 'policyDigest'>,
  ttl: number,
  now: number,
): RestoredPool | undefined {
  const pool = readPool(text);
  if (!pool) return undefined;
  const { seq, told, window, pins: all } = pool;
  const isSamePolicy = pool.mode === mode && pool.policyDigest === policyDigest;
  const isKept = ({ lastVerified }: Pin) => isSamePolicy && lastVerified <= now && now - lastVerified < ttl;
  const pins = new Map(all.filter(isKept).map((pin) => [pin.fingerprint, { ...pin, source: 'restored' as const }]));
  const reason = isSamePolicy ? 'ttl' : 'policy_changed';
  const evicted = all.filter((pin) => !isKept(pin)).map((pin) => ({ pin, reason }) as const);
  const memory: PoolMemory = {
    ...{ ...NO_MEMORY, pins, lastCount: pool.lastCount ?? undefined },
    generation: pool.generation + (evicted.length > 0 ? 1 : 0),
    stall: told.stalled === null ? undefined : { cause: told.stalled, since: now },
    ...(isSamePolicy && { window }),
  };
  return { memory, seq, told, evicted };
}
