import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { Component, Host } from '../component/component.ts';
import type { ConsumeContext, LogsConsumer } from '../component/consumer.ts';
import { deadline } from '../component/deadline.ts';
import { describeError, PermanentError, RetryableError } from '../component/errors.ts';
import type { Sender, SendResult } from '../component/exporter.ts';
import { Semaphore } from '../resilience/semaphore.ts';
import type { LogBatch } from '../telemetry/log-batch.ts';
import { type ExporterMetrics, exporterMetrics } from './exporter-metrics.ts';
import { MemoryQueue, type QueueItem } from './memory-queue.ts';
import { type RetrySettings, retryDelay } from './retry-plan.ts';

const MIB = 1024 * 1024;
/** At most one retry line per exporter in this time: an outage is one story, not one line per request. */
const RETRY_LOG_INTERVAL_MS = 10_000;

export interface DeliverySettings {
  /** Milliseconds for one attempt. */
  readonly timeout: number;
  readonly sending_queue: {
    readonly num_consumers: number;
    readonly queue_size: number;
    readonly max_memory_mib: number;
    readonly batch: { readonly flush_timeout: number; readonly max_size: number };
  };
  readonly retry_on_failure: RetrySettings;
}

export interface ExporterPipelineOptions {
  /** `type[/name]` of the exporter. */
  readonly exporter: string;
  readonly sender: Sender;
  readonly settings: DeliverySettings;
  readonly host: Host;
}

/**
 * What every exporter gets around its `Sender`: queue -> batch -> retry -> attempt, in this order. The queue stands
 * outside the retry, so that waiting for a backend fills the queue and then makes callers wait; the timeout stands
 * inside, so that it covers one attempt and never the waits between two.
 *
 * `consumeLogs` resolves with the 2xx of the last of its records. Retries go on until the caller's signal aborts.
 */
export class ExporterPipeline implements Component, LogsConsumer {
  readonly #exporter: string;
  readonly #sender: Sender;
  readonly #settings: DeliverySettings;
  readonly #host: Host;
  readonly #queue: MemoryQueue;
  readonly #metrics: ExporterMetrics;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #lastRetryLog = Number.NEGATIVE_INFINITY;

  constructor({ exporter, sender, settings, host }: ExporterPipelineOptions) {
    this.#exporter = exporter;
    this.#sender = sender;
    this.#settings = settings;
    this.#host = host;
    const { queue_size, max_memory_mib } = settings.sending_queue;
    this.#queue = new MemoryQueue({ maxRecords: queue_size, maxBytes: max_memory_mib * MIB });
    this.#metrics = exporterMetrics(host.meter, exporter, this.#queue, queue_size);
  }

  async start(): Promise<void> {
    await this.#sender.start?.(this.#host);
    const { queue_size } = this.#settings.sending_queue;
    this.#host.logger.info('queue is in memory: a record is acknowledged to its source when the backend took it', {
      'queue.size': queue_size,
    });
    this.#running = this.#run();
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    this.#stop.abort(new RetryableError('shutting_down', `exporter ${this.#exporter} stops`));
    await this.#running;
    for (const item of this.#queue.take(Number.POSITIVE_INFINITY)) item.settle(this.#stop.signal.reason);
    await this.#sender.shutdown?.(signal);
  }

  async consumeLogs(batch: LogBatch, { signal }: ConsumeContext): Promise<void> {
    const { max_size } = this.#settings.sending_queue.batch;
    const bounded = AbortSignal.any([signal, this.#stop.signal]);
    const puts: Promise<void>[] = [];
    for (let start = 0; start < batch.records.length; start += max_size)
      puts.push(this.#queue.put(batch.records.slice(start, start + max_size), bounded));
    const failed = (await Promise.allSettled(puts)).filter((put) => put.status === 'rejected');
    const retryable = failed.find((put) => !(put.reason instanceof PermanentError)) ?? failed[0];
    if (retryable) throw retryable.reason;
    this.#metrics.accepted(batch.records.length);
  }

  async #run(): Promise<void> {
    const stopped = this.#stop.signal;
    const slots = new Semaphore(this.#settings.sending_queue.num_consumers);
    const inFlight = new Set<Promise<void>>();
    while (!stopped.aborted) {
      const release = await slots.acquire(stopped).catch(() => undefined);
      if (!release) break;
      const items = await this.#nextBatch();
      const work = this.#deliver(items).finally(() => {
        inFlight.delete(work);
        release();
      });
      inFlight.add(work);
    }
    await Promise.all(inFlight);
  }

  /** Waits for records, then for more of them until a request is full or `flush_timeout` has passed. */
  async #nextBatch(): Promise<QueueItem[]> {
    const { flush_timeout, max_size } = this.#settings.sending_queue.batch;
    const stopped = this.#stop.signal;
    while (this.#queue.queuedRecords === 0 && !stopped.aborted) await this.#queue.arrival(stopped);
    using flush = deadline(this.#host.clock, flush_timeout, 'a batch', stopped);
    while (this.#queue.queuedRecords < max_size && !flush.signal.aborted) await this.#queue.arrival(flush.signal);
    return this.#queue.take(max_size);
  }

  /** Sends until every item is settled: accepted, rejected by itself, or given up by its caller. */
  async #deliver(items: readonly QueueItem[]): Promise<void> {
    using callers = allGone(items);
    let open = items;
    for (let failures = 0; ; ) {
      open = open.filter((item) => !item.signal.aborted);
      if (open.length === 0) return;
      const records = open.flatMap((item) => item.records);
      const result = await this.#attempt(records);
      if (result.kind === 'accepted') {
        this.#accepted(records.length, result);
        for (const item of open) item.settle();
        return;
      }
      if (result.kind === 'retry') {
        await this.#waitForRetry(++failures, result, records.length, callers.signal);
        continue;
      }
      // The data of one source must not take the others with it, nor one record the rest of its batch.
      const parts = open.length > 1 ? open.map((item) => [item]) : halves(open[0]!).map((half) => [half]);
      if (parts.length > 1) {
        for (const part of parts) await this.#deliver(part);
        return;
      }
      this.#rejected(records.length, result);
      open[0]!.settle(new PermanentError('export_rejected', result.reason));
      return;
    }
  }

  async #attempt(records: readonly ReadableLogRecord[]): Promise<SendResult> {
    using attempt = deadline(this.#host.clock, this.#settings.timeout, 'the request', this.#stop.signal);
    try {
      return await this.#sender.sendLogs!(records, { signal: attempt.signal });
    } catch (error) {
      return { kind: 'retry', reason: describeError(error) };
    }
  }

  async #waitForRetry(
    failures: number,
    result: Extract<SendResult, { kind: 'retry' }>,
    records: number,
    callersGone: AbortSignal,
  ): Promise<void> {
    this.#metrics.failed(records);
    const { clock, random, logger, report } = this.#host;
    const wait = retryDelay(failures, this.#settings.retry_on_failure, random(), result.afterMs);
    report({ status: 'recoverable', error: new Error(result.reason) });
    if (clock.monotonic() - this.#lastRetryLog >= RETRY_LOG_INTERVAL_MS) {
      this.#lastRetryLog = clock.monotonic();
      logger.warn('Exporting failed. Will retry the request after interval.', {
        error: result.reason,
        interval: `${Math.round(wait)}ms`,
        records,
      });
    }
    await clock.sleep(wait, AbortSignal.any([this.#stop.signal, callersGone])).catch(() => {});
  }

  #accepted(records: number, { rejected = 0, message }: Extract<SendResult, { kind: 'accepted' }>): void {
    this.#host.report({ status: 'ok' });
    this.#metrics.sent(records - rejected);
    if (rejected > 0) this.#metrics.rejected(rejected);
    if (rejected > 0 || message)
      this.#host.logger.warn('the backend accepted the request in part', { rejected, of: records, message });
  }

  #rejected(records: number, { reason, status }: Extract<SendResult, { kind: 'reject' }>): void {
    this.#metrics.rejected(records);
    this.#host.logger.error('the backend rejected data; it is dropped', {
      error: new PermanentError('export_rejected', reason),
      status,
      records,
    });
  }
}

/** Aborts when the last of the callers has given up; listens until it is disposed. */
function allGone(items: readonly QueueItem[]): Disposable & { readonly signal: AbortSignal } {
  const all = new AbortController();
  let left = items.length;
  const gone = () => {
    if (--left === 0) all.abort();
  };
  for (const { signal } of items) {
    if (signal.aborted) gone();
    else signal.addEventListener('abort', gone, { once: true });
  }
  return {
    signal: all.signal,
    [Symbol.dispose]() {
      for (const { signal } of items) signal.removeEventListener('abort', gone);
    },
  };
}

/**
 * The two halves of an item, which settle it together: rejected only if both were. A single record has no halves and
 * comes back as it is.
 */
function halves(item: QueueItem): readonly QueueItem[] {
  if (item.records.length === 1) return [item];
  const middle = item.records.length >> 1;
  const outcomes: (Error | undefined)[] = [];
  const settle = (error?: Error) => {
    outcomes.push(error);
    if (outcomes.length === 2) item.settle(outcomes.every((one) => one !== undefined) ? error : undefined);
  };
  return [item.records.slice(0, middle), item.records.slice(middle)].map((records) => ({ ...item, records, settle }));
}
