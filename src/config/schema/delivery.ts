import { z } from 'zod';
import type { ExtensionReference } from '../../component/factory.ts';
import { bool, count, duration, numberBetween, oneOf, positiveInt, text, wrongType } from './values.ts';

export interface DeliveryDefaults {
  /** Time for one attempt. */
  readonly timeout: string;
  /** Whether there is a queue if the configuration does not say. */
  readonly queue: boolean;
  /** Values that a request waits for and holds at most; undefined: requests are what callers offer. */
  readonly batchSize?: number;
}

/** Units of `sizer` that a queue without a store holds if the configuration does not say. */
export const DEFAULT_QUEUE_SIZE = 1_000;

type Issue = (path: (string | number)[], message: string) => void;

/** Rules over several settings; they run beside type errors, so any part may be missing. */
function together<T extends z.ZodType>(schema: T, check: (value: z.output<T>, issue: Issue) => void): T {
  const rule = z.superRefine<z.output<T>>(
    (value, context) => check(value, (path, message) => context.addIssue({ code: 'custom', path, message })),
    { when: () => true },
  );
  return schema.check(rule) as T;
}

const sizer = z.enum(['requests', 'items', 'bytes'], {
  error: ({ input }) => `invalid value "${input}", want requests, items or bytes`,
});
const batchSizer = z.enum(['items', 'bytes'], {
  error: ({ input }) => `invalid value "${input}", want items or bytes`,
});
function batch(size: number | undefined) {
  return z.strictObject({
    flush_timeout: duration({ message: '`flush_timeout` must be positive' })
      .prefault('200ms')
      .describe('How long a request waits for more.'),
    min_size: count('`sizer`')
      .prefault(size ?? 8192)
      .describe('Size at which a request waits no longer. 0: never waits.'),
    max_size: count('`sizer`')
      .prefault(size ?? 0)
      .describe('Largest size of a request. 0: none.'),
    sizer: batchSizer.prefault('items').describe('Unit of both sizes: `items` (records) or `bytes`.'),
  });
}

function queue(defaults: DeliveryDefaults) {
  const shape = z.strictObject({
    enabled: bool()
      .prefault(defaults.queue)
      .describe('Without a queue each batch is sent as it comes, and its result is the answer to its source.'),
    num_consumers: z
      .int({ error: wrongType('int') })
      .check(
        z.gt(0, { error: '`num_consumers` must be positive' }),
        z.lte(256, { error: 'must not be greater than 256' }),
      )
      .meta({ type: 'int', unit: 'requests' })
      .prefault(10)
      .describe('Requests in flight at once.'),
    queue_size: z
      .int({ error: wrongType('int') })
      .check(z.gt(0, { error: '`queue_size` must be positive' }))
      .meta({ type: 'int', unit: '`sizer`' })
      .optional()
      .describe(
        'What may be queued or in flight, in units of `sizer`. Default 1000; with `storage` the store decides.',
      ),
    sizer: sizer
      .prefault('requests')
      .describe('`requests` (batches as they were offered; with `storage`: records), `items` (records), `bytes`.'),
    block_on_overflow: bool()
      .optional()
      .describe('Full: wait for room (default with `storage`) or refuse at once (default without).'),
    wait_for_result: bool()
      .prefault(false)
      .describe('Acknowledge a record when the backend took it, not when it is queued. Not with `storage`.'),
    storage: text()
      .optional()
      .describe('Id of a `file_storage`: the queue survives restarts and power cuts, and refused records are kept.'),
    max_memory_mib: positiveInt('MiB')
      .check(z.lte(4096, { error: 'must be between 1 and 4096' }))
      .prefault(64)
      .describe('MiB of records that may be held in memory, whatever `sizer` says.'),
    batch: (defaults.batchSize === undefined
      ? batch(undefined).optional()
      : batch(defaults.batchSize).prefault({})
    ).describe('How records are gathered into requests.'),
  });
  return together(shape, (settings, issue) => {
    const { storage, wait_for_result, queue_size, sizer: unit, batch: sizes } = settings as Partial<typeof settings>;
    if (storage !== undefined && wait_for_result === true)
      issue(['wait_for_result'], 'wait_for_result cannot be used with storage');
    if (storage !== undefined && (settings as Partial<typeof settings>).enabled === false)
      issue(['storage'], 'needs sending_queue::enabled: true');
    if (!sizes) return;
    const { min_size, max_size, sizer: batchUnit } = sizes;
    const bound = queue_size ?? (storage === undefined ? DEFAULT_QUEUE_SIZE : Number.POSITIVE_INFINITY);
    if (unit === batchUnit && min_size > bound)
      issue(['batch', 'min_size'], '`min_size` must be less than or equal to `queue_size`');
    if (max_size !== 0 && max_size < min_size)
      issue(['batch', 'max_size'], '`max_size` must be greater than or equal to `min_size`');
  });
}

const retry = together(
  z.strictObject({
    enabled: bool().prefault(true).describe('Off: the first failure of a request is final, and counted.'),
    initial_interval: duration().prefault('5s').describe('Wait before the first retry.'),
    max_interval: duration().prefault('30s').describe('Longest wait between two retries.'),
    multiplier: z
      .number({ error: wrongType('float64') })
      .gte(1, { error: 'must be at least 1' })
      .meta({ type: 'float64', unit: 'ratio' })
      .prefault(1.5)
      .describe('Growth of the wait.'),
    randomization_factor: numberBetween(0, 1, 'ratio')
      .prefault(0.5)
      .describe('Each wait is drawn from interval x [1 - f, 1 + f]. 0: as it is.'),
    max_elapsed_time: duration({ positive: false })
      .optional()
      .describe('Time after which a request is given up, and counted. 0: never. Default 300s; with `storage` 0.'),
    max_retry_after: duration().prefault('5m').describe('Longest wait that a server may ask for.'),
  }),
  ({ initial_interval, max_interval, max_elapsed_time }, issue) => {
    if (max_interval < initial_interval)
      issue(['max_interval'], '`max_interval` must be greater than or equal to `initial_interval`');
    if (max_elapsed_time && max_elapsed_time < Math.max(initial_interval, max_interval))
      issue(['max_elapsed_time'], '`max_elapsed_time` must be 0 or at least as long as both intervals');
  },
);

/**
 * The settings that `src/delivery` gives every exporter; an exporter spreads them into its own schema and passes it
 * through {@link withDelivery}.
 * @param defaults what fits this exporter better than the general default
 */
export function deliverySettings(defaults: DeliveryDefaults) {
  return {
    timeout: duration()
      .prefault(defaults.timeout)
      .describe('Time for one attempt, from connect to the last reply byte.'),
    sending_queue: queue(defaults).prefault({}).describe('What waits for the backend.'),
    retry_on_failure: retry.prefault({}).describe('How failed requests are repeated.'),
    dead_letter: z
      .strictObject({
        enabled: bool()
          .optional()
          .describe('Keep what the backend refuses for good. Default with `storage`; without it not allowed.'),
      })
      .prefault({})
      .describe('What becomes of records that a backend refuses. See `outband dlq`.'),
    on_setup_error: oneOf('hold', 'dead_letter')
      .prefault('hold')
      .describe('When token, path or certificate are at fault: keep the data and pause, or set it aside and go on.'),
  };
}

/** The store that these settings refer to. */
export function deliveryReferences({ sending_queue }: Partial<DeliveryConfig>): readonly ExtensionReference[] {
  const id = sending_queue?.storage;
  return id === undefined ? [] : [{ path: ['sending_queue', 'storage'], id }];
}

/** Rules over the delivery settings as a whole. */
export function withDelivery<T extends z.ZodType>(schema: T): T {
  return together(schema, (settings, issue) => {
    const { dead_letter, sending_queue } = settings as Partial<DeliveryConfig>;
    if (dead_letter?.enabled === true && sending_queue?.storage === undefined)
      issue(['dead_letter'], 'needs sending_queue::storage');
  });
}

const shape = z.strictObject(deliverySettings({ timeout: '5s', queue: true }));

/** What `src/delivery` goes by, as configured. */
export type DeliveryConfig = z.output<typeof shape>;

/** For exporters whose schema has no such settings: each batch is sent as it comes. */
export const NO_DELIVERY: DeliveryConfig = z.strictObject(deliverySettings({ timeout: '5s', queue: false })).parse({});

/** Whether checked settings contain those of {@link deliverySettings}. */
export function hasDelivery(config: unknown): config is DeliveryConfig {
  return typeof config === 'object' && config !== null && 'sending_queue' in config && 'retry_on_failure' in config;
}
