import type { IncomingMessage, ServerResponse } from 'node:http';
import { dripHeaders } from './drip.ts';
import {
  type LiveBehaviour,
  playScript,
  SSE_HEADERS,
  type StreamBehaviour,
  wrapRecord,
  writePayload,
} from './event-stream.ts';
import type { Profile } from './profiles.ts';

/** The event streams of one BMC, and the events that it keeps for who comes back. */
export class StreamDesk {
  readonly #profile: Profile;
  readonly #changed: () => void;
  readonly #open = new Set<ServerResponse>();
  readonly #ring: { readonly id: number; readonly text: string }[] = [];

  /** @param changed called whenever a stream opens or ends */
  constructor(profile: Profile, changed: () => void) {
    this.#profile = profile;
    this.#changed = changed;
  }

  get open(): number {
    return this.#open.size;
  }

  /** Writes bytes to all open streams. */
  write(text: string): void {
    for (const stream of this.#open) stream.write(text);
  }

  /** Writes an event to all open streams, and keeps it. @param text only asked for when somebody reads or keeps it */
  send(id: number, behaviour: StreamBehaviour, text: () => string): void {
    const ring = (behaviour.kind === 'live' && behaviour.ring) || 0;
    if (this.#open.size === 0 && ring === 0) return;
    const bytes = text();
    this.write(bytes);
    if (ring === 0) return;
    this.#ring.push({ id, text: bytes });
    this.#ring.splice(0, Math.max(0, this.#ring.length - ring));
  }

  /** Cuts all open streams. */
  cut(): void {
    for (const stream of this.#open) stream.socket?.destroy();
  }

  /** All connections are gone. */
  reset(): void {
    this.#open.clear();
  }

  /** As after a reboot. */
  forget(): void {
    this.#ring.length = 0;
  }

  /** Answers a request for the stream. */
  answer(behaviour: StreamBehaviour, request: IncomingMessage, response: ServerResponse): void {
    switch (behaviour.kind) {
      case 'hang':
        return;
      case 'status':
        response.writeHead(behaviour.status, behaviour.headers).end(behaviour.body ?? '');
        return;
      case 'eof':
        response.writeHead(200, SSE_HEADERS).end();
        return;
      case 'script':
        return playScript(behaviour, response);
      case 'drip_headers':
        return dripHeaders(response, behaviour.everyMs);
      case 'silent':
        response.writeHead(200, SSE_HEADERS).flushHeaders();
        return;
      default:
        this.#live(behaviour, request, response);
    }
  }

  #live(behaviour: LiveBehaviour, request: IncomingMessage, response: ServerResponse): void {
    if (this.#open.size >= (behaviour.maxStreams ?? Number.POSITIVE_INFINITY)) {
      if (behaviour.beyondMax === 503) response.writeHead(503).end();
      else response.writeHead(200, SSE_HEADERS).end();
      return;
    }
    response.writeHead(200, SSE_HEADERS).flushHeaders();
    this.#open.add(response);
    const stops = timersOf(behaviour, response);
    response.on('close', () => {
      for (const stop of stops) stop();
      this.#open.delete(response);
      this.#changed();
    });
    const lastEventId = request.headers['last-event-id'];
    if (behaviour.ring && typeof lastEventId === 'string' && lastEventId !== '') this.#replay(lastEventId, response);
    this.#changed();
  }

  /** What came after an id; all there is, and a word of warning, when nobody knows the id any more. */
  #replay(lastEventId: string, response: ServerResponse): void {
    const at = this.#ring.findIndex(({ id }) => String(id) === lastEventId);
    if (at < 0) {
      const record = { MessageId: 'EventService.1.0.EventBufferExceeded', MemberId: '0', MessageSeverity: 'Warning' };
      response.write(writePayload(this.#profile, undefined, wrapRecord(0, record)));
    }
    for (const { text } of this.#ring.slice(at + 1)) response.write(text);
  }
}

function timersOf({ lifetimeMs, keepAliveMs }: LiveBehaviour, response: ServerResponse): (() => void)[] {
  const stops: (() => void)[] = [];
  if (lifetimeMs !== undefined) {
    const timer = setTimeout(() => response.end(), lifetimeMs);
    stops.push(() => clearTimeout(timer));
  }
  if (keepAliveMs !== undefined) {
    const timer = setInterval(() => response.write(': keep-alive\n\n'), keepAliveMs);
    stops.push(() => clearInterval(timer));
  }
  return stops;
}
