import { z } from 'zod';
import { duration, positiveInt } from './values.ts';

/**
 * The settings that `src/delivery` gives every exporter; an exporter spreads them into its own schema.
 * @param defaults what fits this exporter better than the general default
 */
export function deliverySettings(defaults: { readonly timeout: string; readonly batchSize: number }) {
  return {
    timeout: duration()
      .prefault(defaults.timeout)
      .describe('Time for one attempt, from connect to the last reply byte.'),
    sending_queue: z
      .strictObject({
        num_consumers: positiveInt()
          .check(z.lte(256, { error: 'must not be greater than 256' }))
          .prefault(10)
          .describe('Requests in flight at once.'),
        queue_size: positiveInt()
          .prefault(10_000)
          .describe('Records that may be queued or in flight. Beyond it the caller waits; nothing is dropped.'),
        max_memory_mib: positiveInt()
          .check(z.lte(4096, { error: 'must not be greater than 4096' }))
          .prefault(64)
          .describe('Estimated size in MiB of the records that may be queued or in flight.'),
        batch: z
          .strictObject({
            flush_timeout: duration().prefault('200ms').describe('How long a request waits for more records.'),
            max_size: positiveInt().prefault(defaults.batchSize).describe('Records in one request at most.'),
          })
          .prefault({})
          .describe('How records are gathered into requests.'),
      })
      .prefault({})
      .describe('What waits for the backend. A record is acknowledged to its source with the 2xx.'),
    retry_on_failure: z
      .strictObject({
        initial_interval: duration().prefault('5s').describe('Wait before the first retry.'),
        max_interval: duration().prefault('30s').describe('Longest wait between two retries.'),
        multiplier: z.number().gte(1, { error: 'must be at least 1' }).prefault(1.5).describe('Growth of the wait.'),
        randomization_factor: z
          .number()
          .gte(0, { error: 'must lie between 0 and 1' })
          .lte(1, { error: 'must lie between 0 and 1' })
          .prefault(0.5)
          .describe('Each wait is drawn from interval x [1 - f, 1 + f].'),
        max_retry_after: duration().prefault('5m').describe('Longest wait that a server may ask for.'),
      })
      .check(
        z.superRefine(
          ({ initial_interval, max_interval }, context) => {
            if (max_interval < initial_interval)
              context.addIssue({
                code: 'custom',
                path: ['max_interval'],
                message: '`max_interval` must be greater than or equal to `initial_interval`',
              });
          },
          { when: () => true },
        ),
      )
      .prefault({})
      .describe('How failed requests are repeated: for ever, or until the source gives up.'),
  };
}

const shape = z.strictObject(deliverySettings({ timeout: '5s', batchSize: 512 }));

/** What `src/delivery` reads of an exporter's settings. */
export type DeliveryConfig = z.output<typeof shape>;

/** Whether checked settings contain those of {@link deliverySettings}. An exporter without them delivers at once. */
export function hasDelivery(config: unknown): config is DeliveryConfig {
  return typeof config === 'object' && config !== null && 'sending_queue' in config && 'retry_on_failure' in config;
}
