import { ProtobufLogsSerializer, ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer';
import type { Dispatcher } from 'undici';
import type { Signal } from '../../src/component/factory.ts';

/** Error replies are read so far, for their message. */
const MAX_ERROR_BYTES = 64 * 1024;
const MAX_MESSAGE_CHARS = 512;

/** What a reply says: how many records it refuses, and anything for people; or why it says nothing. */
export type Reply = { readonly rejected: number; readonly message: string } | { readonly unreadable: string };

export interface ReplyLimits {
  /** Bytes; a longer reply is cut off with its connection. */
  readonly maxBytes: number;
  readonly signal: Signal;
  /** Records or points in the request. */
  readonly sent: number;
}

/** Reads the reply to its end or its limit, whatever its status. */
export async function readReply(
  { statusCode, headers, body }: Dispatcher.ResponseData,
  { maxBytes, signal, sent }: ReplyLimits,
): Promise<Reply> {
  const isSuccess = statusCode >= 200 && statusCode < 300;
  const bytes = await readUpTo(body, isSuccess ? maxBytes : MAX_ERROR_BYTES);
  const type = String(headers['content-type'] ?? '').toLowerCase();
  if (!isSuccess) return { rejected: 0, message: bytes ? errorMessage(bytes, type) : '' };
  if (!bytes) return { unreadable: `its reply is longer than ${maxBytes} bytes` };
  if (bytes.length === 0) return { rejected: 0, message: '' };
  const encoding = String(headers['content-encoding'] ?? 'identity');
  if (encoding !== 'identity')
    return { unreadable: `its reply has the encoding "${cleaned(encoding)}", which nobody offered` };
  return partialSuccess(bytes, type, signal, sent);
}

/** @returns undefined when there is more; the connection is gone then */
async function readUpTo(body: Dispatcher.ResponseData['body'], maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What both encodings and both signals have in common once decoded. */
interface PartialSuccess {
  readonly rejectedLogRecords?: unknown;
  readonly rejectedDataPoints?: unknown;
  readonly errorMessage?: unknown;
}

function partialSuccess(bytes: Buffer, type: string, signal: Signal, sent: number): Reply {
  try {
    const partial = decode(bytes, type, signal);
    if (!partial) return { unreadable: `its reply has the content type "${cleaned(type)}"` };
    const { rejectedLogRecords, rejectedDataPoints, errorMessage } = partial;
    const rejected = Number(rejectedLogRecords ?? rejectedDataPoints ?? 0);
    const clamped = Number.isFinite(rejected) ? Math.min(Math.max(0, Math.trunc(rejected)), sent) : 0;
    const note =
      clamped === rejected
        ? ''
        : ` (the reply says "${cleaned(String(rejectedLogRecords ?? rejectedDataPoints))}" of ${sent})`;
    const message = typeof errorMessage === 'string' ? errorMessage : '';
    return { rejected: clamped, message: cleaned(message + note) };
  } catch {
    return { unreadable: 'its reply cannot be decoded' };
  }
}

/** @returns undefined when the type is not one of OTLP */
function decode(bytes: Buffer, type: string, signal: Signal): PartialSuccess | undefined {
  if (type.startsWith('application/json')) {
    const reply: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof reply !== 'object' || reply === null) throw new TypeError('no object');
    const { partialSuccess: partial } = reply as { partialSuccess?: unknown };
    return typeof partial === 'object' && partial !== null ? partial : {};
  }
  if (!type.startsWith('application/x-protobuf')) return undefined;
  const serializer = signal === 'logs' ? ProtobufLogsSerializer : ProtobufMetricsSerializer;
  return (serializer.deserializeResponse(bytes) as { partialSuccess?: PartialSuccess }).partialSuccess ?? {};
}

/** `google.rpc.Status` says it in field 2; a proxy says it in JSON or in plain words. */
function errorMessage(bytes: Buffer, type: string): string {
  if (type.includes('protobuf')) return cleaned(statusMessage(bytes));
  const text = bytes.toString('utf8');
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === 'string') return cleaned(message);
  } catch {
    // Not JSON: the text itself is the message.
  }
  return cleaned(text);
}

/** Field 2 of `google.rpc.Status`, the way its .proto numbers it; no message for anything else. */
function statusMessage(bytes: Buffer): string {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; shift < 35 && at < bytes.length; shift += 7) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    if (tag === 0x12) {
      const length = varint();
      return bytes.toString('utf8', at, at + length);
    }
    if ((tag & 7) === 0) varint();
    else if ((tag & 7) === 2) at += varint();
    else return '';
  }
  return '';
}

function cleaned(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim().slice(0, MAX_MESSAGE_CHARS);
}
