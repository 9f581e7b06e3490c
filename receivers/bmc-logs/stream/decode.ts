import { describeError } from '../../../src/component/errors.ts';
import { isObject, type Json, type JsonObject, parseJson, textOf } from '../json.ts';

const MAX_EVENTS = 10_000;

/** What one SSE message holds. */
export type Decoded =
  | { readonly kind: 'event'; readonly json: JsonObject; readonly loss: boolean }
  /** Only a link: the event itself must be fetched. */
  | { readonly kind: 'reference'; readonly json: JsonObject }
  /** Proof of life. */
  | { readonly kind: 'heartbeat' }
  | { readonly kind: 'metric_report'; readonly json: JsonObject }
  | { readonly kind: 'unreadable'; readonly text: string; readonly error: string }
  /** Events beyond the limit of one payload; the log has them. */
  | { readonly kind: 'cut' };

/**
 * Decodes the data of one SSE message. Tolerant: `Events` may be a list, one object, null or missing; the payload may
 * be a bare EventRecord or a bare Message, as bmcweb sends them. One bad event costs one record, never the stream.
 */
export function decodePayload(data: string): Decoded[] {
  let payload: Json;
  try {
    payload = parseJson(data);
  } catch (error) {
    return [{ kind: 'unreadable', text: data, error: describeError(error) }];
  }
  if (!isObject(payload)) return [{ kind: 'unreadable', text: data, error: 'no JSON object' }];
  if (textOf(payload['@odata.type'])?.startsWith('#MetricReport.')) return [{ kind: 'metric_report', json: payload }];

  const { Events: events } = payload;
  if (events === undefined) return isEvent(payload) ? [decodeEvent(payload)] : [unreadable(payload)];
  if (events === null) return isEvent(payload) ? [decodeEvent(payload)] : [];
  const list = Array.isArray(events) ? events : [events];
  const decoded = list.slice(0, MAX_EVENTS).map((event) => (isObject(event) ? decodeEvent(event) : unreadable(event)));
  return list.length > MAX_EVENTS ? [...decoded, { kind: 'cut' }] : decoded;
}

function decodeEvent(json: JsonObject): Decoded {
  const messageId = textOf(json.MessageId) ?? '';
  if (messageId.startsWith('HeartbeatEvent.')) return { kind: 'heartbeat' };
  if (!isEvent(json)) return json['@odata.id'] === undefined ? unreadable(json) : { kind: 'reference', json };
  return { kind: 'event', json, loss: messageId.split('.').at(-1) === 'EventBufferExceeded' };
}

/** Something that tells of an event, rather than an envelope or a link. */
function isEvent(json: JsonObject): boolean {
  return json.MessageId !== undefined || json.Message !== undefined || json.EventId !== undefined;
}

function unreadable(value: Json): Decoded {
  return { kind: 'unreadable', text: JSON.stringify(value), error: 'no event' };
}
