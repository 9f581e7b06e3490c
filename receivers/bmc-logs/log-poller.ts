import type { Clock } from '../../src/component/clock.ts';
import { NO_LONGER_NEEDED } from '../../src/component/deadline.ts';
import type { RunReason, RunResult, Scheduler, TargetHandle } from '../../src/component/scheduler.ts';
import type { Capabilities } from './capabilities.ts';
import type { RedfishClient } from './client/redfish-client.ts';
import type { BmcLogsConfig } from './config.ts';
import type { DeliveryLane } from './delivery-lane.ts';
import type { EndpointConfig } from './endpoint-settings.ts';
import type { EndpointEvents, PollOutcome } from './events.ts';
import type { LogReader, ReadReason } from './log-reader.ts';
import type { Pending } from './logs/ledger.ts';
import type { StateFile } from './logs/state-file.ts';
import type { ModeMachine } from './mode-machine.ts';
import { isoNow } from './record/time.ts';
import type { StartGate } from './start-gate.ts';
import type { Coverage } from './stream/coverage.ts';
import type { StreamLoop } from './stream-loop.ts';

/** A poll ends as deferred when the pipeline has not taken its records for so long; its delivery goes on. */
const PIPELINE_PATIENCE_MS = 60_000;
/** Beyond its own limits a run of the target gets this much for the request under way. */
const RUN_SLACK_MS = 65_000;
/** Runs in a row that go on at once where the last one ended at a limit. */
const MOST_RESUMED_RUNS = 10;
/** Least distance of two reads, whoever asks for them. */
const READ_SPACING_MS = 1_000;
/** An event may be so much later than its entry. */
const EVENT_GRACE_MS = 60_000;

export interface LogPollerOptions {
  readonly config: BmcLogsConfig;
  readonly endpoint: EndpointConfig;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly machine: ModeMachine;
  readonly client: RedfishClient;
  readonly capabilities: Capabilities;
  readonly logs: LogReader;
  readonly loop: StreamLoop;
  readonly coverage: Coverage;
  readonly events: EndpointEvents;
  readonly startGate: StartGate;
  readonly stateFile: StateFile | undefined;
  /** Ends all reading. */
  readonly signal: AbortSignal;
  /** Where records wait for the pipeline. */
  readonly lane: DeliveryLane;
  /** A read has ended, well or not. */
  readonly onPolled: () => void;
  /** The open stream tells nothing of what the logs hold. */
  readonly onSilent: () => void;
}

/** How the last poll went, for people. */
export interface LastPoll {
  /** ISO 8601. */
  readonly at: string;
  readonly outcome: PollOutcome;
  readonly durationMs: number;
  readonly error: unknown;
}

/**
 * The reads of one endpoint: its target, which the scheduler calls, and the wishes for reads that come between. A stream that
 * is open is checked by reading, and what it missed comes that way.
 */
export class LogPoller {
  readonly #options: LogPollerOptions;
  #target: TargetHandle | undefined;
  /** A delivery of an earlier poll that the pipeline has not taken yet. */
  #undelivered: Promise<unknown> | undefined;
  /** A wish for a poll that came while one was running. */
  #pollAgain = false;
  #resumedRuns = 0;
  #gapFillDue = false;
  #lastGapFillAt = Number.NEGATIVE_INFINITY;
  #lastReconcileAt = Number.NEGATIVE_INFINITY;
  #everStreamed = false;
  /** The first read has begun. */
  #isPastStart = false;
  /** Whether a complete read has ended since this stream was opened. */
  #readSinceOpened = false;
  #lastPoll: LastPoll | undefined;
  #lastSuccessAt: number;

  constructor(options: LogPollerOptions) {
    this.#options = options;
    this.#lastSuccessAt = options.clock.monotonic();
  }

  get lastPoll(): LastPoll | undefined {
    return this.#lastPoll;
  }

  /** When a poll did not fail, or the start; monotonic milliseconds. */
  get lastSuccessAt(): number {
    return this.#lastSuccessAt;
  }

  /** Puts the endpoint under the scheduler; the first run comes at once. */
  start(): void {
    const { scheduler, endpoint, config } = this.#options;
    this.#target = scheduler.register(
      {
        type: 'bmc',
        name: endpoint.name,
        connection: endpoint.address.origin,
        run: (signal, why) => this.#run(signal, why),
      },
      {
        interval: config.periodic.logs_collection_interval,
        minInterval: READ_SPACING_MS,
        timeout: config.request_timeout + RUN_SLACK_MS,
        firstRun: 'now',
        mode: 'poll',
      },
    );
  }

  /** Resolves when no read and no delivery of one is under way. */
  async stop(): Promise<void> {
    await this.#target?.unregister();
    await this.#undelivered;
  }

  /** The BMC lives: bytes of a stream have come. Called often. */
  alive(): void {
    this.#target!.report({ alive: true });
  }

  /** A stream was opened: what came before it is in the logs. */
  opened(): void {
    this.#everStreamed = true;
    this.#readSinceOpened = false;
    this.alive();
  }

  /** One run of the target: whatever reading is due. */
  async #run(signal: AbortSignal, { cause }: RunReason): Promise<RunResult> {
    // It was away: whatever came meanwhile is a gap.
    if (cause === 'breaker' || cause === 'dead_letter') this.#gapFillDue = true;
    const { clock, events, onPolled, signal: stop } = this.#options;
    const started = clock.monotonic();
    let reason: ReadReason = 'periodic';
    const report = (outcome: PollOutcome, error?: unknown) => {
      const durationMs = clock.monotonic() - started;
      this.#lastPoll = { at: isoNow(clock), outcome, durationMs, error };
      events.poll(outcome, reason, error, durationMs);
      onPolled();
    };
    try {
      await this.#streamFirst(signal);
      const result = await this.#patiently(() => {
        reason = this.#reasonOfRead();
        // A run that has ended as deferred is not aborted by the scheduler any more.
        return this.#poll(reason, AbortSignal.any([signal, stop]));
      });
      if (result === 'deferred') return { deferred: true };
      const { failed, services, unfinished, emitted, error } = result;
      if (error !== undefined && failed === services) throw error;
      this.#lastSuccessAt = clock.monotonic();
      report(error === undefined ? 'success' : 'partial', error);
      this.#resumedRuns = unfinished ? this.#resumedRuns + 1 : 0;
      const again = this.#pollAgain || (unfinished && this.#resumedRuns <= MOST_RESUMED_RUNS);
      this.#pollAgain = false;
      return { items: emitted, again };
    } catch (error) {
      if (!stop.aborted) report('failure', error);
      throw error;
    }
  }

  /**
   * At start a stream is opened first and the logs are read second, once for both: what came before is in the logs, and what
   * comes meanwhile is told.
   */
  async #streamFirst(signal: AbortSignal): Promise<void> {
    if (this.#isPastStart || this.#options.machine.mode.kind !== 'connecting') return;
    this.#isPastStart = true;
    await this.#options.startGate.pass(this.#options.loop.settled, signal);
  }

  /**
   * Waits for the pipeline, but not for ever: a sink that is down is no fault of the BMC. The work goes on meanwhile,
   * holding what it has read, and the next run waits for it first.
   */
  async #patiently<T>(work: () => Promise<T>): Promise<T | 'deferred'> {
    const over = new AbortController();
    const gaveUp = this.#options.lane.stuck(PIPELINE_PATIENCE_MS, over.signal).then(() => 'deferred' as const);
    try {
      if (this.#undelivered && (await Promise.race([this.#undelivered, gaveUp])) === 'deferred') return 'deferred';
      const running = work();
      this.#undelivered = running.then(
        () => undefined,
        () => undefined,
      );
      return await Promise.race([running, gaveUp]);
    } finally {
      over.abort(NO_LONGER_NEEDED);
    }
  }

  #reasonOfRead(): ReadReason {
    if (this.#gapFillDue) return 'gap_fill';
    return this.#options.machine.mode.kind === 'streaming' ? 'reconcile' : 'periodic';
  }

  async #poll(reason: ReadReason, signal: AbortSignal) {
    let isDone = false;
    try {
      const result = await this.#read(reason, signal);
      isDone = result.failed === 0;
      return result;
    } finally {
      this.#options.client.releaseIdle();
      // A gap that could not be filled stays one, and is not left to the next reconcile.
      if (reason === 'gap_fill') {
        this.#gapFillDue ||= !isDone;
        this.setPace();
      }
    }
  }

  async #read(reason: ReadReason, signal: AbortSignal) {
    const { config, clock, endpoint, machine, logs, capabilities, coverage, stateFile, events } = this.#options;
    // Whoever wished for a read until now gets this one.
    this.#pollAgain = false;
    const now = clock.monotonic();
    const { found, isNew } = await capabilities.logs(signal);
    if (isNew) logs.trustAgain();
    if (isNew && found.isCut) events.limit('services');
    if (this.#gapFillDue) this.#lastGapFillAt = now;
    this.#gapFillDue = false;
    const allServices = found.failures.length === 0;
    const problem = found.failures[0]?.error;
    // In mode `sse` logs only complete a stream; before the first one there is nothing to complete.
    if (endpoint.mode === 'sse' && !this.#everStreamed)
      return { emitted: 0, unfinished: false, failed: 0, services: 0, error: problem };
    // Between two reconciles only those logs are read that the stream does not tell.
    const isPartial =
      reason === 'reconcile' &&
      coverage.uncovered.size > 0 &&
      now - this.#lastReconcileAt < config.sse.reconcile_interval;
    if (reason === 'reconcile' && !isPartial) this.#lastReconcileAt = now;
    const services = isPartial ? found.services.filter(({ path }) => coverage.uncovered.has(path)) : found.services;
    const { mode } = machine;
    const keepForStream = mode.kind !== 'periodic' && !(mode.kind === 'polling' && mode.reason === 'sse_not_available');
    const readBefore = this.#readSinceOpened;
    const result = await logs.poll({ services, allServices: allServices && !isPartial, reason, keepForStream, signal });
    if (result.complete && this.#isStreaming) this.#readSinceOpened = true;
    if (this.#isStreaming && reason !== 'periodic') events.gapEntries(result.fresh, reason);
    if (reason === 'reconcile' && readBefore) this.#awaitEvents(result.unjoined);
    if (result.failed > 0 || !allServices) capabilities.doubtLogs();
    if (result.failed < services.length) stateFile?.write(logs.lastIds);
    return { ...result, services: services.length, error: result.error ?? problem };
  }

  /** What a reconcile has found new should come by the stream, too, if a little later. */
  #awaitEvents(unjoined: readonly Pending[]): void {
    const { loop, coverage, signal, config, clock, onSilent } = this.#options;
    const ended = loop.ended;
    if (unjoined.length === 0 || !ended) return;
    const grace = Math.min(EVENT_GRACE_MS, config.sse.reconcile_interval);
    clock.sleep(grace, AbortSignal.any([ended, signal])).then(
      () => {
        const missed = unjoined.flatMap(({ joined, service }) => (joined || service === undefined ? [] : [service]));
        const isSilent = coverage.reconciled(new Set(missed));
        this.setPace();
        if (isSilent) onSilent();
      },
      () => {},
    );
  }

  /** Asks for a poll beside the stream: events that came while there was none are in the logs. */
  requestGapFill(spacingMs: number): void {
    const { clock } = this.#options;
    this.#gapFillDue = true;
    const delay = Math.max(0, this.#lastGapFillAt + spacingMs - clock.monotonic());
    if (!this.#target!.runNow(delay)) this.#pollAgain = true;
  }

  /** While a stream is open and trusted, reads only check that it tells everything. */
  setPace(): void {
    const { config, machine, coverage } = this.#options;
    const streaming = machine.mode.kind === 'streaming';
    const isTrusted = coverage.uncovered.size === 0 && !this.#gapFillDue;
    const { logs_collection_interval: often } = config.periodic;
    const { reconcile_interval: rarely } = config.sse;
    const interval = !streaming ? often : isTrusted ? rarely : Math.min(often, rarely);
    this.#target!.setInterval(interval, { mode: streaming ? 'stream' : 'poll' });
  }

  get #isStreaming(): boolean {
    return this.#options.loop.view !== undefined;
  }
}
