import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { Clock } from '../../src/component/clock.ts';
import type { Sender, SendResult } from '../../src/component/exporter.ts';
import { escapeForTerminal } from '../../src/telemetry/escape.ts';
import type { DebugConfig } from './index.ts';

const MAX_LINE_CHARS = 8_192;
const SAMPLING_WINDOW_MS = 1_000;

/** Prints what passes; remote text cannot command the terminal. */
export class DebugSender implements Sender {
  readonly #config: DebugConfig;
  readonly #clock: Clock;
  readonly #write: (line: string) => void;
  #windowStart = Number.NEGATIVE_INFINITY;
  #inWindow = 0;

  constructor(config: DebugConfig, clock: Clock, write: (line: string) => void) {
    this.#config = config;
    this.#clock = clock;
    this.#write = write;
  }

  async sendLogs(records: readonly ReadableLogRecord[]): Promise<SendResult> {
    const { verbosity } = this.#config;
    if (!this.#isSampled()) return { kind: 'accepted' };
    if (verbosity === 'basic') this.#line(`logs: ${records.length} records`);
    else for (const record of records) this.#line(verbosity === 'normal' ? short(record) : full(record));
    return { kind: 'accepted' };
  }

  async sendMetrics({ resource, scopeMetrics }: ResourceMetrics): Promise<SendResult> {
    const { verbosity } = this.#config;
    const metrics = scopeMetrics.flatMap((scope) => scope.metrics);
    const points = metrics.reduce((sum, { dataPoints }) => sum + dataPoints.length, 0);
    if (!this.#isSampled()) return { kind: 'accepted' };
    if (verbosity === 'basic') this.#line(`metrics: ${metrics.length} metrics, ${points} points`);
    else
      for (const { descriptor, dataPoints } of metrics)
        for (const { attributes, value } of dataPoints)
          this.#line(
            verbosity === 'normal'
              ? [descriptor.name, text(attributes), text(value)].join('  ')
              : text({ ...descriptor, attributes, value, resource: resource.attributes }),
          );
    return { kind: 'accepted' };
  }

  /** The first few batches of each second, then one of so many. */
  #isSampled(): boolean {
    const { sampling_initial, sampling_thereafter } = this.#config;
    const now = this.#clock.monotonic();
    if (now - this.#windowStart >= SAMPLING_WINDOW_MS) {
      this.#windowStart = now;
      this.#inWindow = 0;
    }
    const beyond = ++this.#inWindow - sampling_initial;
    return beyond <= 0 || (sampling_thereafter > 0 && beyond % sampling_thereafter === 0);
  }

  #line(text: string): void {
    this.#write(escapeForTerminal(text.slice(0, MAX_LINE_CHARS)).slice(0, MAX_LINE_CHARS));
  }
}

function short({ hrTime, severityText, body, resource, eventName }: ReadableLogRecord): string {
  const host = resource.attributes['host.name'] ?? '-';
  return [time(hrTime), severityText ?? '-', host, eventName ?? '-', typeof body === 'string' ? body : text(body)].join(
    '  ',
  );
}

function full(record: ReadableLogRecord): string {
  const { hrTime, hrTimeObserved, severityNumber, severityText, eventName, body, attributes, resource } = record;
  return text({
    time: time(hrTime),
    observed: time(hrTimeObserved),
    severityNumber,
    severityText,
    eventName,
    body,
    attributes,
    resource: resource.attributes,
  });
}

/** JSON, with what JSON cannot say as text. */
function text(value: unknown): string {
  return JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? String(item) : item));
}

function time([seconds, nanos]: readonly [number, number]): string {
  const date = new Date(seconds * 1_000 + nanos / 1e6);
  return seconds === 0 || Number.isNaN(date.getTime()) ? '-' : date.toISOString();
}
