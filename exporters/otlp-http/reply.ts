import { JsonLogsSerializer, ProtobufLogsSerializer } from '@opentelemetry/otlp-transformer';

const MAX_MESSAGE_CHARS = 512;

/**
 * What a 2xx reply says about parts that were refused. A reply that cannot be read says nothing: the status has
 * already said that the request was accepted.
 * @param sent records in the request; a nonsense count is clamped to it
 */
export function readPartialSuccess(
  body: Uint8Array,
  contentType: string,
  sent: number,
): { readonly rejected: number; readonly message: string } {
  if (body.length === 0) return { rejected: 0, message: '' };
  try {
    const serializer = contentType.includes('json') ? JsonLogsSerializer : ProtobufLogsSerializer;
    const partial = serializer.deserializeResponse(body).partialSuccess;
    const rejected = Number(partial?.rejectedLogRecords ?? 0);
    return {
      rejected: Number.isFinite(rejected) ? Math.min(Math.max(0, rejected), sent) : 0,
      message: (partial?.errorMessage ?? '').slice(0, MAX_MESSAGE_CHARS),
    };
  } catch {
    return { rejected: 0, message: '' };
  }
}

/** The text of an error reply, for people: JSON `message` if there is one, else plain text, else nothing. */
export function readErrorMessage(body: Uint8Array, contentType: string): string {
  if (contentType.includes('protobuf')) return '';
  const text = Buffer.from(body).toString('utf8');
  try {
    const parsed = JSON.parse(text);
    if (typeof parsed?.message === 'string') return parsed.message.slice(0, MAX_MESSAGE_CHARS);
  } catch {
    // Not JSON: the text itself is the message.
  }
  return text.replaceAll(/\s+/g, ' ').trim().slice(0, MAX_MESSAGE_CHARS);
}
