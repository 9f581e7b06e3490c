import { digest } from '../digest.ts';
import type { Happening } from '../happening.ts';
import { textOf } from '../json.ts';
import { KeySet } from './key-set.ts';

/** Keys that are kept although the log does not show them any more. */
const ALWAYS_KEPT = 2_048;
/** Entries that are remembered. Of a longer log the oldest are known by lying below the floor. */
const MOST_KNOWN = 20_000;
/** So many entries leave at once, and from time to time it is noted how far they reach. */
const STRIDE = 1_024;
/** New entries this much before the newest known one: the clock of the BMC was set. */
const CLOCK_JUMP_NANOS = 300_000_000_000n;

export type Verdict = 'new' | 'updated' | 'known' | 'reworded';

/** Up to here entries are known without being remembered one by one. */
interface Floor {
  /** Nanoseconds since the epoch. */
  readonly nanos: bigint;
  /** Vendor sequence, else integer Id. */
  readonly rank: bigint | undefined;
}

/** The keys of an entry that is known by the link of its member. */
interface Keys {
  readonly revision: string;
  readonly base: string;
  readonly content: string;
}

/** A cursor as it is stored. Links are not: a member behind one is fetched once more and recognised. */
export interface StoredCursor {
  readonly useSequence: boolean;
  readonly firstContact: boolean;
  /** Nanoseconds since the epoch, as text. */
  readonly historyEnds?: string | undefined;
  readonly generation: number;
  readonly entries: number;
  readonly newestFirst?: boolean;
  readonly largest?: string | undefined;
  readonly newest?: string | undefined;
  readonly etag?: string | undefined;
  /** Of each floor: entries below it, nanoseconds, rank. The last that applies is the first. */
  readonly floors?: readonly (readonly [number, string, string | null])[];
  readonly forgotten?: number;
  /** Keys of eight bytes each, one after the other, base64; oldest first. */
  readonly revisions: string;
  readonly bases: string;
  readonly contents?: string;
}

/** What a walk over a whole log has shown. */
export interface Survey {
  /** All entries, the known ones included. */
  readonly entries: number;
  /** Known ones that a clear cannot have brought back: they have a usable time. */
  readonly knownDated: number;
  readonly knownUndated: number;
  /** Unknown ones whose content is that of a known one: the same under another Id. */
  readonly sameContent: number;
  /** Largest and smallest rank: vendor sequence, else integer Id. Of all entries, and of the unknown ones. */
  readonly largest: bigint | undefined;
  readonly smallestUnknown: bigint | undefined;
}

/** What has become of a log since it was read last. */
export type LogReset =
  | { readonly kind: 'cleared' }
  | { readonly kind: 'renumbered' }
  /** Everything that was known has left it; so many entries, if that can be told, came and went unseen. */
  | { readonly kind: 'overrun'; readonly missed: number | undefined };

/**
 * What is known of one log service: the keys of the entries that its last reads showed. An entry is new when it is not
 * among them. Nothing is inferred from Ids or times as long as the log is no longer than what is remembered, so a cleared,
 * wrapped or reordered log loses nothing; what happened to it is told by {@link resetOf}.
 *
 * Pure: the caller says when a read begins and ends, and marks entries only after their records were acknowledged.
 */
export class ServiceCursor {
  /** Page to go on with when the last walk ended at a limit. */
  resumeAt: string | undefined;
  /** Entries that the walk had seen when it ended at a limit. */
  entriesBefore = 0;
  /** Off once a read showed the same vendor sequence twice. */
  useSequence = true;
  /** No read has reached the end yet: the rule for history applies. */
  firstContact = true;
  /** Entries before this are history; fixed at the first attempt to read the log. */
  historyEnds: bigint | undefined;
  /** How often the log was seen to have begun anew. */
  generation = 0;
  /** Of the first page at the last whole read. */
  etag: string | undefined;
  /** The order of the pages in the last whole read; undefined: neither. */
  newestFirst: boolean | undefined;
  /** When the log was last read whole; monotonic milliseconds of this process. */
  wholeAt = Number.NEGATIVE_INFINITY;
  /** Whether {@link stored} would differ from what it was when it was last read. */
  isChanged = false;
  /** Entries in the last whole read. */
  #lastCount = 0;
  #wholeReads = 0;
  /** Keys of what may change in place, of who it is, and of what it says with its place among equals. */
  #revisions = new KeySet();
  #bases = new KeySet();
  #contents = new KeySet();
  /** Largest vendor sequence or integer Id that was ever known. */
  #largest: bigint | undefined;
  /** The newest integer Id; for tools that keep nothing else. */
  lastId: bigint | undefined;
  #newestNanos: bigint | undefined;
  /** Entries that were forgotten because the log is too long, and how far stretches of entries reach. */
  #forgotten = 0;
  #floors: { readonly upTo: number; readonly floor: Floor }[] = [];
  #highest: Floor | undefined;
  /** Members that are only links, so that known ones need no fetch. */
  readonly #linked = new Map<string, Keys>();
  #newestLink: string | undefined;
  /** The newest link when this walk began; fetched although it is known, to see whether links still name the same. */
  #probe: string | undefined;

  static restore(stored: StoredCursor): ServiceCursor {
    const cursor = new ServiceCursor();
    cursor.useSequence = stored.useSequence;
    cursor.firstContact = stored.firstContact;
    cursor.historyEnds = stored.historyEnds === undefined ? undefined : BigInt(stored.historyEnds);
    cursor.generation = stored.generation;
    cursor.newestFirst = stored.newestFirst;
    cursor.#lastCount = stored.entries;
    cursor.#largest = stored.largest === undefined ? undefined : BigInt(stored.largest);
    cursor.#newestNanos = stored.newest === undefined ? undefined : BigInt(stored.newest);
    cursor.#forgotten = stored.forgotten ?? 0;
    cursor.#floors = (stored.floors ?? []).map(([upTo, nanos, rank]) => ({
      upTo,
      floor: { nanos: BigInt(nanos), rank: rank === null ? undefined : BigInt(rank) },
    }));
    cursor.#revisions = KeySet.unpack(stored.revisions);
    cursor.#bases = KeySet.unpack(stored.bases);
    cursor.#contents = KeySet.unpack(stored.contents ?? '');
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
      ...(this.newestFirst !== undefined && { newestFirst: this.newestFirst }),
      largest: this.#largest?.toString(),
      newest: this.#newestNanos?.toString(),
      forgotten: this.#forgotten,
      floors: this.#floors.map(({ upTo, floor }) => [upTo, `${floor.nanos}`, floor.rank?.toString() ?? null]),
      revisions: this.#revisions.pack(),
      bases: this.#bases.pack(),
      contents: this.#contents.pack(),
    };
  }

  /** Entries in the last whole read. */
  get count(): number {
    return this.#lastCount;
  }

  /** Nothing is known yet. */
  get isEmpty(): boolean {
    return this.#bases.size === 0;
  }

  /** Largest vendor sequence or integer Id; for people and for `logs_state_file`. */
  get largest(): bigint | undefined {
    return this.#largest;
  }

  /** Time of the newest known entry; nanoseconds since the epoch. */
  get newestNanos(): bigint | undefined {
    return this.#newestNanos;
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

  /** Judges what a walk over the whole log has shown. @returns undefined: it went on as logs do, wrapped or not */
  resetOf(survey: Survey): LogReset | undefined {
    if (this.isEmpty) return undefined;
    const { entries, knownDated, knownUndated, sameContent, largest, smallestUnknown } = survey;
    if (entries === 0) return this.#lastCount > 0 ? { kind: 'cleared' } : undefined;
    if (sameContent > knownDated + knownUndated) return { kind: 'renumbered' };
    if (knownDated > 0) return undefined;
    const restarted = largest !== undefined && this.#largest !== undefined && largest < this.#largest;
    if (restarted || entries < this.#lastCount) return { kind: 'cleared' };
    // Without a time to tell them by, entries that look the same are the same.
    if (knownUndated > 0 || this.#lastCount === 0) return undefined;
    const known = this.#largest;
    const missed =
      known === undefined || smallestUnknown === undefined ? undefined : Number(smallestUnknown - known - 1n);
    return { kind: 'overrun', missed };
  }

  /** The log began anew: everything that is there now is new. */
  forgetAll(): void {
    this.beginGeneration();
    this.#lastCount = 0;
    this.#largest = undefined;
    this.lastId = undefined;
    this.#newestNanos = undefined;
    this.#forgotten = 0;
    this.#floors = [];
    this.#highest = undefined;
    this.#revisions.clear();
    this.#bases.clear();
    this.#contents.clear();
    this.forgetLinks();
  }

  beginGeneration(): void {
    this.generation++;
    this.etag = undefined;
    this.isChanged = true;
  }

  /** A shorter read found so many more. */
  grow(entries: number): void {
    this.#lastCount += entries;
  }

  /**
   * The whole log was seen. Beyond the newest {@link ALWAYS_KEPT}, keys that two whole reads in a row did not show are
   * forgotten. One read alone can miss an entry, when a ring moves on between two pages; and a BMC that is starting may
   * show an empty log for a while.
   */
  endWholeRead(entries: number): void {
    if (this.#lastCount !== entries || this.#wholeReads === 0) this.isChanged = true;
    this.#lastCount = entries;
    this.#wholeReads++;
    const before = this.#bases.size;
    for (const keys of [this.#revisions, this.#bases, this.#contents]) keys.expire(this.#wholeReads - 2, ALWAYS_KEPT);
    this.#raiseFloor(before - this.#bases.size);
    for (const [link, { base }] of this.#linked) if (!this.#bases.has(base)) this.#linked.delete(link);
  }

  /**
   * Compares an entry with what is known, and notes that this read showed it.
   * @param equals entries of the same content that this read has shown before it
   */
  judge(entry: Happening, equals = 0): Verdict {
    const { revision, base } = entry;
    const content = contentKey(entry, equals);
    if (this.#revisions.has(revision)) {
      if (entry.uri === this.#probe) this.#probe = undefined;
      const reworded = equals === 0 && this.#contents.size > 0 && !this.#contents.has(content);
      this.#note({ revision, base: base!, content });
      return reworded ? 'reworded' : 'known';
    }
    if (this.#bases.has(base!)) {
      if (entry.uri === this.#probe) this.#probe = undefined;
      return 'updated';
    }
    return this.#isBelowFloor(entry) ? 'known' : 'new';
  }

  /** Whether an entry of this content, the k-th of its kind, is known: under another Id, or in another log. */
  knowsContent(entry: Happening, equals: number): boolean {
    return this.#contents.has(contentKey(entry, equals));
  }

  /** Whether a new entry is from well before the newest known one: the clock of the BMC was set. */
  isBackInTime({ time }: Happening): boolean {
    if (time.epochNanos === undefined || this.#newestNanos === undefined) return false;
    return time.epochNanos < this.#newestNanos - CLOCK_JUMP_NANOS;
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
   * @param equals as for {@link judge}
   */
  mark(entry: Happening, link: string | undefined, equals = 0): void {
    const keys = { revision: entry.revision, base: entry.base!, content: contentKey(entry, equals) };
    this.#note(keys);
    this.#noteHeight(entry);
    if (link === undefined) return;
    this.#newestLink = link;
    this.#linked.set(link, keys);
  }

  /**
   * Entries of a first contact that were not looked at, being older than what is wanted, are known.
   * @param nanos entries before it are
   */
  setFloor(nanos: bigint, rank: bigint | undefined): void {
    this.isChanged = true;
    this.#floors.unshift({ upTo: this.#forgotten, floor: { nanos: nanos - 1n, rank } });
  }

  #note({ revision, base, content }: Keys): void {
    if (this.#revisions.add(revision, this.#wholeReads)) this.isChanged = true;
    this.#contents.add(content, this.#wholeReads);
    this.#bases.add(base, this.#wholeReads);
    for (const keys of [this.#revisions, this.#contents]) if (keys.size > 2 * MOST_KNOWN) keys.dropOldest(STRIDE);
    if (this.#bases.size < MOST_KNOWN + STRIDE) return;
    for (const keys of [this.#revisions, this.#bases, this.#contents]) keys.dropOldest(STRIDE);
    this.#raiseFloor(STRIDE);
  }

  #raiseFloor(forgotten: number): void {
    this.#forgotten += forgotten;
    while (this.#floors.length > 1 && this.#floors[1]!.upTo <= this.#forgotten) this.#floors.shift();
  }

  #noteHeight(entry: Happening): void {
    const rank = rankOf(entry);
    const { epochNanos: nanos } = entry.time;
    if (/^\d{1,18}$/.test(entry.id ?? '')) this.lastId = BigInt(entry.id!);
    if (rank !== undefined && (this.#largest === undefined || rank > this.#largest)) this.#largest = rank;
    if (nanos === undefined) return;
    if (this.#newestNanos === undefined || nanos > this.#newestNanos) this.#newestNanos = nanos;
    if (this.#highest === undefined || nanos >= this.#highest.nanos) this.#highest = { nanos, rank };
    const marked = this.#forgotten + this.#bases.size;
    if (marked - (this.#floors.at(-1)?.upTo ?? 0) >= STRIDE) this.#floors.push({ upTo: marked, floor: this.#highest });
  }

  /** An entry that may have been forgotten: older, and of a smaller number, than all that are remembered. */
  #isBelowFloor(entry: Happening): boolean {
    const lowest = this.#floors[0];
    if (lowest === undefined || lowest.upTo > this.#forgotten) return false;
    const { nanos, rank } = lowest.floor;
    if (entry.time.epochNanos === undefined || entry.time.epochNanos > nanos) return false;
    const own = rankOf(entry);
    return rank === undefined || own === undefined || own <= rank;
  }
}

/** What numbers a log: the vendor's sequence, else an Id that is an integer. */
export function rankOf({ sequence, id }: Happening): bigint | undefined {
  const text = sequence ?? id;
  return text !== undefined && /^\d{1,30}$/.test(text) ? BigInt(text) : undefined;
}

function contentKey({ content, messageId, json }: Happening, equals: number): string {
  // Two logs may name the same event differently; without a text the name is all there is.
  return digest(content, textOf(json.Message) === undefined ? messageId : undefined, equals);
}
