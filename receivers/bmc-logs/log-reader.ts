import { MAX_BATCH_RECORDS } from './delivery-lane.ts';
import { longDigest } from './digest.ts';
import type { Happening } from './happening.ts';
import { ServiceCursor } from './logs/cursor.ts';
import type { LogService } from './logs/discovery.ts';
import { historyOf } from './logs/history.ts';
import { type PollBudget, READ_LIMITS, type ReadResult, readService, type UnknownEntry } from './logs/read-service.ts';
import type { ReaderParts } from './reader-parts.ts';
import type { RecordContext } from './record/attributes.ts';
import { toRecord } from './record/record.ts';
import { eventTime } from './record/time.ts';

/** A poll that has run this long starts no further request. */
const POLL_TIME_MS = 60_000;
const MOST_CURSORS = 1_024;
/** Entries of a service that is found later are not history when they are younger than the last poll, less this. */
const LATE_SERVICE_SLACK_NANOS = 3_600_000_000_000n;

export interface PollResult {
  readonly emitted: number;
  /** A walk ended at a limit and goes on at a stored page. */
  readonly unfinished: boolean;
  /** Services that could not be read, with the first error. */
  readonly failed: number;
  readonly error: unknown;
}

/** Reads the log services of one endpoint and delivers what is new, oldest first per service. */
export class LogReader {
  readonly #options: ReaderParts;
  readonly #cursors: Map<string, ServiceCursor>;
  #lastCompletePollNanos: bigint | undefined;
  /** The service to begin with: behind the one that used up the last poll, so that none starves. */
  #startAt = 0;

  /** @param known cursors of a former process, by the path of their service */
  constructor(options: ReaderParts, known: ReadonlyMap<string, ServiceCursor> = new Map()) {
    this.#options = options;
    this.#cursors = new Map(known);
  }

  /** Whether a poll has sent or skipped the entry that an event names. */
  knows({ service, base }: Happening): boolean {
    return service !== undefined && base !== undefined && (this.#cursors.get(service)?.knowsBase(base) ?? false);
  }

  /** What is known of a service. The names come from the BMC, so only so many are kept: the least recently used go. */
  #cursor(service: string): ServiceCursor {
    const cursor = this.#cursors.get(service) ?? new ServiceCursor();
    this.#cursors.delete(service);
    this.#cursors.set(service, cursor);
    if (this.#cursors.size > MOST_CURSORS) this.#cursors.delete(this.#cursors.keys().next().value!);
    return cursor;
  }

  /**
   * @param allServices whether the list is whole; if not, what a stream told goes on waiting for its entry
   * @param keepForStream whether the stream may tell the same entries, so that they wait for it in the ledger
   * @param signal ends the reading; what was read by then is delivered all the same
   */
  async poll(
    services: readonly LogService[],
    allServices: boolean,
    reason: 'periodic' | 'gap_fill' | 'reconcile',
    keepForStream: boolean,
    signal: AbortSignal,
  ): Promise<PollResult> {
    const { clock, client, endpoint, events, ledger } = this.#options;
    const startedNanos = clock.now();
    const budget: PollBudget = {
      entries: READ_LIMITS.entriesPerPoll,
      linkFetches: READ_LIMITS.linkFetchesPerPoll,
      bytes: READ_LIMITS.bytesPerPoll,
      until: clock.monotonic() + POLL_TIME_MS,
    };
    let emitted = 0;
    let failed = 0;
    let complete = allServices;
    let unfinished = false;
    let error: unknown;
    for (const service of [...services.slice(this.#startAt), ...services.slice(0, this.#startAt)]) {
      const cursor = this.#cursor(service.path);
      const read = await readService({
        client,
        base: endpoint.address,
        endpoint: endpoint.name,
        service,
        cursor,
        budget,
        monotonic: () => clock.monotonic(),
        pause: () => clock.sleep(0, signal),
        nowNanos: clock.now(),
        signal,
      });
      emitted += await this.#deliver(service, cursor, read, cursor.firstContact ? 'initial' : reason, keepForStream);
      if (read.complete) cursor.endCompleteRead(read.entries);
      else complete = false;
      if (read.limit) events.limit(endpoint.name, read.limit);
      // From now on what is new is new, even if an entry on the way could not be read.
      if (read.reachedEnd) cursor.firstContact = false;
      this.#save(service, cursor, read.complete);
      if (cursor.resumeAt !== undefined) this.#startAt = services.indexOf(service) + (read.pages > 0 ? 1 : 0);
      if (cursor.resumeAt !== undefined) unfinished = true;
      if (read.error !== undefined) {
        failed++;
        error ??= read.error;
      }
    }
    if (complete) {
      ledger.completeRead();
      this.#lastCompletePollNanos = startedNanos;
    }
    return { emitted, unfinished, failed, error };
  }

  async #deliver(
    service: LogService,
    cursor: ServiceCursor,
    { unknown }: ReadResult,
    reason: NonNullable<RecordContext['readReason']>,
    keepForStream: boolean,
  ): Promise<number> {
    const { events, lane } = this.#options;
    const wanted = cursor.firstContact ? this.#withoutHistory(service, cursor, unknown) : unknown;
    let emitted = 0;
    for (let start = 0; start < wanted.length; start += MAX_BATCH_RECORDS) {
      const slice = wanted.slice(start, start + MAX_BATCH_RECORDS);
      emitted += await lane.run(async () => {
        const sent = slice.filter((one) => !this.#toldByStream(cursor, one));
        // Together with the ledger's parts that this has released: known by the one or by the other, at any moment.
        this.#save(service, cursor);
        await lane.deliver(
          sent.map((one) => this.#record(one, reason)),
          'poll',
        );
        for (const { entry, verdict, link } of sent) {
          cursor.mark(entry, link);
          if (keepForStream) this.#options.ledger.addRead(entry);
          events.entry(verdict === 'updated' ? 'updated' : 'emitted', 'poll');
        }
        if (sent.length > 0) this.#save(service, cursor);
        return sent.length;
      });
    }
    return emitted;
  }

  /** Behind the records that it stands for. A read that showed nothing new changes nothing that is stored. */
  #save(service: LogService, cursor: ServiceCursor, when = true): void {
    if (when && cursor.isChanged) this.#options.positions?.saveCursor(longDigest(service.path), service.path, cursor);
  }

  /** Decided inside the lane: the stream may have told the entry while its page was on the way. */
  #toldByStream(cursor: ServiceCursor, { entry, verdict, link }: UnknownEntry): boolean {
    if (verdict === 'updated') return false;
    if (!this.#options.ledger.join(entry)) return false;
    cursor.mark(entry, link);
    this.#options.events.entry({ deduplicated: 'stream_join' }, 'poll');
    return true;
  }

  #withoutHistory(
    service: LogService,
    cursor: ServiceCursor,
    unknown: readonly UnknownEntry[],
  ): readonly UnknownEntry[] {
    const times = unknown.map(({ entry }) => entry.time);
    const old = historyOf(times, this.#cutOff(service, cursor));
    return unknown.filter(({ entry, link }, index) => {
      if (!old[index]) return true;
      cursor.mark(entry, link);
      this.#options.events.entry({ skipped: 'initial_history' }, 'poll');
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
    const own = eventTime([service.dateTime], { nowNanos, offsetMinutes: service.offsetMinutes });
    const cutOff = (own.epochNanos ?? nowNanos) - BigInt(Math.round(config.initial_history)) * 1_000_000n;
    const late = this.#lastCompletePollNanos;
    return late !== undefined && late - LATE_SERVICE_SLACK_NANOS < cutOff ? late - LATE_SERVICE_SLACK_NANOS : cutOff;
  }

  #record({ entry, verdict }: UnknownEntry, reason: NonNullable<RecordContext['readReason']>) {
    const { config, resource, clock } = this.#options;
    return toRecord(entry, {
      resource: resource.current,
      observedNanos: clock.now(),
      criticalAs: config.critical_as,
      readReason: reason,
      sseId: undefined,
      updated: verdict === 'updated',
      history: reason === 'initial',
      loss: false,
      includeOem: config.include_oem,
      includeOriginal: config.include_original,
    });
  }
}
