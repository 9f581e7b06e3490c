import { DEFAULT_QUEUE_SIZE, type DeliveryConfig } from '../config/schema/delivery.ts';
import type { DeliverySettings } from '../delivery/settings.ts';

const MIB = 1024 * 1024;
const NEVER = Number.POSITIVE_INFINITY;
const MAX_ELAPSED_MS = 300_000;
/** Where no batch is configured, requests are what waits at the moment, up to this size. */
const UNBATCHED_SIZE = 2_048;

/**
 * What the settings mean. With a store nothing is given up and callers wait: an outage may last as long as the disk
 * holds. Without one the Collector's defaults hold.
 */
export function deliveryOf(config: DeliveryConfig): DeliverySettings {
  const { sending_queue: queue, retry_on_failure: retry, dead_letter } = config;
  const isDurable = queue.enabled && queue.storage !== undefined;
  const { batch } = queue;
  const elapsed = retry.max_elapsed_time ?? (isDurable ? 0 : MAX_ELAPSED_MS);
  return {
    timeoutMs: config.timeout,
    consumers: queue.num_consumers,
    limits: {
      queueSize: queue.queue_size ?? (isDurable || !queue.enabled ? NEVER : DEFAULT_QUEUE_SIZE),
      sizer: queue.sizer,
      maxMemoryBytes: queue.max_memory_mib * MIB,
      blockOnOverflow: queue.block_on_overflow ?? (isDurable || !queue.enabled),
      waitForResult: queue.wait_for_result || !queue.enabled,
      deadLetters: isDurable && dead_letter.enabled !== false,
    },
    batch:
      batch && queue.enabled
        ? {
            flushTimeoutMs: batch.flush_timeout,
            minSize: batch.min_size,
            maxSize: batch.max_size === 0 ? NEVER : batch.max_size,
            sizer: batch.sizer,
          }
        : { flushTimeoutMs: 1, minSize: 0, maxSize: UNBATCHED_SIZE, sizer: 'items' },
    retry: { ...retry, maxElapsedMs: elapsed === 0 ? NEVER : elapsed },
    storage: queue.enabled ? queue.storage : undefined,
    onSetupError: config.on_setup_error,
  };
}
