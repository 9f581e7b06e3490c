import { promisify } from 'node:util';
import { constants, gzip, zstdCompress } from 'node:zlib';
import {
  JsonLogsSerializer,
  JsonMetricsSerializer,
  ProtobufLogsSerializer,
  ProtobufMetricsSerializer,
} from '@opentelemetry/otlp-transformer';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { OtlpHttpConfig } from './config.ts';

/** A request body with the headers that say what it is. */
export interface EncodedRequest {
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  /** Before compression. */
  readonly bytes: number;
}

/** What is sent: the records of a request, or the metrics of one resource. */
export type Payload = readonly ReadableLogRecord[] | ResourceMetrics;

const gzipAsync = promisify(gzip);
const zstdAsync = promisify(zstdCompress);

/** The bytes are the OpenTelemetry library's; compression runs in the thread pool. */
export async function encode(
  payload: Payload,
  { encoding, compression, compression_params }: OtlpHttpConfig,
): Promise<EncodedRequest> {
  const plain = serialize(payload, encoding);
  const { level } = compression_params;
  const type = encoding === 'json' ? 'application/json' : 'application/x-protobuf';
  const result = (body: Uint8Array, contentEncoding?: string): EncodedRequest => ({
    body,
    bytes: plain.length,
    headers: { 'content-type': type, ...(contentEncoding && { 'content-encoding': contentEncoding }) },
  });
  if (compression === 'none' || plain.length === 0) return result(plain);
  if (compression === 'gzip') return result(await gzipAsync(plain, level === undefined ? {} : { level }), 'gzip');
  const params = level === undefined ? {} : { params: { [constants.ZSTD_c_compressionLevel]: level } };
  return result(await zstdAsync(plain, params), 'zstd');
}

function serialize(payload: Payload, encoding: 'proto' | 'json'): Uint8Array {
  if (isLogs(payload)) {
    const serializer = encoding === 'json' ? JsonLogsSerializer : ProtobufLogsSerializer;
    return serializer.serializeRequest([...payload])!;
  }
  const serializer = encoding === 'json' ? JsonMetricsSerializer : ProtobufMetricsSerializer;
  return serializer.serializeRequest(payload)!;
}

export function isLogs(payload: Payload): payload is readonly ReadableLogRecord[] {
  return Array.isArray(payload);
}

/** Records or points. */
export function countOf(payload: Payload): number {
  if (isLogs(payload)) return payload.length;
  return payload.scopeMetrics
    .flatMap(({ metrics }) => metrics)
    .reduce((sum, { dataPoints }) => sum + dataPoints.length, 0);
}
