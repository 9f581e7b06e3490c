import { digest } from '../digest.ts';
import type { Happening } from '../happening.ts';
import { textOf } from '../json.ts';
import { KeySet, wordOf } from './key-set.ts';

/** Keys that are kept although the log does not show them any more. */
const ALWAYS_KEPT = 2_048;
/** Of a longer log the older entries are known by lying below the floor. */
const MOST_KNOWN = 5_000;
/** Entries that no floor tells apart, having no time or all the same, are told again in part beyond this. */
const MOST_HELD = 100_000;
/** New entries this much before the newest known one: the clock of the BMC was set. */
const CLOCK_JUMP_NANOS = 300_000_000_000n;
const NANOS_PER_SECOND = 1_000_000_000n;

/**
 * `below_floor`: known by being old, not by itself. `moved`: known, and says what another known one said: perhaps its log was
 * numbered anew.
 */
export type Verdict = 'new' | 'updated' | 'known' | 'reworded' | 'moved' | 'below_floor';

/** How often this read has shown something equal before, so that twins are two. */
export interface Twins {
  /** Of the same content. */
  readonly content: number;
  /** Of the same service, number, time and MessageId. */
  readonly base: number;
}
export const FIRST: Twins = { content: 0, base: 0 };

/** What is kept of an entry that is known by the link of its member. */
export interface LinkedEntry {
  readonly base: string;
  readonly content: string;
  /** Its MessageId, where it has no text. */
  readonly name: string | undefined;
  readonly seconds: number;
}

/** A cursor as it is stored. Links are not: a member behind one is fetched once more and recognised. */
export interface StoredCursor {
  readonly useSequence: boolean;
  readonly firstContact: boolean;
  /** Nanoseconds since the epoch, as text. */
  readonly historyEnds?: string | undefined;
  readonly generation: number;
  readonly entries: number;
  readonly newestFirst?: boolean | undefined;
  readonly largest?: string | undefined;
  readonly lastId?: string | undefined;
  readonly newest?: string | undefined;
  /** Seconds since the epoch. */
  readonly floor?: number;
  /** Keys as `KeySet` packs them. */
  readonly bases: string;
  readonly contents: string;
}

/** What a walk over a whole log has shown. */
export interface Survey {
  /** All entries, the known ones included. */
  readonly entries: number;
  /** Known ones that a clear cannot have brought back: they have a usable time. */
  readonly knownDated: number;
  readonly knownUndated: number;
  /** Those whose content is that of another known one: the same under another Id. */
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
 * What is known of one log service: the keys of its newest entries, and a floor below which older ones are known. An entry
 * that is neither is new. Nothing is inferred from Ids or times as long as the log is no longer than what is remembered, so a
 * cleared, wrapped or reordered log loses nothing; what happened to it is told by {@link resetOf}.
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
  /** Of the first page, at the last read that saw all there was to see. */
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
  /** Who it is, with what may change in place as its value; and what it says, with who says so. */
  #bases = new KeySet();
  #contents = new KeySet();
  /** What a log said before its entries got other Ids. */
  #before: KeySet | undefined;
  /** Largest vendor sequence or integer Id that was ever known. */
  #largest: bigint | undefined;
  /** Largest integer Id. */
  #lastId: bigint | undefined;
  #newestNanos: bigint | undefined;
  /** Entries before it were forgotten; seconds since the epoch. */
  #floor = 0;
  /** The floor of the walks that begin from now on: a walk under way may still come to what was forgotten since. */
  #nextFloor = 0;
  /** When so many are known, the old ones are forgotten. */
  #forgetAt = 2 * MOST_KNOWN;
  /** Members that are only links, so that known ones need no fetch. */
  readonly #linked = new Map<string, LinkedEntry>();
  /** Link of the newest of these, and its rank or time. */
  #newestLink: { readonly link: string; readonly order: bigint } | undefined;
  /** The newest link when this walk began; fetched although it is known, to see whether links still name the same. */
  #probe: string | undefined;

  static restore(stored: StoredCursor): ServiceCursor {
    const cursor = new ServiceCursor();
    const bigint = (text: string | undefined) => (text === undefined ? undefined : BigInt(text));
    cursor.useSequence = stored.useSequence;
    cursor.firstContact = stored.firstContact;
    cursor.historyEnds = bigint(stored.historyEnds);
    cursor.generation = stored.generation;
    cursor.newestFirst = stored.newestFirst;
    cursor.#lastCount = stored.entries;
    cursor.#largest = bigint(stored.largest);
    cursor.#lastId = bigint(stored.lastId);
    cursor.#newestNanos = bigint(stored.newest);
    cursor.#floor = cursor.#nextFloor = stored.floor ?? 0;
    cursor.#bases = KeySet.unpack(stored.bases);
    cursor.#contents = KeySet.unpack(stored.contents);
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
      newestFirst: this.newestFirst,
      largest: this.#largest?.toString(),
      lastId: this.#lastId?.toString(),
      newest: this.#newestNanos?.toString(),
      floor: this.#nextFloor,
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
    return this.#bases.size === 0 && this.#before === undefined;
  }

  /** Largest vendor sequence or integer Id; for people. */
  get largest(): bigint | undefined {
    return this.#largest;
  }

  /** Largest integer Id; for tools that keep nothing else. */
  get lastId(): bigint | undefined {
    return this.#lastId;
  }

  /** Time of the newest known entry; nanoseconds since the epoch. */
  get newestNanos(): bigint | undefined {
    return this.#newestNanos;
  }

  /** A walk from the first page begins. */
  beginRead(): void {
    this.#probe = this.#newestLink?.link;
    this.#floor = this.#nextFloor;
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
    if (this.isEmpty || this.#before) return undefined;
    const { entries, knownDated, knownUndated, sameContent, largest, smallestUnknown } = survey;
    if (entries === 0) return this.#lastCount > 0 ? { kind: 'cleared' } : undefined;
    // One is enough: entries of a second that stand side by side may well be known by what was their neighbour's Id.
    if (sameContent > 0) return { kind: 'renumbered' };
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
    this.#lastId = undefined;
    this.#newestNanos = undefined;
    this.#floor = 0;
    this.#nextFloor = 0;
    this.#bases.clear();
    this.#contents.clear();
    this.forgetLinks();
  }

  /** The same entries have other Ids: from now on they are known by what they say, until the whole log was seen. */
  renumber(): void {
    this.beginGeneration();
    this.#before = this.#contents;
    this.#contents = new KeySet();
    this.#bases.clear();
    this.#largest = undefined;
    this.#lastId = undefined;
    this.forgetLinks();
  }

  beginGeneration(): void {
    this.generation++;
    this.etag = undefined;
    this.isChanged = true;
  }

  /** What was read is not all that is new: the next read takes nobody's word for anything. */
  doubt(): void {
    this.etag = undefined;
    this.wholeAt = Number.NEGATIVE_INFINITY;
  }

  /** A shorter read has seen so many entries in all. */
  setCount(entries: number): void {
    this.#lastCount = entries;
  }

  /**
   * The whole log was seen. Beyond the newest {@link ALWAYS_KEPT}, keys that two whole reads in a row did not show are
   * forgotten. One read alone can miss an entry, when a ring moves on between two pages; and a BMC that is starting may
   * show an empty log for a while.
   */
  endWholeRead(entries: number): void {
    this.#before = undefined;
    if (this.#lastCount !== entries || this.#wholeReads === 0) this.isChanged = true;
    this.#lastCount = entries;
    this.#wholeReads++;
    for (const keys of [this.#bases, this.#contents]) keys.expire(this.#wholeReads - 2, ALWAYS_KEPT);
    for (const [link, { base }] of this.#linked) if (!this.#bases.has(base)) this.#linked.delete(link);
  }

  /** Whether an entry is known by who it is; or, since its log was numbered anew, may be known by what it says. */
  isFamiliar(entry: Happening, baseTwin: number): boolean {
    return this.#before !== undefined || this.#bases.has(baseKey(entry, { ...FIRST, base: baseTwin }));
  }

  /** Compares an entry with what is known, and notes that this read showed it. */
  judge(entry: Happening, twins = FIRST): Verdict {
    const base = baseKey(entry, twins);
    const revision = this.#bases.valueOf(base);
    if (revision === undefined) {
      if (this.#before?.has(contentKey(entry, twins))) {
        this.mark(entry, undefined, twins);
        return 'known';
      }
      return this.#isBelowFloor(entry) ? 'below_floor' : 'new';
    }
    const isChanged = revision !== wordOf(entry.revision, 0);
    // Without a time, the same number and name may be another entry after a clear.
    const isSame = !isChanged || entry.time.epochNanos !== undefined;
    if (entry.uri !== undefined && entry.uri === this.#probe && isSame && this.#linked.get(entry.uri)?.base === base)
      this.#probe = undefined;
    if (isChanged) return 'updated';
    this.#bases.touch(base, this.#wholeReads);
    const content = contentKey(entry, twins);
    const owner = this.#contents.valueOf(content);
    if (owner === undefined) {
      // Told, since it may be another one: what has neither time nor arguments says only by its text who it is.
      if (twins.content === 0 && entry.time.epochNanos === undefined) return 'updated';
      this.#contents.put(content, this.#wholeReads, secondsOf(entry), wordOf(base, 0));
      return twins.content === 0 ? 'reworded' : 'known';
    }
    this.#contents.touch(content, this.#wholeReads);
    // Of twins any may be the first.
    const isOnly = twins.content === 0 && !this.#contents.has(contentKey(entry, { ...twins, content: 1 }));
    return isOnly && owner !== wordOf(base, 0) ? 'moved' : 'known';
  }

  /**
   * Whether a known entry says the same, in this log or in another one: it is the same under another Id. Not if its number is
   * larger than any that was known here.
   */
  isRenumbered(entry: Happening, twins: Twins): boolean {
    const rank = rankOf(entry);
    const isBeyond = rank !== undefined && this.#largest !== undefined && rank > this.#largest;
    return !isBeyond && this.knowsContent(entry, twins);
  }

  /** Whether an entry of this content, the k-th of its kind, is known. */
  knowsContent(entry: Happening, twins: Twins): boolean {
    return this.hasContent(contentKey(entry, twins));
  }

  /** As {@link knowsContent}, where many cursors are asked for one entry. @param key see {@link contentKey} */
  hasContent(key: string): boolean {
    return this.#contents.has(key);
  }

  /** Whether a new entry is from well before the newest known one: the clock of the BMC was set. */
  isBackInTime({ time }: Happening): boolean {
    if (time.epochNanos === undefined || this.#newestNanos === undefined) return false;
    return time.epochNanos < this.#newestNanos - CLOCK_JUMP_NANOS;
  }

  /** Whether a read has shown this entry, in whatever revision. */
  knowsBase(entry: Happening): boolean {
    return this.#bases.has(baseKey(entry, FIRST));
  }

  /** The entry behind a member that is only a link and needs no fetch. */
  entryBehind(uri: string): LinkedEntry | undefined {
    return uri === this.#probe ? undefined : this.#linked.get(uri);
  }

  /** This read showed an entry by its link alone. @param twin how many equal ones it showed before */
  markShown({ base, content, name, seconds }: LinkedEntry, twin: number): void {
    this.#bases.touch(base, this.#wholeReads);
    const key = digest(content, name, twin);
    if (!this.#contents.touch(key, this.#wholeReads))
      this.#contents.put(key, this.#wholeReads, seconds, wordOf(base, 0));
  }

  /**
   * The records of this entry were acknowledged, or it needs none.
   * @param link of its member, when that was only a link
   */
  mark(entry: Happening, link: string | undefined, twins = FIRST): void {
    const base = baseKey(entry, twins);
    const content = contentKey(entry, twins);
    const seconds = secondsOf(entry);
    if (this.#bases.put(base, this.#wholeReads, seconds, wordOf(entry.revision, 0))) this.isChanged = true;
    this.#contents.put(content, this.#wholeReads, seconds, wordOf(base, 0));
    if (link !== undefined) this.link(entry, link, twins);
    const rank = rankOf(entry);
    if (rank !== undefined && (this.#largest === undefined || rank > this.#largest)) this.#largest = rank;
    const id = integerOf(entry.id);
    if (id !== undefined && (this.#lastId === undefined || id > this.#lastId)) this.#lastId = id;
    const { epochNanos: nanos } = entry.time;
    if (nanos !== undefined && (this.#newestNanos === undefined || nanos > this.#newestNanos))
      this.#newestNanos = nanos;
    if (this.#bases.size >= this.#forgetAt) this.#forgetOld();
  }

  /** A known entry is behind this link. */
  link(entry: Happening, link: string, twins: Twins): void {
    const base = baseKey(entry, twins);
    this.#linked.set(link, { base, content: entry.content, name: nameOf(entry), seconds: secondsOf(entry) });
    const order = rankOf(entry) ?? entry.time.epochNanos ?? 0n;
    if (this.#newestLink === undefined || order >= this.#newestLink.order) this.#newestLink = { link, order };
  }

  /** Entries of a first contact that were not looked at, being older than what is wanted, are known. */
  setFloor(nanos: bigint): void {
    this.isChanged = true;
    this.#nextFloor = Math.max(this.#nextFloor, Number(nanos / NANOS_PER_SECOND));
  }

  #forgetOld(): void {
    const seconds = this.#bases.timeOfNewest(MOST_KNOWN);
    this.#nextFloor = Math.max(this.#nextFloor, seconds);
    for (const keys of [this.#bases, this.#contents]) {
      keys.dropBefore(seconds);
      if (keys.size > MOST_HELD) keys.dropOldest(keys.size - MOST_HELD + MOST_KNOWN);
    }
    // Where no time tells entries apart nothing was forgotten: not again at once.
    this.#forgetAt = this.#bases.size + MOST_KNOWN;
  }

  /** An entry that may have been forgotten: older than all that are remembered, and of no larger number. */
  #isBelowFloor(entry: Happening): boolean {
    const seconds = secondsOf(entry);
    if (seconds === 0 || seconds >= this.#floor) return false;
    const rank = rankOf(entry);
    return rank === undefined || this.#largest === undefined || rank <= this.#largest;
  }
}

/** What numbers a log: the vendor's sequence, else the integer that is the Id, or ends it (`SEL-17`). */
export function rankOf({ sequence, id }: Happening): bigint | undefined {
  return integerOf(sequence ?? /\d+$/.exec(id ?? '')?.[0]);
}

function integerOf(text: string | undefined): bigint | undefined {
  return text !== undefined && /^\d{1,30}$/.test(text) ? BigInt(text) : undefined;
}

/** 0 for an entry without a usable time. */
function secondsOf({ time }: Happening): number {
  return time.epochNanos === undefined ? 0 : Number(time.epochNanos / NANOS_PER_SECOND);
}

function baseKey({ base }: Happening, { base: twin }: Twins): string {
  return twin === 0 ? base! : digest(base, twin);
}

/** What an entry says, the k-th of its kind, as a key. */
export function contentKey(entry: Happening, { content: twin }: Twins): string {
  return digest(entry.content, nameOf(entry), twin);
}

/** Two logs may name the same event differently; without a text the name is all there is. */
function nameOf({ messageId, json }: Happening): string | undefined {
  return textOf(json.Message) === undefined ? messageId : undefined;
}
