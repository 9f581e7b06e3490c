import { AsyncLocalStorage } from 'node:async_hooks';
import type { Component, Host } from '../../component/component.ts';
import { OutbandError } from '../../component/errors.ts';
import type {
  Scheduler,
  SchedulerActions,
  SchedulerSnapshot,
  Target,
  TargetHandle,
  TargetOptions,
  TransitionEvent,
} from '../../component/scheduler.ts';
import { Actions } from './actions.ts';
import type { SchedulerConfig } from './index.ts';
import { Instruments } from './instruments.ts';
import { Persistence } from './persistence.ts';
import { SchedulerClock } from './scheduler-clock.ts';
import { Capture } from './snapshot.ts';
import { Targets } from './targets.ts';

const SAVE_INTERVAL_MS = 10_000;
/** A dispatcher that looks this late is told as not well. */
const LATE_TICK_MS = 5_000;
/** A target that goes on failing is told of so often. */
const REMINDER_MS = 3_600_000;

/** The scheduler as an extension: its life, its status, and what can be seen of it. What it does is in {@link Targets}. */
export class SchedulerExtension implements Component, Scheduler {
  readonly actions: SchedulerActions;
  readonly #config: SchedulerConfig;
  readonly #host: Host;
  readonly #clock: SchedulerClock;
  readonly #startedAt: number;
  readonly #targets: Targets;
  readonly #instruments: Instruments;
  readonly #listeners = new Set<(event: TransitionEvent) => void>();
  /** When a target that fails was last told of, by its key; milliseconds. */
  readonly #toldAt = new Map<string, number>();
  #stopping: Promise<void> | undefined;

  constructor(config: SchedulerConfig, host: Host) {
    this.#config = config;
    this.#host = host;
    this.#clock = new SchedulerClock(host.clock);
    this.#startedAt = this.#clock.now();
    this.#instruments = new Instruments(host.meter, () => this.snapshot());
    this.#targets = new Targets({
      ...{ config, host, clock: this.#clock, instruments: this.#instruments },
      onTick: (lateBy) => this.#ticked(lateBy),
      onTransition: (event) => this.#tell(event),
    });
    this.actions = new Actions(this.#targets, this.#clock, config.dead_letter.redrive_rate);
  }

  async start(): Promise<void> {
    const { storage } = this.#config;
    if (storage !== undefined) await this.#loadFrom(storage);
    this.#instruments.start();
    this.#host.describe(() => {
      const { size, totals } = this.snapshot();
      const parked = totals.parked.permanent_failure + totals.parked.max_retry_attempts;
      const { open, half_open: halfOpen } = totals.breakers;
      return { targets: size, late: totals.late, breakers_open: open, breakers_half_open: halfOpen, parked };
    });
    this.#targets.dispatcher.start();
  }

  async #loadFrom(storage: string): Promise<void> {
    const clock = this.#clock;
    const store = this.#host.storage(storage).keyValue('scheduler', 'position');
    const persistence = new Persistence(store, this.#host.logger);
    clock.followWall();
    await persistence.load(clock.now() + clock.wallOffset);
    this.#targets.persistence = persistence;
    const save = async () => {
      await persistence.save(clock.wallOffset);
      return {};
    };
    this.register(
      { type: 'scheduler', name: 'state', connection: storage, run: save },
      { interval: SAVE_INTERVAL_MS, internal: true },
    );
  }

  /** Starts nothing more, ends all runs, and saves the state. */
  shutdown(signal: AbortSignal): Promise<void> {
    this.#stopping ??= this.#stop(signal);
    return this.#stopping;
  }

  async #stop(signal: AbortSignal): Promise<void> {
    const { registry, persistence } = this.#targets;
    await this.#targets.stop(signal);
    this.#instruments.stop();
    for (const row of registry.rows()) this.#targets.changed(row);
    await persistence?.save(this.#clock.wallOffset);
  }

  register(target: Target, options: TargetOptions): TargetHandle {
    // A run is work of who registered it, not of the timer that starts it.
    const asWorkOfCaller = AsyncLocalStorage.snapshot();
    const run: Target['run'] = (signal, why) => asWorkOfCaller(() => target.run(signal, why));
    return this.#targets.register({ ...target, run }, options);
  }

  snapshot(): SchedulerSnapshot {
    const { registry, shownLanes, counters, dispatcher, revision } = this.#targets;
    const { adaptive_polling, breaker } = this.#config;
    this.#clock.followWall();
    // Whole milliseconds: within one of them the same state is the same answer.
    const now = Math.floor(this.#clock.now());
    return new Capture({
      ...{ registry, lanes: [...shownLanes], now, wallOffset: this.#clock.wallOffset, revision },
      enabled: adaptive_polling.enabled,
      flapWindow: breaker.flap_window,
      counters: counters.capture(this.#startedAt),
      lag: counters.recent.quantiles(now) ?? null,
      lastTick: dispatcher.lastTick,
    });
  }

  onTransition(listener: (event: TransitionEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Listeners may ask for anything, also for this very target. */
  #tell(event: TransitionEvent): void {
    const { logger } = this.#host;
    const fields = { target: event.key, cause: event.cause, code: event.error?.code, error: event.error?.message };
    if (event.kind === 'parked') logger.warn('target parked', { ...fields, reason: event.reason });
    else if (event.kind === 'released') logger.info('target released', fields);
    else {
      // One line when it begins, one when it is over, one per hour; the trials between them are for those who look closely.
      const isNews = event.from === 'closed' || event.to === 'closed';
      if (!isNews && event.to === 'open' && this.#isDue(event.key)) logger.info('target still fails', fields);
      else logger[isNews ? 'info' : 'debug']('breaker moved', { ...fields, from: event.from, to: event.to });
      if (isNews) this.#toldAt.set(event.key, this.#clock.now());
      if (event.to === 'closed') this.#toldAt.delete(event.key);
    }
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        logger.error('a listener for transitions failed', { error });
      }
    }
  }

  /** Whether a target was not told of for an hour. */
  #isDue(key: string): boolean {
    const now = this.#clock.now();
    const last = this.#toldAt.get(key);
    if (last !== undefined && now - last < REMINDER_MS) return false;
    this.#toldAt.set(key, now);
    for (const other of this.#toldAt.keys())
      if (this.#targets.registry.rowOf(other) === undefined) this.#toldAt.delete(other);
    return last !== undefined;
  }

  /** One dead target of thousands is no news about the scheduler; half of them are. */
  #ticked(lateBy: number): void {
    const { shown, tripped } = this.#targets;
    const { status_threshold: threshold } = this.#config;
    this.#targets.revision++;
    this.#clock.followWall();
    if (lateBy > LATE_TICK_MS) this.#notWell('the process was too busy to start runs for seconds');
    else if (shown > 0 && tripped / shown >= threshold)
      this.#notWell(`${threshold * 100} % of the targets or more have an open breaker`);
    else this.#host.report({ status: 'ok' });
  }

  #notWell(message: string): void {
    this.#host.report({ status: 'recoverable', error: new OutbandError('scheduler_unwell', message) });
  }
}
