import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { Clock } from '../../src/component/clock.ts';
import type { LogsConsumer } from '../../src/component/consumer.ts';
import { PermanentError, RetryableError } from '../../src/component/errors.ts';
import { backoffDelay } from '../../src/resilience/backoff.ts';
import { Signpost } from '../../src/resilience/signpost.ts';
import type { LogBatch, Origin } from '../../src/telemetry/log-batch.ts';
import { SCOPE } from './record/resource.ts';

/** Records in one batch. */
export const MAX_BATCH_RECORDS = 512;
const BACKOFF = { initialMs: 1_000, maxMs: 30_000, multiplier: 2 };

export interface DeliveryLaneOptions {
  readonly next: LogsConsumer;
  readonly origin: Origin;
  /** Beside `transport`, of the series in which deliveries are counted. */
  readonly labels: Readonly<Record<string, string>>;
  readonly clock: Clock;
  /** Ends all waiting; what was not acknowledged then stays behind the cursor. */
  readonly signal: AbortSignal;
  /** The pipeline took them, or will never take them. */
  readonly onDelivered: (
    transport: 'poll' | 'sse',
    outcome: 'accepted' | 'refused',
    records: readonly ReadableLogRecord[],
  ) => void;
}

/**
 * The one way of an endpoint's records into the pipeline. Stream and polls share it: deciding what is new, handing it
 * on and noting it as known is one step that nothing else can come between, so an entry that both tell goes out once.
 */
export class DeliveryLane {
  readonly #options: DeliveryLaneOptions;
  #last: Promise<unknown> = Promise.resolve();
  /** Since when the pipeline has not taken a batch; monotonic milliseconds. */
  #waitingSince: number | undefined;
  readonly #began = new Signpost();

  constructor(options: DeliveryLaneOptions) {
    this.#options = options;
  }

  /** Runs the step after all earlier ones, whatever became of them. */
  run<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#last.then(step, step);
    this.#last = result.catch(() => {});
    return result;
  }

  /**
   * Resolves when the pipeline acknowledged the records, or will never take them. Offers the same batch again as long
   * as the pipeline refuses. Rejects only when the endpoint stops.
   */
  async deliver(records: readonly ReadableLogRecord[], transport: 'poll' | 'sse'): Promise<void> {
    if (records.length === 0) return;
    const { next, origin, labels, clock, signal, onDelivered } = this.#options;
    this.#waitingSince = clock.monotonic();
    this.#began.show();
    const batch: LogBatch = { resource: records[0]!.resource, scope: SCOPE, records, origin };
    using _ = { [Symbol.dispose]: () => this.#taken() };
    for (let failures = 0; ; failures++) {
      try {
        await next.consumeLogs(batch, { signal, labels: { transport, ...labels } });
        return onDelivered(transport, 'accepted', records);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof PermanentError) return onDelivered(transport, 'refused', records);
        const wish = error instanceof RetryableError ? (error.afterMs ?? 0) : 0;
        await clock.sleep(Math.max(wish, backoffDelay(failures, BACKOFF)), signal);
      }
    }
  }

  /** Resolves when one batch has waited for so long, in milliseconds; also when the signal aborts. */
  async stuck(ms: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      if (this.#waitingSince === undefined) await this.#began.reached(signal);
      else {
        const left = this.#waitingSince + ms - clock.monotonic();
        if (left <= 0) return;
        await clock.sleep(left, signal).catch(() => {});
      }
    }
  }

  #taken(): void {
    this.#waitingSince = undefined;
  }
}
