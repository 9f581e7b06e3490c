import type { BmcFleet } from '../simulators/bmc/fleet.ts';
import type { OtlpSink } from '../simulators/otlp-sink/sink.ts';

export interface BmcConfigOptions {
  readonly endpoints: readonly { readonly name: string; readonly address: string; readonly mode?: string }[];
  readonly sink: OtlpSink;
  /** Lines under `bmc_logs`, without indentation. */
  readonly receiver?: string;
  /** Lines under `otlp_http`, without indentation, in place of a batch that does not wait. */
  readonly exporter?: string;
  /** Settings of the scheduler, as a flow map. */
  readonly scheduler?: string;
}

/** A configuration for tests: short intervals, so that seconds of a fleet's life pass in milliseconds. */
export function bmcConfig({ endpoints, sink, receiver, exporter, scheduler = SCHEDULER }: BmcConfigOptions): string {
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
  scheduler: ${scheduler}
  monitoring_api: { endpoint: "127.0.0.1:0", auth: none, snapshot_max_age: 0s, rate_limit: { requests_per_minute: 100000 } }
service:
  extensions: [scheduler, monitoring_api]
  shutdown_timeout: 5s
  telemetry: { metrics: { level: none } }
  pipelines:
    logs: { receivers: [bmc_logs], exporters: [otlp_http] }
`;
}

export interface DurableConfigOptions {
  readonly fleet: BmcFleet;
  readonly sink: Pick<OtlpSink, 'url'>;
  readonly directory: string;
  /** Lines under `bmc_logs`, without indentation. */
  readonly receiver?: string;
  /** Lines under `otlp_http`, without indentation. */
  readonly exporter?: string;
  /** Flow map of `file_storage`, beside its directory. */
  readonly storage?: string;
}

/** As {@link bmcConfig}, with everything that must outlive the process in a store. */
export function durableConfig({
  fleet,
  sink,
  directory,
  receiver,
  exporter,
  storage = '',
}: DurableConfigOptions): string {
  const endpoints = fleet.bmcs.map(({ name, address }) => ({ name, address, tls: { insecure: true } }));
  return `
receivers:
  bmc_logs:
    endpoints: ${JSON.stringify(endpoints)}
    storage: file_storage
${indent(receiver ?? FAST, 4)}
exporters:
  otlp_http:
    endpoint: ${sink.url}
    tls: { insecure: true }
    retry_on_failure: { initial_interval: 50ms, max_interval: 200ms }
${indent(exporter ?? 'sending_queue: { storage: file_storage, batch: { flush_timeout: 5ms } }', 4)}
extensions:
  scheduler: ${SCHEDULER}
  file_storage: { directory: ${directory}/state, ballast_bytes: 0, commit: { max_delay: 10ms }, ${storage} }
service:
  extensions: [scheduler, file_storage]
  shutdown_timeout: 5s
  telemetry: { metrics: { level: none } }
  pipelines:
    logs: { receivers: [bmc_logs], exporters: [otlp_http] }
`;
}

/** A BMC that was away is read again soon. */
const SCHEDULER =
  '{ breaker: { base_delay: 50ms, max_delay: 100ms }, dead_letter: { max_retry_attempts: 100, retry_interval: 10s } }';

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
