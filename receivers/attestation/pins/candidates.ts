export type CandidateResult = 'received' | 'pinned' | 'rejected' | 'not_seen';

export interface Candidate {
  readonly fingerprint: string;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
  readonly result: 'received' | 'not_seen';
}

/** What one cycle found of one candidate. */
export interface CandidateVerdict {
  readonly fingerprint: string;
  readonly result: Exclude<CandidateResult, 'received'>;
}

/** Keys that somebody met and nobody proved yet. They are never trusted, only looked for. Pure, with injected time. */
export class Candidates {
  readonly #most: number;
  readonly #ttl: number;
  readonly #open = new Map<string, Candidate>();

  /** @param ttl milliseconds after which one is forgotten */
  constructor(most: number, ttl: number) {
    this.#most = most;
    this.#ttl = ttl;
  }

  /** @param now milliseconds since the epoch */
  open(now: number): readonly Candidate[] {
    for (const { fingerprint, receivedAt } of this.#open.values())
      if (now - receivedAt > this.#ttl) this.#open.delete(fingerprint);
    return [...this.#open.values()];
  }

  offer(fingerprint: string, now: number): 'new' | 'open' | 'full' {
    const { length } = this.open(now);
    if (this.#open.has(fingerprint)) return 'open';
    if (length >= this.#most) return 'full';
    this.#open.set(fingerprint, { fingerprint, receivedAt: now, result: 'received' });
    return 'new';
  }

  /**
   * Takes in what a cycle saw.
   * @param since candidates that came later were not looked for
   * @returns what is to be told: each result of a candidate once
   */
  settle(
    cycle: {
      readonly pinned: (fingerprint: string) => boolean;
      readonly unverified: readonly string[];
      readonly isFull: boolean;
      readonly since: number;
    },
    now: number,
  ): CandidateVerdict[] {
    return this.open(now).flatMap((candidate): CandidateVerdict[] => {
      const { fingerprint, result, receivedAt } = candidate;
      if (cycle.pinned(fingerprint)) {
        this.#open.delete(fingerprint);
        return [{ fingerprint, result: 'pinned' }];
      }
      if (cycle.unverified.includes(fingerprint)) {
        this.#open.delete(fingerprint);
        return [{ fingerprint, result: 'rejected' }];
      }
      if (receivedAt > cycle.since) return [];
      if (cycle.isFull) this.#open.delete(fingerprint);
      else this.#open.set(fingerprint, { ...candidate, result: 'not_seen' });
      return result === 'not_seen' ? [] : [{ fingerprint, result: 'not_seen' }];
    });
  }
}
