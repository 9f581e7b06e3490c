import { backoffDelay } from '../../src/resilience/backoff.ts';
import { SlidingWindow } from '../../src/resilience/sliding-window.ts';
import type { ConnectOutcome } from './classify-connect.ts';
import type { BmcLogsConfig, ConfiguredMode } from './config.ts';

/** Why polling took over. Closed list. */
export type DowngradeReason = 'sse_not_available' | 'connect_failure_budget' | 'stream_flapping';

/** What an endpoint does. Times are monotonic milliseconds. */
export type Mode =
  /** Mode `periodic`: no stream is ever tried. */
  | { readonly kind: 'periodic' }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'streaming'; readonly since: number }
  | { readonly kind: 'polling'; readonly reason: DowngradeReason; readonly since: number }
  /** A stream is open next to polling, to see whether it holds. */
  | { readonly kind: 'trial'; readonly reason: DowngradeReason; readonly since: number };

/** A change of how the logs are read, for log line and metric. */
export interface Transition {
  readonly from: Mode['kind'];
  readonly to: Mode['kind'];
  /** Set when polling took over. */
  readonly reason?: DowngradeReason;
  /** Failures that led to it. */
  readonly failures: number;
}

export type ModeSettings = Pick<BmcLogsConfig, 'sse' | 'auto'> & { readonly mode: ConfiguredMode };

/** After a return, a downgrade within this time counts as a failed trial. */
const RELAPSE_MS = 3_600_000;
const TRIAL_JITTER = 0.2;
/** What a server may wish for by SSE `retry:`. */
const LEAST_RETRY_MS = 1_000;
const MOST_RETRY_MS = 60_000;

/**
 * Decides for one endpoint between streaming and polling. Pure: the caller opens streams and tells what came of it,
 * and asks how long to wait before the next attempt.
 *
 *     connecting -> streaming -> (ends) connecting ...
 *     connecting, streaming -> polling    unsupported answers in a row, or the failure budget is spent
 *     polling -> trial -> streaming       the trial stream lived long enough
 *                trial -> polling         it did not; the wait for the next trial doubles
 *
 * In mode `sse` nothing leads to polling; the waits go on.
 */
export class ModeMachine {
  readonly #settings: ModeSettings;
  /** Inside the window: was it a stream that ended too soon (true), or one that never opened? */
  readonly #failures: SlidingWindow<boolean>;
  #mode: Mode;
  /** Answers in a row that say "no stream here". */
  #unsupported = 0;
  /** Attempts in a row without a stream that survived; the exponent of the back-off. Undefined before the first. */
  #attempts: number | undefined;
  #retryAfterMs = 0;
  #serverRetryMs = 0;
  #failedTrials = 0;
  #returnedAt: number | undefined;

  constructor(settings: ModeSettings) {
    this.#settings = settings;
    this.#failures = new SlidingWindow(settings.auto.connect_failure_window);
    this.#mode = { kind: settings.mode === 'periodic' ? 'periodic' : 'connecting' };
  }

  get mode(): Mode {
    return this.#mode;
  }

  /** Milliseconds to wait before the next attempt to stream; undefined: no attempt is due, ever. */
  waitBeforeAttempt(random: number): number | undefined {
    const { sse, auto } = this.#settings;
    if (this.#mode.kind === 'periodic') return undefined;
    if (this.#mode.kind === 'polling') {
      if (auto.sse_retry_interval === 0) return undefined;
      const interval = backoffDelay(this.#failedTrials, {
        initialMs: auto.sse_retry_interval,
        maxMs: auto.sse_retry_max_interval,
        multiplier: 2,
      });
      return interval * (1 + TRIAL_JITTER * (2 * random - 1));
    }
    if (this.#attempts === undefined) return 0;
    const backoff = { initialMs: sse.initial_backoff, maxMs: sse.max_backoff, multiplier: 2 };
    const base = Math.max(backoffDelay(Math.max(0, this.#attempts - 1), backoff), this.#serverRetryMs);
    return Math.max(base * (1 + random), this.#retryAfterMs);
  }

  /** How long an open stream must live before {@link survived} is called, in milliseconds. */
  get lifetimeToProve(): number {
    const { sse, auto } = this.#settings;
    if (this.#mode.kind !== 'trial') return sse.min_stream_lifetime;
    return this.#mode.reason === 'stream_flapping'
      ? Math.max(auto.connect_failure_window, auto.trial_lifetime)
      : auto.trial_lifetime;
  }

  /** The server wishes for a pause before reconnects (SSE `retry:`). */
  serverRetry(ms: number): void {
    this.#serverRetryMs = Math.min(Math.max(ms, LEAST_RETRY_MS), MOST_RETRY_MS);
  }

  /** A stream was accepted. That alone clears nothing: some BMCs accept and close at once, for ever. */
  opened(now: number): void {
    this.#attempts = (this.#attempts ?? 0) + 1;
    this.#unsupported = 0;
    this.#retryAfterMs = 0;
    this.#mode =
      this.#mode.kind === 'polling'
        ? { kind: 'trial', reason: this.#mode.reason, since: now }
        : { kind: 'streaming', since: now };
  }

  /** The open stream has lived {@link lifetimeToProve}. */
  survived(now: number): Transition | undefined {
    this.#attempts = 0;
    this.#serverRetryMs = 0;
    this.#failures.clear();
    if (this.#mode.kind !== 'trial') return undefined;
    this.#mode = { kind: 'streaming', since: now };
    this.#returnedAt = now;
    return { from: 'trial', to: 'streaming', failures: 0 };
  }

  /** The open stream ended. */
  ended(now: number): Transition | undefined {
    if (this.#mode.kind === 'trial') return this.#trialFailed(now);
    const livedMs = this.#mode.kind === 'streaming' ? now - this.#mode.since : 0;
    this.#mode = { kind: 'connecting' };
    if (livedMs >= this.#settings.sse.min_stream_lifetime) return undefined;
    return this.#failed(now, true);
  }

  /** An attempt did not open a stream. */
  refused(now: number, outcome: ConnectOutcome): Transition | undefined {
    if (this.#mode.kind === 'polling') return this.#trialFailed(now);
    this.#attempts = (this.#attempts ?? 0) + 1;
    if (outcome.kind === 'failure') {
      this.#unsupported = 0;
      this.#retryAfterMs = outcome.retryAfterMs ?? 0;
      return this.#failed(now, false);
    }
    this.#unsupported++;
    if (this.#unsupported < this.#settings.auto.sse_not_available_threshold) return undefined;
    return this.#downgrade(now, 'sse_not_available', this.#unsupported);
  }

  #failed(now: number, shortStream: boolean): Transition | undefined {
    this.#failures.add(now, shortStream);
    const counted = this.#failures.at(now);
    if (counted.length < this.#settings.auto.connect_failure_threshold) return undefined;
    const short = counted.filter((isShort) => isShort).length;
    const reason = short > counted.length / 2 ? 'stream_flapping' : 'connect_failure_budget';
    return this.#downgrade(now, reason, counted.length);
  }

  #downgrade(now: number, reason: DowngradeReason, failures: number): Transition | undefined {
    if (this.#settings.mode !== 'auto') return undefined;
    const from = this.#mode.kind;
    const relapsed = this.#returnedAt !== undefined && now - this.#returnedAt < RELAPSE_MS;
    this.#failedTrials = relapsed ? this.#failedTrials + 1 : 0;
    this.#failures.clear();
    this.#unsupported = 0;
    this.#mode = { kind: 'polling', reason, since: now };
    return { from, to: 'polling', reason, failures };
  }

  #trialFailed(now: number): Transition | undefined {
    if (this.#mode.kind !== 'trial' && this.#mode.kind !== 'polling') return undefined;
    this.#failedTrials++;
    this.#mode = { kind: 'polling', reason: this.#mode.reason, since: now };
    return undefined;
  }
}
