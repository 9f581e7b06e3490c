import type { Attributes, Meter } from '@opentelemetry/api';
import type { MetricDoc } from '../../src/component/metric-doc.ts';
import { RUN_SECONDS } from '../../src/component/scheduler.ts';

const metric =
  (kind: MetricDoc['kind']) =>
  (name: string, unit: string, description: string, attributes: readonly string[] = []): MetricDoc => ({
    ...{ name, unit, description, attributes, kind },
  });
const counter = metric('counter');
const histogram = metric('histogram');
const gauge = metric('gauge');

/** What the receiver counts; attribute `receiver`, and with `per_endpoint_metrics` also `redfish.endpoint`. */
export const METRICS = {
  transitions: counter('outband.bmc.mode_transitions', '{transition}', 'Changes of the way an endpoint is read.', [
    ...['from', 'to', 'reason'],
  ]),
  connects: counter('outband.bmc.stream_connects', '{attempt}', 'Attempts to open a stream.', [
    ...['outcome', 'error.type', 'vendor'],
  ]),
  ends: counter('outband.bmc.stream_ends', '{stream}', 'Streams that ended.', ['cause', 'vendor']),
  lifetime: histogram('outband.bmc.stream_lifetime', 's', 'How long streams lived.', ['cause', 'vendor']),
  trials: counter('outband.bmc.trials', '{trial}', 'Trial streams next to polling.', ['outcome', 'trigger']),
  requests: counter('outband.bmc.requests', '{request}', 'Requests, by class of status.', ['status', 'vendor']),
  requestDuration: histogram('outband.bmc.request_duration', 's', 'Time to the headers of the answer.', [
    ...['status', 'vendor'],
  ]),
  polls: counter('outband.bmc.polls', '{poll}', 'Reads of the logs of one endpoint.', [
    ...['outcome', 'read_reason', 'vendor'],
  ]),
  pollDuration: histogram('outband.bmc.poll_duration', 's', 'Time for one read of the logs of one endpoint.', [
    ...['outcome', 'read_reason', 'vendor'],
  ]),
  entries: counter(
    'outband.bmc.entries',
    '{entry}',
    'Entries and events that were looked at, and what became of them.',
    ['result', 'reason', 'transport'],
  ),
  decodeErrors: counter('outband.bmc.decode_errors', '{error}', 'What a BMC sent and nobody can read.', ['stage']),
  scraperErrors: {
    ...counter('otelcol_scraper_errored_log_records', '{record}', 'Entries of logs that no record could be made of.', [
      'scraper',
    ]),
    level: 'normal',
  },
  resets: counter('outband.bmc.log_resets', '{reset}', 'Logs that did not just go on.', ['kind']),
  gapEntries: counter('outband.bmc.gap_entries', '{entry}', 'Entries that a stream missed, and a read brought.', [
    'read_reason',
  ]),
  limits: counter('outband.bmc.limits_hit', '{limit}', 'Fixed limits that were reached.', ['limit']),
  refusedLinks: counter('outband.bmc.refused_links', '{link}', 'Links that lead away from their BMC; not followed.'),
  lag: histogram('outband.bmc.event_lag', 's', 'From the time of an event to its observation, where clocks allow.', [
    'transport',
  ]),
  endpoints: gauge('outband.bmc.endpoints', '{endpoint}', 'Endpoints by what they do now.', [
    ...['mode', 'reason', 'vendor'],
  ]),
  sessions: gauge('outband.bmc.sessions', '{session}', 'Open Redfish sessions.'),
  authHolds: gauge('outband.bmc.auth_holds', '{endpoint}', 'Endpoints whose account is left alone.'),
  incident: gauge('outband.bmc.fleet_incident', '1', '1 while downgrades are held because most of the fleet fails.'),
  discoveryAge: gauge('outband.bmc.discovery_age', 's', 'Time since a source of endpoints was last read.', ['source']),
} as const satisfies Record<string, MetricDoc>;

/** Everything that is shown at the moment of a collection. */
export interface Gauges {
  endpoints(): Iterable<{
    readonly mode: string;
    readonly reason: string;
    readonly vendor: string;
    readonly session: boolean;
    readonly held: boolean;
  }>;
  isIncident(): boolean;
  /** Milliseconds since each kind of source was last read. */
  discoveryAges(): ReadonlyMap<string, number>;
}

type Name = keyof typeof METRICS;
/** Adds to a counter or a histogram. */
export type Instruments = (name: Name, value: number, attributes?: Attributes) => void;

/** Makes the instruments of one receiver. */
export function bmcInstruments(meter: Meter, receiver: string, gauges: Gauges): Instruments {
  const adders = new Map<string, (value: number, attributes: Attributes) => void>();
  for (const [name, doc] of Object.entries<MetricDoc>(METRICS)) {
    if (doc.kind === 'counter') {
      const instrument = meter.createCounter(doc.name, doc);
      adders.set(name, (value, attributes) => instrument.add(value, attributes));
    } else if (doc.kind === 'histogram') {
      const advice = { explicitBucketBoundaries: [...RUN_SECONDS] };
      const instrument = meter.createHistogram(doc.name, { ...doc, advice });
      adders.set(name, (value, attributes) => instrument.record(value, attributes));
    }
  }
  const observe = (name: Name, values: () => Iterable<readonly [number, Attributes?]>) =>
    meter.createObservableGauge(METRICS[name].name, METRICS[name]).addCallback((result) => {
      for (const [value, attributes] of values()) result.observe(value, { receiver, ...attributes });
    });
  // A group that is empty now is shown as 0: what is not observed keeps its last value. There are few.
  const counts = new Map<string, [number, Attributes]>();
  observe('endpoints', () => {
    for (const [key, [, attributes]] of counts) counts.set(key, [0, attributes]);
    for (const { mode, reason, vendor } of gauges.endpoints()) {
      const key = `${mode} ${reason} ${vendor}`;
      const [count] = counts.get(key) ?? [0];
      counts.set(key, [count + 1, { mode, reason, vendor }]);
    }
    return counts.values();
  });
  const count = (what: 'session' | 'held') => [...gauges.endpoints()].filter((endpoint) => endpoint[what]).length;
  observe('sessions', () => [[count('session')]]);
  observe('authHolds', () => [[count('held')]]);
  observe('incident', () => [[gauges.isIncident() ? 1 : 0]]);
  observe('discoveryAge', () => [...gauges.discoveryAges()].map(([source, ms]) => [ms / 1_000, { source }]));
  return (name, value, attributes = {}) => adders.get(name)!(value, { receiver, ...attributes });
}

/** Makers that have a series of their own, by a word in what the BMC calls itself. */
const VENDORS = [
  ...['dell', 'hpe', 'lenovo', 'supermicro', 'nvidia', 'openbmc', 'ami', 'cisco', 'fujitsu', 'huawei', 'inspur'],
  ...['intel', 'ibm', 'gigabyte', 'quanta', 'asus'],
] as const;

/** One of sixteen, else `other`: series must not grow with what BMCs call themselves. */
export function vendorLabel(vendor: string | undefined): string {
  const text = vendor?.toLowerCase() ?? '';
  if (/hewlett/.test(text)) return 'hpe';
  if (/american megatrends/.test(text)) return 'ami';
  return VENDORS.find((one) => new RegExp(`\\b${one}\\b`).test(text)) ?? 'other';
}
