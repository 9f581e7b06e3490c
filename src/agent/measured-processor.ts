import { AsyncLocalStorage } from 'node:async_hooks';
import type { Meter } from '@opentelemetry/api';
import type { Clock } from '../component/clock.ts';
import type { ConsumeContext, NextConsumers } from '../component/consumer.ts';
import type { Signal } from '../component/factory.ts';
import type { MetricDoc } from '../component/metric-doc.ts';
import { pointsIn } from '../telemetry/points.ts';

const items = (name: string, description: string): MetricDoc => ({
  ...{ name: `otelcol_processor_${name}_items`, kind: 'counter', unit: '{item}', level: 'normal' },
  ...{ description, attributes: ['otel.signal'] },
});
const SECONDS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5];
const INCOMING = items('incoming', 'Records or points that a processor was given, as often as they were offered.');
const OUTGOING = items('outgoing', 'Records or points that a processor has handed on.');

const DURATION: MetricDoc = {
  ...{ name: 'otelcol_processor_internal_duration', kind: 'histogram', unit: 's', attributes: ['otel.signal'] },
  ...{ description: 'Time that a batch spends in a processor, without what comes behind it.', level: 'detailed' },
};

/** What every processor tells; attribute `processor`. */
export const PROCESSOR_METRICS: readonly MetricDoc[] = [INCOMING, OUTGOING, DURATION];

/** Passes data of a signal on. */
type Pass = (
  context: ConsumeContext,
  count: number,
  signal: Signal,
  on: (context: ConsumeContext) => Promise<void>,
) => Promise<void>;

/** The two ends of a processor, counted and timed. @param processor id, as it stands in the configuration */
export function processorEnds(meter: Meter, clock: Clock, processor: string) {
  const [incoming, outgoing] = [INCOMING, OUTGOING].map((doc) => meter.createCounter(doc.name, doc));
  const duration = meter.createHistogram(DURATION.name, { ...DURATION, advice: { explicitBucketBoundaries: SECONDS } });
  /** Of the call at hand: milliseconds that it spent behind the processor. */
  const visits = new AsyncLocalStorage<{ behindMs: number }>();
  const enter: Pass = async (context, count, signal, on) => {
    const labels = { processor, 'otel.signal': signal };
    incoming!.add(count, labels);
    const visit = { behindMs: 0 };
    const start = clock.monotonic();
    try {
      await visits.run(visit, () => on(context));
    } finally {
      duration.record((clock.monotonic() - start - visit.behindMs) / 1_000, labels);
    }
  };
  const leave: Pass = async (context, count, signal, on) => {
    outgoing!.add(count, { processor, 'otel.signal': signal });
    const visit = visits.getStore();
    const start = clock.monotonic();
    try {
      await on(context);
    } finally {
      if (visit) visit.behindMs += clock.monotonic() - start;
    }
  };
  return {
    incoming: (next: NextConsumers) => passing(next, enter),
    outgoing: (next: NextConsumers) => passing(next, leave),
  };
}

function passing({ logs, metrics }: NextConsumers, pass: Pass): NextConsumers {
  return {
    ...(logs && {
      logs: {
        consumeLogs: (batch, context) =>
          pass(context, batch.records.length, 'logs', (own) => logs.consumeLogs(batch, own)),
      },
    }),
    ...(metrics && {
      metrics: {
        consumeMetrics: (data, context) =>
          pass(context, pointsIn(data), 'metrics', (own) => metrics.consumeMetrics(data, own)),
      },
    }),
  };
}
