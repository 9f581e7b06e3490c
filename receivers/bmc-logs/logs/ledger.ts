import type { Happening } from '../happening.ts';

const MOST_PENDING = 4_096;
const NANOS_PER_SECOND = 1_000_000_000n;
const SLACK_SECONDS = 5n;

/** What is kept of a happening that waits; not its JSON. */
export type PendingKeys = Pick<Happening, 'uri' | 'content' | 'text' | 'messageId' | 'time'>;
type Keys = PendingKeys;

/** Where several happenings that wait are stored together. Told once for each that waits no longer. */
export interface StoredPart {
  release(): void;
}

/** One telling that waits for the other. */
export interface Pending {
  readonly what: Keys;
  /** Complete reads of all services when it was added. */
  readonly reads: number;
  readonly part: StoredPart | undefined;
  /** Log service that told it, if it was one. */
  readonly service: string | undefined;
  /** The other telling has come. */
  joined: boolean;
  /** Services whose copy of it was dropped. */
  readonly copies: Set<string>;
}

/**
 * Joins the two tellings of one happening, by stream and by log: whichever comes first is sent, the other is dropped,
 * the k-th event to the k-th entry. Each side waits here for the other until two complete reads of all services have
 * passed, or {@link MOST_PENDING} younger ones came.
 */
export class JoinLedger {
  readonly #sides = { sse: new PendingSet(), poll: new PendingSet() };
  #reads = 0;

  /** Takes the other telling of this happening out of the ledger, if there was one. */
  join(what: Happening): Pending | undefined {
    return this.#sides[what.transport === 'sse' ? 'poll' : 'sse'].take(what);
  }

  /**
   * Whether the other side has told a copy of this, of another log: some BMCs write one event into several. Each telling stands for one
   * copy per log.
   */
  joinCopy(what: Happening): boolean {
    return this.#sides[what.transport === 'sse' ? 'poll' : 'sse'].takeCopy(what, what.service);
  }

  /** A read told this, and it was sent; a stream may tell it, too. */
  addRead(what: Happening): Pending {
    const pending = { what: keysOf(what), reads: this.#reads, part: undefined, service: what.service };
    return this.#sides.poll.add(pending);
  }

  /**
   * A stream told this, and it was sent; a read will show it.
   * @param part where its keys are stored
   */
  addTold(what: PendingKeys, part: StoredPart | undefined): void {
    this.#sides.sse.add({ what, reads: this.#reads, part, service: serviceOf(what.uri) });
  }

  /** All services were read completely. */
  completeRead(): void {
    this.#reads++;
    for (const side of Object.values(this.#sides)) side.expire(this.#reads - 2);
  }
}

class PendingSet {
  readonly #inOrder = new Set<Pending>();
  readonly #byUri = new Map<string, Set<Pending>>();
  readonly #byContent = new Map<string, Set<Pending>>();

  add(told: Omit<Pending, 'joined' | 'copies'>): Pending {
    const pending: Pending = { ...told, joined: false, copies: new Set() };
    this.#inOrder.add(pending);
    const { uri, content } = pending.what;
    if (uri !== undefined) push(this.#byUri, uri, pending);
    push(this.#byContent, content, pending);
    if (this.#inOrder.size > MOST_PENDING) this.#remove(this.#inOrder.values().next().value!);
    return pending;
  }

  /** @param service that holds the copy */
  takeCopy(what: Keys, service: string | undefined): boolean {
    if (service === undefined) return false;
    const isCopy = ({ service: other, copies, what: told }: Pending) =>
      other !== undefined && other !== service && !copies.has(service) && namesAgree(told, what);
    const found = firstOf(this.#byContent.get(what.content), isCopy);
    found?.copies.add(service);
    return found !== undefined;
  }

  take(what: Keys): Pending | undefined {
    const found =
      firstOf(this.#byUri.get(what.uri ?? ''), ({ what: other }) => isSameEntry(other, what)) ??
      firstOf(this.#byContent.get(what.content), ({ what: other }) => isSameContent(other, what));
    if (found) {
      this.#remove(found);
      found.joined = true;
    }
    return found;
  }

  expire(reads: number): void {
    for (const pending of this.#inOrder) {
      if (pending.reads > reads) return;
      this.#remove(pending);
    }
  }

  #remove(pending: Pending): void {
    this.#inOrder.delete(pending);
    pending.part?.release();
    if (pending.what.uri !== undefined) pull(this.#byUri, pending.what.uri, pending);
    pull(this.#byContent, pending.what.content, pending);
  }
}

export function keysOf({ uri, content, text, messageId, time }: Happening): PendingKeys {
  return { uri, content, text, messageId, time };
}

/**
 * A URI can be used again after a log was cleared, so the time must agree too; within seconds when the text is equal,
 * since some firmware stamps the event a little later than its entry.
 */
function isSameEntry(a: Keys, b: Keys): boolean {
  const { epochNanos: one } = a.time;
  const { epochNanos: other } = b.time;
  if (one === undefined || other === undefined) return a.text === b.text;
  const apart = one > other ? one - other : other - one;
  return apart < NANOS_PER_SECOND || (a.text === b.text && apart <= SLACK_SECONDS * NANOS_PER_SECOND);
}

/** Some BMCs name the MessageId in the event and not in the entry. Two links that differ are two entries. */
function isSameContent(a: Keys, b: Keys): boolean {
  return namesAgree(a, b) && (a.uri === undefined || b.uri === undefined || a.uri === b.uri);
}

function namesAgree(a: Keys, b: Keys): boolean {
  return a.messageId === undefined || b.messageId === undefined || a.messageId === b.messageId;
}

/** The log service of an entry, by the path of the entry. */
function serviceOf(uri: string | undefined): string | undefined {
  return /^(.*)\/Entries\/[^/]+$/.exec(uri ?? '')?.[1];
}

function firstOf(list: Iterable<Pending> | undefined, wanted: (pending: Pending) => boolean): Pending | undefined {
  for (const pending of list ?? []) if (wanted(pending)) return pending;
  return undefined;
}

function push(map: Map<string, Set<Pending>>, key: string, pending: Pending): void {
  const list = map.get(key);
  if (list) list.add(pending);
  else map.set(key, new Set([pending]));
}

function pull(map: Map<string, Set<Pending>>, key: string, pending: Pending): void {
  const list = map.get(key);
  list?.delete(pending);
  if (list?.size === 0) map.delete(key);
}
