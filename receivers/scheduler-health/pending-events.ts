import type { Host } from '../../src/component/component.ts';
import type { LogsConsumer } from '../../src/component/consumer.ts';
import { PermanentError } from '../../src/component/errors.ts';
import type { MetricDoc } from '../../src/component/metric-doc.ts';
import { Outbox } from '../../src/resilience/outbox.ts';
import type { LogBatch } from '../../src/telemetry/log-batch.ts';

export const DROPPED: MetricDoc = {
  name: 'outband.scheduler_health.dropped',
  kind: 'counter',
  unit: '{event}',
  description:
    'Events that will never be sent: too many waited, the pipeline refused them for good, or the agent stopped.',
  attributes: ['reason'],
};

export type PendingEvents = Outbox<LogBatch['records'][number]>;

/** Events on their way into the pipeline. */
export function pendingEvents(options: {
  most: number;
  next: LogsConsumer;
  host: Host;
  origin: LogBatch['origin'];
}): PendingEvents {
  const { most, next, host, origin } = options;
  const dropped = host.meter.createCounter(DROPPED.name, DROPPED);
  return new Outbox({
    most,
    sleep: (ms, signal) => host.clock.sleep(ms, signal),
    async offer(records, signal) {
      const { resource, instrumentationScope: scope } = records[0]!;
      try {
        await next.consumeLogs({ resource, scope, records, origin }, { signal, labels: { transport: 'poll' } });
        return 'taken';
      } catch (error) {
        return error instanceof PermanentError ? 'rejected' : 'refused';
      }
    },
    onDropped: (count, reason) => dropped.add(count, { reason }),
  });
}
