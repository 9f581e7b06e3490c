import type { ServerResponse } from 'node:http';
import type { Profile } from './profiles.ts';

/** How a BMC answers a request for its event stream. */
export type StreamBehaviour =
  /** Streams events as entries are appended. */
  | { readonly kind: 'live'; readonly maxStreams?: number }
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
  | { readonly kind: 'hang' };

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
  const { style, linksEntry } = profile.stream;
  const payload = {
    '@odata.type': '#Event.v1_4_0.Event',
    Events: [
      {
        EventId: String(event.id),
        EventTimestamp: `${new Date(event.createdMs).toISOString().slice(0, 19)}+00:00`,
        MemberId: String(event.id),
        Message: event.message,
        MessageArgs: event.messageArgs,
        MessageId: event.messageId,
        MessageSeverity: event.severity,
        ...(linksEntry && { LogEntry: { '@odata.id': event.entryUri } }),
      },
    ],
    Id: String(event.id),
    Name: 'Event Log',
  };
  if (style === 'line') return `event: Event\nid: ${event.id}\ndata: ${JSON.stringify(payload)}\n\n`;
  const lines = JSON.stringify(payload, null, 2).split('\n');
  return `id: ${event.id}\n${lines.map((line) => `data: ${line}\n`).join('')}\n`;
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
