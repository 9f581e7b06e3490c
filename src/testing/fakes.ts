import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { ConsumeContext, LogsConsumer, MetricsConsumer } from '../component/consumer.ts';
import { RetryableError } from '../component/errors.ts';
import type { Sender, SendResult } from '../component/exporter.ts';
import { noteRefusal } from '../component/refusal.ts';
import type { KeyValue, Storage } from '../component/storage.ts';
import type { LogBatch } from '../telemetry/log-batch.ts';

/** What a consumer does with a call; an error refuses it. */
export type Answer = (call: number, context: ConsumeContext, batch?: LogBatch) => Promise<void> | void;

/** The end of a pipeline: keeps what it takes, frozen, so that whoever writes to it later throws. */
export class TestConsumer implements LogsConsumer, MetricsConsumer {
  readonly records: ReadableLogRecord[] = [];
  readonly metrics: ResourceMetrics[] = [];
  /** Of all calls so far, those that were refused too. */
  readonly contexts: ConsumeContext[] = [];
  answer: Answer;

  constructor(answer: Answer = () => {}) {
    this.answer = answer;
  }

  get bodies(): string[] {
    return this.records.map(({ body }) => String(body));
  }

  async consumeLogs(batch: LogBatch, context: ConsumeContext): Promise<void> {
    Object.freeze(batch);
    for (const one of [batch.records, ...batch.records]) Object.freeze(one);
    await this.#ask(context, batch);
    this.records.push(...batch.records);
  }

  async consumeMetrics(metrics: ResourceMetrics, context: ConsumeContext): Promise<void> {
    await this.#ask(context);
    this.metrics.push(metrics);
  }

  async #ask(context: ConsumeContext, batch?: LogBatch): Promise<void> {
    try {
      await this.answer(this.contexts.push(context), context, batch);
    } catch (error) {
      noteRefusal(error);
      throw error;
    }
  }
}

/** Numbers in [0, 1) that look random and are the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Refuses a share of the calls, 0 to 1, with `RetryableError`. */
export function refusingBySeed(seed: number, share: number): Answer {
  const random = seeded(seed);
  return () => {
    if (random() < share) throw new RetryableError('queue_full', 'refused by seed');
  };
}

/** An exporter that a share of its attempts fails, 0 to 1, and that keeps what it took. */
export function refusingSender(
  seed: number,
  share: number,
): Sender & { readonly records: readonly ReadableLogRecord[] } {
  const random = seeded(seed);
  const records: ReadableLogRecord[] = [];
  return {
    records,
    async sendLogs(given): Promise<SendResult> {
      if (random() < share) return { kind: 'retry', reason: 'refused by seed' };
      records.push(...given);
      return { kind: 'accepted' };
    },
  };
}

/** A store of values in memory, which outlives the components that use it. It has no queues: those are for exporters. */
export function memoryStorage(): Storage {
  const spaces = new Map<string, Map<string, string>>();
  return {
    keyValue(namespace): KeyValue {
      const values = spaces.get(namespace) ?? new Map<string, string>();
      spaces.set(namespace, values);
      return {
        async set(changes) {
          for (const [key, value] of Object.entries(changes)) {
            if (value === undefined) values.delete(key);
            else values.set(key, value);
          }
        },
        list: async (prefix) => new Map([...values].filter(([key]) => key.startsWith(prefix)).sort()),
      };
    },
    queue: () => Promise.reject(new Error('a store in memory has no queues')),
  };
}
