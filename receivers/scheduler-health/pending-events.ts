import type { Counter } from '@opentelemetry/api';
import { aborted } from '../../src/component/aborted.ts';
import type { Host } from '../../src/component/component.ts';
import type { LogsConsumer } from '../../src/component/consumer.ts';
import { PermanentError, RetryableError } from '../../src/component/errors.ts';
import type { MetricDoc } from '../../src/component/metric-doc.ts';
import { backoffDelay } from '../../src/resilience/backoff.ts';
import { Signpost } from '../../src/resilience/signpost.ts';
import type { LogBatch } from '../../src/telemetry/log-batch.ts';

const MOST_RECORDS = 512;
const BACKOFF = { initialMs: 1_000, maxMs: 30_000, multiplier: 2 };

export const DROPPED: MetricDoc = {
  name: 'outband.scheduler_health.dropped',
  kind: 'counter',
  unit: '{event}',
  description:
    'Events that will never be sent: too many waited, the pipeline refused them for good, or the agent stopped.',
  attributes: ['reason'],
};

/**
 * Events on their way into the pipeline, in order. Adding one never waits; a bounded number does, and beyond it the oldest
 * is dropped and counted. They are not durable.
 */
export class PendingEvents {
  readonly #events: LogBatch['records'][number][] = [];
  readonly #most: number;
  readonly #next: LogsConsumer;
  readonly #host: Host;
  readonly #origin: LogBatch['origin'];
  readonly #arrived = new Signpost();
  readonly #stop = new AbortController();
  readonly #dropped: Counter;
  #loop: Promise<void> | undefined;

  constructor(options: { most: number; next: LogsConsumer; host: Host; origin: LogBatch['origin'] }) {
    this.#most = options.most;
    this.#next = options.next;
    this.#host = options.host;
    this.#origin = options.origin;
    this.#dropped = options.host.meter.createCounter(DROPPED.name, DROPPED);
  }

  start(): void {
    this.#loop = this.#deliver();
  }

  add(record: LogBatch['records'][number]): void {
    this.#events.push(record);
    if (this.#events.length > this.#most) {
      this.#events.shift();
      this.#dropped.add(1, { reason: 'overflow' });
    }
    this.#arrived.show();
  }

  /** One last attempt for what waits. */
  async stop(signal: AbortSignal): Promise<void> {
    this.#stop.abort(new RetryableError('shutting_down', 'the agent stops'));
    await Promise.race([this.#loop, aborted(signal)]);
    while (this.#events.length > 0 && !signal.aborted && (await this.#offer(signal)) === 'taken');
    if (this.#events.length > 0) this.#dropped.add(this.#events.length, { reason: 'shutdown' });
    this.#events.length = 0;
  }

  async #deliver(): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; ) {
      if (this.#events.length === 0) await this.#arrived.reached(signal);
      else if ((await this.#offer(signal)) === 'taken') failures = 0;
      else await this.#host.clock.sleep(backoffDelay(failures++, BACKOFF), signal).catch(() => {});
    }
  }

  async #offer(signal: AbortSignal): Promise<'taken' | 'refused'> {
    const records = this.#events.splice(0, MOST_RECORDS);
    const { resource, instrumentationScope: scope } = records[0]!;
    try {
      await this.#next.consumeLogs({ resource, scope, records, origin: this.#origin }, { signal });
    } catch (error) {
      if (error instanceof PermanentError) this.#dropped.add(records.length, { reason: 'refused' });
      else {
        const excess = Math.max(0, records.length + this.#events.length - this.#most);
        if (excess > 0) this.#dropped.add(excess, { reason: 'overflow' });
        this.#events.unshift(...records.slice(excess));
        return 'refused';
      }
    }
    return 'taken';
  }
}
