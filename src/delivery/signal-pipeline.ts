import type { Host } from '../component/component.ts';
import { deadline } from '../component/deadline.ts';
import { describeError, OutbandError, PermanentError, RetryableError } from '../component/errors.ts';
import type { Sender, SendResult } from '../component/exporter.ts';
import type { DeadLetterReason, StoredQueue } from '../component/storage.ts';
import { Semaphore } from '../resilience/semaphore.ts';
import { type Action, act, blame, judge } from './act.ts';
import { DurableQueue } from './durable-queue.ts';
import { type ExporterMetrics, exporterMetrics } from './exporter-metrics.ts';
import { MemoryQueue } from './memory-queue.ts';
import { OutgoingRequest } from './outgoing-request.ts';
import type { Queue, QueueItem, Recovered } from './queue.ts';
import { retryDelay } from './retry-plan.ts';
import { type Hold, SendGate, type Turn } from './send-gate.ts';
import type { DeliverySettings } from './settings.ts';
import type { SignalKind } from './signals.ts';

/** At most one line of a kind per exporter in this time: an outage is one story, not one line per request. */
const LOG_INTERVALS_MS = { retry: 10_000, message: 60_000 } as const;
/** So many batches refused in full, one after the other, are not the fault of their data. */
const MOST_FULL_REJECTIONS = 3;
const REDRIVE_AFTER_MS = 3_600_000;
const MOST_REDRIVES = 3;
const REDRIVE_CHECK_MS = 60_000;
/** Encoding is synchronous, and takes about so long per record. */
const ENCODE_MS = 0.01;
/** Beyond this it is worth a warning. */
const LARGE_REQUEST = 2_048;
/** The size of requests grows back by a tenth after so many that were taken. */
const GROW_AFTER = 100;

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
 * The way of one signal through an exporter: queue -> batch -> gate -> attempt -> what its result asks for. The queue
 * stands outside the retry, so that an outage fills the queue and then makes callers wait; the timeout covers one
 * attempt and never the waits between two.
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
  #running: Promise<unknown> | undefined;
  #acceptedAt = Number.NEGATIVE_INFINITY;
  #fullRejections = 0;
  #failedWhileDraining = false;
  readonly #mostItems: number;
  /** Most values in one request; halved when the backend finds one too large. */
  #requestSize: number;
  #takenSinceGrowth = 0;
  readonly #loggedAt = new Map<string, number>();

  constructor(options: SignalPipelineOptions<Batch, Value>) {
    this.#options = options;
    const { settings, host, exporter, kind } = options;
    const { retry, limits, batch } = settings;
    this.#mostItems = batch.sizer === 'items' ? batch.maxSize : Number.POSITIVE_INFINITY;
    this.#requestSize = this.#mostItems;
    this.#gate = new SendGate(
      settings.consumers,
      host.clock,
      (failures) => retryDelay(failures, retry, host.random()),
      () => this.#tellState(),
    );
    this.#queue = new MemoryQueue(kind, limits, (points) => this.#metrics.dropped(points, 'coalesced'));
    this.#metrics = exporterMetrics(host.meter, exporter, kind.unit, {
      figures: () => this.#queue.figures,
      requests: () => this.#gate.out,
      held: () => this.#gate.held?.reason,
      deadLetters: () => this.#deadLetters(),
    });
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
    this.#lose(left);
  }

  async consume(batch: Batch, signal: AbortSignal): Promise<void> {
    const { kind } = this.#options;
    if (this.#drain.signal.aborted) throw this.#drain.signal.reason;
    try {
      await this.#queue.put(batch, AbortSignal.any([signal, this.#drain.signal]));
    } catch (error) {
      const count = kind.values(batch).reduce((sum, value) => sum + kind.count(value), 0);
      const code = error instanceof OutbandError ? error.code : 'unexpected';
      if (!(error instanceof PermanentError)) this.#metrics.enqueueFailed(count, code);
      throw error;
    }
  }

  async #run(): Promise<void> {
    // Twice as many batches as requests: those that were answered wait for the store to note it.
    const unsettled = new Semaphore(2 * this.#options.settings.consumers);
    while (!this.#stop.signal.aborted && !this.#failedWhileDraining) {
      const release = await unsettled.acquire(this.#stop.signal).catch(() => undefined);
      if (!release) break;
      const items = await this.#nextBatch();
      if (items.length === 0) {
        release();
        break;
      }
      const work = this.#carry(items)
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
      if (draining.aborted && (this.#queue.isEmpty || this.#stop.signal.aborted || this.#failedWhileDraining))
        return [];
      await this.#queue.arrival(draining.aborted ? this.#stop.signal : draining);
    }
    const isFull = () => this.#queue.ready[sizer] >= minSize || this.#queue.ready.items >= this.#requestSize;
    if (kind.batches && !isFull() && !draining.aborted) {
      using flush = deadline(host.clock, flushTimeoutMs, 'a batch', draining);
      while (!isFull() && !flush.signal.aborted) await this.#queue.arrival(flush.signal);
    }
    if (!kind.batches) return this.#queue.take(1, Number.POSITIVE_INFINITY);
    return this.#queue.take(this.#requestSize, sizer === 'bytes' ? maxSize : Number.POSITIVE_INFINITY);
  }

  /** Sends until every value of the batch is settled, set aside, given back or left to the next start. */
  async #carry(items: readonly QueueItem<Value>[]): Promise<void> {
    const open = [new OutgoingRequest(items)];
    for (let request = open.shift(); request; request = open.shift()) {
      request.dropAbandoned((gone) => this.#queue.fail(gone, new RetryableError('queue_full', 'the caller gave up')));
      if (request.items.length === 0) continue;
      const turn = this.#failedWhileDraining ? undefined : await this.#gate.enter(this.#stop.signal);
      if (!turn) {
        this.#lose(request.items);
        continue;
      }
      const outcome = await this.#attempt(request, turn).finally(() => turn.release());
      if (outcome === 'split') open.unshift(...request.halves());
      // Behind the other half: what the backend takes meanwhile is evidence.
      else if (outcome === 'again') open.push(request);
      else if (outcome === 'left') this.#lose(request.items);
    }
  }

  async #attempt(request: OutgoingRequest<Value>, turn: Turn): Promise<Outcome> {
    const { host, sender } = this.#options;
    if (request.condemned) {
      turn.release();
      return this.#setAside(request, request.condemned.reason, request.condemned.result);
    }
    if (this.#gate.held)
      await sender.refresh?.().catch((error) => host.logger.warn('cannot read the set-up again', { error }));
    const isProbe = request.unproven !== undefined;
    request.triedWhileDraining = this.#drain.signal.aborted;
    const result = await this.#send(request, isProbe);
    const now = host.clock.monotonic();
    turn.release();
    if (isProbe) return this.#proven(request, turn, result);
    if (result.kind === 'accepted' || result.kind === 'unknown') {
      this.#gate.accepted();
      this.#tookSomething(now);
    } else request.failed(result, now);
    const backend = { acceptedAt: this.#acceptedAt, canProbe: sender.probe !== undefined };
    return this.#follow(act(result, request.state, backend, now), request, turn, result);
  }

  async #follow(action: Action, request: OutgoingRequest<Value>, turn: Turn, result: SendResult): Promise<Outcome> {
    switch (action.do) {
      case 'settle':
        return this.#settle(request, result);
      case 'retry':
        return this.#retry(request, turn, result);
      case 'prove':
        request.unproven = result;
        return action.wait ? this.#retry(request, turn, result) : 'again';
      case 'split':
        if (this.#isRejectingEverything(result)) return this.#giveBack(request, result);
        if (result.kind === 'too_large')
          this.#requestSize = Math.min(this.#requestSize, Math.max(1, request.items.length >> 1));
        return 'split';
      case 'set_aside':
        if (this.#isRejectingEverything(result)) return this.#giveBack(request, result);
        return this.#setAside(request, action.reason, result);
      case 'hold':
        if (this.#options.settings.onSetupError === 'dead_letter') return this.#setAside(request, 'setup', result);
        return this.#hold(request, { reason: 'setup', message: reasonOf(result), status: statusOf(result) });
    }
  }

  /** The empty request was answered: now it is known what the full one before it means. */
  async #proven(request: OutgoingRequest<Value>, turn: Turn, probe: SendResult): Promise<Outcome> {
    const first = request.unproven!;
    request.unproven = undefined;
    switch (judge(probe)) {
      case 'data':
        if (this.#gate.held?.reason !== 'rejecting_everything') this.#gate.accepted();
        this.#acceptedAt = this.#options.host.clock.monotonic();
        return this.#follow(
          blame(request.state, first.kind === 'suspect' ? first.cause : 'rejected'),
          ...([request, turn, first] as const),
        );
      case 'setup':
        return this.#hold(request, { reason: 'setup', message: reasonOf(probe), status: statusOf(probe) });
      case 'outage':
        return this.#retry(request, turn, probe);
    }
  }

  async #send(request: OutgoingRequest<Value>, isProbe: boolean): Promise<SendResult> {
    const { host, sender, settings, kind } = this.#options;
    using attempt = deadline(host.clock, settings.timeoutMs, 'the request', this.#stop.signal);
    const context = { signal: attempt.signal };
    try {
      const sent = isProbe ? sender.probe!(kind.signal, context) : kind.send(sender, request.values, context);
      // A sender that does not heed the signal must not hold its slot for ever.
      const result = await Promise.race([sent, aborted(attempt.signal)]);
      return result?.kind === undefined ? { kind: 'retry', reason: 'the exporter gave no result' } : result;
    } catch (error) {
      if (attempt.signal.aborted && !this.#stop.signal.aborted)
        return { kind: 'suspect', cause: 'timeout', reason: `no answer within ${settings.timeoutMs / 1_000}s` };
      return { kind: 'retry', reason: describeError(error) };
    }
  }

  async #settle(request: OutgoingRequest<Value>, result: SendResult): Promise<Outcome> {
    await this.#queue.settle(request.items);
    this.#metrics.sent(request.count);
    const { clock, logger } = this.#options.host;
    if (result.kind === 'accepted' && result.message && this.#mayLog('message', clock.monotonic()))
      logger.warn('the backend took the request, with a message', { message: result.message });
    return 'settled';
  }

  async #retry(request: OutgoingRequest<Value>, turn: Turn, result: SendResult): Promise<Outcome> {
    const { host, settings } = this.#options;
    if (this.#stop.signal.aborted) return 'left';
    const afterMs = result.kind === 'retry' || result.kind === 'suspect' ? (result.afterMs ?? 0) : 0;
    const wishMs = Math.min(afterMs, settings.retry.max_retry_after);
    const wait = retryDelay(request.attempts, settings.retry, host.random(), wishMs);
    this.#metrics.sendFailed(request.count, errorType(result), false);
    const waitsAtTheGate = this.#gate.failed(turn, wishMs);
    const age = host.clock.monotonic() - request.state.failingSince;
    if (!settings.retry.enabled || age >= settings.retry.maxElapsedMs)
      return this.#setAside(request, 'retries_exhausted', result);
    if (this.#drain.signal.aborted) return this.#leave(request);
    if (this.#mayLog('retry', host.clock.monotonic()))
      host.logger.warn('Exporting failed. Will retry the request after interval.', {
        error: reasonOf(result),
        interval: `${Math.round(wait)}ms`,
        records: request.count,
      });
    if (!waitsAtTheGate) await host.clock.sleep(wait, this.#drain.signal).catch(() => {});
    return 'again';
  }

  async #hold(request: OutgoingRequest<Value>, hold: Hold): Promise<Outcome> {
    this.#metrics.sendFailed(request.count, hold.status === undefined ? 'hold' : String(hold.status), false);
    this.#gate.hold(hold);
    return this.#drain.signal.aborted ? this.#leave(request) : 'again';
  }

  /** The agent stops: one more attempt for each request. With a store, none after one that failed. */
  #leave({ triedWhileDraining }: OutgoingRequest<Value>): Outcome {
    if (!triedWhileDraining) return 'again';
    this.#failedWhileDraining = this.#stored !== undefined;
    return 'left';
  }

  #countRefusal({ batch, items }: OutgoingRequest<Value>): void {
    batch.refused += items.length;
    if (batch.refused === batch.size) this.#fullRejections++;
  }

  /** When whole batches are refused one after the other, the fault is not in them. */
  #isRejectingEverything(result: SendResult): boolean {
    return result.kind === 'reject' && this.#fullRejections >= MOST_FULL_REJECTIONS;
  }

  /**
   * One request per minute is tried from now on, of another batch each time: poison at the head cannot hold the rest
   * for ever.
   */
  #giveBack(request: OutgoingRequest<Value>, result: SendResult): Outcome {
    this.#metrics.sendFailed(request.count, errorType(result), false);
    this.#gate.hold({ reason: 'rejecting_everything', message: reasonOf(result), status: statusOf(result) });
    if (this.#drain.signal.aborted) return this.#leave(request);
    this.#queue.giveBack(request.items);
    return 'settled';
  }

  async #setAside(request: OutgoingRequest<Value>, reason: DeadLetterReason, result: SendResult): Promise<Outcome> {
    const { logger } = this.#options.host;
    const message = reasonOf(result);
    if (reason === 'rejected' && !request.condemned) this.#countRefusal(request);
    const groupRejected = result.kind === 'accepted' ? (result.rejected ?? 0) : undefined;
    const outcome = await this.#queue.setAside(request.items, {
      ...{ reason, message, status: statusOf(result), attempts: request.attempts },
      ...(groupRejected !== undefined && { groupRejected }),
    });
    if (outcome === 'full') {
      // What the backend has answered stands: it is not sent again, only this step is tried again.
      request.condemned = { reason, result };
      return this.#hold(request, { reason: 'dead_letter_full', message, status: statusOf(result) });
    }
    if (this.#gate.held?.reason === 'dead_letter_full') this.#gate.resume();
    if (outcome === 'returned') return 'settled';
    const count = groupRejected ?? request.count;
    this.#metrics.sent(request.count - count);
    if (result.kind !== 'accepted' && result.kind !== 'unknown')
      this.#metrics.sendFailed(count, errorType(result), true);
    if (outcome === 'kept') this.#metrics.setAside(count, reason);
    else this.#metrics.dropped(count, reason === 'retries_exhausted' ? reason : 'rejected');
    const error = new PermanentError(CODES[reason] ?? 'export_rejected', message);
    const fields = { error, reason, status: statusOf(result), records: count };
    if (outcome === 'kept') logger.warn('records were set aside as dead letters', fields);
    else logger.error('records are dropped: there is no store for dead letters', fields);
    return 'settled';
  }

  #tookSomething(now: number): void {
    this.#acceptedAt = now;
    this.#fullRejections = 0;
    if (this.#requestSize >= this.#mostItems || ++this.#takenSinceGrowth < GROW_AFTER) return;
    this.#takenSinceGrowth = 0;
    this.#requestSize = Math.min(this.#mostItems, Math.ceil(this.#requestSize * 1.1));
  }

  /** What this process will not send any more. */
  #lose(items: readonly QueueItem<Value>[]): void {
    const lost = this.#queue.fail(items, this.#drain.signal.reason);
    if (lost === 0) return;
    this.#metrics.dropped(lost, 'shutdown');
    this.#options.host.logger.error('not delivered before the stop, and lost: the queue is in memory', {
      records: lost,
    });
  }

  /** Records that the backend met with server errors while it took others may have been its own fault. */
  async #redriveLoop(): Promise<void> {
    const { clock } = this.#options.host;
    const stopping = this.#drain.signal;
    while (this.#stored && !stopping.aborted) {
      await clock.sleep(REDRIVE_CHECK_MS, stopping).catch(() => {});
      const isHealthy = !this.#gate.inOutage && !this.#gate.held && this.#acceptedAt > Number.NEGATIVE_INFINITY;
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
      host.logger.info('queue is in memory: a record is acknowledged to its source when the backend took it', signal);
    else host.logger.info(`queue is in memory: at most ${queueSize} ${sizer} are lost if this process dies`, signal);
  }

  /** Keeps lines that tell the same again rare. */
  #mayLog(what: keyof typeof LOG_INTERVALS_MS, now: number): boolean {
    if (now - (this.#loggedAt.get(what) ?? Number.NEGATIVE_INFINITY) < LOG_INTERVALS_MS[what]) return false;
    this.#loggedAt.set(what, now);
    return true;
  }
}

/** What became of a request after one attempt. `left`: this process does not send it any more. */
type Outcome = 'settled' | 'split' | 'again' | 'left';

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

const CODES: Partial<Record<DeadLetterReason, 'export_too_large' | 'export_timeout' | 'export_reply'>> = {
  too_large: 'export_too_large',
  timeout: 'export_timeout',
  reply_unreadable: 'export_reply',
  partial_success: 'export_reply',
};

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

function reasonOf(result: SendResult): string {
  return 'reason' in result ? result.reason : (result.message ?? '');
}

function statusOf(result: SendResult): number | undefined {
  return 'status' in result ? result.status : undefined;
}

/** For `error.type`: the status, or what else happened. */
function errorType(result: SendResult): string {
  if (result.kind === 'suspect' && result.cause === 'timeout') return 'timeout';
  const status = statusOf(result);
  return status === undefined ? (result.kind === 'retry' ? 'connection' : result.kind) : String(status);
}
