import { createHash } from 'node:crypto';
import { type Answer, redfishError } from './answer.ts';
import { type LogQuery, PAGE_TOKEN, parseLogQuery, type Treatment } from './log-query.ts';
import type { ServiceProfile } from './profiles.ts';
import { shuffled } from './shuffle.ts';

/** An entry as it is kept; what clients see depends on the profile. */
export interface StoredEntry {
  /** Counts on for the life of the log, over clears too. */
  readonly sequence: number;
  /** Epoch milliseconds on the BMC's clock. */
  readonly createdMs: number;
  /** Its number in the truth list. */
  readonly number?: number;
  message: string;
  messageArgs: readonly string[];
  messageId: string;
  severity: string;
  count: number;
  resolved: boolean;
}

/** What a BMC may change in an entry that it already showed. */
export type EntryPatch = Partial<Pick<StoredEntry, 'message' | 'messageArgs' | 'severity' | 'count' | 'resolved'>>;

/** Who wants to know what becomes of the entries. */
export interface LogListener {
  changed(entry: StoredEntry): void;
  left(entries: readonly StoredEntry[]): void;
}

type JsonObject = Record<string, unknown>;

/** A log service that can be appended to, cleared and wrapped while clients read it. */
export class LiveLog {
  readonly path: string;
  readonly profile: ServiceProfile;
  /** Oldest first. */
  readonly entries: StoredEntry[] = [];
  /** Members are only links. */
  linkOnly = false;
  /** Oldest entries leave beyond it. */
  maxEntries = Number.POSITIVE_INFINITY;
  /** How far the BMC's clock is ahead, for its DateTime and for new entries. */
  clockOffsetMs = 0;
  /** `honest`: changes with the content. `stuck`: never changes, so that every later read is answered 304. */
  etag: 'none' | 'honest' | 'stuck' = 'none';
  /** `wrong`: of the entries that match, every second is left out, the oldest first of all. */
  filter: Treatment = 'ignored';
  /** `wrong`: skips more than twice as many. */
  skip: Treatment = 'honoured';
  /** `wrong`: gives half as many and never the other half. */
  top: Treatment = 'ignored';
  /** Merged into each entry that is shown. */
  extra: ((entry: StoredEntry) => object) | undefined;
  readonly #vendor: string;
  readonly #listener: LogListener | undefined;
  #order: 'asc' | 'desc' | 'shuffle' | undefined;
  #pageSize: number | undefined;
  #ids: ServiceProfile['ids'] | 'microseconds' | undefined;
  #sequence = 0;
  /** `Id` of the oldest entry; starts again when the log is cleared. */
  #firstId = 1;
  /** Counts the changes of which entries there are. */
  #version = 0;
  #view: { readonly key: string; readonly places: readonly number[] } | undefined;

  constructor(path: string, profile: ServiceProfile, vendor = 'Simulator', listener?: LogListener) {
    this.path = path;
    this.profile = profile;
    this.#vendor = vendor === 'HPE' ? 'Hpe' : vendor;
    this.#listener = listener;
  }

  /** `shuffle` looks random and stays the same between the pages of a read as long as nothing comes or goes. */
  get order(): 'asc' | 'desc' | 'shuffle' {
    return this.#order ?? this.profile.order;
  }

  set order(order: 'asc' | 'desc' | 'shuffle') {
    this.#order = order;
  }

  get pageSize(): number {
    return this.#pageSize ?? this.profile.pageSize;
  }

  set pageSize(size: number) {
    this.#pageSize = size;
  }

  /** `microseconds`: the time of the entry, which `renumber` and `clear` cannot start again. */
  get ids(): ServiceProfile['ids'] | 'microseconds' {
    return this.#ids ?? this.profile.ids;
  }

  set ids(ids: ServiceProfile['ids'] | 'microseconds') {
    this.#ids = ids;
  }

  append(entry: Omit<StoredEntry, 'sequence' | 'count' | 'resolved'>): StoredEntry {
    const stored = { ...entry, sequence: ++this.#sequence, count: 1, resolved: false };
    this.entries.push(stored);
    this.#version++;
    const surplus = this.entries.length - this.maxEntries;
    if (surplus > 0) {
      const left = this.entries.splice(0, surplus);
      this.#firstId += surplus;
      this.#listener?.left(left);
    }
    return stored;
  }

  /** Ids start again at 1. */
  clear(): void {
    const left = this.entries.splice(0);
    this.renumber();
    this.#listener?.left(left);
  }

  /** Ids start again at 1 for what is there; nothing else changes. */
  renumber(): void {
    this.#firstId = 1;
    this.#version++;
  }

  /** Changes an entry in place. */
  change(entry: StoredEntry, patch: EntryPatch): void {
    Object.assign(entry, patch);
    this.#version++;
    this.#listener?.changed(entry);
  }

  uriOf(entry: StoredEntry): string {
    // From the end: what is asked for is nearly always the newest.
    return `${this.path}/Entries/${this.#idOf(this.entries.lastIndexOf(entry))}`;
  }

  service(): JsonObject {
    return {
      '@odata.id': this.path,
      '@odata.type': '#LogService.v1_4_0.LogService',
      Id: this.profile.id,
      Name: `${this.profile.id} log`,
      ServiceEnabled: true,
      DateTime: new Date(Date.now() + this.clockOffsetMs).toISOString(),
      DateTimeLocalOffset: '+00:00',
      Entries: { '@odata.id': `${this.path}/Entries` },
    };
  }

  /** Answers a request for the collection of entries. */
  read(query: URLSearchParams, ifNoneMatch?: string): Answer {
    const parsed = parseLogQuery(query, this);
    if ('status' in parsed) return parsed;
    const etag = this.#etag();
    if (etag === undefined) return { status: 200, body: this.#page(parsed) };
    if (ifNoneMatch === etag) return { status: 304, headers: { etag } };
    return { status: 200, headers: { etag }, body: { '@odata.etag': etag, ...this.#page(parsed) } };
  }

  /** One page of the collection. @param skip entries before it, in the order of the log */
  page(skip: number): JsonObject {
    return this.#page({ skip, top: undefined, since: undefined, carried: {} });
  }

  entry(id: string): JsonObject | undefined {
    const place = this.entries.findIndex((_, index) => this.#idOf(index) === id);
    return place < 0 ? undefined : this.#render(place);
  }

  /** Answers a request for one entry. */
  readEntry(id: string): Answer {
    const body = this.entry(id);
    return body ? { status: 200, body } : redfishError(404, 'ResourceMissingAtURI');
  }

  #page({ skip, top, since, carried }: LogQuery): JsonObject {
    const places = this.#places(since);
    const end = skip + Math.min(this.pageSize, top ?? Number.POSITIVE_INFINITY);
    const given = this.top === 'wrong' && top !== undefined ? skip + Math.ceil((end - skip) / 2) : end;
    return {
      '@odata.id': `${this.path}/Entries`,
      '@odata.type': '#LogEntryCollection.LogEntryCollection',
      Name: 'Log Entry Collection',
      Members: places
        .slice(skip, given)
        .map((place) =>
          this.linkOnly ? { '@odata.id': `${this.path}/Entries/${this.#idOf(place)}` } : this.#render(place),
        ),
      'Members@odata.count': places.length,
      ...(end < places.length && { [this.profile.nextLink]: this.#linkTo(end, carried) }),
    };
  }

  #linkTo(skip: number, carried: LogQuery['carried']): string {
    const options = Object.entries({ ...carried, [this.skip === 'honoured' ? '$skip' : PAGE_TOKEN]: String(skip) });
    return `${this.path}/Entries?${options.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}`;
  }

  /** Places of the entries in the order in which they are shown; kept, as a long log is read in many pages. */
  #places(since: number | undefined): readonly number[] {
    const { order, filter } = this;
    const key = `${this.#version} ${this.entries.length} ${order} ${filter} ${since}`;
    if (this.#view?.key === key) return this.#view.places;
    let places = this.entries.map((_, place) => place);
    if (since !== undefined) {
      // Judged as it is shown, in whole seconds.
      places = places.filter((place) => Math.floor(this.entries[place]!.createdMs / 1_000) * 1_000 >= since);
      if (filter === 'wrong') places = places.filter((_, index) => index % 2 === 1);
    }
    if (order === 'desc') places.reverse();
    if (order === 'shuffle') places = shuffled(places, this.#version);
    this.#view = { key, places };
    return places;
  }

  #etag(): string | undefined {
    if (this.etag === 'none') return undefined;
    if (this.etag === 'stuck') return 'W/"stuck"';
    const hash = createHash('sha1').update(`${this.#version}`);
    for (const entry of this.entries) hash.update(JSON.stringify(entry));
    return `W/"${hash.digest('hex')}"`;
  }

  #idOf(place: number): string {
    if (this.ids === 'position') return String(place + 1);
    if (this.ids === 'microseconds') {
      const { createdMs, sequence } = this.entries[place]!;
      return String(createdMs * 1_000 + (sequence % 1_000));
    }
    const number = this.#firstId + place;
    return this.ids === 'text' ? `${this.profile.id}-${number}` : String(number);
  }

  #render(place: number): JsonObject {
    const entry = this.entries[place]!;
    const id = this.#idOf(place);
    return {
      '@odata.id': `${this.path}/Entries/${id}`,
      '@odata.type': '#LogEntry.v1_13_0.LogEntry',
      Id: id,
      Name: 'Log Entry',
      EntryType: this.profile.id.toLowerCase() === 'sel' ? 'SEL' : 'Event',
      Created: this.#time(entry.createdMs),
      Message: entry.message,
      MessageArgs: entry.messageArgs,
      MessageId: entry.messageId,
      Severity: entry.severity,
      ...this.#oem(entry),
      ...(entry.resolved && { Resolved: true }),
      ...this.extra?.(entry),
    };
  }

  #oem({ sequence, count }: StoredEntry): JsonObject | undefined {
    if (this.ids === 'position') return { Oem: { Hpe: { EventNumber: sequence, Count: count, Class: 35 } } };
    return count > 1 ? { Oem: { [this.#vendor]: { Count: count } } } : undefined;
  }

  #time(ms: number): string {
    const utc = new Date(ms).toISOString().slice(0, 19);
    if (this.profile.zone === 'utc') return `${utc}Z`;
    if (this.profile.zone === 'none') return utc;
    return `${new Date(ms - 5 * 3_600_000).toISOString().slice(0, 19)}-05:00`;
  }
}
