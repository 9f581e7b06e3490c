import type { Happening } from '../happening.ts';

/** Keys that are kept although the log does not show them any more. */
const ALWAYS_KEPT = 2_048;
/** Entries that are remembered. A log that is longer is told again in part, rather than growing our memory. */
const MOST_KNOWN = 100_000;

export type Verdict = 'new' | 'updated' | 'known';

/** The keys of an entry that is known by the link of its member. */
type Keys = Pick<Happening, 'revision' | 'base'>;

/** A cursor as it is stored. Links are not: a member behind one is fetched once more and recognised. */
export interface StoredCursor {
  readonly useSequence: boolean;
  readonly firstContact: boolean;
  /** Nanoseconds since the epoch, as text. */
  readonly historyEnds?: string | undefined;
  readonly generation: number;
  readonly entries: number;
  /** Keys of eight bytes each, one after the other, base64; oldest first. */
  readonly revisions: string;
  readonly bases: string;
}

/**
 * What is known of one log service: the keys of the entries that its last reads showed. An entry is new when it is not
 * among them. Nothing is inferred from Ids or times, so a cleared, wrapped or reordered log needs no special case:
 * what was there stays known, what was not is new.
 *
 * Pure: the caller says when a read begins and ends, and marks entries only after their records were acknowledged.
 */
export class ServiceCursor {
  /** Page to go on with when the last walk ended at a limit. */
  resumeAt: string | undefined;
  /** Off once a read showed the same vendor sequence twice. */
  useSequence = true;
  /** No read has reached the end yet: the rule for history applies. */
  firstContact = true;
  /** Entries before this are history; fixed at the first attempt to read the log. */
  historyEnds: bigint | undefined;
  /** How often the log was seen to have been cleared of undated entries. */
  generation = 0;
  /** Entries in the last complete read. */
  #lastCount = 0;
  #completeReads = 0;
  /** Keys, and the complete reads so far when a read showed them last. */
  readonly #revisions = new Map<string, number>();
  readonly #bases = new Map<string, number>();
  /** Members that are only links, so that known ones need no fetch. */
  readonly #linked = new Map<string, Keys>();
  #newestLink: string | undefined;
  /** The newest link when this walk began; fetched although it is known, to see whether links still name the same. */
  #probe: string | undefined;

  /** Whether {@link stored} would differ from what it was when it was last read. */
  isChanged = false;

  static restore(stored: StoredCursor): ServiceCursor {
    const cursor = new ServiceCursor();
    cursor.useSequence = stored.useSequence;
    cursor.firstContact = stored.firstContact;
    cursor.historyEnds = stored.historyEnds === undefined ? undefined : BigInt(stored.historyEnds);
    cursor.generation = stored.generation;
    cursor.#lastCount = stored.entries;
    for (const key of unpack(stored.revisions)) cursor.#revisions.set(key, 0);
    for (const key of unpack(stored.bases)) cursor.#bases.set(key, 0);
    return cursor;
  }

  /** What must outlive the process. */
  get stored(): StoredCursor {
    this.isChanged = false;
    return {
      useSequence: this.useSequence,
      firstContact: this.firstContact,
      historyEnds: this.historyEnds?.toString(),
      generation: this.generation,
      entries: this.#lastCount,
      revisions: pack(this.#revisions.keys()),
      bases: pack(this.#bases.keys()),
    };
  }

  /** A walk from the first page begins. */
  beginRead(): void {
    this.#probe = this.#newestLink;
  }

  /**
   * At the end of a walk: the newest entry that was known is gone, or its link names another one. The log was cleared,
   * and links that this walk skipped as known may be new entries.
   */
  get linksReused(): boolean {
    return this.#probe !== undefined;
  }

  forgetLinks(): void {
    this.#linked.clear();
    this.#newestLink = undefined;
    this.#probe = undefined;
  }

  /**
   * Whether undated entries, which a clear does not change, may be other ones now: the log shrank, and nothing with a
   * date is left of what was there.
   */
  wasCleared(walk: { readonly entries: number; readonly datedKnown: number; readonly undatedKnown: number }): boolean {
    return walk.undatedKnown > 0 && walk.datedKnown === 0 && walk.entries < this.#lastCount;
  }

  /** Everything that is there now is new. */
  forgetAll(): void {
    this.generation++;
    this.isChanged = true;
    this.#lastCount = 0;
    this.#revisions.clear();
    this.#bases.clear();
    this.forgetLinks();
  }

  /**
   * The whole log was seen. Beyond the newest {@link ALWAYS_KEPT}, keys that two complete reads in a row did not show are
   * forgotten. One read alone can miss an entry, when a ring moves on between two pages; and a BMC that is starting may
   * show an empty log for a while.
   */
  endCompleteRead(entries: number): void {
    if (this.#lastCount !== entries || this.#completeReads === 0) this.isChanged = true;
    this.#lastCount = entries;
    this.#completeReads++;
    for (const keys of [this.#revisions, this.#bases])
      for (const [key, reads] of keys) {
        if (keys.size <= ALWAYS_KEPT) break;
        if (reads < this.#completeReads - 2) keys.delete(key);
      }
    for (const [link, { base }] of this.#linked) if (!this.#bases.has(base!)) this.#linked.delete(link);
  }

  /** Compares an entry with what is known, and notes that this read showed it. */
  judge(entry: Happening): Verdict {
    const verdict = this.#revisions.has(entry.revision) ? 'known' : this.#bases.has(entry.base!) ? 'updated' : 'new';
    if (verdict !== 'new' && entry.uri === this.#probe) this.#probe = undefined;
    if (verdict === 'known') this.#note(entry);
    return verdict;
  }

  /** Whether a read has shown this entry, in whatever revision. */
  knowsBase(base: string): boolean {
    return this.#bases.has(base);
  }

  /** Whether a member that is only a link needs no fetch; notes that this read showed it. */
  knowsLink(uri: string): boolean {
    const keys = uri === this.#probe ? undefined : this.#linked.get(uri);
    if (keys) this.#note(keys);
    return keys !== undefined;
  }

  /**
   * The records of this entry were acknowledged, or it needs none. Called oldest first.
   * @param link of its member, when that was only a link
   */
  mark(entry: Happening, link: string | undefined): void {
    this.#note(entry);
    if (link === undefined) return;
    this.#newestLink = link;
    this.#linked.set(link, { base: entry.base, revision: entry.revision });
  }

  #note({ revision, base }: Keys): void {
    if (!this.#revisions.has(revision)) this.isChanged = true;
    this.#revisions.set(revision, this.#completeReads);
    this.#bases.set(base!, this.#completeReads);
    for (const keys of [this.#revisions, this.#bases])
      if (keys.size > MOST_KNOWN) keys.delete(keys.keys().next().value!);
  }
}

const KEY_BYTES = 8;

function pack(keys: Iterable<string>): string {
  return Buffer.from([...keys].join(''), 'latin1').toString('base64');
}

function unpack(text: string): string[] {
  const bytes = Buffer.from(text, 'base64').toString('latin1');
  return Array.from({ length: bytes.length / KEY_BYTES }, (_, n) => bytes.slice(n * KEY_BYTES, (n + 1) * KEY_BYTES));
}
