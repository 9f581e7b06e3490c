import type { Happening } from '../happening.ts';

/** Events whose entries no read has shown yet. A BMC may link entries that never come. */
const MOST_STREAMED = 4_096;

export type Verdict = 'new' | 'updated' | 'known';

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
  /** No complete read yet: the rule for history applies. */
  firstContact = true;
  /** Members of this log are only links, so known ones are skipped by URI. */
  linkOnly = false;
  #read = 0;
  /** Keys, and the last read that showed them. */
  readonly #revisions = new Map<string, number>();
  readonly #bases = new Map<string, number>();
  readonly #uris = new Map<string, number>();
  /** Entries that the stream has told already, by base. */
  readonly #streamed = new Map<string, number>();
  #newestUri: string | undefined;
  /** Of the newest entry when this walk began; fetched although it is known, to see whether URIs still name the same. */
  #probeUri: string | undefined;

  /** A walk from the first page begins. */
  beginRead(): void {
    this.#read++;
    this.#probeUri = this.linkOnly ? this.#newestUri : undefined;
  }

  /**
   * At the end of a walk: the newest entry that was known is gone, or its URI names another one. The log was cleared,
   * and URIs that this walk skipped as known may be new entries.
   */
  get urisReused(): boolean {
    return this.#probeUri !== undefined;
  }

  forgetUris(): void {
    this.#uris.clear();
    this.#newestUri = undefined;
    this.#probeUri = undefined;
  }

  /**
   * The whole log was seen. Keys that two reads in a row did not show are forgotten: one read alone can miss an entry,
   * when a ring moves on between two pages.
   */
  endCompleteRead(): void {
    this.firstContact = false;
    for (const keys of [this.#revisions, this.#bases, this.#uris, this.#streamed])
      for (const [key, read] of keys) if (read < this.#read - 1) keys.delete(key);
  }

  /** Compares an entry with what is known, and notes that this read showed it. */
  judge(entry: Happening): Verdict {
    const { revision, base } = entry;
    const verdict = this.#revisions.has(revision) ? 'known' : this.#bases.has(base!) ? 'updated' : 'new';
    if (verdict !== 'new' && entry.uri === this.#probeUri) this.#probeUri = undefined;
    if (verdict === 'known') this.#note(entry);
    return verdict;
  }

  /** The stream told this entry, or a poll has sent this event's entry. */
  knowsBase(base: string): boolean {
    return this.#streamed.has(base) || this.#bases.has(base);
  }

  /** Whether a link-only member needs no fetch. */
  knowsUri(uri: string): boolean {
    if (uri === this.#probeUri || !this.#uris.has(uri)) return false;
    this.#uris.set(uri, this.#read);
    return true;
  }

  /** Told by the stream; the entry itself was not read yet. */
  hasStreamed(base: string): boolean {
    return this.#streamed.has(base);
  }

  /** The records of this entry were acknowledged, or it needs none. Called oldest first. */
  mark(entry: Happening): void {
    this.#newestUri = entry.uri;
    this.#note(entry);
    this.#streamed.delete(entry.base!);
  }

  /** The record of an event that names this entry was acknowledged. */
  markStreamed(base: string): void {
    this.#streamed.set(base, this.#read);
    if (this.#streamed.size > MOST_STREAMED) this.#streamed.delete(this.#streamed.keys().next().value!);
  }

  #note(entry: Happening): void {
    this.#revisions.set(entry.revision, this.#read);
    this.#bases.set(entry.base!, this.#read);
    if (this.linkOnly && entry.uri !== undefined) this.#uris.set(entry.uri, this.#read);
  }
}
