import { createParser, type EventSourceParser } from 'eventsource-parser';

/** Characters of one SSE event, and of one line. */
export const MAX_SSE_EVENT_CHARS = 1024 * 1024;
const HEADER_ID = /^[\x20-\x7e]{1,256}$/;

export interface SseMessage {
  readonly data: string;
  /** The `id` of this very message. */
  readonly id: string | undefined;
}

export interface SseCallbacks {
  readonly onMessage: (message: SseMessage) => void;
  /** A wait before reconnects that the server wishes, in milliseconds. */
  readonly onRetry: (ms: number) => void;
  /** A line that carries nothing: it keeps the connection alive. */
  readonly onComment: () => void;
}

/**
 * Bytes of a stream to messages, at any split. An event that is not finished by a blank line when the stream ends is
 * dropped, as the WHATWG rules say; the log has it.
 */
export class SseReader {
  /** What to send as `Last-Event-ID`: 1 to 256 characters that a header may hold, not "0" (bmcweb's heartbeats). */
  lastEventId: string | undefined;
  /** An event or a line was longer than the limit; nothing more is read. */
  tooLarge = false;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  readonly #parser: EventSourceParser;

  constructor({ onMessage, onRetry, onComment }: SseCallbacks) {
    this.#parser = createParser({
      maxBufferSize: MAX_SSE_EVENT_CHARS,
      onEvent: ({ data, id }) => {
        // A `data:` line without text is no payload; bmcweb opens its streams with one.
        if (data.length > MAX_SSE_EVENT_CHARS) this.tooLarge = true;
        else if (data.trim() !== '') onMessage({ data, id });
      },
      onId: (id) => {
        if (id !== '0' && HEADER_ID.test(id)) this.lastEventId = id;
      },
      onRetry,
      onComment,
      onError: (error) => {
        if (error.type === 'max-buffer-size-exceeded') this.tooLarge = true;
      },
    });
  }

  /** Takes the next bytes; calls back for each message that they complete. Does nothing once `tooLarge`. */
  feed(chunk: Uint8Array): void {
    if (!this.tooLarge) this.#parser.feed(this.#decoder.decode(chunk, { stream: true }));
  }
}
