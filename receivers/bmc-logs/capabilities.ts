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

export interface CapabilitiesOptions {
  readonly client: RedfishClient;
  readonly clock: Clock;
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
  /** A read of the service root under way. */
  #root: Promise<JsonObject> | undefined;
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
    const found = await readEventStream(client, await this.#readRoot(signal), signal);
    this.#stream = { at: clock.monotonic(), found };
    return found;
  }

  /** The log services. @returns also whether they were read just now */
  async logs(signal: AbortSignal): Promise<{ readonly found: Discovery; readonly isNew: boolean }> {
    if (this.#logs && this.#isFresh(this.#logs.at)) return { found: this.#logs.found, isNew: false };
    const { client, clock, exclude, onFacts } = this.#options;
    const root = await this.#readRoot(signal);
    const nowNanos = () => clock.now();
    const found = await discoverLogs({ client, root, exclude, previous: this.services, nowNanos, signal });
    this.#logs = { at: clock.monotonic(), found };
    onFacts(found.facts);
    return { found, isNew: true };
  }

  /** Before a trial, and when the stream URI answers that there is no stream. */
  forgetStream(): void {
    this.#stream = undefined;
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
  #readRoot(signal: AbortSignal): Promise<JsonObject> {
    this.#root ??= readRoot(this.#options.client, signal).finally(() => {
      this.#root = undefined;
    });
    return this.#root;
  }

  #isFresh(at: number): boolean {
    return this.#options.clock.monotonic() - at < this.#options.refreshMs;
  }
}
