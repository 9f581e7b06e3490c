import type { Attributes } from '@opentelemetry/api';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { Logger } from '../../src/component/component.ts';
import { OutbandError } from '../../src/component/errors.ts';
import { publicMessage } from '../../src/component/public-message.ts';
import { formatDuration } from '../../src/config/schema/values.ts';
import type { ConnectErrorType } from './classify-connect.ts';
import type { AuthSettings } from './endpoint-settings.ts';
import type { ReadReason } from './log-reader.ts';
import type { LogReset } from './logs/cursor.ts';
import { type Instruments, vendorLabel } from './metrics.ts';
import type { Mode, Transition } from './mode-machine.ts';
import type { StreamEnd } from './stream/event-stream.ts';

/** Result of looking at one entry or event. */
export type EntryResult =
  | 'emitted'
  | 'updated'
  | { readonly deduplicated: 'stream_join' | 'replay' | 'cross_log' }
  | { readonly skipped: 'initial_history' | 'reworded' | 'heartbeat' | 'metric_report' | 'imported' };

export type PollOutcome = 'success' | 'partial' | 'failure';
export type TrialTrigger = 'interval' | 'firmware' | 'operator';

/** What a transition is told with. */
export interface TransitionContext {
  readonly lastError: string;
  /** Milliseconds; undefined: never. */
  readonly nextTrialIn: number | undefined;
  /** Length of the window in which failures count, in milliseconds. */
  readonly window: number;
}

/** Everything that can happen to one endpoint: log line, counter and what the view shows are written in the same place. */
export class EndpointEvents {
  /** What happened so far, for the view. */
  readonly counters = {
    ...{ connects: 0, connectFailures: 0, streams: 0, trials: 0, polls: 0, failedPolls: 0, requests: 0 },
    ...{
      accepted: 0,
      refused: 0,
      duplicates: 0,
      gapEntries: 0,
      decodeErrors: 0,
      limits: 0,
      refusedLinks: 0,
      resets: 0,
    },
  };
  readonly #endpoint: string;
  readonly #logger: Logger;
  readonly #add: Instruments;
  /** Of all its metrics: the endpoint's name, where that is wanted. */
  readonly labels: Readonly<Record<string, string>>;
  readonly #warned = new Set<string>();
  #vendor = vendorLabel(undefined);
  /** State of the last poll that was told, so that a lasting fault is one line and not one per poll. */
  #lastPoll = '';

  /** @param perEndpoint metrics name the endpoint */
  constructor(endpoint: string, logger: Logger, add: Instruments, perEndpoint: boolean) {
    this.#endpoint = endpoint;
    this.#logger = logger;
    this.#add = add;
    this.labels = perEndpoint ? { 'redfish.endpoint': endpoint } : {};
  }

  /** One of a closed list. */
  get vendor(): string {
    return this.#vendor;
  }

  knowsVendor(vendor: string | undefined): void {
    this.#vendor = vendorLabel(vendor);
  }

  transition({ from, to, reason, failures }: Transition, context: TransitionContext): void {
    this.#count('transitions', { from, to, reason: reason ?? '' });
    const endpoint = this.#endpoint;
    if (from === 'trial' && to === 'streaming') this.#logger.info('log stream restored', { endpoint });
    if (to !== 'polling' || from === 'trial') return;
    const { nextTrialIn, window, lastError } = context;
    this.#logger.warn('log stream downgraded to polling', {
      endpoint,
      reason,
      failures,
      window: formatDuration(window),
      last_error: publicMessage(lastError),
      next_trial: nextTrialIn === undefined ? 'never' : roughly(nextTrialIn),
    });
  }

  /** A restart goes on with a decision of before. */
  staysDowngraded(mode: Mode, nextTrialIn: number | undefined): void {
    this.#logger.info('log stream stays downgraded to polling', {
      endpoint: this.#endpoint,
      reason: 'reason' in mode ? mode.reason : '',
      next_trial: nextTrialIn === undefined ? 'never' : roughly(nextTrialIn),
    });
  }

  connect(outcome: 'opened' | 'unsupported' | 'failure', type?: ConnectErrorType | 'short_stream'): void {
    // A stream that ended too soon was an attempt when it was opened.
    if (type !== 'short_stream') this.counters.connects++;
    if (outcome !== 'opened') this.counters.connectFailures++;
    const errorType = type ?? (outcome === 'unsupported' ? outcome : undefined);
    this.#count('connects', { outcome, ...(errorType && { 'error.type': errorType }), vendor: this.#vendor });
  }

  streamEnded(cause: StreamEnd | 'error', lifetimeMs: number): void {
    this.counters.streams++;
    const attributes = { cause, vendor: this.#vendor };
    this.#count('ends', attributes);
    this.#add('lifetime', lifetimeMs / 1_000, { ...attributes, ...this.labels });
    const lifetime = `${Math.round(lifetimeMs / 1_000)}s`;
    this.#logger.debug('log stream ended', { endpoint: this.#endpoint, cause, lifetime });
    if (cause === 'size') this.limit('sse_event');
  }

  /** The stream is open and tells nothing of what is in the logs; in mode `sse` it is opened anew. */
  silentStream(): void {
    this.#logger.warn('the log stream is silent; it is opened anew', { endpoint: this.#endpoint });
  }

  trial(outcome: 'confirmed' | 'failed', trigger: TrialTrigger, why = ''): void {
    this.counters.trials++;
    this.#count('trials', { outcome, trigger });
    if (outcome === 'confirmed') return;
    const error = publicMessage(why);
    this.#logger.debug('trial stream failed; polling goes on', { endpoint: this.#endpoint, error });
  }

  request(status: number | 'error', durationMs: number): void {
    this.counters.requests++;
    const attributes = {
      status: status === 'error' ? status : `${Math.floor(status / 100)}xx`,
      vendor: this.#vendor,
    };
    this.#count('requests', attributes);
    this.#add('requestDuration', durationMs / 1_000, { ...attributes, ...this.labels });
  }

  poll(outcome: PollOutcome, reason: ReadReason, error: unknown, durationMs: number): void {
    this.counters.polls++;
    if (outcome === 'failure') this.counters.failedPolls++;
    const attributes = { outcome, read_reason: reason, vendor: this.#vendor };
    this.#count('polls', attributes);
    this.#add('pollDuration', durationMs / 1_000, { ...attributes, ...this.labels });
    const endpoint = this.#endpoint;
    this.#logger.debug('logs read', { endpoint, outcome, duration: `${Math.round(durationMs)}ms` });
    const state = outcome === 'success' ? '' : `${outcome} ${error instanceof OutbandError ? error.code : ''}`;
    if (state === this.#lastPoll) return;
    this.#lastPoll = state;
    if (state === '') this.#logger.info('logs are read again', { endpoint });
    else {
      const message = outcome === 'partial' ? 'a part of the logs cannot be read' : 'the logs cannot be read';
      this.#logger.warn(message, { endpoint, error });
    }
  }

  /** New entries that a read beside an open stream has brought. */
  gapEntries(entries: number, reason: ReadReason): void {
    if (entries === 0) return;
    this.counters.gapEntries += entries;
    this.#add('gapEntries', entries, { read_reason: reason, ...this.labels });
  }

  entry(result: EntryResult, transport: 'poll' | 'sse'): void {
    const [name, reason] = typeof result === 'string' ? [result, ''] : Object.entries(result)[0]!;
    if (name === 'deduplicated') this.counters.duplicates++;
    this.#count('entries', { result: name, reason, transport });
  }

  /** What a read of a log came upon and could not make a record of. */
  unreadableEntries(count: number): void {
    this.counters.decodeErrors += count;
    this.#add('decodeErrors', count, { stage: 'entry', ...this.labels });
    this.#add('scraperErrors', count, { scraper: 'poll', ...this.labels });
    this.#warnOnce('entry', 'a log holds entries that cannot be read', { entries: count });
  }

  decodeError(stage: 'sse' | 'json' | 'event' | 'reference', error: string): void {
    this.counters.decodeErrors++;
    this.#count('decodeErrors', { stage });
    this.#warnOnce(stage, 'the stream sent something that cannot be read', { stage, error });
  }

  /** A log did not just go on. */
  logReset(service: string, reset: LogReset | { readonly kind: 'clock_jump' } | { readonly kind: 'replaced' }): void {
    this.counters.resets++;
    this.#count('resets', { kind: reset.kind });
    const fields = { endpoint: this.#endpoint, service };
    if (reset.kind === 'overrun')
      this.#logger.warn('a log turned over between two reads; entries were lost before they could be read', {
        ...fields,
        missed: reset.missed ?? 'unknown',
      });
    else if (reset.kind === 'replaced')
      this.#logger.warn('another BMC answers at this address; its logs are read as new', { endpoint: this.#endpoint });
    else if (reset.kind === 'clock_jump')
      this.#logger.info('a log has entries of an earlier time: a clock was set', fields);
    else this.#logger.info('a log began anew', { ...fields, kind: reset.kind });
  }

  limit(limit: string): void {
    this.counters.limits++;
    this.#count('limits', { limit });
    this.#warnOnce(limit, 'a limit was reached while reading a log', { limit });
  }

  refusedLink(error: Error): void {
    this.counters.refusedLinks++;
    this.#count('refusedLinks', {});
    this.#warnOnce('link', 'a link of the BMC was not followed', { error });
  }

  /** Logins were rejected; the account is left alone. @param untilMs since the epoch */
  held(untilMs: number, auth: AuthSettings | undefined): void {
    const { username, password_file, authenticator } = auth ?? {};
    const where = authenticator ?? (password_file === undefined ? 'auth::password' : password_file);
    this.#logger.error('logins are rejected; the account is left alone for a while', {
      endpoint: this.#endpoint,
      until: new Date(untilMs).toISOString(),
      username,
      error: new OutbandError('auth_hold', `the BMC answered 401 to the account of ${where}`),
    });
  }

  /** The account is another one. */
  lifted(): void {
    this.#logger.info('the account was changed; it is tried again', { endpoint: this.#endpoint });
  }

  /** The pipeline took records, or will never take them. */
  delivered(transport: 'poll' | 'sse', outcome: 'accepted' | 'refused', records: readonly ReadableLogRecord[]): void {
    this.counters[outcome] += records.length;
    if (outcome === 'refused') return;
    for (const { hrTime, hrTimeObserved, attributes } of records) {
      const seconds = hrTimeObserved[0] - hrTime[0] + (hrTimeObserved[1] - hrTime[1]) / 1e9;
      if (hrTime[0] > 0 && seconds >= 0 && attributes['redfish.history'] !== true)
        this.#add('lag', seconds, { transport, ...this.labels });
    }
  }

  #count(name: Parameters<Instruments>[0], attributes: Attributes): void {
    this.#add(name, 1, { ...attributes, ...this.labels });
  }

  #warnOnce(key: string, message: string, fields: Record<string, unknown>): void {
    if (this.#warned.has(key)) return;
    this.#warned.add(key);
    this.#logger.warn(message, { endpoint: this.#endpoint, ...fields });
  }
}

/** `35m`, `2.0h`, `500ms`: a time that is random anyway, to two figures. */
function roughly(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 120_000) return `${Math.round(ms / 1_000)}s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)}m` : `${(ms / 3_600_000).toFixed(1)}h`;
}
