import type { ServerResponse } from 'node:http';
import type { Profile } from './profiles.ts';

/** How a BMC answers a request for its event stream. */
export type StreamBehaviour =
  /** Streams events as entries are appended. */
  | LiveBehaviour
  /** Writes these bytes, in chunks if given, and then does as told. */
  | {
      readonly kind: 'script';
      readonly bytes: Uint8Array;
      readonly splitAt?: readonly number[];
      readonly end: 'eof' | 'silence' | 'reset';
    }
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** Accepts and ends at once. */
  | { readonly kind: 'eof' }
  /** Accepts and never writes. */
  | { readonly kind: 'silent' }
  /** Takes the request and never answers. */
  | { readonly kind: 'hang' }
  /** Sends one byte of the header at a time, without end. */
  | { readonly kind: 'drip_headers'; readonly everyMs: number };

export interface LiveBehaviour {
  readonly kind: 'live';
  readonly maxStreams?: number;
  /** How it answers who is too many: 200 and the end, or 503. */
  readonly beyondMax?: 'eof' | 503;
  /** How many events it keeps for who comes with a Last-Event-ID. */
  readonly ring?: number;
  /** Ends each stream so long after it began. */
  readonly lifetimeMs?: number;
  /** Writes a comment so often. */
  readonly keepAliveMs?: number;
}

/** What an event tells; the writing style is the profile's. */
export interface SimEvent {
  readonly id: number;
  readonly createdMs: number;
  readonly message: string;
  readonly messageArgs: readonly string[];
  readonly messageId: string;
  readonly severity: string;
  readonly entryUri: string;
}

export const SSE_HEADERS = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' };

/** The bytes of one event. */
export function writeEvent(profile: Profile, event: SimEvent): string {
  const { linksEntry } = profile.stream;
  const record = {
    EventId: String(event.id),
    EventTimestamp: `${new Date(event.createdMs).toISOString().slice(0, 19)}+00:00`,
    MemberId: String(event.id),
    Message: event.message,
    MessageArgs: event.messageArgs,
    MessageId: event.messageId,
    MessageSeverity: event.severity,
    ...(linksEntry && { LogEntry: { '@odata.id': event.entryUri } }),
  };
  return writePayload(profile, event.id, wrapRecord(event.id, record));
}

/** The payload that carries one record of an event. */
export function wrapRecord(id: number, record: unknown): object {
  return { '@odata.type': '#Event.v1_4_0.Event', Events: [record], Id: String(id), Name: 'Event Log' };
}

/** Any payload in the style of the profile. @param id undefined: without an id, so that the client keeps its own */
export function writePayload(profile: Profile, id: number | undefined, payload: unknown): string {
  const idLine = id === undefined ? '' : `id: ${id}\n`;
  if (profile.stream.style === 'line') return `event: Event\n${idLine}data: ${JSON.stringify(payload)}\n\n`;
  const lines = JSON.stringify(payload, null, 2).split('\n');
  return `${idLine}${lines.map((line) => `data: ${line}\n`).join('')}\n`;
}

/** Keep-alive in the manner of the profile: a comment, or a heartbeat event with id 0 as bmcweb sends it. */
export function writeHeartbeat(profile: Profile): string {
  if (profile.stream.heartbeat === 'comment') return ': stream keep-alive\n\n';
  const payload = {
    Events: [{ MessageId: 'HeartbeatEvent.1.0.RedfishServiceFunctional', MemberId: '0', MessageSeverity: 'OK' }],
    Id: '0',
  };
  return `id: 0\ndata: ${JSON.stringify(payload)}\n\n`;
}

/** Writes a script, one chunk per turn of the event loop so that the client sees every split. */
export function playScript(script: Extract<StreamBehaviour, { kind: 'script' }>, response: ServerResponse): void {
  response.writeHead(200, SSE_HEADERS);
  response.flushHeaders();
  const cuts = [0, ...(script.splitAt ?? []), script.bytes.length];
  const chunks = cuts.slice(1).map((end, index) => script.bytes.subarray(cuts[index], end));
  const step = () => {
    const chunk = chunks.shift();
    if (chunk) response.write(chunk, () => setImmediate(step));
    else if (script.end === 'eof') response.end();
    else if (script.end === 'reset') response.socket?.destroy();
  };
  step();
}
