import type { Meter, Observable } from '@opentelemetry/api';

/** A meter whose callbacks can be taken back: a component that is replaced must not be asked for its numbers any more. */
export interface TrackedMeter {
  readonly meter: Meter;
  /** Takes back every callback that was added through it. */
  release(): void;
}

export function trackMeter(meter: Meter): TrackedMeter {
  const releases: (() => void)[] = [];
  /** The library wants its own objects back, so they are not wrapped. */
  const track = <Instrument extends Observable>(instrument: Instrument): Instrument => {
    const add = instrument.addCallback.bind(instrument);
    instrument.addCallback = (callback) => {
      add(callback);
      releases.push(() => instrument.removeCallback(callback));
    };
    return instrument;
  };
  return {
    meter: {
      createGauge: (name, options) => meter.createGauge(name, options),
      createHistogram: (name, options) => meter.createHistogram(name, options),
      createCounter: (name, options) => meter.createCounter(name, options),
      createUpDownCounter: (name, options) => meter.createUpDownCounter(name, options),
      createObservableGauge: (name, options) => track(meter.createObservableGauge(name, options)),
      createObservableCounter: (name, options) => track(meter.createObservableCounter(name, options)),
      createObservableUpDownCounter: (name, options) => track(meter.createObservableUpDownCounter(name, options)),
      addBatchObservableCallback: (callback, observables) => {
        meter.addBatchObservableCallback(callback, observables);
        releases.push(() => meter.removeBatchObservableCallback(callback, observables));
      },
      removeBatchObservableCallback: (callback, observables) =>
        meter.removeBatchObservableCallback(callback, observables),
    },
    release: () => {
      for (const release of releases.splice(0)) release();
    },
  };
}
