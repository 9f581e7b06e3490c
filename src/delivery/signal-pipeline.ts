import type { Host } from '../component/component.ts';
import { deadline } from '../component/deadline.ts';
import { OutbandError, PermanentError, RetryableError } from '../component/errors.ts';
import type { Sender } from '../component/exporter.ts';
import type { StoredQueue } from '../component/storage.ts';
import { Semaphore } from '../resilience/semaphore.ts';
import { Courier } from './courier.ts';
import { DurableQueue } from './durable-queue.ts';
import { type ExporterMetrics, exporterMetrics } from './exporter-metrics.ts';
import { MemoryQueue } from './memory-queue.ts';
import type { Queue, QueueItem, Recovered } from './queue.ts';
import { retryDelay } from './retry-plan.ts';
import { type Hold, SendGate } from './send-gate.ts';
import type { DeliverySettings } from './settings.ts';
import type { SignalKind } from './signals.ts';

const REDRIVE_AFTER_MS = 3_600_000;
const MOST_REDRIVES = 3;
const REDRIVE_CHECK_MS = 60_000;
/** Encoding is synchronous, and takes about so long per record. */
const ENCODE_MS = 0.01;
/** Beyond this it is worth a warning. */
const LARGE_REQUEST = 2_048;

export interface SignalPipelineOptions<Batch, Value> {
  /** `type[/name]` of the exporter. */
  readonly exporter: string;
  readonly kind: SignalKind<Batch, Value>;
  readonly sender: Sender;
  readonly settings: DeliverySettings;
  readonly host: Host;
  /** Whether something is amiss, for the exporter's status; undefined: nothing. */
  readonly onState: (error: Error | undefined) => void;
}

/**
 * The way of one signal through an exporter: queue -> batch -> courier. The queue stands outside the retry, so that an
 * outage fills the queue and then makes callers wait.
 */
export class SignalPipeline<Batch, Value> {
  readonly #options: SignalPipelineOptions<Batch, Value>;
  readonly #gate: SendGate;
  /** Ends all: attempts under way, too. */
  readonly #stop = new AbortController();
  /** Ends waits and refuses what is new; attempts go on. */
  readonly #drain = new AbortController();
  readonly #inFlight = new Set<Promise<void>>();
  #queue: Queue<Batch, Value>;
  #stored: StoredQueue | undefined;
  #metrics: ExporterMetrics;
  #courier: Courier<Batch, Value>;
  #running: Promise<unknown> | undefined;
  /** What is left at a stop and will be passed on; undefined: it is lost. */
  #estate: Value[] | undefined;

  constructor(options: SignalPipelineOptions<Batch, Value>) {
    this.#options = options;
    const { settings, host, exporter, kind } = options;
    const { retry, limits } = settings;
    this.#gate = new SendGate(
      settings.consumers,
      host.clock,
      (failures) => retryDelay(failures, retry, host.random()),
      () => this.#tellState(),
    );
    this.#queue = new MemoryQueue(kind, limits, (points) => this.#metrics.dropped(points, 'coalesced'));
    this.#metrics = exporterMetrics(host.meter, exporter, kind.unit, {
      process: host.ownMetrics,
      durable: settings.storage !== undefined,
      figures: () => this.#queue.figures,
      requests: () => this.#gate.out,
      held: () => this.#gate.held?.reason,
      deadLetters: () => this.#deadLetters(),
    });
    this.#courier = this.#makeCourier();
  }

  /** The same backend is well again, as far as another signal can tell. */
  encourage(): void {
    this.#gate.encourage();
  }

  /** For the status page. */
  get description(): Readonly<Record<string, number>> {
    const { signal } = this.#options.kind;
    const { queued, inFlight, deadLetters } = this.#queue.figures;
    return {
      ...{ [`${signal}_queued`]: queued, [`${signal}_in_flight`]: inFlight },
      ...(signal === 'logs' && { [`${signal}_dead_letters`]: deadLetters }),
    };
  }

  async start(): Promise<void> {
    const { host, settings, exporter, kind } = this.#options;
    const { clock, logger } = host;
    if (settings.storage !== undefined) {
      this.#stored = await host.storage(settings.storage).queue({ exporter, signal: kind.signal });
      this.#queue = new DurableQueue({
        ...{ kind, limits: settings.limits, stored: this.#stored, clock, logger, signal: this.#stop.signal },
        onCorrupt: (records) => this.#metrics.setAside(records, 'corrupt'),
        onChange: ({ kind: what, records, reason }) => {
          if (what === 'redriven') this.#metrics.redriven(records, reason);
          else this.#metrics.dropped(records, what === 'dropped' ? 'operator' : 'dead_letter_evicted');
          if (what === 'evicted') this.#metrics.evicted(records, reason);
          if (this.#gate.held?.reason === 'dead_letter_full') this.#gate.resume();
        },
      });
    }
    this.#courier = this.#makeCourier();
    this.#tellStart(await this.#queue.start());
    this.#running = Promise.all([this.#run(), this.#redriveLoop()]);
  }

  /**
   * Sends on without waiting for anything, until nothing is left or the signal aborts. What is in a store then stays
   * there.
   */
  async shutdown(signal: AbortSignal): Promise<void> {
    this.#drain.abort(new RetryableError('shutting_down', `exporter ${this.#options.exporter} stops`));
    this.#gate.hurry();
    const cut = () => this.#stop.abort(this.#drain.signal.reason);
    if (signal.aborted) cut();
    else signal.addEventListener('abort', cut, { once: true });
    await this.#running;
    cut();
    this.#gate.close();
    const left = this.#queue.take(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
    this.#courier.lose(left);
    const stays = this.#stored?.totals;
    if (stays && stays.points + stays.deadLetters > 0)
      this.#options.host.logger.info('what was not delivered stays in the store', {
        queued: stays.points,
        dead_letters: stays.deadLetters,
      });
  }

  keepForHeir(): void {
    this.#estate = [];
  }

  get hasLeft(): boolean {
    return (this.#estate?.length ?? 0) > 0;
  }

  passOn(heir: SignalPipeline<Batch, Value> | undefined): void {
    const left = this.#estate?.splice(0) ?? [];
    if (left.length === 0) return;
    if (heir && heir.#queue instanceof MemoryQueue) return heir.#queue.inherit(left);
    this.#courier.tellLost(left.reduce((sum, value) => sum + this.#options.kind.count(value), 0));
  }

  async consume(batch: Batch, signal: AbortSignal): Promise<void> {
    const { kind } = this.#options;
    if (this.#drain.signal.aborted) throw this.#drain.signal.reason;
    const values = kind.values(batch);
    const count = values.reduce((sum, value) => sum + kind.count(value), 0);
    const bytes = values.reduce((sum, value) => sum + kind.bytes(value), 0);
    try {
      await this.#queue.put(batch, AbortSignal.any([signal, this.#drain.signal]));
      this.#metrics.enqueued(count, bytes);
    } catch (error) {
      const code = error instanceof OutbandError ? error.code : 'unexpected';
      if (!(error instanceof PermanentError)) this.#metrics.enqueueFailed(count, code);
      throw error;
    }
  }

  #makeCourier(): Courier<Batch, Value> {
    const { kind, sender, settings, host } = this.#options;
    const [draining, stopped] = [this.#drain.signal, this.#stop.signal];
    const [queue, gate, metrics] = [this.#queue, this.#gate, this.#metrics];
    const keep = (items: readonly QueueItem<Value>[]) => {
      this.#estate?.push(...items.map(({ value }) => value));
      return this.#estate !== undefined;
    };
    return new Courier({ kind, sender, settings, host, queue, gate, metrics, draining, stopped, keep });
  }

  async #run(): Promise<void> {
    // Twice as many batches as requests: those that were answered wait for the store to note it.
    const unsettled = new Semaphore(2 * this.#options.settings.consumers);
    while (!this.#stop.signal.aborted && !this.#courier.gaveUp) {
      const release = await unsettled.acquire(this.#stop.signal).catch(() => undefined);
      if (!release) break;
      const items = await this.#nextBatch();
      if (items.length === 0) {
        release();
        break;
      }
      const work = this.#courier
        .carry(items)
        .catch((error) => {
          if (!this.#stop.signal.aborted)
            this.#options.host.logger.error('unexpected error while exporting', { error });
        })
        .finally(() => {
          this.#inFlight.delete(work);
          release();
        });
      this.#inFlight.add(work);
    }
    await Promise.all(this.#inFlight);
  }

  /** Waits for values, then for more of them until a request is full or `flush_timeout` has passed. Empty: the end. */
  async #nextBatch(): Promise<QueueItem<Value>[]> {
    const { host, settings, kind } = this.#options;
    const { flushTimeoutMs, minSize, maxSize, sizer } = settings.batch;
    const draining = this.#drain.signal;
    while (this.#queue.ready.items === 0) {
      if (draining.aborted && (this.#queue.isEmpty || this.#stop.signal.aborted || this.#courier.gaveUp)) return [];
      await this.#queue.arrival(draining.aborted ? this.#stop.signal : draining);
    }
    const isFull = () => this.#queue.ready[sizer] >= minSize || this.#queue.ready.items >= this.#courier.requestSize;
    if (kind.batches && !isFull() && !draining.aborted) {
      using flush = deadline(host.clock, flushTimeoutMs, 'a batch', draining);
      while (!isFull() && !flush.signal.aborted) await this.#queue.arrival(flush.signal);
    }
    if (!kind.batches) return this.#queue.take(1, Number.POSITIVE_INFINITY);
    return this.#queue.take(this.#courier.requestSize, sizer === 'bytes' ? maxSize : Number.POSITIVE_INFINITY);
  }

  /** Records that the backend met with server errors while it took others may have been its own fault. */
  async #redriveLoop(): Promise<void> {
    const { clock } = this.#options.host;
    const stopping = this.#drain.signal;
    while (this.#stored && !stopping.aborted) {
      await clock.sleep(REDRIVE_CHECK_MS, stopping).catch(() => {});
      const isHealthy = !this.#gate.inOutage && !this.#gate.held && this.#courier.acceptedAt > Number.NEGATIVE_INFINITY;
      if (stopping.aborted || !isHealthy || this.#stored.totals.deadLetters === 0) continue;
      const beforeMs = Number(clock.now() / 1_000_000n) - REDRIVE_AFTER_MS;
      await this.#stored.redrive('server_error', beforeMs, MOST_REDRIVES).catch(() => {});
    }
  }

  #deadLetters() {
    if (!this.#stored) return undefined;
    const { deadLetterBytes, oldestDeadLetterMs } = this.#stored.totals;
    const nowMs = Number(this.#options.host.clock.now() / 1_000_000n);
    const oldestAgeS = oldestDeadLetterMs === undefined ? 0 : Math.max(0, nowMs - oldestDeadLetterMs) / 1_000;
    return { bytes: deadLetterBytes, capacity: this.#stored.deadLetterCapacityBytes, oldestAgeS };
  }

  #tellState(): void {
    const { held } = this.#gate;
    if (held) this.#options.onState(heldError(held));
    else if (this.#gate.inOutage) this.#options.onState(new RetryableError('export_outage', 'the backend is down'));
    else this.#options.onState(undefined);
  }

  #tellStart({ queued, deadLetters }: Recovered): void {
    const { settings, kind, host } = this.#options;
    const { maxSize, sizer: unit } = settings.batch;
    if (unit === 'items' && Number.isFinite(maxSize) && maxSize > LARGE_REQUEST)
      host.logger.warn('a large request blocks everything else while it is encoded', {
        max_size: maxSize,
        about_ms: Math.round(maxSize * ENCODE_MS),
      });
    const { queueSize, sizer, waitForResult } = settings.limits;
    const signal = { data_type: kind.signal };
    if (this.#stored)
      host.logger.info(`queue is durable: ${this.#stored.location}`, { ...signal, queued, dead_letters: deadLetters });
    else if (waitForResult)
      host.logger.info('no queue to lose: a record is acknowledged to its source when the backend took it', signal);
    else host.logger.info(`queue is in memory: at most ${queueSize} ${sizer} are lost if this process dies`, signal);
  }
}

const HELD_BECAUSE: Readonly<Record<Hold['reason'], string>> = {
  setup: 'its set-up is at fault',
  rejecting_everything: 'the backend rejects everything',
  dead_letter_full: 'the dead letters have no room for what the backend refused',
};

function heldError({ reason, message }: Hold): OutbandError {
  return new RetryableError(
    'export_held',
    `the exporter pauses: ${HELD_BECAUSE[reason]} (${message}); it tries once a minute`,
  );
}
