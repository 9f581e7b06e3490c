import type { RedfishClient } from '../client/redfish-client.ts';
import { fromEntry, type Happening, vendorSequence } from '../happening.ts';
import { type JsonObject, objectsOf, textOf } from '../json.ts';
import { eventTime } from '../record/time.ts';
import type { ServiceCursor, Verdict } from './cursor.ts';
import { type LogService, pathOfMember } from './discovery.ts';
import { oldestFirst } from './order.ts';

export const READ_LIMITS = {
  pagesPerRead: 1_000,
  entriesPerPoll: 20_000,
  linkFetchesPerPoll: 500,
} as const;

/** What one poll of an endpoint may still do; shared by the reads of its services. */
export interface PollBudget {
  entries: number;
  linkFetches: number;
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
  readonly nowNanos: bigint;
  readonly signal: AbortSignal;
}

export interface UnknownEntry {
  readonly entry: Happening;
  readonly verdict: Exclude<Verdict, 'known'>;
}

export interface ReadResult {
  /** Entries that are not known yet, oldest first. Also those of a read that ended early. */
  readonly unknown: readonly UnknownEntry[];
  /** All pages were seen, without error. */
  readonly complete: boolean;
  /** Why the read ended early: a limit that is counted, or an error. */
  readonly limit?: 'pages' | 'entries' | 'time' | 'link_fetches' | 'page_loop';
  readonly error?: unknown;
}

/** What a walk finds out about its own assumptions. */
type Restart = 'sequence_not_unique' | 'uris_reused';

/** Reads a log service from its first page to its last. Known entries are dropped page by page, so memory stays small. */
export async function readService(options: ReadOptions): Promise<ReadResult> {
  for (;;) {
    const result = await walk(options);
    // Each assumption is given up once, so this ends.
    if (result === 'sequence_not_unique') options.cursor.useSequence = false;
    else if (result === 'uris_reused') options.cursor.forgetUris();
    else return result;
  }
}

async function walk(options: ReadOptions): Promise<ReadResult | Restart> {
  const { client, service, cursor, budget, monotonic, signal } = options;
  const unknown: UnknownEntry[] = [];
  const inThisRead = new Set<string>();
  const sequences = new Set<string>();
  const pagesSeen = new Set<string>();
  if (cursor.resumeAt === undefined) cursor.beginRead();
  let link: string | undefined = cursor.resumeAt ?? service.entries;
  cursor.resumeAt = undefined;

  const end = (rest: Omit<ReadResult, 'unknown'>): ReadResult => {
    const verdicts = new Map(unknown.map(({ entry, verdict }) => [entry, verdict]));
    const sorted = oldestFirst([...verdicts.keys()]);
    return { unknown: sorted.map((entry) => ({ entry, verdict: verdicts.get(entry)! })), ...rest };
  };
  const stopAt = (limit: NonNullable<ReadResult['limit']>): ReadResult => {
    cursor.resumeAt = link;
    return end({ complete: false, limit });
  };

  while (link !== undefined) {
    if (pagesSeen.size >= READ_LIMITS.pagesPerRead) return stopAt('pages');
    if (budget.entries <= 0) return stopAt('entries');
    if (monotonic() >= budget.until) return stopAt('time');
    let page: JsonObject;
    let members: Members;
    try {
      const resource = await client.get(link, signal);
      page = resource.body;
      if (pagesSeen.has(resource.url.href)) return end({ complete: false, limit: 'page_loop' });
      pagesSeen.add(resource.url.href);
      members = await withLinkedMembers(objectsOf(page.Members), options);
    } catch (error) {
      if (signal.aborted) throw error;
      return end({ complete: false, error });
    }
    budget.entries -= members.entries.length;
    for (const json of members.entries) {
      if (cursor.useSequence) {
        const sequence = vendorSequence(json);
        if (sequence !== undefined && sequences.has(sequence) && !inThisRead.has(fullKey(toEntry(json, options))))
          return 'sequence_not_unique';
        if (sequence !== undefined) sequences.add(sequence);
      }
      const entry = toEntry(json, options);
      if (inThisRead.has(fullKey(entry))) continue;
      inThisRead.add(fullKey(entry));
      const verdict = cursor.judge(entry);
      if (verdict !== 'known') unknown.push({ entry, verdict });
    }
    if (members.error) return end({ complete: false, error: members.error });
    if (members.cut) return stopAt('link_fetches');
    link = textOf(page['Members@odata.nextLink']) ?? textOf(page['@odata.nextLink']);
  }
  return cursor.urisReused ? 'uris_reused' : end({ complete: true });
}

function toEntry(json: JsonObject, { endpoint, service, cursor, nowNanos }: ReadOptions): Happening {
  const context = { nowNanos, offsetMinutes: service.offsetMinutes };
  // EventTimestamp first: where an entry has both, Created may be the time of the import.
  const time = eventTime([json.EventTimestamp, json.Created], context);
  return fromEntry(json, { endpoint, service: service.path, time, useSequence: cursor.useSequence });
}

function fullKey({ revision, text }: Happening): string {
  return `${revision}${text}`;
}

interface Members {
  readonly entries: readonly JsonObject[];
  /** More links than this poll may still fetch: the same page again, next time. */
  readonly cut: boolean;
  /** The first link that could not be fetched. */
  readonly error: unknown;
}

/** Members that are only links are fetched, unless they are known by URI. */
async function withLinkedMembers(members: readonly JsonObject[], options: ReadOptions): Promise<Members> {
  const { client, base, cursor, budget, signal } = options;
  if (members.some(isOnlyLink)) cursor.linkOnly = true;
  const entries: JsonObject[] = members.filter((member) => !isOnlyLink(member));
  const wanted = members.filter(isOnlyLink).filter((member) => {
    const uri = pathOfMember(base, member);
    return uri === undefined || !cursor.knowsUri(uri);
  });
  const fetched = wanted.slice(0, Math.max(0, budget.linkFetches));
  budget.linkFetches -= fetched.length;
  const answers = await Promise.allSettled(fetched.map((member) => client.get(member['@odata.id'], signal)));
  let error: unknown;
  for (const answer of answers) {
    if (answer.status === 'fulfilled') entries.push(answer.value.body);
    else error ??= answer.reason;
  }
  if (signal.aborted) throw signal.reason;
  return { entries, cut: fetched.length < wanted.length, error };
}

function isOnlyLink(member: JsonObject): boolean {
  return member['@odata.id'] !== undefined && member.Id === undefined && member.Created === undefined;
}
