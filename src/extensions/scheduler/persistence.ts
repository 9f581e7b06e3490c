import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Logger } from '../../component/component.ts';
import { BREAKER_STATES, PARK_REASONS } from '../../component/scheduler.ts';
import type { KeyValue } from '../../component/storage.ts';

/** Longest key that a store takes, in bytes. */
const MOST_KEY_BYTES = 512;
/** So many targets are written in one transaction. */
const BATCH = 500;
/** A target that was not registered for so long is forgotten. */
const FORGET_AFTER_MS = 7 * 24 * 3_600_000;

/** Milliseconds since the epoch, up to the year 2096. */
const instant = z.number().min(0).max(4e12);
const breakerState = z.enum(BREAKER_STATES);
const failure = z.object({
  at: instant,
  code: z.string(),
  message: z.string(),
  category: z.enum(['transient', 'permanent']),
});
const transition = z.object({
  at: instant,
  from: breakerState,
  to: breakerState.exclude(['unknown']),
  cause: z.enum([
    ...(['failure_threshold', 'permanent_failure', 'retry_due', 'manual'] as const),
    ...(['trial_succeeded', 'trial_failed', 'reset'] as const),
  ]),
});
const targetState = z.object({
  breaker: z.object({
    state: breakerState,
    since: instant,
    failures: z.int().min(0),
    trips: z.int().min(0),
    trippedAt: instant.nullable(),
    retryAt: instant.nullable(),
    transitions: z.array(transition).max(16),
    flapping: z.object({ openings: z.array(instant).max(10), flaps: z.boolean() }),
  }),
  failures: z.int().min(0),
  firstFailureAt: instant.nullable(),
  lastError: failure.nullable(),
  parked: z.enum(PARK_REASONS).nullable(),
});

const record = z.object({
  key: z.string(),
  savedAt: instant,
  /** The interval that the step belongs to. */
  registered: z.number(),
  step: z.int().min(-2).max(6),
  lastSuccess: instant.nullable(),
  ran: z.boolean(),
  since: instant,
  state: targetState.nullable(),
});

/** What survives a restart of one target. Instants in milliseconds since the epoch. */
export type SavedTarget = z.output<typeof record>;

/** Keeps the state of targets in a store, and hands it back when a target with the same key registers. */
export class Persistence {
  readonly #store: KeyValue;
  readonly #logger: Logger;
  /** Of targets that are not registered (yet, or any more). */
  readonly #absent = new Map<string, SavedTarget>();
  /** To be written: as they are when the time has come. */
  readonly #changed = new Map<string, () => SavedTarget>();

  constructor(store: KeyValue, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
  }

  /** @param now milliseconds since the epoch */
  async load(now: number): Promise<void> {
    const gone: Record<string, undefined> = {};
    for (const [name, text] of await this.#store.list('')) {
      const saved = parse(text);
      if (saved && now - saved.savedAt < FORGET_AFTER_MS) this.#absent.set(saved.key, saved);
      else gone[name] = undefined;
      if (!saved) this.#logger.warn('a saved target cannot be read; it begins anew', { target: name });
    }
    await this.#store.set(gone);
  }

  /** @param wallOffset adds to the scheduler's clock to give the wall's; what is stored is wall time */
  take(key: string, wallOffset: number): SavedTarget | undefined {
    const saved = this.#absent.get(key);
    this.#absent.delete(key);
    return saved && shifted(saved, -wallOffset);
  }

  /** @param save called at most once, when it is written */
  changed(key: string, save: () => SavedTarget): void {
    this.#changed.set(key, save);
  }

  /** The target goes; what is known of it stays. */
  leave(saved: SavedTarget, wallOffset: number): void {
    this.#absent.set(saved.key, shifted(saved, wallOffset));
    this.#changed.set(saved.key, () => saved);
  }

  /** Writes what has changed since the last call. What cannot be written is tried again with the next. */
  async save(wallOffset: number): Promise<void> {
    const changed = [...this.#changed];
    for (let begin = 0; begin < changed.length; begin += BATCH) {
      const batch = changed.slice(begin, begin + BATCH);
      for (const [key] of batch) this.#changed.delete(key);
      try {
        await this.#store.set(
          Object.fromEntries(batch.map(([key, save]) => [nameOf(key), JSON.stringify(shifted(save(), wallOffset))])),
        );
      } catch (error) {
        for (const [key, save] of changed.slice(begin)) if (!this.#changed.has(key)) this.#changed.set(key, save);
        throw error;
      }
    }
  }
}

/** Moves all instants. */
function shifted(saved: SavedTarget, by: number): SavedTarget {
  const { savedAt, lastSuccess, since, state } = saved;
  return {
    ...saved,
    savedAt: savedAt + by,
    lastSuccess: lastSuccess === null ? null : lastSuccess + by,
    since: since + by,
    state: state && mapInstants(state, (at) => at + by),
  };
}

type SavedState = NonNullable<SavedTarget['state']>;

function mapInstants(state: SavedState, map: (at: number) => number): SavedState {
  const { breaker, firstFailureAt, lastError } = state;
  const orNull = (at: number | null) => (at === null ? null : map(at));
  return {
    ...state,
    firstFailureAt: orNull(firstFailureAt),
    lastError: lastError && { ...lastError, at: map(lastError.at) },
    breaker: {
      ...breaker,
      since: map(breaker.since),
      trippedAt: orNull(breaker.trippedAt),
      retryAt: orNull(breaker.retryAt),
      transitions: breaker.transitions.map((step) => ({ ...step, at: map(step.at) })),
      flapping: { ...breaker.flapping, openings: breaker.flapping.openings.map(map) },
    },
  };
}

/**
 * What was saved, as it goes on now: nothing lies in the future but the retry, that not too far, and a trial that did not
 * end has not begun.
 */
export function restoredState(
  saved: SavedState,
  { now, slot, longest }: { readonly now: number; readonly slot: number; readonly longest: number },
): SavedState {
  const state = mapInstants(saved, (at) => Math.min(at, now));
  const { breaker } = state;
  if (breaker.state !== 'open' && breaker.state !== 'half_open') return state;
  const wanted = saved.breaker.retryAt ?? now;
  const retryAt = wanted > now ? Math.min(Math.ceil(wanted), Math.ceil(now + longest)) : slot;
  const transitions = breaker.state === 'half_open' ? breaker.transitions.slice(0, -1) : breaker.transitions;
  const since = breaker.trippedAt ?? breaker.since;
  return { ...state, breaker: { ...breaker, state: 'open', since, transitions, retryAt } };
}

function nameOf(key: string): string {
  return Buffer.byteLength(key) <= MOST_KEY_BYTES ? key : `sha256:${createHash('sha256').update(key).digest('hex')}`;
}

function parse(text: string): SavedTarget | undefined {
  try {
    return record.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
