import { backoffDelay } from '../../src/resilience/backoff.ts';
import { SlidingWindow } from '../../src/resilience/sliding-window.ts';
import type { ConnectOutcome } from './classify-connect.ts';
import type { BmcLogsConfig } from './config.ts';
import type { ConfiguredMode } from './endpoint-settings.ts';

/** Why polling took over. Closed list. */
export type DowngradeReason = 'sse_not_available' | 'connect_failure_budget' | 'stream_flapping' | 'silent_stream';

/** What an endpoint does. Times are monotonic milliseconds. */
export type Mode =
  /** Mode `periodic`: no stream is ever tried. */
  | { readonly kind: 'periodic'; readonly since: number }
  | { readonly kind: 'connecting'; readonly since: number }
  | { readonly kind: 'streaming'; readonly since: number }
  /** Its budget is spent, but so is that of half the fleet: reconnects go on, and polls run beside them. */
  | {
      readonly kind: 'held';
      readonly reason: DowngradeReason;
      readonly since: number;
      readonly openSince: number | undefined;
    }
  | { readonly kind: 'polling'; readonly reason: DowngradeReason; readonly since: number }
  /** A stream is open next to polling, to see whether it holds. */
  | { readonly kind: 'trial'; readonly reason: DowngradeReason; readonly since: number };

/** A change of how the logs are read, for log line, metric and view. */
export interface Transition {
  readonly from: Mode['kind'];
  readonly to: Mode['kind'];
  /** Set when polling took over or goes on. */
  readonly reason?: DowngradeReason;
  /** Failures that led to it. */
  readonly failures: number;
}

export type ModeSettings = Pick<BmcLogsConfig, 'sse' | 'auto'> & { readonly mode: ConfiguredMode };

/** A decision of a former process to poll. */
export interface RestoredDowngrade {
  readonly reason: DowngradeReason;
  readonly failedTrials: number;
  /** Monotonic milliseconds of this process, which may be before its start. */
  readonly since: number;
  /** Milliseconds; undefined: no trial is due, ever. */
  readonly nextTrialIn: number | undefined;
}

/** After a return, a downgrade within this time counts as a failed trial. */
const RELAPSE_MS = 3_600_000;
const TRIAL_JITTER = 0.2;
/** A trial after silence needs an event that no poll had found; without one it ends. */
const SILENT_TRIAL_MS = 3_600_000;
/** What a server may wish for by SSE `retry:`. */
const LEAST_RETRY_MS = 1_000;
const MOST_RETRY_MS = 60_000;
/** Base of the waits while an incident holds the downgrade. */
const MOST_HELD_BACKOFF_MS = 300_000;
/** Windows that are looked at for streams that live, but not for long. */
const FLAP_WINDOWS = 6;

/**
 * Decides for one endpoint between streaming and polling. Pure: the caller opens streams and tells what came of it,
 * and asks how long to wait before the next attempt.
 *
 *     connecting -> streaming -> (ends) connecting ...
 *     connecting, streaming -> polling    unsupported answers in a row, the failure budget is spent, no stream at all
 *                                         for a window, streams that flap, a stream that tells nothing
 *     connecting -> held                  the same, while most of the fleet fails: nobody is blamed
 *     polling -> held                     it was decided moments before the fleet failed
 *     held -> streaming | connecting      a stream survived | the incident is over
 *     polling -> trial -> streaming       the trial stream lived long enough
 *                trial -> polling         it did not; the wait for the next trial doubles
 *
 * In mode `sse` nothing leads to polling; the waits go on.
 */
export class ModeMachine {
  readonly #settings: ModeSettings;
  /** Inside the window: when, and was it a stream that ended too soon, or one that never opened? */
  readonly #failures: SlidingWindow<{ readonly at: number; readonly short: boolean }>;
  /** Ends of streams that were shorter than a window. */
  readonly #shortLives: SlidingWindow<undefined>;
  #mode: Mode;
  #incident = false;
  /** Answers in a row that say "no stream here". */
  #unsupported = 0;
  /** Attempts in a row without a stream that survived; the exponent of the back-off. Undefined before the first. */
  #attempts: number | undefined;
  /** Since when no stream is open; undefined before the first attempt and while one is. */
  #streamlessSince: number | undefined;
  #attemptsSinceStream = 0;
  #retryAfterMs = 0;
  #serverRetryMs = 0;
  #failedTrials = 0;
  #returnedAt: number | undefined;
  #downgradedAt = 0;
  /** Wait for the next attempt, where it is not a back-off: after a restart, or because somebody asked. */
  #nextIn: number | undefined;
  /** The trial stream has told something that no poll had found. */
  #trialTold = false;
  #trialSurvived = false;

  /** @param now monotonic milliseconds */
  constructor(settings: ModeSettings, now = 0, restored?: RestoredDowngrade) {
    const { connect_failure_window: window } = settings.auto;
    this.#settings = settings;
    this.#failures = new SlidingWindow(window);
    this.#shortLives = new SlidingWindow(FLAP_WINDOWS * window);
    this.#mode = { kind: settings.mode === 'periodic' ? 'periodic' : 'connecting', since: now };
    if (!restored || settings.mode !== 'auto') return;
    this.#mode = { kind: 'polling', reason: restored.reason, since: restored.since };
    this.#downgradedAt = restored.since;
    this.#failedTrials = restored.failedTrials;
    this.#nextIn = restored.nextTrialIn;
  }

  get mode(): Mode {
    return this.#mode;
  }

  get failedTrials(): number {
    return this.#failedTrials;
  }

  /** What counts against the budget. @param now monotonic milliseconds */
  budget(now: number): { readonly failures: number; readonly firstAt: number | undefined } {
    const counted = this.#failures.at(now);
    return { failures: counted.length, firstAt: counted[0]?.at };
  }

  /** Milliseconds to wait before the next attempt to stream; undefined: no attempt is due, ever. */
  waitBeforeAttempt(random: number): number | undefined {
    const { sse, auto } = this.#settings;
    if (this.#mode.kind === 'periodic') return undefined;
    if (this.#nextIn !== undefined) return this.#nextIn;
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
    const maxMs = this.#mode.kind === 'held' ? MOST_HELD_BACKOFF_MS : sse.max_backoff;
    const backoff = { initialMs: sse.initial_backoff, maxMs: Math.max(maxMs, sse.initial_backoff), multiplier: 2 };
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

  /** After this time an open trial stream is to be closed; undefined: there is no such limit. */
  get trialLimit(): number | undefined {
    return this.#mode.kind === 'trial' && this.#mode.reason === 'silent_stream' ? SILENT_TRIAL_MS : undefined;
  }

  /** The server wishes for a pause before reconnects (SSE `retry:`). */
  serverRetry(ms: number): void {
    this.#serverRetryMs = Math.min(Math.max(ms, LEAST_RETRY_MS), MOST_RETRY_MS);
  }

  /** An attempt begins. */
  attempted(now: number): void {
    this.#streamlessSince ??= now;
  }

  /** A stream was accepted. That alone clears nothing: some BMCs accept and close at once, for ever. */
  opened(now: number): Transition | undefined {
    this.#attempts = (this.#attempts ?? 0) + 1;
    this.#unsupported = 0;
    this.#retryAfterMs = 0;
    this.#streamlessSince = undefined;
    this.#attemptsSinceStream = 0;
    this.#nextIn = undefined;
    this.#trialTold = false;
    this.#trialSurvived = false;
    if (this.#mode.kind === 'held') {
      this.#mode = { ...this.#mode, openSince: now };
      return undefined;
    }
    if (this.#mode.kind === 'polling') return this.#go({ kind: 'trial', reason: this.#mode.reason, since: now });
    return this.#go({ kind: 'streaming', since: now });
  }

  /** The open stream has lived {@link lifetimeToProve}. */
  survived(now: number): Transition | undefined {
    this.#attempts = 0;
    this.#failures.clear();
    if (this.#mode.kind === 'held') return this.#go({ kind: 'streaming', since: this.#mode.openSince ?? now });
    if (this.#mode.kind !== 'trial') return undefined;
    this.#trialSurvived = true;
    return this.#confirmTrial(now);
  }

  /** The stream told something that no poll had found before. */
  told(now: number): Transition | undefined {
    if (this.#mode.kind !== 'trial') return undefined;
    this.#trialTold = true;
    return this.#confirmTrial(now);
  }

  /**
   * The open stream ended.
   * @param blameless it was we who did not read; that counts against nobody
   */
  ended(now: number, blameless = false): Transition | undefined {
    this.#streamlessSince = now;
    const { mode } = this.#reading();
    // Closed by a decision that was made while it was open.
    if (mode.kind === 'polling') return undefined;
    if (mode.kind === 'trial') return this.#trialFailed();
    if (mode.kind === 'held') {
      this.#mode = { ...mode, openSince: undefined };
      return undefined;
    }
    const livedMs = mode.kind === 'streaming' ? now - mode.since : 0;
    const gone = this.#go({ kind: 'connecting', since: now });
    if (blameless) return gone;
    const { sse, auto } = this.#settings;
    if (livedMs < auto.connect_failure_window) this.#shortLives.add(now, undefined);
    const flaps = this.#shortLives.at(now).length;
    if (flaps >= 2 * auto.connect_failure_threshold)
      return this.#blame(now, 'stream_flapping', flaps, mode.kind) ?? gone;
    if (livedMs >= sse.min_stream_lifetime) return gone;
    return this.#failed(now, true, mode.kind) ?? gone;
  }

  /** An attempt did not open a stream. */
  refused(now: number, outcome: ConnectOutcome): Transition | undefined {
    this.#nextIn = undefined;
    if (this.#mode.kind === 'polling') return outcome.kind === 'not_sent' ? undefined : this.#trialFailed();
    this.#attempts = (this.#attempts ?? 0) + 1;
    if (outcome.kind === 'not_sent') {
      this.#attemptsSinceStream++;
      return this.#tooSlow(now);
    }
    if (outcome.kind === 'failure') {
      this.#unsupported = 0;
      this.#retryAfterMs = outcome.retryAfterMs ?? 0;
      return this.#failed(now, false, this.#mode.kind);
    }
    this.#unsupported++;
    if (this.#unsupported < this.#settings.auto.sse_not_available_threshold) return undefined;
    return this.#downgrade(now, 'sse_not_available', this.#unsupported, this.#mode.kind);
  }

  /** The open stream tells nothing of what the logs hold. */
  silent(now: number): Transition | undefined {
    if (this.#mode.kind !== 'streaming') return undefined;
    return this.#downgrade(now, 'silent_stream', 0, this.#mode.kind);
  }

  /** The next attempt is due now, with the shortest wait behind it: somebody asked, or the firmware is another one. */
  retryNow(): void {
    this.#failedTrials = 0;
    this.#nextIn = 0;
  }

  /** Most of the fleet fails. A decision of the last window that the incident explains is taken back. */
  incidentBegan(now: number): Transition | undefined {
    this.#incident = true;
    const { mode } = this.#reading();
    const recent = now - mode.since < this.#settings.auto.connect_failure_window;
    if (mode.kind !== 'polling' || !recent || !isExplainedByIncident(mode.reason)) return undefined;
    this.#nextIn = undefined;
    return this.#go({ kind: 'held', reason: mode.reason, since: now, openSince: undefined });
  }

  /** Whoever still fails starts a fresh window. */
  incidentOver(now: number): Transition | undefined {
    this.#incident = false;
    const { mode } = this.#reading();
    if (mode.kind !== 'held') return undefined;
    this.#failures.clear();
    this.#shortLives.clear();
    if (mode.openSince !== undefined) return this.#go({ kind: 'streaming', since: mode.openSince });
    this.#streamlessSince = now;
    this.#attemptsSinceStream = 0;
    return this.#go({ kind: 'connecting', since: now });
  }

  /** The mode with its whole type, where a method has narrowed it before. */
  #reading(): { readonly mode: Mode } {
    return { mode: this.#mode };
  }

  #go(mode: Mode, failures = 0, from: Mode['kind'] = this.#mode.kind): Transition {
    this.#mode = mode;
    return { from, to: mode.kind, failures, ...('reason' in mode && { reason: mode.reason }) };
  }

  #failed(now: number, short: boolean, from: Mode['kind']): Transition | undefined {
    this.#failures.add(now, { at: now, short });
    this.#attemptsSinceStream++;
    const counted = this.#failures.at(now);
    if (counted.length < this.#settings.auto.connect_failure_threshold) return this.#tooSlow(now);
    const shorts = counted.filter((failure) => failure.short).length;
    const reason = shorts > counted.length / 2 ? 'stream_flapping' : 'connect_failure_budget';
    return this.#blame(now, reason, counted.length, from);
  }

  /** Time-outs may be so long that a budget is never spent: a whole window without a stream is enough. */
  #tooSlow(now: number): Transition | undefined {
    const streamless = now - (this.#streamlessSince ?? now);
    if (streamless < this.#settings.auto.connect_failure_window || this.#attemptsSinceStream < 2) return undefined;
    return this.#blame(now, 'connect_failure_budget', this.#attemptsSinceStream, this.#mode.kind);
  }

  #blame(now: number, reason: DowngradeReason, failures: number, from: Mode['kind']): Transition | undefined {
    if (!this.#incident || this.#settings.mode !== 'auto') return this.#downgrade(now, reason, failures, from);
    if (this.#mode.kind === 'held') return undefined;
    return this.#go({ kind: 'held', reason, since: now, openSince: undefined }, failures, from);
  }

  #downgrade(now: number, reason: DowngradeReason, failures: number, from: Mode['kind']): Transition | undefined {
    if (this.#settings.mode !== 'auto') return undefined;
    const relapsed = this.#returnedAt !== undefined && now - this.#returnedAt < RELAPSE_MS;
    this.#failedTrials = relapsed ? this.#failedTrials + 1 : 0;
    this.#failures.clear();
    this.#shortLives.clear();
    this.#unsupported = 0;
    this.#nextIn = undefined;
    this.#downgradedAt = now;
    return this.#go({ kind: 'polling', reason, since: now }, failures, from);
  }

  #confirmTrial(now: number): Transition | undefined {
    if (this.#mode.kind !== 'trial' || !this.#trialSurvived) return undefined;
    if (this.#mode.reason === 'silent_stream' && !this.#trialTold) return undefined;
    this.#returnedAt = now;
    return this.#go({ kind: 'streaming', since: this.#mode.since });
  }

  #trialFailed(): Transition | undefined {
    if (this.#mode.kind !== 'trial' && this.#mode.kind !== 'polling') return undefined;
    this.#failedTrials++;
    const { kind, reason } = this.#mode;
    this.#mode = { kind: 'polling', reason, since: this.#downgradedAt };
    return kind === 'trial' ? { from: kind, to: 'polling', reason, failures: 0 } : undefined;
  }
}

function isExplainedByIncident(reason: DowngradeReason): boolean {
  return reason === 'connect_failure_budget' || reason === 'stream_flapping';
}
