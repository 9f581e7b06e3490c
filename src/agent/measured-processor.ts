import type { Meter } from '@opentelemetry/api';
import type { NextConsumers } from '../component/consumer.ts';
import type { MetricDoc } from '../component/metric-doc.ts';
import { pointsIn } from '../telemetry/points.ts';

const items = (name: string, description: string): MetricDoc => ({
  ...{ name: `otelcol_processor_${name}_items`, kind: 'counter', unit: '{item}', level: 'normal' },
  ...{ description, attributes: ['otel.signal'] },
});
const INCOMING = items('incoming', 'Records or points that a processor was given, as often as they were offered.');
const OUTGOING = items('outgoing', 'Records or points that a processor has handed on.');

/** What every processor tells; attribute `processor`. */
export const PROCESSOR_METRICS: readonly MetricDoc[] = [INCOMING, OUTGOING];

/** The two ends of a processor, counted. @param processor id, as it stands in the configuration */
export function processorEnds(meter: Meter, processor: string) {
  const counter = (doc: MetricDoc) => {
    const made = meter.createCounter(doc.name, doc);
    return (next: NextConsumers) =>
      counted(next, (count, signal) => made.add(count, { processor, 'otel.signal': signal }));
  };
  return { incoming: counter(INCOMING), outgoing: counter(OUTGOING) };
}

/** The same consumers, with all counted that is on its way to them. */
function counted({ logs, metrics }: NextConsumers, add: (count: number, signal: string) => void): NextConsumers {
  return {
    ...(logs && {
      logs: {
        consumeLogs: (batch, context) => {
          add(batch.records.length, 'logs');
          return logs.consumeLogs(batch, context);
        },
      },
    }),
    ...(metrics && {
      metrics: {
        consumeMetrics: (data, context) => {
          add(pointsIn(data), 'metrics');
          return metrics.consumeMetrics(data, context);
        },
      },
    }),
  };
}
