import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { MetricsConsumer } from '../../src/component/consumer.ts';
import { deadline } from '../../src/component/deadline.ts';
import { describeError, OutbandError } from '../../src/component/errors.ts';
import { MAX_BATCH_RECORDS } from './delivery-lane.ts';
import { fromEvent, type Happening, serviceOfEvent } from './happening.ts';
import { type JsonObject, linkOf } from './json.ts';
import { keysOf } from './logs/ledger.ts';
import { readMetricReport } from './metric-report.ts';
import type { ReaderParts } from './reader-parts.ts';
import { toRawRecord, toRecord } from './record/record.ts';
import { eventTime } from './record/time.ts';
import { type Decoded, decodePayload } from './stream/decode.ts';
import { ReplayFilter } from './stream/replay.ts';
import type { SseMessage } from './stream/sse-reader.ts';
import { turn } from './turn.ts';

/** An event that is only a link is waited for this long. */
const REFERENCE_WAIT_MS = 10_000;
/** Events that are looked at before others get a turn. */
const EVENTS_PER_TURN = 256;
/** Between two tries. */
const FIRST_REFERENCE_RETRY_MS = 100;
const LAST_REFERENCE_RETRY_MS = 1_000;

export interface StreamReaderOptions extends ReaderParts {
  /** Whether a poll has told this before. */
  readonly knows: (what: Happening) => boolean;
  /** Where metric reports go; undefined: nowhere. */
  readonly metrics: MetricsConsumer | undefined;
  readonly signal: AbortSignal;
  /** Minutes east of UTC for times without a zone, of a service or of the BMC as a whole. */
  readonly offsetMinutes: (service: string | undefined) => number;
  /** An event that no log had told before was delivered. */
  readonly onTold: () => void;
  /** Something was lost on the way to us: the logs have it. */
  readonly onLoss: () => void;
}

interface Told {
  readonly what: Happening;
  readonly sseId: string | undefined;
  readonly loss: boolean;
}

interface Unreadable {
  readonly text: string;
  readonly error: string;
  readonly sseId: string | undefined;
}

/** Turns the messages of a stream into records and delivers those that no log has told before. */
export class StreamReader {
  readonly #options: StreamReaderOptions;
  readonly #replays = new ReplayFilter();
  readonly #metricNames = new Set<string>();

  constructor(options: StreamReaderOptions) {
    this.#options = options;
  }

  /** Resolves when all records of these messages are acknowledged; the next messages are asked for only then. */
  async take(messages: readonly SseMessage[]): Promise<void> {
    const { clock, signal } = this.#options;
    const items: (Told | Unreadable)[] = [];
    for (const { data, id } of messages) {
      const payload = decodePayload(data);
      // One limit for all links of a payload: many that lead nowhere must not hold the stream for long.
      using limit = payload.some(({ kind }) => kind === 'reference')
        ? deadline(clock, REFERENCE_WAIT_MS, 'the events behind links', signal)
        : undefined;
      for (const [index, decoded] of payload.entries()) {
        if (index % EVENTS_PER_TURN === EVENTS_PER_TURN - 1) await turn();
        const item = await this.#interpret(decoded, id, limit?.signal ?? signal);
        if (item) items.push(item);
      }
    }
    for (let start = 0; start < items.length; start += MAX_BATCH_RECORDS) {
      if (start > 0) await turn();
      await this.#deliver(items.slice(start, start + MAX_BATCH_RECORDS));
    }
  }

  async #interpret(
    decoded: Decoded,
    sseId: string | undefined,
    limit: AbortSignal,
  ): Promise<Told | Unreadable | undefined> {
    const { events, onLoss } = this.#options;
    switch (decoded.kind) {
      case 'event':
        if (decoded.loss) onLoss();
        return this.#told(decoded.json, sseId, decoded.loss);
      case 'reference':
        return this.#told(await this.#fetch(decoded.json, limit), sseId, false);
      case 'unreadable':
        events.decodeError('event', decoded.error);
        return { text: decoded.text, error: decoded.error, sseId };
      case 'cut':
        events.limit('events_per_payload');
        onLoss();
        return undefined;
      case 'metric_report':
        await this.#takeReport(decoded.json);
        return undefined;
      case 'heartbeat':
        events.entry({ skipped: 'heartbeat' }, 'sse');
        return undefined;
    }
  }

  /** Points that the pipeline does not take are not kept: the next report brings newer ones. */
  async #takeReport(report: JsonObject): Promise<void> {
    const { metrics, events, clock, resource, signal } = this.#options;
    if (!metrics) return events.entry({ skipped: 'metric_report' }, 'sse');
    const context = { nowNanos: clock.now(), offsetMinutes: this.#options.offsetMinutes(undefined) };
    const read = readMetricReport(report, { ...context, resource: resource.current, names: this.#metricNames });
    for (let n = 0; n < read.skipped; n++) events.entry({ skipped: 'metric_report' }, 'sse');
    if (read.points === 0) return;
    await metrics
      .consumeMetrics(read.metrics, { signal, labels: { transport: 'sse', ...events.labels } })
      .catch(() => {});
  }

  #told(json: JsonObject, sseId: string | undefined, loss: boolean): Told {
    const { endpoint, clock } = this.#options;
    const offsetMinutes = this.#options.offsetMinutes(serviceOfEvent(json));
    const time = eventTime([json.EventTimestamp, json.Created], { nowNanos: clock.now(), offsetMinutes });
    return { what: fromEvent(json, endpoint.name, sseId, time), sseId, loss };
  }

  /** The event behind a link; the link itself when it cannot be fetched, so that something is told. */
  async #fetch(link: JsonObject, limit: AbortSignal): Promise<JsonObject> {
    const { client, events, clock, signal } = this.#options;
    let error: unknown;
    for (let wait = FIRST_REFERENCE_RETRY_MS; ; wait = Math.min(2 * wait, LAST_REFERENCE_RETRY_MS)) {
      try {
        const { body } = await client.get(link['@odata.id'], limit);
        return { LogEntry: link, ...body };
      } catch (cause) {
        signal.throwIfAborted();
        error ??= cause;
        // The entry may be written a moment after its event; a link that leads elsewhere stays there.
        if (limit.aborted || (cause instanceof OutbandError && cause.code === 'bmc_link_refused')) break;
      }
      await clock.sleep(wait, limit).catch(() => {});
      if (limit.aborted) break;
    }
    signal.throwIfAborted();
    events.decodeError('reference', describeError(error));
    return { ...link, Message: linkOf(link) ?? JSON.stringify(link) };
  }

  #deliver(items: readonly (Told | Unreadable)[]): Promise<void> {
    const { lane, ledger, events, positions } = this.#options;
    return lane.run(async () => {
      const fresh: (Told | Unreadable)[] = [];
      const replayKeys = new Set<string>();
      for (const item of items) {
        if ('text' in item) fresh.push(item);
        else {
          const key = this.#replays.keyOf(item.what, item.sseId);
          const replayed = this.#replays.has(key) || (key !== undefined && replayKeys.has(key));
          if (key !== undefined) replayKeys.add(key);
          if (replayed) events.entry({ deduplicated: 'replay' }, 'sse');
          else if (this.#toldByLog(item.what)) events.entry({ deduplicated: 'stream_join' }, 'sse');
          else if (this.#isCopy(item.what)) events.entry({ deduplicated: 'cross_log' }, 'sse');
          else fresh.push(item);
        }
      }
      const records = fresh.map((item) => this.#record(item));
      await lane.deliver(records, 'sse');
      for (const key of replayKeys) this.#replays.add(key);
      for (const _ of fresh) events.entry('emitted', 'sse');
      if (records.length > 0) this.#options.onTold();
      const told = fresh.flatMap((item) => ('text' in item ? [] : [keysOf(item.what)]));
      const part = told.length > 0 ? positions?.saveTold(told) : undefined;
      for (const keys of told) ledger.addTold(keys, part);
    });
  }

  #toldByLog(what: Happening): boolean {
    const { ledger, knows, onCovered } = this.#options;
    const joined = ledger.join(what);
    const service = joined?.service ?? what.service;
    if (service !== undefined) onCovered(service);
    return joined !== undefined || knows(what);
  }

  /** Another log holds the same, and it was sent from there. */
  #isCopy(what: Happening): boolean {
    const { config, ledger } = this.#options;
    return config.dedupe_across_logs && what.time.epochNanos !== undefined && ledger.joinCopy(what);
  }

  #record(item: Told | Unreadable): ReadableLogRecord {
    const { config, endpoint, resource, clock } = this.#options;
    const common = { resource: resource.current, observedNanos: clock.now(), sseId: item.sseId };
    if ('text' in item) return toRawRecord(item.text, { ...common, endpoint: endpoint.name, error: item.error });
    return toRecord(item.what, {
      ...common,
      criticalAs: config.critical_as,
      readReason: undefined,
      updated: false,
      generation: undefined,
      history: false,
      loss: item.loss,
      includeOem: config.include_oem,
      includeOriginal: config.include_original,
    });
  }
}
