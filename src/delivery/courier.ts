import type { Host } from '../component/component.ts';
import { deadline } from '../component/deadline.ts';
import { describeError, PermanentError, RetryableError } from '../component/errors.ts';
import type { Sender, SendResult } from '../component/exporter.ts';
import type { DeadLetterReason } from '../component/storage.ts';
import { type Action, act, blame, judge } from './act.ts';
import type { ExporterMetrics } from './exporter-metrics.ts';
import { OutgoingRequest } from './outgoing-request.ts';
import type { Queue, QueueItem } from './queue.ts';
import { retryDelay } from './retry-plan.ts';
import type { Hold, SendGate, Turn } from './send-gate.ts';
import type { DeliverySettings } from './settings.ts';
import type { SignalKind } from './signals.ts';

/** At most one line of a kind per exporter in this time: an outage is one story, not one line per request. */
const LOG_INTERVALS_MS = { retry: 10_000, refused: 10_000, message: 60_000 } as const;
/** So many batches refused in full, one after the other, are not the fault of their data. */
const MOST_FULL_REJECTIONS = 3;
/** The size of requests grows back by a tenth after so many that were taken. */
const GROW_AFTER = 100;

export interface CourierOptions<Batch, Value> {
  readonly kind: SignalKind<Batch, Value>;
  readonly sender: Sender;
  readonly settings: DeliverySettings;
  readonly host: Host;
  readonly queue: Queue<Batch, Value>;
  readonly gate: SendGate;
  readonly metrics: ExporterMetrics;
  /** Aborts when the agent begins to stop: no more waits, one more attempt for each request. */
  readonly draining: AbortSignal;
  /** Aborts attempts that are under way, too. */
  readonly stopped: AbortSignal;
  /** @returns whether somebody else will send what this process has acknowledged and cannot send */
  readonly keep: (items: readonly QueueItem<Value>[]) => boolean;
}

/**
 * Carries batches to the backend: gate -> attempt -> what its result asks for, until every value is settled, set aside,
 * given back or left to the next start. The timeout covers one attempt and never the waits between two.
 */
export class Courier<Batch, Value> {
  readonly #options: CourierOptions<Batch, Value>;
  readonly #gate: SendGate;
  readonly #queue: Queue<Batch, Value>;
  readonly #metrics: ExporterMetrics;
  readonly #mostItems: number;
  /** When the backend last took a request; milliseconds, monotonic. */
  acceptedAt = Number.NEGATIVE_INFINITY;
  /** Most values in one request; halved when the backend finds one too large. */
  requestSize: number;
  /** The agent stops, and the backend is not well: what is in a store is not tried any more. */
  gaveUp = false;
  #fullRejections = 0;
  #takenSinceGrowth = 0;
  /** Refused since the last line about it. */
  #refused = 0;
  readonly #loggedAt = new Map<string, number>();

  constructor(options: CourierOptions<Batch, Value>) {
    this.#options = options;
    this.#gate = options.gate;
    this.#queue = options.queue;
    this.#metrics = options.metrics;
    const { sizer, maxSize } = options.settings.batch;
    this.#mostItems = sizer === 'items' ? maxSize : Number.POSITIVE_INFINITY;
    this.requestSize = this.#mostItems;
  }

  /** Sends until every value of the batch is settled, set aside, given back or left to the next start. */
  async carry(items: readonly QueueItem<Value>[]): Promise<void> {
    const open = [new OutgoingRequest(items)];
    for (let request = open.shift(); request; request = open.shift()) {
      request.dropAbandoned((gone) => this.#queue.fail(gone, new RetryableError('queue_full', 'the caller gave up')));
      if (request.items.length === 0) continue;
      const turn = this.gaveUp ? undefined : await this.#gate.enter(this.#options.stopped);
      if (!turn) {
        this.lose(request.items);
        continue;
      }
      const outcome = await this.#attempt(request, turn).finally(() => turn.release());
      if (outcome === 'split') open.unshift(...request.halves());
      // Behind the other half: what the backend takes meanwhile is evidence.
      else if (outcome === 'again') open.push(request);
      else if (outcome === 'left') this.lose(request.items);
    }
  }

  async #attempt(request: OutgoingRequest<Value>, turn: Turn): Promise<Outcome> {
    const { host, sender } = this.#options;
    request.triedWhileDraining = this.#options.draining.aborted;
    if (request.condemned) {
      turn.release();
      return this.#setAside(request, request.condemned.reason, request.condemned.result);
    }
    if (this.#gate.held)
      await sender.refresh?.().catch((error) => host.logger.warn('cannot read the set-up again', { error }));
    const isProbe = request.unproven !== undefined;
    if (!isProbe)
      this.#metrics.sending(
        request.count,
        request.items.reduce((sum, { bytes }) => sum + bytes, 0),
      );
    const result = await this.#send(request, isProbe);
    const now = host.clock.monotonic();
    turn.release();
    if (isProbe) return this.#proven(request, turn, result);
    if (result.kind === 'accepted' || result.kind === 'unknown') {
      this.#gate.accepted();
      this.#tookSomething(now);
    } else request.failed(result, now);
    const backend = { acceptedAt: this.acceptedAt, canProbe: sender.probe !== undefined };
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
          this.requestSize = Math.min(this.requestSize, Math.max(1, request.items.length >> 1));
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
        this.acceptedAt = this.#options.host.clock.monotonic();
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
    using attempt = deadline(host.clock, settings.timeoutMs, 'the request', this.#options.stopped);
    const context = { signal: attempt.signal };
    try {
      const sent = isProbe ? sender.probe!(kind.signal, context) : kind.send(sender, request.values, context);
      // A sender that does not heed the signal must not hold its slot for ever.
      const result = await Promise.race([sent, aborted(attempt.signal)]);
      return result?.kind === undefined ? { kind: 'retry', reason: 'the exporter gave no result' } : result;
    } catch (error) {
      if (attempt.signal.aborted && !this.#options.stopped.aborted)
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
    if (this.#options.stopped.aborted) return 'left';
    const afterMs = result.kind === 'retry' || result.kind === 'suspect' ? (result.afterMs ?? 0) : 0;
    const wishMs = Math.min(afterMs, settings.retry.max_retry_after);
    const wait = retryDelay(request.attempts, settings.retry, host.random(), wishMs);
    this.#metrics.sendFailed(request.count, errorType(result), false);
    const waitsAtTheGate = this.#gate.failed(turn, wishMs);
    const age = host.clock.monotonic() - request.state.failingSince;
    if (!settings.retry.enabled || age >= settings.retry.maxElapsedMs)
      return this.#setAside(request, 'retries_exhausted', result);
    if (this.#options.draining.aborted) return this.#leave(request);
    if (this.#mayLog('retry', host.clock.monotonic()))
      host.logger.warn('Exporting failed. Will retry the request after interval.', {
        error: reasonOf(result),
        interval: `${Math.round(wait)}ms`,
        records: request.count,
      });
    if (!waitsAtTheGate) await host.clock.sleep(wait, this.#options.draining).catch(() => {});
    return 'again';
  }

  async #hold(request: OutgoingRequest<Value>, hold: Hold): Promise<Outcome> {
    this.#metrics.sendFailed(request.count, hold.status === undefined ? 'hold' : String(hold.status), false);
    this.#gate.hold(hold);
    return this.#options.draining.aborted ? this.#leave(request) : 'again';
  }

  /** The agent stops: one more attempt for each request. With a store, none after one that failed. */
  #leave({ triedWhileDraining }: OutgoingRequest<Value>): Outcome {
    if (!triedWhileDraining) return 'again';
    this.gaveUp = this.#options.settings.storage !== undefined;
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
    if (this.#options.draining.aborted) return this.#leave(request);
    this.#queue.giveBack(request.items);
    return 'settled';
  }

  async #setAside(request: OutgoingRequest<Value>, reason: DeadLetterReason, result: SendResult): Promise<Outcome> {
    const { logger, clock } = this.#options.host;
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
    // A thousand poisoned records are one story, too: the last one is told, with how many there were.
    this.#refused += count;
    if (!this.#mayLog('refused', clock.monotonic())) return 'settled';
    const error = new PermanentError(CODES[reason] ?? 'export_rejected', message);
    const fields = { error, reason, status: statusOf(result), records: this.#refused };
    this.#refused = 0;
    if (outcome === 'kept') logger.warn('the backend refused records; they are set aside as dead letters', fields);
    else logger.error('the backend refused records; they are dropped', fields);
    return 'settled';
  }

  #tookSomething(now: number): void {
    this.acceptedAt = now;
    this.#fullRejections = 0;
    if (this.requestSize >= this.#mostItems || ++this.#takenSinceGrowth < GROW_AFTER) return;
    this.#takenSinceGrowth = 0;
    this.requestSize = Math.min(this.#mostItems, Math.ceil(this.requestSize * 1.1));
  }

  /** What this process will not send any more. */
  lose(items: readonly QueueItem<Value>[]): void {
    const lost = this.#queue.fail(items, this.#options.draining.reason);
    if (lost > 0 && !this.#options.keep(items)) this.tellLost(lost);
  }

  /** @param lost records or points that were acknowledged */
  tellLost(lost: number): void {
    this.#metrics.dropped(lost, 'shutdown');
    this.#options.host.logger.error('not delivered before the stop, and lost: the queue is in memory', {
      records: lost,
    });
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
