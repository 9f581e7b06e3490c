import { z } from 'zod';
import { defineExtension } from '../../component/factory.ts';
import { duration, positiveInt } from '../../config/schema/values.ts';
import { SchedulerExtension } from './extension.ts';

const schema = z.strictObject({
  task_timeout: duration().prefault('90s').describe('Time that a run may take when its target sets none.'),
  concurrency: z
    .strictObject({
      max: positiveInt()
        .check(z.lte(10_000, { error: 'must not be greater than 10000' }))
        .prefault(256)
        .describe('Runs in flight at once; the others wait in order of their due time.'),
    })
    .prefault({})
    .describe('Bounds on what runs at once.'),
});

export type SchedulerConfig = z.output<typeof schema>;

export default defineExtension({
  type: 'scheduler',
  summary: 'Owns every due time: polls run through it, spread over time and bounded in number.',
  stability: 'alpha',
  schema,
  create: ({ config, host }) => new SchedulerExtension(config, host),
});
