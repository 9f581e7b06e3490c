import type { Attributes, Meter } from '@opentelemetry/api';
import type { ConsumeContext, NextConsumers } from '../component/consumer.ts';
import { PermanentError } from '../component/errors.ts';
import type { MetricDoc } from '../component/metric-doc.ts';
import { noteRefusal } from '../component/refusal.ts';
import { pointsIn } from '../telemetry/points.ts';

const counter = (name: string, unit: string, description: string, attributes = ['transport']): MetricDoc => ({
  ...{ name: `otelcol_receiver_${name}`, kind: 'counter', unit, description, attributes },
});
const docsOf = (what: 'log_records' | 'metric_points', unit: string, noun: string) => ({
  accepted: counter(`accepted_${what}`, unit, `${noun} that the pipeline took.`),
  refused: counter(`refused_${what}`, unit, `${noun} that the pipeline will never take.`),
  failed: counter(
    `failed_${what}`,
    unit,
    `${noun} that the pipeline did not take for now, as often as they were offered.`,
  ),
  scraped: {
    ...{ name: `otelcol_scraper_scraped_${what}`, kind: 'counter', unit, attributes: ['scraper'], level: 'normal' },
    description: `${noun} that a receiver fetched (poll, probe) and offered, whatever became of them.`,
  } satisfies MetricDoc as MetricDoc,
});
const LOGS = docsOf('log_records', '{record}', 'Records');
const POINTS = docsOf('metric_points', '{datapoint}', 'Points');
const REQUESTS: MetricDoc = {
  ...counter('requests', '{request}', 'Batches that were offered to the pipeline: success, failure, refused.', [
    'transport',
    'outcome',
  ]),
  level: 'normal',
};

/** What every receiver tells; attribute `receiver`, and those that its calls bring. */
export const RECEIVER_METRICS: readonly MetricDoc[] = [...Object.values(LOGS), ...Object.values(POINTS), REQUESTS];

const STREAM = 'sse';
const OUTCOMES = { accepted: 'success', failed: 'failure', refused: 'refused' } as const;

/** The same consumers, with all counted that they take and do not take. What is cut off by its own signal counts as nothing. */
export function countedReceiver(meter: Meter, receiver: string, { logs, metrics }: NextConsumers): NextConsumers {
  const requests = meter.createCounter(REQUESTS.name, REQUESTS);
  const counted = <Data>(
    docs: typeof LOGS,
    size: (data: Data) => number,
    consume: (data: Data, context: ConsumeContext) => Promise<void>,
  ) => {
    const made = {
      accepted: meter.createCounter(docs.accepted.name, docs.accepted),
      refused: meter.createCounter(docs.refused.name, docs.refused),
      failed: meter.createCounter(docs.failed.name, docs.failed),
    };
    const scraped = meter.createCounter(docs.scraped.name, docs.scraped);
    const count = (how: keyof typeof made, data: Data, labels: Attributes) => {
      made[how].add(size(data), labels);
      requests.add(1, { ...labels, outcome: OUTCOMES[how] });
    };
    return async (data: Data, context: ConsumeContext) => {
      const labels = { receiver, ...context.labels };
      const { transport = STREAM } = context.labels ?? {};
      // What comes by itself is not fetched.
      if (transport !== STREAM) scraped.add(size(data), { receiver, scraper: transport });
      try {
        await consume(data, context);
        count('accepted', data, labels);
      } catch (error) {
        noteRefusal(error);
        if (!context.signal.aborted) count(error instanceof PermanentError ? 'refused' : 'failed', data, labels);
        throw error;
      }
    };
  };
  return {
    ...(logs && { logs: { consumeLogs: counted(LOGS, ({ records }) => records.length, logs.consumeLogs.bind(logs)) } }),
    ...(metrics && { metrics: { consumeMetrics: counted(POINTS, pointsIn, metrics.consumeMetrics.bind(metrics)) } }),
  };
}
