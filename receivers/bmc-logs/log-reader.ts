import { MAX_BATCH_RECORDS } from './delivery-lane.ts';
import { longDigest } from './digest.ts';
import type { Happening } from './happening.ts';
import { textOf } from './json.ts';
import { contentKey, FIRST, ServiceCursor } from './logs/cursor.ts';
import type { LogService } from './logs/discovery.ts';
import { historyOf, importedRule } from './logs/history.ts';
import type { Pending } from './logs/ledger.ts';
import { planRead } from './logs/read-plan.ts';
import { type PollBudget, READ_LIMITS, type ReadResult, readService, type UnknownEntry } from './logs/read-service.ts';
import type { ReaderParts } from './reader-parts.ts';
import type { RecordContext } from './record/attributes.ts';
import { toRecord } from './record/record.ts';
import { turn } from './turn.ts';

/** A poll that has run this long starts no further request. */
const POLL_TIME_MS = 60_000;
const MOST_CURSORS = 1_024;
/** Entries of a service that is found later are not history when they are younger than the last poll, less this. */
const LATE_SERVICE_SLACK_NANOS = 3_600_000_000_000n;
const NANOS_PER_MS = 1_000_000n;

export type ReadReason = 'periodic' | 'gap_fill' | 'reconcile';

export interface PollOptions {
  readonly services: readonly LogService[];
  /** Whether the list is all of them; if not, what a stream told goes on waiting for its entry. */
  readonly allServices: boolean;
  readonly reason: ReadReason;
  /** Whether the stream may tell the same entries, so that they wait for it in the ledger. */
  readonly keepForStream: boolean;
  /** Ends the reading; what was read by then is delivered all the same. */
  readonly signal: AbortSignal;
}

export interface PollResult {
  readonly emitted: number;
  /** Of these, what came from logs that had been read before. */
  readonly fresh: number;
  /** A walk ended at a limit and goes on at a stored page. */
  readonly unfinished: boolean;
  /** Services that could not be read, with the first error. */
  readonly failed: number;
  readonly error: unknown;
  /** Whatever was new in any service was seen. */
  readonly complete: boolean;
  /** New entries that wait for their event, where the service had been read before. */
  readonly unjoined: readonly Pending[];
}

/** What people are shown of a service. */
export interface ServiceView {
  readonly uri: string;
  readonly generation: number;
  readonly direction: 'newest_first' | 'oldest_first' | null;
  readonly count: number;
  readonly newestId: string | null;
  readonly newestCreated: string | null;
  readonly lastRead: string | null;
}

/** Reads the log services of one endpoint and delivers what is new, oldest first per service. */
export class LogReader {
  readonly #options: ReaderParts;
  readonly #cursors: Map<string, ServiceCursor>;
  readonly #imported: ReadonlyMap<string, number>;
  #lastCompletePollNanos: bigint | undefined;
  /** The service to begin with: behind the one that used up the last poll, so that none starves. */
  #startAt = 0;
  /** Query forms that a service was caught at doing wrong, until the next state refresh. */
  readonly #untrusted = new Set<string>();
  readonly #lastReadMs = new Map<string, number>();
  #unjoined: Pending[] = [];

  /**
   * @param known cursors of a former process, by the path of their service
   * @param imported last Ids by service, of another tool; they stand in for the rule for history
   */
  constructor(
    options: ReaderParts,
    known: ReadonlyMap<string, ServiceCursor> = new Map(),
    imported: ReadonlyMap<string, number> = new Map(),
  ) {
    this.#options = options;
    this.#imported = imported;
    this.#cursors = new Map(known);
    const { lastPollMs } = options.state.current;
    if (lastPollMs !== undefined) this.#lastCompletePollNanos = BigInt(lastPollMs) * NANOS_PER_MS;
  }

  get services(): readonly ServiceView[] {
    return [...this.#cursors].map(([uri, cursor]) => ({
      uri,
      generation: cursor.generation,
      direction:
        cursor.newestFirst === undefined
          ? null
          : cursor.newestFirst
            ? ('newest_first' as const)
            : ('oldest_first' as const),
      count: cursor.count,
      newestId: cursor.largest?.toString() ?? null,
      newestCreated: isoOf(cursor.newestNanos),
      lastRead: isoOf(BigInt(this.#lastReadMs.get(uri) ?? 0) * NANOS_PER_MS || undefined),
    }));
  }

  /** Largest integer Id of each service; for `logs_state_file`. */
  get lastIds(): ReadonlyMap<string, bigint> {
    const imported = [...this.#imported].map(([path, id]) => [path, BigInt(id)] as const);
    const own = [...this.#cursors].flatMap(([path, { lastId }]) =>
      lastId === undefined ? [] : [[path, lastId] as const],
    );
    return new Map([...imported, ...own]);
  }

  /** Whether a poll has sent or skipped the entry that an event names. */
  knows(event: Happening): boolean {
    const { service, base, time } = event;
    if (service !== undefined && base !== undefined) return this.#cursors.get(service)?.knowsBase(event) ?? false;
    // Told without its entry: an old event that is told again after hours. A second one that is equal to the second comes
    // with its own entry.
    if (time.epochNanos === undefined) return false;
    const key = contentKey(event, FIRST);
    for (const cursor of this.#cursors.values()) if (cursor.hasContent(key)) return true;
    return false;
  }

  /** What the BMC says it can do was read anew: it has another chance. */
  trustAgain(): void {
    this.#untrusted.clear();
  }

  /** Another board answers at this address: its logs are others, whatever they look like. */
  replaced(): void {
    for (const cursor of this.#cursors.values()) {
      cursor.forgetAll();
      cursor.firstContact = true;
      cursor.historyEnds = undefined;
    }
  }

  /** What is known of a service. The names come from the BMC, so only so many are kept: the least recently used go. */
  #cursor(service: string): ServiceCursor {
    const cursor = this.#cursors.get(service) ?? new ServiceCursor();
    this.#cursors.delete(service);
    this.#cursors.set(service, cursor);
    if (this.#cursors.size > MOST_CURSORS) {
      const oldest = this.#cursors.keys().next().value!;
      this.#cursors.delete(oldest);
      this.#lastReadMs.delete(oldest);
      this.#options.positions?.forgetCursor(longDigest(oldest));
    }
    return cursor;
  }

  /** Reads services one after another. Not called while an earlier call is under way. */
  async poll(options: PollOptions): Promise<PollResult> {
    const { services, allServices } = options;
    const { clock, events, ledger, state } = this.#options;
    const startedNanos = clock.now();
    const budget: PollBudget = {
      entries: READ_LIMITS.entriesPerPoll,
      linkFetches: READ_LIMITS.linkFetchesPerPoll,
      bytes: READ_LIMITS.bytesPerPoll,
      until: clock.monotonic() + POLL_TIME_MS,
    };
    this.#unjoined = [];
    let emitted = 0;
    let fresh = 0;
    let failed = 0;
    let complete = true;
    let unfinished = false;
    let error: unknown;
    for (const service of [...services.slice(this.#startAt), ...services.slice(0, this.#startAt)]) {
      const cursor = this.#cursor(service.path);
      const read = await this.#read(service, cursor, budget, options.signal);
      const wasKnown = !cursor.firstContact;
      const delivered = await this.#deliver(service, cursor, read, options);
      emitted += delivered;
      if (wasKnown) fresh += delivered;
      if (read.reset) events.logReset(service.path, read.reset);
      if (read.limit) events.limit(read.limit);
      if (read.unreadable > 0) events.unreadableEntries(read.unreadable);
      for (let n = 0; n < read.reworded; n++) events.entry({ skipped: 'reworded' }, 'poll');
      if (read.whole) {
        cursor.endWholeRead(read.entries);
        cursor.wholeAt = clock.monotonic();
      } else if (read.endedAtFloor) {
        cursor.setCount(read.claimed ?? read.entries);
        cursor.wholeAt = clock.monotonic();
      } else if (read.complete)
        cursor.setCount(cursor.count + read.unknown.filter(({ verdict }) => verdict === 'new').length);
      else if (cursor.resumeAt === undefined) cursor.doubt();
      if (!read.complete) complete = false;
      // From now on what is new is new, even if an entry on the way could not be read.
      if (read.reachedEnd) cursor.firstContact = false;
      if (read.complete) this.#lastReadMs.set(service.path, Number(clock.now() / NANOS_PER_MS));
      this.#save(service, cursor, read.complete);
      if (cursor.resumeAt !== undefined) this.#startAt = services.indexOf(service) + (read.pages > 0 ? 1 : 0);
      if (cursor.resumeAt !== undefined) unfinished = true;
      error ??= read.error;
      // One entry that cannot be read is a part of the log, not the log.
      if (read.error !== undefined && !read.reachedEnd) failed++;
      if (options.signal.aborted) break;
    }
    options.signal.throwIfAborted();
    if (complete && allServices) {
      ledger.completeRead();
      this.#lastCompletePollNanos = startedNanos;
      state.update({ lastPollMs: Number(startedNanos / NANOS_PER_MS) });
    }
    return { emitted, fresh, unfinished, failed, error, complete, unjoined: this.#unjoined };
  }

  async #read(service: LogService, cursor: ServiceCursor, budget: PollBudget, signal: AbortSignal) {
    const { clock, client, endpoint, config } = this.#options;
    const now = clock.monotonic();
    const plan = planRead(service, cursor, {
      now,
      bmcNowNanos: clock.now() + service.clockAheadNanos,
      fullReadInterval: config.periodic.full_read_interval,
      canFilter: service.canFilter && !this.#untrusted.has(`filter ${service.path}`),
      canSkip: service.canSkip && !this.#untrusted.has(`skip ${service.path}`),
    });
    const read = await readService({
      client,
      base: endpoint.address,
      endpoint: endpoint.name,
      service,
      cursor,
      budget,
      plan,
      historyEnds: cursor.firstContact ? this.#cutOff(service, cursor) : undefined,
      monotonic: () => clock.monotonic(),
      pause: () => clock.sleep(0),
      nowNanos: clock.now(),
      signal,
    });
    if (read.failedShortcut) this.#untrusted.add(`${read.failedShortcut} ${service.path}`);
    return read;
  }

  async #deliver(
    service: LogService,
    cursor: ServiceCursor,
    { unknown, error, reachedEnd }: ReadResult,
    options: PollOptions,
  ): Promise<number> {
    const { events, lane } = this.#options;
    const isFirst = cursor.firstContact;
    const reason = isFirst ? 'initial' : options.reason;
    const hasBroken = error !== undefined && !reachedEnd;
    // Whether an imported Id is of a log that was cleared since shows only at the log's end.
    if (isFirst && hasBroken && this.#imported.has(service.path)) return 0;
    const wanted = isFirst ? this.#withoutHistory(service, cursor, unknown, cursor.resumeAt === undefined) : unknown;
    if (!isFirst && wanted.some(({ entry, verdict }) => verdict === 'new' && cursor.isBackInTime(entry)))
      events.logReset(service.path, { kind: 'clock_jump' });
    let emitted = 0;
    for (let start = 0; start < wanted.length; start += MAX_BATCH_RECORDS) {
      const slice = wanted.slice(start, start + MAX_BATCH_RECORDS);
      emitted += await lane.run(async () => {
        const sent = slice.filter((one) => !this.#toldByStream(cursor, one) && !this.#toldByOtherLog(cursor, one));
        // Together with the ledger's parts that this has released: known by the one or by the other, at any moment.
        this.#save(service, cursor);
        await lane.deliver(
          sent.map((one) => this.#record(one, reason, cursor.generation)),
          'poll',
        );
        for (const { entry, verdict, link, twins } of sent) {
          cursor.mark(entry, link, twins);
          const pending = options.keepForStream ? this.#options.ledger.addRead(entry) : undefined;
          if (pending && verdict === 'new' && !isFirst) this.#unjoined.push(pending);
          events.entry(verdict === 'updated' ? 'updated' : 'emitted', 'poll');
        }
        if (sent.length > 0) this.#save(service, cursor);
        return sent.length;
      });
      if (slice.length === MAX_BATCH_RECORDS) await turn();
    }
    return emitted;
  }

  /** Some BMCs write one event into several logs. */
  #toldByOtherLog(cursor: ServiceCursor, { entry, verdict, link, twins }: UnknownEntry): boolean {
    const { config, events } = this.#options;
    const isNamed = textOf(entry.json.Message) !== undefined || entry.messageId !== undefined;
    if (!config.dedupe_across_logs || verdict !== 'new' || !isNamed || entry.time.epochNanos === undefined)
      return false;
    const key = contentKey(entry, twins);
    const isTold = [...this.#cursors.values()].some((other) => other !== cursor && other.hasContent(key));
    if (!isTold && !this.#options.ledger.joinCopy(entry)) return false;
    cursor.mark(entry, link, twins);
    events.entry({ deduplicated: 'cross_log' }, 'poll');
    return true;
  }

  /** Behind the records that it stands for. A read that showed nothing new changes nothing that is stored. */
  #save(service: LogService, cursor: ServiceCursor, when = true): void {
    if (when && cursor.isChanged) this.#options.positions?.saveCursor(longDigest(service.path), service.path, cursor);
  }

  /** Decided inside the lane: the stream may have told the entry while its page was on the way. */
  #toldByStream(cursor: ServiceCursor, { entry, verdict, link, twins }: UnknownEntry): boolean {
    if (verdict === 'updated') return false;
    if (!this.#options.ledger.join(entry)) return false;
    cursor.mark(entry, link, twins);
    this.#options.onCovered(entry.service!);
    this.#options.events.entry({ deduplicated: 'stream_join' }, 'poll');
    return true;
  }

  #withoutHistory(
    service: LogService,
    cursor: ServiceCursor,
    unknown: readonly UnknownEntry[],
    isAll: boolean,
  ): readonly UnknownEntry[] {
    const times = unknown.map(({ entry }) => entry.time);
    const old = historyOf(times, this.#cutOff(service, cursor));
    const isImported = importedRule(
      unknown.map(({ entry }) => entry.id),
      this.#imported.get(service.path),
      isAll,
    );
    return unknown.filter(({ entry, link, twins }, index) => {
      const imported = isImported(index);
      if (!(imported ?? old[index])) return true;
      cursor.mark(entry, link, twins);
      this.#options.events.entry({ skipped: imported ? 'imported' : 'initial_history' }, 'poll');
      return false;
    });
  }

  /**
   * Measured on the service's own clock, which may be years off, and at the first attempt: what comes while the log
   * cannot be read to its end is not history.
   */
  #cutOff(service: LogService, cursor: ServiceCursor): bigint | undefined {
    const { config } = this.#options;
    if (config.initial_history === Number.POSITIVE_INFINITY) return undefined;
    cursor.historyEnds ??= this.#newCutOff(service);
    return cursor.historyEnds;
  }

  #newCutOff(service: LogService): bigint {
    const { config, clock } = this.#options;
    const nowNanos = clock.now();
    const cutOff = nowNanos + service.clockAheadNanos - BigInt(Math.round(config.initial_history)) * 1_000_000n;
    const late = this.#lastCompletePollNanos;
    return late !== undefined && late - LATE_SERVICE_SLACK_NANOS < cutOff ? late - LATE_SERVICE_SLACK_NANOS : cutOff;
  }

  #record({ entry, verdict }: UnknownEntry, reason: RecordContext['readReason'], generation: number) {
    const { config, resource, clock } = this.#options;
    return toRecord(entry, {
      resource: resource.current,
      observedNanos: clock.now(),
      criticalAs: config.critical_as,
      readReason: reason,
      sseId: undefined,
      updated: verdict === 'updated',
      generation,
      history: reason === 'initial',
      loss: false,
      includeOem: config.include_oem,
      includeOriginal: config.include_original,
    });
  }
}

function isoOf(nanos: bigint | undefined): string | null {
  return nanos === undefined ? null : new Date(Number(nanos / NANOS_PER_MS)).toISOString();
}
