import type { Client, Dispatcher } from 'undici';
import type { Clock } from '../../../src/component/clock.ts';
import { type Deadline, deadline, NO_LONGER_NEEDED } from '../../../src/component/deadline.ts';
import { OutbandError } from '../../../src/component/errors.ts';
import { parseRetryAfter } from '../../../src/resilience/retry-after.ts';
import { type ConnectOutcome, classifyAnswer, classifyError } from '../classify-connect.ts';
import type { Headers } from '../client/credentials.ts';
import { asBmcError, REDIRECTS, requestHeaders } from '../client/redfish-client.ts';
import type { EndpointConfig } from '../endpoint-settings.ts';
import { type SseMessage, SseReader } from './sse-reader.ts';

/** Messages and characters that may wait for the consumer; beyond it the socket is not read. */
const MAX_WAITING_MESSAGES = 1_000;
const MAX_WAITING_CHARS = 1024 * 1024;

/** Keep-alive comments that show how long a silence is normal, and the least that silence is given then. */
const COMMENTS_TO_TRUST = 2;
const LEAST_COMMENT_SILENCE_MS = 90_000;
const COMMENT_GAPS = 3;

/** Why a stream ended. `reader_slow`: the peer closed while the pipeline kept us from reading. */
export type StreamEnd = 'eof' | 'reset' | 'idle' | 'size' | 'reader_slow' | 'stop';

export interface OpenStreamOptions {
  readonly endpoint: EndpointConfig;
  /** A connection of its own; destroyed with the stream. */
  readonly client: Client;
  readonly url: URL;
  /** What proves who we are. */
  readonly proof: Headers;
  readonly lastEventId: string | undefined;
  /** Milliseconds from the request on the wire to the end of the headers. */
  readonly headerTimeoutMs: number;
  /** Milliseconds without a byte after which the stream is closed; 0: never. */
  readonly idleTimeoutMs: number;
  readonly clock: Clock;
  readonly onRetry: (ms: number) => void;
  /** Called with every chunk: the BMC lives. */
  readonly onBytes: () => void;
  readonly signal: AbortSignal;
}

/** An open SSE response, on a connection of its own. */
export interface EventStream {
  /**
   * The messages that wait, at least one; or undefined when the stream has ended and all were taken. The socket is not
   * read while too many wait.
   */
  next(): Promise<readonly SseMessage[] | undefined>;
  /** Why it ended; valid once `next` gave undefined. */
  readonly end: StreamEnd;
  /** Aborts when the stream ends, be there messages left to take or not. */
  readonly ended: AbortSignal;
  /** When that was, in monotonic milliseconds; now, while it is open. */
  readonly endedAt: number;
  readonly lastEventId: string | undefined;
  /** Of the body so far. */
  readonly bytes: number;
  /** Monotonic milliseconds. */
  readonly lastByteAt: number;
  close(): void;
}

/** The stream is elsewhere; where to is for the caller to judge. */
export interface Redirect {
  readonly location: string;
}

/** Opens a stream. undici's dispatch API takes half the memory of `fetch`, and gives pause and resume. */
export async function openStream(options: OpenStreamOptions): Promise<EventStream | ConnectOutcome | Redirect> {
  const { endpoint, client, url, proof, lastEventId, signal } = options;
  const stream = new DispatchedStream(options);
  signal.addEventListener('abort', stream.close, { once: true });
  client.dispatch(
    {
      path: url.pathname + url.search,
      method: 'GET',
      headers: {
        ...requestHeaders(endpoint),
        ...proof,
        accept: 'text/event-stream',
        'accept-encoding': 'identity',
        'cache-control': 'no-cache',
        ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
      },
    },
    stream,
  );
  const refused = await stream.opened;
  return refused ?? stream;
}

class DispatchedStream implements EventStream, Dispatcher.DispatchHandler {
  readonly opened: Promise<ConnectOutcome | Redirect | undefined>;
  end: StreamEnd = 'eof';
  readonly #options: OpenStreamOptions;
  readonly #client: Client;
  readonly #reader: SseReader;
  readonly #ended = new AbortController();
  #settleOpened!: (outcome: ConnectOutcome | Redirect | undefined) => void;
  #endedAt: number | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #headerLimit: Deadline | undefined;
  #accepted = false;
  bytes = 0;
  lastByteAt = 0;
  #comments = 0;
  #lastCommentAt = 0;
  #longestCommentGapMs = 0;
  #waiting: SseMessage[] = [];
  #waitingChars = 0;
  /** Resolves the pending `next`. */
  #wake: (() => void) | undefined;

  constructor(options: OpenStreamOptions) {
    this.#options = options;
    this.#client = options.client;
    this.opened = new Promise((resolve) => {
      this.#settleOpened = resolve;
    });
    this.#reader = new SseReader({
      onMessage: (message) => {
        this.#waiting.push(message);
        this.#waitingChars += message.data.length;
      },
      onRetry: options.onRetry,
      onComment: () => this.#noteComment(),
    });
  }

  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  get endedAt(): number {
    return this.#endedAt ?? this.#options.clock.monotonic();
  }

  get lastEventId(): string | undefined {
    return this.#reader.lastEventId ?? this.#options.lastEventId;
  }

  async next(): Promise<readonly SseMessage[] | undefined> {
    while (this.#waiting.length === 0 && !this.#ended.signal.aborted)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    if (this.#waiting.length === 0) return undefined;
    const messages = this.#waiting;
    this.#waiting = [];
    this.#waitingChars = 0;
    if (this.#controller?.paused) this.#controller.resume();
    return messages;
  }

  close = (): void => this.#finish('stop');

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#ended.signal.aborted) return controller.abort(new Error('closed'));
    const { clock, headerTimeoutMs, url } = this.#options;
    this.#headerLimit = deadline(clock, headerTimeoutMs, `the answer of ${url.pathname}`);
    const { signal } = this.#headerLimit;
    signal.addEventListener('abort', () => controller.abort(signal.reason), { once: true });
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    this.#headerLimit?.[Symbol.dispose]();
    const nowMs = Number(this.#options.clock.now() / 1_000_000n);
    // A header that comes twice counts with its first value.
    const header = (name: string) => [headers[name]].flat()[0];
    const location = REDIRECTS.has(status) ? header('location') : undefined;
    const refused =
      location !== undefined
        ? { location }
        : classifyAnswer({
            status,
            contentType: header('content-type'),
            contentEncoding: header('content-encoding'),
            retryAfterMs: parseRetryAfter(header('retry-after'), nowMs),
          });
    if (refused) {
      this.#settleOpened(refused);
      controller.abort(new Error('refused'));
      return;
    }
    this.#accepted = true;
    this.lastByteAt = this.#options.clock.monotonic();
    this.#settleOpened(undefined);
    void this.#watchIdle();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.lastByteAt = this.#options.clock.monotonic();
    this.bytes += chunk.length;
    this.#options.onBytes();
    this.#reader.feed(chunk);
    if (this.#reader.tooLarge) return this.#finish('size');
    if (this.#waiting.length > MAX_WAITING_MESSAGES || this.#waitingChars > MAX_WAITING_CHARS) controller.pause();
    if (this.#waiting.length > 0) this.#wake?.();
  }

  onResponseEnd(): void {
    this.#finish(this.#controller?.paused ? 'reader_slow' : 'eof');
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#headerLimit?.[Symbol.dispose]();
    if (!this.#accepted) this.#settleOpened(classifyError(asBmcError(error, this.#options.url)));
    this.#finish(this.#controller?.paused ? 'reader_slow' : 'reset');
  }

  #noteComment(): void {
    const now = this.#options.clock.monotonic();
    if (this.#comments++ > 0)
      this.#longestCommentGapMs = Math.max(this.#longestCommentGapMs, now - this.#lastCommentAt);
    this.#lastCommentAt = now;
  }

  /** A BMC that writes comments may be missed sooner. */
  get #idleLimitMs(): number {
    const { idleTimeoutMs } = this.#options;
    if (this.#comments < COMMENTS_TO_TRUST) return idleTimeoutMs;
    return Math.min(idleTimeoutMs, Math.max(LEAST_COMMENT_SILENCE_MS, COMMENT_GAPS * this.#longestCommentGapMs));
  }

  /** A long silence with an open socket: the peer may be gone without a word. */
  async #watchIdle(): Promise<void> {
    const { clock, idleTimeoutMs } = this.#options;
    if (idleTimeoutMs === 0) return;
    try {
      for (;;) {
        // While we do not read, silence says nothing about the peer.
        if (this.#controller?.paused) this.lastByteAt = clock.monotonic();
        const left = this.lastByteAt + this.#idleLimitMs - clock.monotonic();
        if (left <= 0) return this.#finish('idle');
        // Comments that begin meanwhile make the limit shorter.
        await clock.sleep(Math.min(left, LEAST_COMMENT_SILENCE_MS), this.#ended.signal);
      }
    } catch {
      // The stream has ended first.
    }
  }

  #finish(end: StreamEnd): void {
    if (this.#ended.signal.aborted) return;
    this.end = end;
    this.#endedAt = this.#options.clock.monotonic();
    this.#ended.abort(NO_LONGER_NEEDED);
    this.#headerLimit?.[Symbol.dispose]();
    this.#options.signal.removeEventListener('abort', this.close);
    this.#settleOpened(classifyError(new OutbandError('shutting_down', 'closed')));
    this.#wake?.();
    void this.#client.destroy().catch(() => {});
  }
}
