import type { Attributes, Meter } from '@opentelemetry/api';
import type { Logger } from '../../src/component/component.ts';
import { OutbandError } from '../../src/component/errors.ts';
import type { MetricDoc } from '../../src/component/metric-doc.ts';
import type { ConnectErrorType } from './classify-connect.ts';
import { METRICS } from './metrics.ts';
import type { Mode, Transition } from './mode-machine.ts';
import type { StreamEnd } from './stream/event-stream.ts';

/** Result of looking at one entry or event. */
export type EntryResult =
  | 'emitted'
  | 'updated'
  | { readonly deduplicated: 'stream_join' | 'replay' }
  | { readonly skipped: 'initial_history' };

/** Everything that can happen to an endpoint: the log line and the counter are written in the same place. */
export interface BmcEvents {
  transition(endpoint: string, transition: Transition, lastError: string, nextTrialMs: number | undefined): void;
  connect(outcome: 'opened' | 'unsupported' | 'failure', type?: ConnectErrorType): void;
  streamEnded(endpoint: string, cause: StreamEnd | 'error', lifetimeMs: number): void;
  trialFailed(endpoint: string, why: string): void;
  request(status: number | 'error'): void;
  poll(endpoint: string, outcome: 'success' | 'partial' | 'failure', error: unknown, durationMs: number): void;
  entry(result: EntryResult, transport: 'poll' | 'sse'): void;
  decodeError(endpoint: string, stage: 'event' | 'reference', error: string): void;
  limit(endpoint: string, limit: string): void;
  refusedLink(endpoint: string, error: Error): void;
  /** Heartbeats and metric reports: read, and not sent. */
  passedOver(kind: 'heartbeat' | 'metric_report'): void;
  /** Records that the pipeline took, or will never take. */
  delivered(transport: 'poll' | 'sse', outcome: 'accepted' | 'refused', records: number): void;
}

export interface BmcEventsOptions {
  readonly receiver: string;
  readonly meter: Meter;
  readonly logger: Logger;
  /** Of all endpoints, asked at every collection. */
  readonly modes: () => Iterable<Mode>;
  /** Length of the window in which failures count. */
  readonly windowMs: number;
}

export function bmcEvents({ receiver, meter, logger, modes, windowMs }: BmcEventsOptions): BmcEvents {
  const counter = (doc: MetricDoc) => {
    const instrument = meter.createCounter(doc.name, doc);
    return (value: number, attributes: Attributes = {}) => instrument.add(value, { receiver, ...attributes });
  };
  const accepted = counter(METRICS.accepted);
  const refused = counter(METRICS.refused);
  const transitions = counter(METRICS.transitions);
  const connects = counter(METRICS.connects);
  const ends = counter(METRICS.ends);
  const trials = counter(METRICS.trials);
  const requests = counter(METRICS.requests);
  const polls = counter(METRICS.polls);
  const entries = counter(METRICS.entries);
  const decodeErrors = counter(METRICS.decodeErrors);
  const limits = counter(METRICS.limits);
  const refusedLinks = counter(METRICS.refusedLinks);
  meter.createObservableGauge(METRICS.endpoints.name, METRICS.endpoints).addCallback((result) => {
    const counts = new Map<string, number>();
    for (const mode of modes()) {
      const key = JSON.stringify({ mode: mode.kind, reason: 'reason' in mode ? mode.reason : '' });
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    for (const [key, count] of counts) result.observe(count, { receiver, ...(JSON.parse(key) as Attributes) });
  });

  /** Endpoints whose last poll did not succeed, so that a lasting fault is one line and not one per poll. */
  const failing = new Map<string, string>();
  const warned = new Set<string>();
  const warnOnce = (key: string, message: string, fields: Record<string, unknown>) => {
    if (warned.has(key)) return;
    warned.add(key);
    logger.warn(message, fields);
  };

  return {
    transition(endpoint, { from, to, reason, failures }, lastError, nextTrialMs) {
      transitions(1, { from, to, reason: reason ?? '' });
      if (to !== 'polling') {
        trials(1, { outcome: 'confirmed' });
        logger.info('log stream restored', { endpoint });
        return;
      }
      const nextTrial = nextTrialMs === undefined ? 'never' : duration(nextTrialMs);
      logger.warn('log stream downgraded to polling', {
        endpoint,
        reason,
        failures,
        window: duration(windowMs),
        last_error: lastError,
        next_trial: nextTrial,
      });
    },
    connect: (outcome, type) => connects(1, { outcome, ...(type && { 'error.type': type }) }),
    streamEnded(endpoint, cause, lifetimeMs) {
      ends(1, { cause });
      logger.debug('log stream ended', { endpoint, cause, lifetime: `${Math.round(lifetimeMs / 1_000)}s` });
      if (cause === 'size') limits(1, { limit: 'sse_event' });
    },
    trialFailed(endpoint, why) {
      trials(1, { outcome: 'failed' });
      logger.debug('trial stream failed; polling goes on', { endpoint, error: why });
    },
    request: (status) => requests(1, { status: status === 'error' ? status : `${Math.floor(status / 100)}xx` }),
    poll(endpoint, outcome, error, durationMs) {
      polls(1, { outcome });
      logger.debug('logs read', { endpoint, outcome, duration: `${Math.round(durationMs)}ms` });
      const state = outcome === 'success' ? '' : `${outcome} ${error instanceof OutbandError ? error.code : ''}`;
      if (state === (failing.get(endpoint) ?? '')) return;
      if (state === '') {
        failing.delete(endpoint);
        logger.info('logs are read again', { endpoint });
      } else {
        failing.set(endpoint, state);
        const message = outcome === 'partial' ? 'a part of the logs cannot be read' : 'the logs cannot be read';
        logger.warn(message, { endpoint, error });
      }
    },
    entry(result, transport) {
      const [name, reason] = typeof result === 'string' ? [result, ''] : Object.entries(result)[0]!;
      entries(1, { result: name, reason, transport });
    },
    decodeError(endpoint, stage, error) {
      decodeErrors(1, { stage });
      warnOnce(`${endpoint} ${stage}`, 'the stream sent something that cannot be read', { endpoint, stage, error });
    },
    limit(endpoint, limit) {
      limits(1, { limit });
      warnOnce(`${endpoint} ${limit}`, 'a limit was reached while reading a log', { endpoint, limit });
    },
    refusedLink(endpoint, error) {
      refusedLinks(1);
      warnOnce(`${endpoint} link`, 'a link of the BMC was not followed', { endpoint, error });
    },
    passedOver: (kind) => entries(1, { result: 'passed_over', reason: kind, transport: 'sse' }),
    delivered(transport, outcome, records) {
      (outcome === 'accepted' ? accepted : refused)(records, { transport });
    },
  };
}

/** `35m`, `2h`, `500ms`: as one would write it, to two figures. */
function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 120_000) return `${Math.round(ms / 1_000)}s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)}m` : `${(ms / 3_600_000).toFixed(1)}h`;
}
