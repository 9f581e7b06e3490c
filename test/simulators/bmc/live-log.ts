import type { ServiceProfile } from './profiles.ts';

/** An entry as it is kept; what clients see depends on the profile. */
export interface StoredEntry {
  /** Counts on for the life of the log, over clears too. */
  readonly sequence: number;
  /** Epoch milliseconds on the BMC's clock. */
  readonly createdMs: number;
  message: string;
  messageArgs: readonly string[];
  messageId: string;
  severity: string;
  count: number;
  resolved: boolean;
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
  #sequence = 0;
  /** `Id` of the next entry; starts again when the log is cleared. */
  #firstId = 1;

  constructor(path: string, profile: ServiceProfile) {
    this.path = path;
    this.profile = profile;
  }

  append(entry: Omit<StoredEntry, 'sequence' | 'count' | 'resolved'>): StoredEntry {
    const stored = { ...entry, sequence: ++this.#sequence, count: 1, resolved: false };
    this.entries.push(stored);
    while (this.entries.length > this.maxEntries) {
      this.entries.shift();
      this.#firstId++;
    }
    return stored;
  }

  /** Ids start again at 1. */
  clear(): void {
    this.entries.length = 0;
    this.#firstId = 1;
  }

  uriOf(entry: StoredEntry): string {
    return `${this.path}/Entries/${this.#idOf(this.entries.indexOf(entry))}`;
  }

  service(): JsonObject {
    return {
      '@odata.id': this.path,
      '@odata.type': '#LogService.v1_4_0.LogService',
      Id: this.profile.id,
      Name: `${this.profile.id} log`,
      ServiceEnabled: true,
      DateTime: new Date().toISOString(),
      DateTimeLocalOffset: '+00:00',
      Entries: { '@odata.id': `${this.path}/Entries` },
    };
  }

  /** One page of the collection. @param skip entries before it, in the order of the profile */
  page(skip: number): JsonObject {
    const { order, pageSize, nextLink } = this.profile;
    const places = this.entries.map((_, place) => place);
    if (order === 'desc') places.reverse();
    const end = skip + pageSize;
    return {
      '@odata.id': `${this.path}/Entries`,
      '@odata.type': '#LogEntryCollection.LogEntryCollection',
      Name: 'Log Entry Collection',
      Members: places
        .slice(skip, end)
        .map((place) =>
          this.linkOnly ? { '@odata.id': `${this.path}/Entries/${this.#idOf(place)}` } : this.#render(place),
        ),
      'Members@odata.count': this.entries.length,
      ...(end < this.entries.length && { [nextLink]: `${this.path}/Entries?$skip=${end}` }),
    };
  }

  entry(id: string): JsonObject | undefined {
    const place = this.entries.findIndex((_, index) => this.#idOf(index) === id);
    return place < 0 ? undefined : this.#render(place);
  }

  #idOf(place: number): string {
    if (this.profile.ids === 'position') return String(place + 1);
    const number = this.#firstId + place;
    return this.profile.ids === 'text' ? `${this.profile.id}-${number}` : String(number);
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
      ...(this.profile.ids === 'position' && {
        Oem: { Hpe: { EventNumber: entry.sequence, Count: entry.count, Class: 35 } },
      }),
      ...(entry.resolved && { Resolved: true }),
    };
  }

  #time(ms: number): string {
    const utc = new Date(ms).toISOString().slice(0, 19);
    if (this.profile.zone === 'utc') return `${utc}Z`;
    if (this.profile.zone === 'none') return utc;
    return `${new Date(ms - 5 * 3_600_000).toISOString().slice(0, 19)}-05:00`;
  }
}
