import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { MOST_SERIES, temporalityOf } from '../platform/own-metrics.ts';

type Labels = Readonly<Record<string, unknown>>;

class TestReader extends MetricReader {
  constructor() {
    super({ aggregationTemporalitySelector: temporalityOf, cardinalitySelector: () => MOST_SERIES });
  }
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

export interface TestMetrics {
  readonly reader: MetricReader;
  /** Sum of a metric over all label sets that contain these labels. */
  value(name: string, labels?: Labels): Promise<number>;
  /** The values of an attribute that a metric has. */
  labelsOf(name: string, label: string): Promise<readonly unknown[]>;
}

/** Reads what instruments say. */
export function testMetrics(): TestMetrics & { readonly provider: MeterProvider } {
  const reader = new TestReader();
  return { provider: new MeterProvider({ readers: [reader] }), ...readingsOf(reader) };
}

/** @param reader given to the provider whose instruments are read */
export function readingsOf(reader: MetricReader = new TestReader()): TestMetrics {
  const points = async (name: string) => {
    const { resourceMetrics } = await reader.collect();
    return resourceMetrics.scopeMetrics
      .flatMap((scope) => scope.metrics)
      .filter((metric) => metric.descriptor.name === name)
      .flatMap((metric) => metric.dataPoints as { attributes: Record<string, unknown>; value: number }[]);
  };
  return {
    reader,
    async value(name, labels = {}) {
      return (await points(name))
        .filter(({ attributes }) => Object.entries(labels).every(([key, value]) => attributes[key] === value))
        .reduce((sum, { value }) => sum + value, 0);
    },
    async labelsOf(name, label) {
      return [...new Set((await points(name)).map(({ attributes }) => attributes[label]))];
    },
  };
}

/** Where records are, of all exporters of a signal. */
export interface Books {
  readonly recovered: number;
  readonly accepted: number;
  readonly sent: number;
  readonly queued: number;
  readonly inFlight: number;
  readonly deadLettered: number;
  readonly dropped: number;
}

/** Reads the books. @throws when they do not balance: `recovered + accepted = sent + queued + in_flight + dead_lettered + dropped` */
export async function balancedBooks({ value }: Pick<TestMetrics, 'value'>, exporter: string): Promise<Books> {
  const read = (name: string) => value(`otelcol_exporter_${name}_log_records`, { exporter });
  const books = {
    recovered: await read('recovered'),
    accepted: await read('accepted'),
    sent: await read('sent'),
    queued: await read('queued'),
    inFlight: await read('in_flight'),
    deadLettered: await value('otelcol_dlq_size', { exporter }),
    dropped: await read('dropped'),
  };
  const { recovered, accepted, sent, queued, inFlight, deadLettered, dropped } = books;
  if (recovered + accepted !== sent + queued + inFlight + deadLettered + dropped)
    throw new Error(`the books do not balance: ${JSON.stringify(books)}`);
  return books;
}
