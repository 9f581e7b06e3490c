import type { Resource } from '@opentelemetry/resources';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { Component, Host } from '../../src/component/component.ts';
import type { MetricsConsumer, NextConsumers } from '../../src/component/consumer.ts';
import { RetryableError } from '../../src/component/errors.ts';
import { type ComponentId, formatComponentId } from '../../src/component/id.ts';
import type { RunResult, SchedulerSnapshot, TargetHandle, TargetSnapshot } from '../../src/component/scheduler.ts';
import type { SchedulerHealthConfig } from './index.ts';
import { schedulerMetrics, targetMetrics } from './metrics.ts';
import { type PendingEvents, pendingEvents } from './pending-events.ts';
import { transitionRecord } from './transition-logs.ts';

/** Targets whose metrics are made in one go: others have their turn before the next. */
const PIECE = 500;

/** Tells pipelines how the scheduler is: metrics at an interval, transitions as they happen. Each only where asked for. */
export class SchedulerHealthReceiver implements Component {
  readonly #id: string;
  readonly #config: SchedulerHealthConfig;
  readonly #host: Host;
  readonly #next: NextConsumers;
  readonly #resource: Resource;
  #events: PendingEvents | undefined;
  #unlisten: (() => void) | undefined;
  #target: TargetHandle | undefined;
  #warned = false;

  constructor(id: ComponentId, config: SchedulerHealthConfig, host: Host, next: NextConsumers) {
    this.#id = formatComponentId(id);
    this.#config = config;
    this.#host = host;
    this.#next = next;
    this.#resource = host.ownMetrics.resource;
  }

  async start(): Promise<void> {
    const { clock } = this.#host;
    const scheduler = this.#host.scheduler(this.#config.scheduler);
    const { logs, metrics } = this.#next;
    if (logs) {
      const origin = { receiver: this.#id, target: this.#config.scheduler };
      const events = pendingEvents({ most: this.#config.max_pending_events, next: logs, host: this.#host, origin });
      this.#events = events;
      events.start();
      this.#unlisten = scheduler.onTransition((event) =>
        events.add(transitionRecord(event, this.#resource, clock.now())),
      );
    }
    if (metrics)
      this.#target = scheduler.register(
        {
          ...{ type: 'scheduler-health', name: this.#id, connection: this.#config.scheduler },
          run: (signal) => this.#collect(scheduler.snapshot(), metrics, signal),
        },
        { interval: this.#config.collection_interval, internal: true, firstRun: 'now' },
      );
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    this.#unlisten?.();
    await this.#target?.unregister();
    await this.#events?.stop(new RetryableError('shutting_down', 'the agent stops'), signal);
    this.#events = undefined;
  }

  /** What a pipeline refuses is not sent later: the next collection holds it. */
  async #collect(snapshot: SchedulerSnapshot, next: MetricsConsumer, signal: AbortSignal): Promise<RunResult> {
    try {
      for (const metrics of this.#scrape(snapshot)) {
        await next.consumeMetrics(metrics, { signal, labels: { transport: 'poll' } });
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      return {};
    } catch (error) {
      if (error instanceof RetryableError) return { deferred: true };
      throw error;
    }
  }

  *#scrape(snapshot: SchedulerSnapshot): Generator<ResourceMetrics> {
    yield schedulerMetrics(snapshot, this.#resource);
    yield* this.#perTarget(snapshot);
  }

  *#perTarget(snapshot: SchedulerSnapshot): Generator<ResourceMetrics> {
    const { per_target: which, per_target_limit: most } = this.#config;
    if (which === 'none') return;
    let piece: TargetSnapshot[] = [];
    let taken = 0;
    let left = 0;
    for (let index = 0; index < snapshot.size; index++) {
      const target = snapshot.target(index);
      if (which === 'not_at_rest' && isAtRest(target)) continue;
      if (taken === most) {
        left++;
        continue;
      }
      taken++;
      if (piece.push(target) < PIECE) continue;
      yield targetMetrics(snapshot, piece, this.#resource);
      piece = [];
    }
    if (piece.length > 0) yield targetMetrics(snapshot, piece, this.#resource);
    if (left > 0 && !this.#warned)
      this.#host.logger.warn('more targets than per_target_limit: the last in key order have no metrics of their own', {
        limit: most,
        left,
      });
    this.#warned = left > 0;
  }
}

function isAtRest({ breaker: { state, failureCount } }: TargetSnapshot): boolean {
  return state === 'unknown' || (state === 'closed' && failureCount === 0);
}
