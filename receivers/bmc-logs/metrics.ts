import type { MetricDoc } from '../../src/component/metric-doc.ts';

const counter = (name: string, unit: string, description: string, attributes: readonly string[]): MetricDoc => ({
  ...{ name, unit, description, attributes, kind: 'counter' },
});

/** What the receiver counts; attribute `receiver`. */
export const METRICS = {
  accepted: counter('otelcol_receiver_accepted_log_records', '{record}', 'Records that the pipeline took.', [
    'transport',
  ]),
  refused: counter(
    'otelcol_receiver_refused_log_records',
    '{record}',
    'Records that the pipeline will never take; the position moved on.',
    ['transport'],
  ),
  transitions: counter('outband.bmc.mode_transitions', '{transition}', 'Changes of the way an endpoint is read.', [
    ...['from', 'to', 'reason'],
  ]),
  connects: counter('outband.bmc.stream_connects', '{attempt}', 'Attempts to open a stream.', [
    'outcome',
    'error.type',
  ]),
  ends: counter('outband.bmc.stream_ends', '{stream}', 'Streams that ended.', ['cause']),
  trials: counter('outband.bmc.trials', '{trial}', 'Trial streams next to polling.', ['outcome']),
  requests: counter('outband.bmc.requests', '{request}', 'GETs, by class of status.', ['status']),
  polls: counter('outband.bmc.polls', '{poll}', 'Reads of the logs of one endpoint.', ['outcome']),
  entries: counter(
    'outband.bmc.entries',
    '{entry}',
    'Entries and events that were looked at, and what became of them.',
    [...['result', 'reason', 'transport']],
  ),
  decodeErrors: counter('outband.bmc.decode_errors', '{error}', 'What a stream sent and nobody can read.', ['stage']),
  limits: counter('outband.bmc.limits_hit', '{limit}', 'Fixed limits that were reached.', ['limit']),
  refusedLinks: counter(
    'outband.bmc.refused_links',
    '{link}',
    'Links that lead away from their BMC; not followed.',
    [],
  ),
  endpoints: {
    name: 'outband.bmc.endpoints',
    kind: 'gauge',
    unit: '{endpoint}',
    description: 'Endpoints by what they do now.',
    attributes: ['mode', 'reason'],
  },
} as const satisfies Record<string, MetricDoc>;
