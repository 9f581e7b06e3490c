import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { Sender, SendResult } from '../../src/component/exporter.ts';
import { escapeForTerminal } from '../../src/telemetry/escape.ts';

const MAX_LINE_CHARS = 8_192;

/** Prints records; remote text cannot command the terminal. */
export class DebugSender implements Sender {
  readonly #verbosity: 'basic' | 'normal' | 'detailed';
  readonly #write: (line: string) => void;

  constructor(verbosity: 'basic' | 'normal' | 'detailed', write: (line: string) => void) {
    this.#verbosity = verbosity;
    this.#write = write;
  }

  async sendLogs(records: readonly ReadableLogRecord[]): Promise<SendResult> {
    if (this.#verbosity === 'basic') this.#line(`logs: ${records.length} records`);
    else for (const record of records) this.#line(this.#verbosity === 'normal' ? short(record) : full(record));
    return { kind: 'accepted' };
  }

  #line(text: string): void {
    this.#write(`${escapeForTerminal(text.slice(0, MAX_LINE_CHARS))}\n`);
  }
}

function short({ hrTime, severityText, body, resource, eventName }: ReadableLogRecord): string {
  const host = resource.attributes['host.name'] ?? '-';
  return [time(hrTime), severityText ?? '-', host, eventName ?? '-', body].join('  ');
}

function full(record: ReadableLogRecord): string {
  const { hrTime, hrTimeObserved, severityNumber, severityText, eventName, body, attributes, resource } = record;
  return JSON.stringify({
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

function time([seconds, nanos]: readonly [number, number]): string {
  return seconds === 0 ? '-' : new Date(seconds * 1_000 + nanos / 1e6).toISOString();
}
