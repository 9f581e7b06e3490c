import type { BatchObservableResult, Histogram, Meter, Observable } from '@opentelemetry/api';
import type { MetricDoc } from '../../component/metric-doc.ts';
import { RUN_SECONDS, type SchedulerSnapshot } from '../../component/scheduler.ts';
import { observe, RUN_DURATION, RUN_LAG, SCHEDULER_METRICS } from '../../component/scheduler-metrics.ts';

/** The metrics of the scheduler in the agent's own meter, computed at collection. */
export class Instruments {
  readonly duration: Histogram;
  readonly lag: Histogram;
  readonly #meter: Meter;
  readonly #observed = new Map<string, Observable>();
  readonly #read: (result: BatchObservableResult) => void;

  constructor(meter: Meter, snapshot: () => SchedulerSnapshot) {
    this.#meter = meter;
    this.duration = histogram(meter, RUN_DURATION);
    this.lag = histogram(meter, RUN_LAG);
    for (const doc of SCHEDULER_METRICS) if (doc.kind !== 'histogram') this.#observed.set(doc.name, make(meter, doc));
    this.#read = (result) => {
      for (const { doc, points } of observe(snapshot()).numbers)
        for (const { value, attributes } of points) result.observe(this.#observed.get(doc.name)!, value, attributes);
    };
  }

  start(): void {
    this.#meter.addBatchObservableCallback(this.#read, [...this.#observed.values()]);
  }

  stop(): void {
    this.#meter.removeBatchObservableCallback(this.#read, [...this.#observed.values()]);
  }
}

function histogram(meter: Meter, { name, unit, description }: MetricDoc): Histogram {
  return meter.createHistogram(name, {
    ...{ unit, description, advice: { explicitBucketBoundaries: [...RUN_SECONDS] } },
  });
}

function make(meter: Meter, { name, kind, unit, description }: MetricDoc): Observable {
  const options = { unit, description };
  if (kind === 'counter') return meter.createObservableCounter(name, options);
  if (kind === 'updown') return meter.createObservableUpDownCounter(name, options);
  return meter.createObservableGauge(name, options);
}
