import type { Attributes, Meter } from '@opentelemetry/api';
import type { MetricDoc } from '../../src/component/metric-doc.ts';
import { RUN_SECONDS } from '../../src/component/scheduler.ts';

/** Before the name of every metric of the receiver. */
export const METRIC_PREFIX = 'outband.attestation.';

const metric =
  (kind: MetricDoc['kind']) =>
  (name: string, unit: string, description: string, attributes: readonly string[] = ['pool']): MetricDoc => ({
    ...{ name: METRIC_PREFIX + name, unit, description, attributes, kind },
  });
const counter = metric('counter');
const histogram = metric('histogram');
const gauge = metric('gauge');

/** What the receiver counts; attribute `receiver` beside those listed. Values come from closed lists, but for pool names. */
export const METRICS = {
  cycles: counter('discovery.cycles', '{cycle}', 'Discovery cycles.', ['pool', 'kind', 'result']),
  probes: counter('discovery.probes', '{probe}', 'Probes, one connection each.', ['pool', 'outcome', 'algo']),
  failures: counter('discovery.failures', '{probe}', 'Probes without a proven key, by where they ended.', [
    ...['pool', 'category', 'stage'],
  ]),
  added: counter('pins.added', '{pin}', 'Keys that were pinned.'),
  evicted: counter('pins.evicted', '{pin}', 'Keys that are pinned no more.', ['pool', 'reason']),
  rejected: counter(
    'handshake.rejected',
    '{handshake}',
    'Keys that clients met unpinned, and connections without a key of their own.',
    [...['pool', 'reason']],
  ),
  mismatch: counter('peer_report_mismatch', '{probe}', 'Reports that name another key than their peer presented.'),
  candidatesRefused: counter('candidates.refused', '{candidate}', 'Reported keys that nobody looks for: too many are.'),
  pinned: gauge('pool.pinned', '{backend}', 'Backends behind the pins.'),
  declared: gauge('pool.declared', '{backend}', 'Backends that there are, where somebody says so.'),
  estimated: gauge('pool.estimated', '{backend}', 'Backends that there are, by what was seen once and twice.'),
  effectiveSize: gauge('pool.effective_size', '{backend}', 'Equally loaded backends that would repeat as often.'),
  candidates: gauge('pool.candidates', '{backend}', 'Keys that clients met and no probe has reached yet.'),
  coverageRatio: gauge('pool.coverage_ratio', '1', 'Pinned backends by those declared.'),
  unseenMassUpper: gauge('pool.unseen_mass_upper', '1', 'Share of the calls that unpinned backends get at most.'),
  stallP: gauge('pool.stall_p', '1', 'How likely so many draws without anything new are.'),
  stalled: gauge('pool.stalled', '1', '1 while discovery stands still although something is missing.'),
  blocked: gauge('pool.blocked', '1', '1 while nothing is pinned after a cycle.'),
  balance: gauge('pool.balance', '1', '1 for what the balancer does.', ['pool', 'verdict']),
  coverage: gauge('pool.coverage', '1', '1 for how sure it is that the pins are all there are.', ['pool', 'coverage']),
  lastCycleAge: gauge('last_cycle.age', 's', 'Time since a cycle ended.'),
  lastNewAge: gauge('last_new_fingerprint.age', 's', 'Time since a key was pinned.'),
  lastCompleteAge: gauge('last_complete.age', 's', 'Time since the pool was complete.'),
  oldestVerifiedAge: gauge('pin.oldest_verified_age', 's', 'Time since the pin was proven where that is longest ago.'),
  minCertTtl: gauge('pin.min_cert_ttl', 's', 'Time to the first end of a pinned certificate.'),
  collateralTtl: gauge('collateral.min_ttl', 's', 'Time to the first expiry of what quotes are judged by.', []),
  sourceAge: gauge('source.age', 's', 'Time since a source of models was read.', ['source']),
  sourceModels: gauge('sources.models', '{model}', 'Models that a source names.', ['source']),
  probeDuration: histogram('probe.duration', 's', 'Time for one probe.'),
  cycleDuration: histogram('cycle.duration', 's', 'Time for one cycle.'),
  verifyDuration: histogram('verify.duration', 's', 'Time for one stage of a verification.', ['stage']),
  dropped: counter('records.dropped', '{record}', 'Records that will never be sent.', ['reason']),
  poolsSkipped: gauge('pools.skipped', '{pool}', 'Pools that are beyond `max_pools` or have a name that is taken.', []),
} as const satisfies Record<string, MetricDoc>;

/** Boundaries of the buckets; a stage of a verification may take a millisecond. */
const SECONDS = [0.001, ...RUN_SECONDS];

type Name = keyof typeof METRICS;
/** A value that is shown when metrics are read. */
export type Reading = readonly [Name, number, Attributes?];
/** Adds to a counter or a histogram. */
export type Instruments = (name: Name, value: number, attributes?: Attributes) => void;

/** Makes the instruments of one receiver. @param read gives all gauges; what has no value has no reading */
export function attestationInstruments(meter: Meter, receiver: string, read: () => Iterable<Reading>): Instruments {
  const adders = new Map<string, (value: number, attributes: Attributes) => void>();
  const gauges = new Map<Name, ReturnType<Meter['createObservableGauge']>>();
  for (const [name, doc] of Object.entries<MetricDoc>(METRICS)) {
    if (doc.kind === 'counter') {
      const instrument = meter.createCounter(doc.name, doc);
      adders.set(name, (value, attributes) => instrument.add(value, attributes));
    } else if (doc.kind === 'histogram') {
      const instrument = meter.createHistogram(doc.name, { ...doc, advice: { explicitBucketBoundaries: SECONDS } });
      adders.set(name, (value, attributes) => instrument.record(value, attributes));
    } else gauges.set(name as Name, meter.createObservableGauge(doc.name, doc));
  }
  meter.addBatchObservableCallback(
    (result) => {
      for (const [name, value, attributes] of read())
        result.observe(gauges.get(name)!, value, { receiver, ...attributes });
    },
    [...gauges.values()],
  );
  return (name, value, attributes = {}) => adders.get(name)!(value, { receiver, ...attributes });
}
