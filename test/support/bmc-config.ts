import type { OtlpSink } from '../simulators/otlp-sink/sink.ts';

export interface BmcConfigOptions {
  readonly endpoints: readonly { readonly name: string; readonly address: string; readonly mode?: string }[];
  readonly sink: OtlpSink;
  /** Lines under `bmc_logs`, without indentation. */
  readonly receiver?: string;
  /** Lines under `otlp_http`, without indentation, in place of a batch that does not wait. */
  readonly exporter?: string;
}

/** A configuration for tests: short intervals, so that seconds of a fleet's life pass in milliseconds. */
export function bmcConfig({ endpoints, sink, receiver, exporter }: BmcConfigOptions): string {
  const list = endpoints.map(
    ({ name, address, mode }) =>
      `{ name: ${name}, address: "${address}", tls: { insecure: true }${mode ? `, mode: ${mode}` : ''} }`,
  );
  return `
receivers:
  bmc_logs:
    endpoints:
${list.map((line) => `      - ${line}`).join('\n')}
${indent(receiver ?? FAST, 4)}
exporters:
  otlp_http:
    endpoint: ${sink.url}
    tls: { insecure: true }
    retry_on_failure: { initial_interval: 50ms, max_interval: 200ms }
${indent(exporter ?? 'sending_queue: { batch: { flush_timeout: 5ms } }', 4)}
extensions:
  scheduler: {}
service:
  extensions: [scheduler]
  shutdown_timeout: 5s
  telemetry: { metrics: { level: none } }
  pipelines:
    logs: { receivers: [bmc_logs], exporters: [otlp_http] }
`;
}

const FAST = `
initial_history: all
periodic: { logs_collection_interval: 250ms }
sse: { initial_backoff: 20ms, max_backoff: 100ms, min_stream_lifetime: 500ms, reconcile_interval: 1s }
auto: { trial_lifetime: 500ms }
`;

function indent(text: string, by: number): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? line : ' '.repeat(by) + line))
    .join('\n');
}
