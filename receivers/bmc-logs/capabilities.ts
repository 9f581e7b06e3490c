import type { Clock } from '../../src/component/clock.ts';
import type { RedfishClient } from './client/redfish-client.ts';
import type { JsonObject } from './json.ts';
import {
  type Discovery,
  discoverLogs,
  type EventStreamCapability,
  type Facts,
  type LogService,
  readEventStream,
  readRoot,
} from './logs/discovery.ts';

/** What was read for the stream is good enough for the logs for so long; milliseconds. */
const ROOT_MS = 5_000;

export interface CapabilitiesOptions {
  readonly client: RedfishClient;
  readonly clock: Clock;
  /** Ends all reading. */
  readonly signal: AbortSignal;
  /** Milliseconds after which what was learned is learned anew. */
  readonly refreshMs: number;
  /** Log services whose path contains one of these are left out. */
  readonly exclude: readonly string[];
  /** Called after each discovery of the logs. */
  readonly onFacts: (facts: Facts) => void;
}

/**
 * What one BMC has told of itself: where it streams, which logs it has. Learned once and kept for a while, so that a
 * reconnect costs one request, and forgotten when an answer contradicts it.
 */
export class Capabilities {
  readonly #options: CapabilitiesOptions;
  /** The service root, read moments ago. */
  #root: { readonly at: number; readonly body: Promise<JsonObject> } | undefined;
  #stream: { readonly at: number; readonly found: EventStreamCapability } | undefined;
  #logs: { readonly at: number; readonly found: Discovery } | undefined;

  constructor(options: CapabilitiesOptions) {
    this.#options = options;
  }

  /** Services as they were found last; none before that. */
  get services(): readonly LogService[] {
    return this.#logs?.found.services ?? [];
  }

  /** Whether {@link eventStream} would answer from memory. */
  get knowsStream(): boolean {
    return this.#stream !== undefined && this.#isFresh(this.#stream.at);
  }

  /** Where the BMC streams, or why it does not. */
  async eventStream(signal: AbortSignal): Promise<EventStreamCapability> {
    if (this.#stream && this.knowsStream) return this.#stream.found;
    const { client, clock } = this.#options;
    const found = await readEventStream(client, await this.#readRoot(), signal);
    this.#stream = { at: clock.monotonic(), found };
    return found;
  }

  /** The log services. @returns also whether they were read just now */
  async logs(signal: AbortSignal): Promise<{ readonly found: Discovery; readonly isNew: boolean }> {
    if (this.#logs && this.#isFresh(this.#logs.at)) return { found: this.#logs.found, isNew: false };
    const { client, clock, exclude, onFacts } = this.#options;
    const root = await this.#readRoot();
    const nowNanos = () => clock.now();
    const found = await discoverLogs({ client, root, exclude, previous: this.services, nowNanos, signal });
    this.#root = undefined;
    this.#logs = { at: clock.monotonic(), found };
    onFacts(found.facts);
    return { found, isNew: true };
  }

  /** Before a trial, and when the stream URI answers that there is no stream. */
  forgetStream(): void {
    this.#stream = undefined;
    this.#root = undefined;
  }

  /** A service is gone, or a branch could not be read: look again next time, and keep what is known until then. */
  doubtLogs(): void {
    if (this.#logs) this.#logs = { ...this.#logs, at: Number.NEGATIVE_INFINITY };
  }

  /** Minutes east of UTC for times without a zone in the stream: of the service, else what all services share. */
  offsetMinutes(path: string | undefined): number {
    const named = this.services.find((service) => service.path === path);
    const offsets = new Set(this.services.map(({ offsetMinutes }) => offsetMinutes));
    return named?.offsetMinutes ?? (offsets.size === 1 ? [...offsets][0]! : 0);
  }

  /** The stream and the logs are looked for at the same time, at start: one request is enough. */
  #readRoot(): Promise<JsonObject> {
    // Whoever asked first must not end it for the other.
    const { client, clock, signal } = this.#options;
    const now = clock.monotonic();
    if (this.#root === undefined || now - this.#root.at > ROOT_MS) {
      const root = { at: now, body: readRoot(client, signal) };
      root.body.catch(() => {
        if (this.#root === root) this.#root = undefined;
      });
      this.#root = root;
    }
    return this.#root.body;
  }

  #isFresh(at: number): boolean {
    return this.#options.clock.monotonic() - at < this.#options.refreshMs;
  }
}
