import { OutbandError } from '../../../src/component/errors.ts';
import type { RedfishClient } from '../client/redfish-client.ts';
import { fromEntry, type Happening } from '../happening.ts';
import { type JsonObject, objectsOf, textOf } from '../json.ts';
import { eventTime } from '../record/time.ts';
import type { ServiceCursor, Verdict } from './cursor.ts';
import { type LogService, pathOfMember } from './discovery.ts';
import { oldestFirst } from './order.ts';

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
  /** Lets others have a turn. */
  readonly pause: () => Promise<void>;
  readonly nowNanos: bigint;
  readonly signal: AbortSignal;
}

export interface UnknownEntry {
  readonly entry: Happening;
  readonly verdict: Exclude<Verdict, 'known'>;
  /** Of its member, when that was only a link. */
  readonly link: string | undefined;
}

export interface ReadResult {
  /** Entries that are not known yet, oldest first. Also those of a read that ended early. */
  readonly unknown: readonly UnknownEntry[];
  /** All pages were seen, without error. */
  readonly complete: boolean;
  /** There is no more to be seen of this log now: all pages were seen, or no more can be, however often it is read. */
  readonly reachedEnd: boolean;
  /** Entries that this read showed. */
  readonly entries: number;
  readonly pages: number;
  /** Why the read ended early: a limit that is counted, or an error. */
  readonly limit?: 'pages' | 'entries' | 'bytes' | 'time' | 'link_fetches' | 'page_loop' | 'page_size';
  readonly error?: unknown;
}

/** What a walk finds out about its own assumptions. */
type Restart = 'sequence_not_unique' | 'links_reused' | 'cleared';

/** Reads a log service from its first page to its last. Known entries are dropped page by page, so memory stays small. */
export async function readService(options: ReadOptions): Promise<ReadResult> {
  const { cursor } = options;
  for (let rekey = false; ; ) {
    const result = await walk(options, rekey);
    // Each assumption is given up once, so this ends.
    if (result === 'sequence_not_unique') {
      cursor.useSequence = false;
      rekey = true;
    } else if (result === 'links_reused') cursor.forgetLinks();
    else if (result === 'cleared') cursor.forgetAll();
    else return result;
  }
}

/** @param rekey entries are known by their vendor sequence, and from now on by their Id */
async function walk(options: ReadOptions, rekey: boolean): Promise<ReadResult | Restart> {
  const { client, service, cursor, budget, monotonic, pause, signal } = options;
  const unknown: UnknownEntry[] = [];
  const inThisRead = new Set<string>();
  const sequences = new Set<string>();
  const pagesSeen = new Set<string>();
  const seen = { entries: 0, datedKnown: 0, undatedKnown: 0 };
  let error: unknown;
  const fromStart = cursor.resumeAt === undefined;
  if (fromStart) cursor.beginRead();
  let link: string | undefined = cursor.resumeAt ?? service.entries;
  cursor.resumeAt = undefined;

  const end = (reachedEnd: boolean, limit?: ReadResult['limit']): ReadResult => ({
    unknown: oldestFirst(unknown, ({ entry }) => entry),
    reachedEnd,
    complete: reachedEnd && limit === undefined && error === undefined,
    entries: seen.entries,
    pages: pagesSeen.size,
    ...(limit && { limit }),
    ...(error !== undefined && { error }),
  });
  const stopAt = (limit: NonNullable<ReadResult['limit']>): ReadResult => {
    cursor.resumeAt = link;
    return end(false, limit);
  };

  while (link !== undefined) {
    if (pagesSeen.size >= READ_LIMITS.pagesPerRead) return stopAt('pages');
    if (budget.entries <= 0) return stopAt('entries');
    if (budget.bytes <= 0) return stopAt('bytes');
    if (monotonic() >= budget.until) return stopAt('time');
    let page: JsonObject;
    let bytes: number;
    try {
      const resource = await client.get(link, signal);
      page = resource.body;
      bytes = resource.bytes;
      if (pagesSeen.has(resource.url.href)) return end(true, 'page_loop');
      pagesSeen.add(resource.url.href);
    } catch (cause) {
      if (signal.aborted) throw cause;
      error ??= cause;
      return end(false);
    }
    if (page.Members === undefined && page.error !== undefined) {
      error ??= new OutbandError('bmc_bad_body', `GET ${service.path}: 200 with an error in place of entries`);
      return end(false);
    }
    const listed = objectsOf(page.Members);
    const members = await fetchMembers(listed.slice(0, READ_LIMITS.entriesPerPoll), options);
    const knownBefore = unknown.length;
    // A link that leads nowhere costs its own entry, not the pages behind it.
    error ??= members.error;
    budget.entries -= members.fetched.length;
    seen.entries += members.known + members.fetched.length;
    for (const [index, { json, link: memberLink }] of members.fetched.entries()) {
      if (index % MEMBERS_PER_SLICE === MEMBERS_PER_SLICE - 1) await pause();
      const entry = toEntry(json, memberLink, options);
      if (inThisRead.has(fullKey(entry))) continue;
      inThisRead.add(fullKey(entry));
      if (entry.sequence !== undefined) {
        if (sequences.has(entry.sequence)) return 'sequence_not_unique';
        sequences.add(entry.sequence);
      }
      if (rekey && cursor.judge(toEntry(json, memberLink, options, true)) === 'known') cursor.mark(entry, memberLink);
      const verdict = cursor.judge(entry);
      if (verdict !== 'known') unknown.push({ entry, verdict, link: memberLink });
      else if (entry.time.epochNanos === undefined) seen.undatedKnown++;
      else seen.datedKnown++;
    }
    if (unknown.length > knownBefore) budget.bytes -= bytes;
    if (listed.length > READ_LIMITS.entriesPerPoll) return end(true, 'page_size');
    if (members.cut) return stopAt('link_fetches');
    link = textOf(page['Members@odata.nextLink']) ?? textOf(page['@odata.nextLink']);
  }
  if (error === undefined && cursor.linksReused) return 'links_reused';
  if (error === undefined && fromStart && cursor.wasCleared(seen)) return 'cleared';
  return end(true);
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

function fullKey({ revision, text }: Happening): string {
  return `${revision}${text}`;
}

interface Members {
  /** Entries that came with the page, or were fetched. */
  readonly fetched: readonly { readonly json: JsonObject; readonly link: string | undefined }[];
  /** Links that needed no fetch. */
  readonly known: number;
  /** More links than this poll may still fetch: the same page again, next time. */
  readonly cut: boolean;
  /** The first link that could not be fetched. */
  readonly error: unknown;
}

/** Members that are only links are fetched, unless they are known by their link. */
async function fetchMembers(members: readonly JsonObject[], options: ReadOptions): Promise<Members> {
  const { client, base, cursor, budget, signal } = options;
  const fetched = members
    .filter((member) => !isOnlyLink(member))
    .map((json) => ({ json, link: undefined as string | undefined }));
  const links = members.filter(isOnlyLink).map((member) => ({ member, link: pathOfMember(base, member) }));
  const wanted = links.filter(({ link }) => link === undefined || !cursor.knowsLink(link));
  const now = wanted.slice(0, Math.max(0, budget.linkFetches));
  budget.linkFetches -= now.length;
  const answers = await Promise.allSettled(now.map(({ member }) => client.get(member['@odata.id'], signal)));
  signal.throwIfAborted();
  let error: unknown;
  for (const [index, answer] of answers.entries()) {
    if (answer.status === 'fulfilled') fetched.push({ json: answer.value.body, link: now[index]!.link });
    else error ??= answer.reason;
  }
  return { fetched, known: links.length - wanted.length, cut: now.length < wanted.length, error };
}

function isOnlyLink(member: JsonObject): boolean {
  return member['@odata.id'] !== undefined && member.Id === undefined && member.Created === undefined;
}
