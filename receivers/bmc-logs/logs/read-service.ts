import { OutbandError } from '../../../src/component/errors.ts';
import type { RedfishClient } from '../client/redfish-client.ts';
import { fromEntry, type Happening } from '../happening.ts';
import { isOnlyLink, type JsonObject, objectsOf, textOf } from '../json.ts';
import { eventTime } from '../record/time.ts';
import { type LinkedEntry, type LogReset, rankOf, type ServiceCursor, type Survey, type Twins } from './cursor.ts';
import { type LogService, pathOfMember } from './discovery.ts';
import { directionOf, oldestFirst } from './order.ts';
import { type ReadPlan, wholeRead } from './read-plan.ts';

export const READ_LIMITS = {
  pagesPerRead: 1_000,
  entriesPerPoll: 20_000,
  linkFetchesPerPoll: 500,
  /** Of pages that held something new; what was read is delivered before more is read. */
  bytesPerPoll: 16 * 1024 * 1024,
} as const;

/** Members that are looked at before others get a turn. */
const MEMBERS_PER_SLICE = 256;

/** What one poll of an endpoint may still do; shared by the reads of its services. */
export interface PollBudget {
  entries: number;
  linkFetches: number;
  bytes: number;
  /** Monotonic milliseconds after which no further request starts. */
  readonly until: number;
}

export interface ReadOptions {
  readonly client: RedfishClient;
  readonly base: URL;
  readonly endpoint: string;
  readonly service: LogService;
  readonly cursor: ServiceCursor;
  readonly budget: PollBudget;
  /** Our clocks. */
  readonly monotonic: () => number;
  /** Lets others have a turn. Does not end with the signal. */
  readonly pause: () => Promise<void>;
  readonly nowNanos: bigint;
  /** Cheaper than the whole log, where it may be. */
  readonly plan: ReadPlan;
  /** Older entries are not wanted at first contact; undefined: all are. Nanoseconds since the epoch. */
  readonly historyEnds: bigint | undefined;
  readonly signal: AbortSignal;
}

export interface UnknownEntry {
  readonly entry: Happening;
  readonly verdict: 'new' | 'updated';
  readonly twins: Twins;
  /** Of its member, when that was only a link. */
  readonly link: string | undefined;
}

export interface ReadResult {
  /** Entries that are not known yet, oldest first. Also those of a read that ended early. */
  readonly unknown: readonly UnknownEntry[];
  /** All pages were seen, without error. */
  readonly whole: boolean;
  /** Whatever is new was seen: by all pages, or by a shorter way. */
  readonly complete: boolean;
  /** There is no more to be seen of this log now: all pages were seen, or no more can be, however often it is read. */
  readonly reachedEnd: boolean;
  /** Entries that this read showed. */
  readonly entries: number;
  readonly pages: number;
  /** How many the BMC says there are, where it says so; a hint. */
  readonly claimed: number | undefined;
  /** The rest of the log is older than what is wanted, and was not looked at. */
  readonly endedAtFloor: boolean;
  /** Known entries whose text alone is another one. */
  readonly reworded: number;
  /** Members that are no entries, and links to entries that led to none. */
  readonly unreadable: number;
  readonly reset?: LogReset;
  /** This form of a query cannot be trusted on this BMC; the log was read whole instead. */
  readonly failedShortcut?: 'filter' | 'skip';
  /** Why the read ended early: a limit that is counted, or an error. */
  readonly limit?: 'pages' | 'entries' | 'bytes' | 'time' | 'link_fetches' | 'page_loop';
  readonly error?: unknown;
}

/** What a walk finds out about its own assumptions. */
type Restart =
  | { readonly again: 'sequence_not_unique' | 'links_reused' | 'shortcut_failed' }
  | { readonly again: 'cleared' | 'renumbered'; readonly reset: LogReset };

/**
 * Reads what is new in a log service: by the shorter way of its plan, or from its first page to its last. Known entries are
 * dropped page by page, so memory stays small.
 */
export async function readService(options: ReadOptions): Promise<ReadResult> {
  const { cursor } = options;
  let { plan } = options;
  let more: Pick<ReadResult, 'reset' | 'failedShortcut'> = {};
  for (let rekey = false; ; ) {
    const result = await walk(options, plan, rekey);
    if (!('again' in result)) {
      // A read that broke off before it could tell whether links still name the same: all are fetched once more.
      const isOpen = result.pages > 0 && !result.whole && cursor.resumeAt === undefined;
      if (isOpen && cursor.linksReused) cursor.forgetLinks();
      return { ...result, ...more };
    }
    // Each assumption is given up once, so this ends.
    if (result.again === 'sequence_not_unique') {
      cursor.useSequence = false;
      rekey = true;
    } else if (result.again === 'links_reused') cursor.forgetLinks();
    else if (result.again === 'cleared' || result.again === 'renumbered') {
      more = { ...more, reset: result.reset };
      if (result.again === 'cleared') cursor.forgetAll();
      else cursor.renumber();
    } else if (plan.kind !== 'whole') more = { ...more, failedShortcut: plan.kind };
    plan = wholeRead(options.service);
  }
}

/** @param rekey entries are known by their vendor sequence, and from now on by their Id */
async function walk(options: ReadOptions, plan: ReadPlan, rekey: boolean): Promise<ReadResult | Restart> {
  const { client, service, cursor, budget, monotonic, pause, signal } = options;
  const unknown: UnknownEntry[] = [];
  const inThisRead = new Set<string>();
  const knownLinks = new Set<string>();
  const twinsSeen = new Map<string, number>();
  const countTwin = (key: string) => {
    const before = twinsSeen.get(key) ?? 0;
    twinsSeen.set(key, before + 1);
    return before;
  };
  // Of equal ones the known come first, wherever they stand: as many are known as were, and the others are new.
  const unsettled: { readonly entry: Happening; readonly twins: { content: number; readonly base: number } }[] = [];
  const settle = () => {
    for (const { entry, twins } of unsettled.splice(0)) {
      twins.content = countTwin(entry.content);
      if (cursor.isRenumbered(entry, twins)) seen.sameContent++;
    }
  };
  let claimed: number | undefined;
  const sequences = new Set<string>();
  const pagesSeen = new Set<string>();
  const seen = { entries: 0, knownDated: 0, knownUndated: 0, sameContent: 0, reworded: 0, unreadable: 0 };
  const ranks: Ranks = { largest: undefined, smallestUnknown: undefined };
  const places: (bigint | undefined)[] = [];
  let error: unknown;
  const fromStart = cursor.resumeAt === undefined;
  const isWhole = fromStart && plan.kind === 'whole';
  if (fromStart) cursor.entriesBefore = 0;
  if (fromStart) cursor.beginRead();
  let link: string | undefined = cursor.resumeAt ?? plan.link;
  cursor.resumeAt = undefined;

  const end = (
    reachedEnd: boolean,
    { limit, isShort = false, endedAtFloor = false, reset }: Ending = {},
  ): ReadResult => {
    settle();
    return {
      unknown: oldestFirst(unknown, ({ entry }) => entry),
      reachedEnd,
      whole: reachedEnd && !isShort && limit === undefined && error === undefined,
      complete: reachedEnd && limit === undefined && error === undefined,
      entries: cursor.entriesBefore + seen.entries,
      pages: pagesSeen.size,
      claimed,
      endedAtFloor,
      reworded: seen.reworded,
      unreadable: seen.unreadable,
      ...(reset && { reset }),
      ...(limit && { limit }),
      ...(error !== undefined && { error }),
    };
  };
  const stopAt = (limit: NonNullable<ReadResult['limit']>): ReadResult => {
    cursor.resumeAt = link;
    const result = end(false, { limit });
    cursor.entriesBefore = result.entries;
    return result;
  };

  while (link !== undefined) {
    if (pagesSeen.size >= READ_LIMITS.pagesPerRead) return stopAt('pages');
    if (budget.entries <= 0) return stopAt('entries');
    if (budget.bytes <= 0) return stopAt('bytes');
    if (monotonic() >= budget.until) return stopAt('time');
    let page: JsonObject;
    let bytes: number;
    try {
      const ifNoneMatch = pagesSeen.size === 0 ? plan.ifNoneMatch : undefined;
      const resource = await client.get(link, signal, { ifNoneMatch });
      if (!resource) return end(true, { isShort: true });
      page = resource.body;
      bytes = resource.bytes;
      if (pagesSeen.has(resource.url.href)) return end(true, { limit: 'page_loop' });
      if (isWhole && pagesSeen.size === 0) cursor.etag = resource.etag;
      pagesSeen.add(resource.url.href);
    } catch (cause) {
      if (!signal.aborted && pagesSeen.size === 0 && (plan.kind === 'filter' || plan.kind === 'skip'))
        return { again: 'shortcut_failed' };
      error ??= cause;
      return end(false);
    }
    if (page.Members === undefined && page.error !== undefined) {
      error ??= new OutbandError('bmc_bad_body', `GET ${service.path}: 200 with an error in place of entries`);
      return end(false);
    }
    const listed = objectsOf(page.Members);
    const { 'Members@odata.count': count } = page;
    if (typeof count === 'number') claimed = count;
    const members = await fetchMembers(listed, options);
    const knownBefore = unknown.length;
    // A link that leads nowhere costs its own entry, not the pages behind it.
    error ??= members.error;
    budget.entries -= members.fetched.length;
    seen.entries += members.known.length + members.fetched.length;
    const shown = Array.isArray(page.Members) ? page.Members.length : 0;
    seen.unreadable += shown - listed.length + members.failed;
    let oldHere = 0;
    let isLoop = listed.length > 0;
    for (const member of listed) {
      const uri = isOnlyLink(member) ? textOf(member['@odata.id']) : undefined;
      if (uri === undefined) continue;
      if (!inThisRead.has(uri)) isLoop = false;
      inThisRead.add(uri);
    }
    for (const { link: known, entry } of members.known) {
      // Two pages may show the same member.
      if (knownLinks.has(known)) continue;
      knownLinks.add(known);
      cursor.markShown(entry, countTwin(entry.content));
    }
    for (const [index, { json, link: memberLink }] of members.fetched.entries()) {
      if (index % MEMBERS_PER_SLICE === MEMBERS_PER_SLICE - 1) await pause();
      const entry = toEntry(json, memberLink, options);
      const rank = rankOf(entry);
      if (fromStart) places.push(rank ?? entry.time.epochNanos);
      if (inThisRead.has(fullKey(entry))) continue;
      inThisRead.add(fullKey(entry));
      if (memberLink === undefined) isLoop = false;
      if (entry.sequence !== undefined) {
        if (sequences.has(entry.sequence)) return { again: 'sequence_not_unique' };
        sequences.add(entry.sequence);
      }
      const base = countTwin(entry.base!);
      const keyed = rekey ? toEntry(json, memberLink, options, true) : entry;
      const isFamiliar = cursor.isFamiliar(keyed, base);
      const twins = { content: isFamiliar ? countTwin(entry.content) : 0, base };
      if (rekey && cursor.judge(keyed, twins) === 'known') cursor.mark(entry, memberLink, twins);
      const verdict = cursor.judge(entry, twins);
      ranks.largest = larger(ranks.largest, rank);
      if (verdict === 'below_floor' || (cursor.firstContact && isOlder(entry, options.historyEnds))) oldHere++;
      if (verdict === 'below_floor') continue;
      if (verdict === 'new' || verdict === 'updated') {
        unknown.push({ entry, verdict, twins, link: memberLink });
        ranks.smallestUnknown = smaller(ranks.smallestUnknown, rank);
        if (!isFamiliar) unsettled.push({ entry, twins });
        continue;
      }
      if (memberLink !== undefined) cursor.link(entry, memberLink, twins);
      if (verdict === 'reworded') seen.reworded++;
      if (verdict === 'moved') seen.sameContent++;
      else if (entry.time.epochNanos === undefined) seen.knownUndated++;
      else seen.knownDated++;
    }
    seen.knownDated += members.known.length;
    const hasNew = unknown.length > knownBefore;
    if (hasNew) budget.bytes -= bytes;
    if (members.cut) return stopAt('link_fetches');
    // Pages that show only what this read has seen go on for ever, whatever their links are called.
    if (isLoop) return end(true, { limit: 'page_loop' });
    link = textOf(page['Members@odata.nextLink']) ?? textOf(page['@odata.nextLink']);
    if (link === undefined || error !== undefined) continue;
    // Newest first: behind a page that is known all are known, and behind one that is too old all are.
    if (plan.stopsAtKnown && fromStart && listed.length > 0 && !hasNew && !cursor.linksReused)
      return end(true, { isShort: true });
    if (oldHere === listed.length && oldHere > 0 && directionOf(places) === 'newest_first') {
      if (cursor.firstContact && options.historyEnds !== undefined) cursor.setFloor(options.historyEnds);
      cursor.newestFirst = true;
      return end(true, { isShort: true, endedAtFloor: true });
    }
  }
  if (error !== undefined) return end(true);
  const foundAnchor = seen.knownDated + seen.knownUndated > 0;
  if (plan.kind === 'filter' || plan.kind === 'skip') {
    const allBack = seen.entries >= cursor.count;
    return foundAnchor && !allBack ? end(true, { isShort: true }) : { again: 'shortcut_failed' };
  }
  if (!isWhole) return end(true);
  if (cursor.linksReused) return { again: 'links_reused' };
  const direction = directionOf(places);
  if (direction !== undefined) cursor.newestFirst = direction === 'newest_first';
  settle();
  const survey: Survey = { ...seen, largest: ranks.largest, smallestUnknown: ranks.smallestUnknown };
  const reset = cursor.resetOf(survey);
  if (reset && reset.kind !== 'overrun' && seen.entries > 0) return { again: reset.kind, reset };
  return end(true, { ...(reset && { reset }) });
}

interface Ending {
  readonly limit?: ReadResult['limit'];
  /** Not all pages were looked at, for nothing new can be behind them. */
  readonly isShort?: boolean;
  readonly endedAtFloor?: boolean;
  readonly reset?: LogReset;
}

interface Ranks {
  largest: bigint | undefined;
  smallestUnknown: bigint | undefined;
}

function larger(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  return a === undefined || (b !== undefined && b > a) ? b : a;
}

function smaller(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  return a === undefined || (b !== undefined && b < a) ? b : a;
}

function isOlder({ time }: Happening, than: bigint | undefined): boolean {
  return than !== undefined && time.epochNanos !== undefined && time.epochNanos < than;
}

function toEntry(
  json: JsonObject,
  uri: string | undefined,
  { endpoint, service, cursor, nowNanos }: ReadOptions,
  useSequence = cursor.useSequence,
) {
  // EventTimestamp first: where an entry has both, Created may be the time of the import.
  const time = eventTime([json.EventTimestamp, json.Created], { nowNanos, offsetMinutes: service.offsetMinutes });
  const { generation } = cursor;
  return fromEntry(json, { endpoint, service: service.path, time, useSequence, uri, generation });
}

/** What shows up with the same key twice is one entry that two pages show. */
function fullKey({ revision, text }: Happening): string {
  return `${revision}${text}`;
}

interface Members {
  /** Entries that came with the page, or were fetched. */
  readonly fetched: readonly { readonly json: JsonObject; readonly link: string | undefined }[];
  /** Behind links that needed no fetch. */
  readonly known: readonly { readonly link: string; readonly entry: LinkedEntry }[];
  /** More links than this poll may still fetch: the same page again, next time. */
  readonly cut: boolean;
  /** Links that could not be fetched, and why the first of them could not. */
  readonly failed: number;
  readonly error: unknown;
}

/** Members that are only links are fetched, unless they are known by their link. */
async function fetchMembers(members: readonly JsonObject[], options: ReadOptions): Promise<Members> {
  const { client, base, cursor, budget, signal } = options;
  const fetched = members
    .filter((member) => !isOnlyLink(member))
    .map((json) => ({ json, link: undefined as string | undefined }));
  const links = members.filter(isOnlyLink).map((member) => ({ member, link: pathOfMember(base, member) }));
  const known: { link: string; entry: LinkedEntry }[] = [];
  const wanted = links.filter(({ link }) => {
    const entry = link === undefined ? undefined : cursor.entryBehind(link);
    if (entry) known.push({ link: link!, entry });
    return !entry;
  });
  const now = wanted.slice(0, Math.max(0, budget.linkFetches));
  budget.linkFetches -= now.length;
  const answers = await Promise.allSettled(now.map(({ member }) => client.get(member['@odata.id'], signal)));
  let failed = 0;
  let error: unknown;
  for (const [index, answer] of answers.entries()) {
    if (answer.status === 'fulfilled') fetched.push({ json: answer.value.body, link: now[index]!.link });
    else {
      failed++;
      error ??= answer.reason;
    }
  }
  return { fetched, known, cut: now.length < wanted.length, failed, error };
}
