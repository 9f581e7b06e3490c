import { z } from 'zod';
import { defineReceiver } from '../../src/component/factory.ts';
import { durationBetween, intBetween, text, wordOf } from '../../src/config/schema/values.ts';
import { DROPPED } from './pending-events.ts';
import { SchedulerHealthReceiver } from './receiver.ts';

const schema = z.strictObject({
  scheduler: text().prefault('scheduler').describe('Id of the scheduler extension that is told about.'),
  collection_interval: durationBetween('1s', '1h').prefault('30s').describe('Time between two collections of metrics.'),
  per_target: wordOf('none', 'not_at_rest', 'all')
    .prefault('none')
    .describe('For which targets there are metrics of their own: for those with an open breaker or failures, or all.'),
  per_target_limit: intBetween(1, 100_000, 'targets')
    .prefault(20_000)
    .describe('Most targets with metrics of their own.'),
  max_pending_events: intBetween(1, 1_000_000, 'events')
    .prefault(10_000)
    .describe('Events that may wait for the pipeline, in memory; then the oldest is dropped and counted.'),
});

export type SchedulerHealthConfig = z.output<typeof schema>;

export default defineReceiver({
  type: 'scheduler_health',
  summary: 'The state of the scheduler as metrics, its transitions as logs. Events wait in memory only.',
  stability: { logs: 'beta', metrics: 'beta' },
  schema,
  metrics: [DROPPED],
  references: ({ scheduler = 'scheduler' }) => [{ path: ['scheduler'], id: scheduler }],
  create: ({ id, config, host, next }) => new SchedulerHealthReceiver(id, config, host, next),
});
