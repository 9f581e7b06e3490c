import type { RetrySettings } from './retry-plan.ts';

export type Sizer = 'requests' | 'items' | 'bytes';

/** Bounds of one queue. */
export interface QueueLimits {
  /** In the unit of `sizer`; Infinity: bounded by its store only. */
  readonly queueSize: number;
  readonly sizer: Sizer;
  /** Bytes that may be held in memory, whatever the sizer says. */
  readonly maxMemoryBytes: number;
  readonly blockOnOverflow: boolean;
  readonly waitForResult: boolean;
  /** Whether what is refused for good is kept. */
  readonly deadLetters: boolean;
}

/** When a request is full. */
export interface BatchSettings {
  /** Milliseconds that a request waits for more. */
  readonly flushTimeoutMs: number;
  readonly minSize: number;
  /** Infinity: none. */
  readonly maxSize: number;
  readonly sizer: 'items' | 'bytes';
}

/** What the delivery of one exporter goes by; see `config/schema/delivery.ts` for the settings that it comes from. */
export interface DeliverySettings {
  /** Milliseconds for one attempt. */
  readonly timeoutMs: number;
  readonly consumers: number;
  readonly limits: QueueLimits;
  readonly batch: BatchSettings;
  readonly retry: RetrySettings & {
    readonly enabled: boolean;
    /** Milliseconds after which a request is given up; Infinity: never. */
    readonly maxElapsedMs: number;
  };
  /** Id of the store; undefined: the queue is in memory. */
  readonly storage: string | undefined;
  readonly onSetupError: 'hold' | 'dead_letter';
}
