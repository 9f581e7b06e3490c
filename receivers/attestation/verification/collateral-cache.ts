import type { Clock } from '../../../src/component/clock.ts';
import type { CheckedCollateral, CollateralKey } from './collateral.ts';

/** From this share of its life on, collateral is fetched anew while the old still serves. */
const REFRESH_SHARE = 0.8;
/** After a failed fetch, in milliseconds: a service that is down must not hold every probe for its timeout. */
const FETCH_SPACING_MS = 30_000;

export type FetchCollateral = (key: CollateralKey) => Promise<CheckedCollateral>;

interface Entry {
  held?: CheckedCollateral;
  /** Milliseconds since the epoch. */
  fetchedAt: number;
  fetching?: Promise<void> | undefined;
  failedAt: number;
}

/** Collateral by platform, until it expires and not a moment longer. Fetched once for all who ask at the same time. */
export class CollateralCache {
  readonly #fetch: FetchCollateral;
  readonly #clock: Clock;
  readonly #onFailed: (error: unknown) => void;
  readonly #entries = new Map<string, Entry>();
  #isFailing = false;

  /** @param onFailed called with the first failure in a row, over all platforms: who asks decides what is asked for */
  constructor(fetch: FetchCollateral, clock: Clock, onFailed: (error: unknown) => void) {
    this.#fetch = fetch;
    this.#clock = clock;
    this.#onFailed = onFailed;
  }

  /** Milliseconds until the first of what is held expires; undefined while nothing is held. */
  get minTtl(): number | undefined {
    const held = [...this.#entries.values()].flatMap((entry) => (entry.held ? [entry.held.validUntil] : []));
    return held.length === 0 ? undefined : Math.min(...held) - this.#now();
  }

  /** @returns undefined when there is none that holds now */
  async get(key: CollateralKey): Promise<CheckedCollateral | undefined> {
    const name = `${key.fmspc}-${key.ca}`;
    const entry = this.#entries.get(name) ?? this.#make(name);
    const isSpaced = this.#isSpaced(entry);
    if (!this.#holds(entry)) {
      if (isSpaced || entry.fetching) await this.#refresh(entry, key);
    } else if (isSpaced && this.#now() >= refreshAt(entry)) void this.#refresh(entry, key);
    return this.#holds(entry) ? entry.held : undefined;
  }

  /** Who asks names the platform before anybody has proven it: what came to nothing must not add up. */
  #make(name: string): Entry {
    for (const [other, entry] of this.#entries)
      if (!entry.held && !entry.fetching && this.#isSpaced(entry)) this.#entries.delete(other);
    const made = { fetchedAt: 0, failedAt: Number.NEGATIVE_INFINITY };
    this.#entries.set(name, made);
    return made;
  }

  /** In either direction: the clock may have been set back. */
  #isSpaced({ failedAt }: Entry): boolean {
    return Math.abs(this.#now() - failedAt) >= FETCH_SPACING_MS;
  }

  #holds({ held }: Entry): boolean {
    const now = this.#now();
    return held !== undefined && held.validFrom <= now && now <= held.validUntil;
  }

  #refresh(entry: Entry, key: CollateralKey): Promise<void> {
    entry.fetching ??= this.#fetch(key)
      .then(
        (fetched) => {
          this.#isFailing = false;
          entry.held = fetched;
          entry.fetchedAt = this.#now();
          // The same as before: asking again at once would not help.
          if (this.#now() >= refreshAt(entry)) entry.failedAt = this.#now();
        },
        (error) => {
          entry.failedAt = this.#now();
          if (!this.#isFailing) this.#onFailed(error);
          this.#isFailing = true;
        },
      )
      .finally(() => {
        entry.fetching = undefined;
      });
    return entry.fetching;
  }

  #now(): number {
    return Number(this.#clock.now() / 1_000_000n);
  }
}

function refreshAt({ held, fetchedAt }: Entry): number {
  return fetchedAt + REFRESH_SHARE * (held!.validUntil - fetchedAt);
}
