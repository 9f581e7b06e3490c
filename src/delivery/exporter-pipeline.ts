import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { Component, Host } from '../component/component.ts';
import type { ConsumeContext, LogsConsumer, MetricsConsumer } from '../component/consumer.ts';
import type { Sender } from '../component/exporter.ts';
import type { Signal } from '../component/factory.ts';
import type { LogBatch } from '../telemetry/log-batch.ts';
import type { DeliverySettings } from './settings.ts';
import { SignalPipeline } from './signal-pipeline.ts';
import { LOGS, METRICS, type SignalKind } from './signals.ts';

export interface ExporterPipelineOptions {
  /** `type[/name]` of the exporter. */
  readonly exporter: string;
  readonly sender: Sender;
  readonly settings: DeliverySettings;
  readonly host: Host;
  /** Signals that pipelines send here; one queue each. */
  readonly signals: readonly Signal[];
}

/** What every exporter gets around its `Sender`: one sender, and for each signal a way of its own. */
export class ExporterPipeline implements Component, LogsConsumer, MetricsConsumer {
  readonly #sender: Sender;
  readonly #host: Host;
  readonly #logs: SignalPipeline<LogBatch, LogBatch['records'][number]> | undefined;
  readonly #metrics: SignalPipeline<ResourceMetrics, ResourceMetrics> | undefined;
  /** What is amiss, per signal. */
  readonly #troubles = new Map<Signal, Error>();

  constructor({ exporter, sender, settings, host, signals }: ExporterPipelineOptions) {
    this.#sender = sender;
    this.#host = host;
    const make = <Batch, Value>(kind: SignalKind<Batch, Value>) => {
      if (!signals.includes(kind.signal)) return undefined;
      const onState = (error: Error | undefined) => this.#report(kind.signal, error);
      return new SignalPipeline({ exporter, kind, sender, settings, host, onState });
    };
    this.#logs = make(LOGS);
    this.#metrics = make(METRICS);
  }

  async start(): Promise<void> {
    await this.#sender.start?.(this.#host);
    await this.#logs?.start();
    await this.#metrics?.start();
    this.#host.describe(() => ({ ...this.#logs?.description, ...this.#metrics?.description }));
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#logs?.shutdown(signal), this.#metrics?.shutdown(signal)]);
    await this.#sender.shutdown?.(signal);
  }

  /** Called before `shutdown`: what is left in memory is not lost then, but waits for {@link passOn}. */
  keepForHeir(): void {
    this.#logs?.keepForHeir();
    this.#metrics?.keepForHeir();
  }

  /** Whether something waits for {@link passOn}. */
  get hasLeft(): boolean {
    return Boolean(this.#logs?.hasLeft || this.#metrics?.hasLeft);
  }

  /** Called after `shutdown`, once: what is left goes on through another exporter; without one it is lost, and told. */
  passOn(heir: ExporterPipeline | undefined): void {
    const [logs, metrics] = heir ? [heir.#logs, heir.#metrics] : [];
    this.#logs?.passOn(logs);
    this.#metrics?.passOn(metrics);
  }

  consumeLogs(batch: LogBatch, { signal }: ConsumeContext): Promise<void> {
    return this.#logs!.consume(batch, signal);
  }

  consumeMetrics(metrics: ResourceMetrics, { signal }: ConsumeContext): Promise<void> {
    return this.#metrics!.consume(metrics, signal);
  }

  #report(signal: Signal, error: Error | undefined): void {
    if (error) this.#troubles.set(signal, error);
    else {
      this.#troubles.delete(signal);
      for (const [other] of this.#troubles) (other === 'logs' ? this.#logs : this.#metrics)?.encourage();
    }
    const [trouble] = this.#troubles.values();
    this.#host.report(trouble ? { status: 'recoverable', error: trouble } : { status: 'ok' });
  }
}
