import { resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import { type ClientAuth, isClientAuth } from '../../src/component/client-auth.ts';
import type { Host } from '../../src/component/component.ts';
import { OutbandError } from '../../src/component/errors.ts';
import type { SendContext, Sender, SendResult } from '../../src/component/exporter.ts';
import type { Signal } from '../../src/component/factory.ts';
import { VERSION } from '../../src/component/version.ts';
import { parseRetryAfter } from '../../src/resilience/retry-after.ts';
import type { OtlpHttpConfig } from './config.ts';
import { Connection } from './connection.ts';
import { countOf, type EncodedRequest, encode, isLogs, type Payload } from './encode.ts';
import { outcomeOf, outcomeOfError } from './outcome.ts';
import { readReply } from './reply.ts';

const NO_METRICS: ResourceMetrics = { resource: resourceFromAttributes({}), scopeMetrics: [] };
const USER_AGENT = `outband/${VERSION} (${process.platform}/${process.arch})`;

/** One OTLP/HTTP POST per call. The bytes are the OpenTelemetry library's; the outcome is ours. */
export class OtlpHttpSender implements Sender {
  readonly #config: OtlpHttpConfig;
  readonly #host: Host;
  readonly #connection: Connection;
  /** A retry sends the same bytes. */
  readonly #encoded = new WeakMap<Payload, EncodedRequest>();
  #auth: ClientAuth | undefined;
  #loadedAt = 0;

  constructor(config: OtlpHttpConfig, host: Host) {
    this.#config = config;
    this.#host = host;
    this.#connection = new Connection(config);
  }

  async start(): Promise<void> {
    const { tls, auth } = this.#config;
    const { logger, extension } = this.#host;
    if (tls.insecure_skip_verify) logger.warn('the certificate of the backend is not verified');
    if (tls.insecure) logger.warn('plain http is allowed: whoever is on the way can read and change what is sent');
    if (auth?.authenticator !== undefined) {
      const found = extension(auth.authenticator);
      if (!isClientAuth(found))
        throw new OutbandError(
          'config_reference',
          `auth::authenticator: "${auth.authenticator}" is no client auth extension`,
        );
      this.#auth = found;
    }
    await this.#connection.load();
    this.#loadedAt = this.#host.clock.monotonic();
  }

  async shutdown(): Promise<void> {
    await this.#connection.close();
  }

  sendLogs(records: readonly ReadableLogRecord[], context: SendContext): Promise<SendResult> {
    return this.#send(records, context);
  }

  sendMetrics(metrics: ResourceMetrics, context: SendContext): Promise<SendResult> {
    return this.#send(metrics, context);
  }

  /** An empty request, which every backend must take. */
  probe(signal: Signal, context: SendContext): Promise<SendResult> {
    return this.#send(signal === 'logs' ? [] : NO_METRICS, context);
  }

  async refresh(): Promise<void> {
    this.#loadedAt = this.#host.clock.monotonic();
    await this.#connection.load();
  }

  async #send(payload: Payload, { signal }: SendContext): Promise<SendResult> {
    const target = this.#target(payload);
    if (!target) return { kind: 'hold', reason: `there is no endpoint for ${isLogs(payload) ? 'logs' : 'metrics'}` };
    const request = await this.#encode(payload);
    const { max_request_size, max_reply_size } = this.#config;
    if (request.bytes > max_request_size)
      return {
        kind: 'too_large',
        reason: `the request has ${request.bytes} bytes, max_request_size is ${max_request_size}`,
      };
    await this.#reloadInTime();
    try {
      const response = await this.#connection.dispatcher.request({
        ...target,
        method: 'POST',
        headers: { ...(await this.#ownHeaders()), ...request.headers },
        body: request.body,
        signal,
      });
      const reply = await readReply(response, {
        maxBytes: max_reply_size,
        signal: isLogs(payload) ? 'logs' : 'metrics',
        sent: countOf(payload),
      });
      const nowMs = Number(this.#host.clock.now() / 1_000_000n);
      const wish = response.headers['retry-after'];
      return outcomeOf({
        status: response.statusCode,
        retryAfterMs: typeof wish === 'string' ? parseRetryAfter(wish, nowMs) : undefined,
        reply,
      });
    } catch (error) {
      signal.throwIfAborted();
      return outcomeOfError(error as Error, this.#host.clock.now());
    }
  }

  async #encode(payload: Payload): Promise<EncodedRequest> {
    const known = this.#encoded.get(payload);
    if (known) return known;
    const request = await encode(payload, this.#config);
    this.#encoded.set(payload, request);
    return request;
  }

  async #reloadInTime(): Promise<void> {
    const { reload_interval } = this.#config.tls;
    if (reload_interval === undefined) return;
    if (this.#host.clock.monotonic() - this.#loadedAt >= reload_interval) await this.refresh();
  }

  async #ownHeaders(): Promise<Record<string, string>> {
    const headers = this.#config.headers.map(({ name, value }) => [name, value.reveal()]);
    const auth = await this.#auth?.authorization();
    return { 'user-agent': USER_AGENT, ...Object.fromEntries(headers), ...(auth && { authorization: auth.reveal() }) };
  }

  #target(payload: Payload): { readonly origin: string; readonly path: string } | undefined {
    const { endpoint, logs_endpoint, metrics_endpoint } = this.#config;
    const path = isLogs(payload) ? 'logs' : 'metrics';
    const own = isLogs(payload) ? logs_endpoint : metrics_endpoint;
    if (own === undefined && endpoint === undefined) return undefined;
    const url = new URL(own ?? `${endpoint!.replace(/\/+$/, '')}/v1/${path}`);
    return { origin: url.origin, path: url.pathname + url.search };
  }
}
