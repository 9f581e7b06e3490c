import { z } from 'zod';
import { defineProcessor } from '../../component/factory.ts';
import { duration, positiveInt } from '../../config/schema/values.ts';
import { MemoryLimiter } from './processor.ts';

const percentage = () => positiveInt('percent').check(z.lte(100, { error: 'must not be greater than 100' }));

const schema = z
  .strictObject({
    check_interval: duration({ message: 'must be greater than zero' })
      .prefault('1s')
      .describe('Time between two looks at the memory.'),
    limit_mib: positiveInt('MiB').optional().describe('MiB that the process may use.'),
    limit_percentage: percentage()
      .optional()
      .describe('The same in percent of what the control group, else the machine, has. Used without `limit_mib`.'),
    spike_limit_mib: positiveInt('MiB')
      .optional()
      .describe('MiB below the limit at which data is refused. Default: a fifth of the limit.'),
    spike_limit_percentage: percentage().optional().describe('The same in percent. Used without `spike_limit_mib`.'),
  })
  .check(
    z.superRefine(
      ({ limit_mib, limit_percentage, spike_limit_mib, spike_limit_percentage }, context) => {
        const issue = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
        if (limit_mib === undefined && limit_percentage === undefined)
          issue([], 'limit_mib or limit_percentage must be set');
        if (spike_limit_mib !== undefined && limit_mib !== undefined && spike_limit_mib >= limit_mib)
          issue(['spike_limit_mib'], 'must be smaller than limit_mib');
        const [spike, limit] = [spike_limit_percentage, limit_percentage];
        if (spike !== undefined && limit !== undefined && spike >= limit)
          issue(['spike_limit_percentage'], 'must be smaller than limit_percentage');
      },
      { when: () => true },
    ),
  );

export type MemoryLimiterConfig = z.output<typeof schema>;

export default defineProcessor({
  type: 'memory_limiter',
  summary: 'Refuses data while the process uses too much memory; its source offers it again.',
  stability: { logs: 'beta', metrics: 'beta' },
  schema,
  example: 'limit_mib: 400',
  create: ({ config, host, next }) => new MemoryLimiter(config, host, next),
});
