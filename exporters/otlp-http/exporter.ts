import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { JsonLogsSerializer, ProtobufLogsSerializer } from '@opentelemetry/otlp-transformer';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { Agent } from 'undici';
import type { Host } from '../../src/component/component.ts';
import { OutbandError } from '../../src/component/errors.ts';
import type { SendContext, Sender, SendResult } from '../../src/component/exporter.ts';
import { VERSION } from '../../src/component/version.ts';
import { parseRetryAfter } from '../../src/resilience/retry-after.ts';
import type { OtlpHttpConfig } from './config.ts';
import { outcomeOf } from './outcome.ts';
import { readErrorMessage, readPartialSuccess } from './reply.ts';

const compress = promisify(gzip);

/** A reply is a few bytes; what is longer is cut off with its connection. */
const MAX_REPLY_BYTES = 64 * 1024;

/** One OTLP/HTTP POST per call. The bytes are the OpenTelemetry library's; the outcome is ours. */
export class OtlpHttpSender implements Sender {
  readonly #config: OtlpHttpConfig;
  readonly #host: Host;
  readonly #url: URL;
  #agent: Agent | undefined;

  constructor(config: OtlpHttpConfig, host: Host) {
    this.#config = config;
    this.#host = host;
    this.#url = logsUrl(config);
  }

  async start(): Promise<void> {
    const { tls, sending_queue } = this.#config;
    if (tls.insecure_skip_verify) this.#host.logger.warn('the certificate of the backend is not verified');
    this.#agent = new Agent({
      connections: sending_queue.num_consumers,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: 0, rejectUnauthorized: !tls.insecure_skip_verify, ...(await certificateAuthorities(tls)) },
    });
  }

  async shutdown(): Promise<void> {
    await this.#agent?.destroy();
  }

  async sendLogs(records: readonly ReadableLogRecord[], { signal }: SendContext): Promise<SendResult> {
    const json = this.#config.encoding === 'json';
    const serializer = json ? JsonLogsSerializer : ProtobufLogsSerializer;
    const bytes = serializer.serializeRequest([...records])!;
    const zipped = this.#config.compression === 'gzip';
    const { statusCode, headers, body } = await this.#agent!.request({
      origin: this.#url.origin,
      path: this.#url.pathname + this.#url.search,
      method: 'POST',
      headers: {
        'user-agent': `outband/${VERSION}`,
        'content-type': json ? 'application/json' : 'application/x-protobuf',
        ...(zipped && { 'content-encoding': 'gzip' }),
        ...Object.fromEntries(this.#config.headers.map(({ name, value }) => [name, value.reveal()])),
      },
      body: zipped ? await compress(bytes) : bytes,
      signal,
    });
    const reply = await readReply(body);
    const contentType = String(headers['content-type'] ?? '');
    const accepted = statusCode >= 200 && statusCode < 300;
    const { rejected, message } = accepted
      ? readPartialSuccess(reply, contentType, records.length)
      : { rejected: 0, message: readErrorMessage(reply, contentType) };
    const nowMs = Number(this.#host.clock.now() / 1_000_000n);
    const retryAfterMs = parseRetryAfter(headers['retry-after'] as string | undefined, nowMs);
    return outcomeOf({ status: statusCode, retryAfterMs, rejected, message });
  }
}

function logsUrl({ endpoint, logs_endpoint }: OtlpHttpConfig): URL {
  return new URL(logs_endpoint ?? `${endpoint!.replace(/\/+$/, '')}/v1/logs`);
}

async function certificateAuthorities({ ca_file }: OtlpHttpConfig['tls']): Promise<{ ca?: Buffer }> {
  if (ca_file === undefined) return {};
  try {
    return { ca: await readFile(ca_file) };
  } catch (cause) {
    throw new OutbandError('config_source', `tls::ca_file: cannot read ${ca_file}`, { cause });
  }
}

/** The status decides; a reply that is cut at the limit is as good as none. */
async function readReply(body: AsyncIterable<Buffer>): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_REPLY_BYTES) return new Uint8Array();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
