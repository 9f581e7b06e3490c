import type { Host } from '../../src/component/component.ts';
import { NO_LONGER_NEEDED } from '../../src/component/deadline.ts';
import { Signpost } from '../../src/resilience/signpost.ts';
import type { Capabilities } from './capabilities.ts';
import { type ConnectErrorType, type ConnectOutcome, classifyError } from './classify-connect.ts';
import type { RedfishClient } from './client/redfish-client.ts';
import type { RequestLimiter } from './client/request-limiter.ts';
import type { BmcLogsConfig } from './config.ts';
import type { EndpointConfig } from './endpoint-settings.ts';
import type { EndpointEvents, TrialTrigger } from './events.ts';
import type { ModeMachine, Transition } from './mode-machine.ts';
import { connectStream } from './stream/connect-stream.ts';
import type { EventStream, StreamEnd } from './stream/event-stream.ts';
import type { StreamReader } from './stream-reader.ts';

export interface StreamLoopOptions {
  readonly config: BmcLogsConfig;
  readonly endpoint: EndpointConfig;
  readonly host: Host;
  readonly machine: ModeMachine;
  readonly client: RedfishClient;
  readonly limiter: RequestLimiter;
  readonly capabilities: Capabilities;
  readonly reader: StreamReader;
  readonly events: EndpointEvents;
  /** Ends all streaming. */
  readonly signal: AbortSignal;
  /** A failure that counts is about to be told to the machine. */
  readonly onFailure: () => void;
  readonly onOpened: () => void;
  readonly onEnded: () => void;
  /** The mode has changed, or a trial has failed. */
  readonly onTransition: (transition: Transition | undefined) => void;
  /** Bytes of a stream: the BMC lives. Called often. */
  readonly onAlive: () => void;
  /** Whether the last read of the logs has failed. {@link StreamLoop.look} tells that this may have changed. */
  readonly pollsFail: () => boolean;
}

/**
 * Keeps a stream open while there is one to be had: waits as the machine says, connects, reads to the end, and tells the
 * machine what came of it. Trial streams next to polling are the same, only rarer.
 */
export class StreamLoop {
  readonly #options: StreamLoopOptions;
  readonly #poked = new Signpost();
  /** Resolves when the first attempt has come to something, whatever it was. */
  readonly settled: Promise<void>;
  #settle!: () => void;
  #stream: EventStream | undefined;
  #openedAtNanos: bigint | undefined;
  /** Where the last stream ended; asks the BMC for what came since, and proves nothing. */
  #lastEventId: string | undefined;
  #lastError = '';
  #trigger: TrialTrigger = 'interval';
  /** The trial stream has ended polling. */
  #isConfirmed = false;
  #events = 0;
  #attemptAtMs: number | undefined;

  constructor(options: StreamLoopOptions) {
    this.#options = options;
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get lastError(): string {
    return this.#lastError;
  }

  /** When the next attempt is due; monotonic milliseconds, undefined: never. */
  get attemptAtMs(): number | undefined {
    return this.#attemptAtMs;
  }

  /** The open stream, for people. */
  get view() {
    if (!this.#stream) return undefined;
    const { bytes, lastByteAt, lastEventId } = this.#stream;
    return { openedAtNanos: this.#openedAtNanos!, bytes, events: this.#events, lastByteAt, lastEventId };
  }

  get ended(): AbortSignal | undefined {
    return this.#stream?.ended;
  }

  /** Runs until the signal aborts, and rejects with its reason. */
  async run(): Promise<void> {
    try {
      this.plan();
      for (;;) await this.#step();
    } finally {
      this.#settle();
    }
  }

  async #step(): Promise<void> {
    const { machine, host, events, signal } = this.#options;
    await this.#wait();
    const isTrial = machine.mode.kind === 'polling';
    signal.throwIfAborted();
    machine.attempted(host.clock.monotonic());
    this.#isConfirmed = false;
    const attempt = await this.#attempt(isTrial).finally(this.#settle);
    signal.throwIfAborted();
    if (!('kind' in attempt)) await this.#follow(attempt);
    else this.#refused(attempt, isTrial);
    const isSent = !('kind' in attempt) || attempt.kind !== 'not_sent';
    if (isTrial && isSent && !this.#isConfirmed) events.trial('failed', this.#trigger, this.#lastError);
    this.#trigger = 'interval';
  }

  /** The next attempt is due at once. */
  poke(trigger: TrialTrigger): void {
    this.#trigger = trigger;
    this.plan();
    this.#poked.show();
  }

  /** What the machine decides next may have changed. */
  plan(): void {
    const { machine, host } = this.#options;
    const wait = machine.waitBeforeAttempt(host.random());
    this.#attemptAtMs = wait === undefined ? undefined : host.clock.monotonic() + wait;
    this.#poked.show();
  }

  /** Something that an attempt waits for may have come. */
  look(): void {
    this.#poked.show();
  }

  /** Closes the open stream; the loop goes on. */
  close(): void {
    this.#stream?.close();
  }

  async #wait(): Promise<void> {
    const { host, signal, machine, pollsFail } = this.#options;
    const { clock } = host;
    for (;;) {
      signal.throwIfAborted();
      const left = this.#attemptAtMs === undefined ? undefined : this.#attemptAtMs - clock.monotonic();
      const over = new AbortController();
      const ends = AbortSignal.any([signal, over.signal]);
      const poked = this.#poked.reached(ends);
      const slept = left === undefined ? poked : clock.sleep(left, ends).catch(() => {});
      await Promise.race([poked, slept]);
      over.abort(NO_LONGER_NEEDED);
      const isDue = this.#attemptAtMs !== undefined && clock.monotonic() >= this.#attemptAtMs;
      // A BMC whose logs cannot be read gets no trial stream either.
      const isBlocked = isDue && machine.mode.kind === 'polling' && pollsFail();
      if (isDue && !isBlocked) return;
      if (isBlocked) await this.#poked.reached(signal);
    }
  }

  #refused(outcome: ConnectOutcome, isTrial: boolean): void {
    const { machine, host, events, capabilities, onFailure, onTransition } = this.#options;
    this.#lastError = outcome.why;
    if (outcome.kind !== 'not_sent')
      events.connect(outcome.kind, outcome.kind === 'failure' ? outcome.type : undefined);
    // The answer contradicts what was learned: the next attempt asks the BMC again.
    if (outcome.kind === 'unsupported') capabilities.forgetStream();
    if (outcome.kind === 'failure' && !isTrial && isOfNetwork(outcome.type)) onFailure();
    const transition = machine.refused(host.clock.monotonic(), outcome);
    this.plan();
    onTransition(transition);
  }

  async #attempt(isTrial: boolean): Promise<EventStream | ConnectOutcome> {
    const { capabilities, signal } = this.#options;
    try {
      if (isTrial) capabilities.forgetStream();
      const isRemembered = capabilities.knowsStream;
      const outcome = await this.#connect(signal);
      // Where a stream was an hour ago there may be none now, and one elsewhere.
      if (!isRemembered || !('kind' in outcome) || outcome.kind !== 'unsupported') return outcome;
      capabilities.forgetStream();
      return await this.#connect(signal);
    } catch (error) {
      return classifyError(error);
    }
  }

  async #connect(signal: AbortSignal): Promise<EventStream | ConnectOutcome> {
    const { capabilities, machine, onAlive } = this.#options;
    const found = await capabilities.eventStream(signal);
    if ('unsupported' in found) return { kind: 'unsupported', why: found.unsupported };
    return await connectStream(found.uri, {
      ...this.#options,
      ...{ clock: this.#options.host.clock, settings: this.#options.config.sse, lastEventId: this.#lastEventId },
      onRetry: (ms) => machine.serverRetry(ms),
      onBytes: onAlive,
    });
  }

  /** Reads an open stream to its end. */
  async #follow(stream: EventStream): Promise<void> {
    const { endpoint, host, events, machine, reader, signal, onOpened, onEnded, onTransition, onFailure } =
      this.#options;
    const { clock } = host;
    const openedAt = clock.monotonic();
    this.#stream = stream;
    this.#openedAtNanos = clock.now();
    this.#events = 0;
    events.connect('opened');
    onTransition(machine.opened(openedAt));
    onOpened();
    this.#watch(stream);
    let cause: StreamEnd | 'error' = 'error';
    try {
      for (let messages = await stream.next(); messages; messages = await stream.next()) {
        this.#events += messages.length;
        await reader.take(messages);
        this.#lastEventId = stream.lastEventId;
      }
      cause = stream.end;
    } catch (error) {
      signal.throwIfAborted();
      // A fault of ours: it costs this stream, which the logs make good, and not the process.
      host.logger.error('the stream cannot be read', { endpoint: endpoint.name, error });
    } finally {
      stream.close();
      this.#stream = undefined;
    }
    signal.throwIfAborted();
    const livedMs = stream.endedAt - openedAt;
    this.#lastError = `the stream ended (${cause}) after ${Math.round(livedMs / 1_000)}s`;
    events.streamEnded(cause, livedMs);
    onEnded();
    const { kind } = machine.mode;
    const isShort = livedMs < this.#options.config.sse.min_stream_lifetime && cause !== 'reader_slow';
    if (isShort && (kind === 'streaming' || kind === 'held')) {
      events.connect('failure', 'short_stream');
      onFailure();
    }
    const transition = machine.ended(stream.endedAt, cause === 'reader_slow');
    this.plan();
    onTransition(transition);
  }

  /** The stream's own end counts, not the moment at which its last messages were delivered. */
  #watch(stream: EventStream): void {
    const { host, machine, signal } = this.#options;
    const { clock } = host;
    const ends = AbortSignal.any([stream.ended, signal]);
    clock.sleep(machine.lifetimeToProve, ends).then(
      () => {
        this.#lastError = '';
        this.confirm(machine.survived(clock.monotonic()));
      },
      () => {},
    );
    const { trialLimit } = machine;
    if (trialLimit === undefined) return;
    clock.sleep(trialLimit, ends).then(
      () => {
        if (machine.mode.kind === 'trial') stream.close();
      },
      () => {},
    );
  }

  /** A stream has proven itself, which may end polling. */
  confirm(transition: Transition | undefined): void {
    const { events, onTransition } = this.#options;
    if (!transition) return;
    this.plan();
    if (transition.from === 'trial') {
      this.#isConfirmed = true;
      events.trial('confirmed', this.#trigger);
    }
    onTransition(transition);
  }
}

/** A fault that one cause may give to many BMCs at once; a wrong password or certificate is no incident. */
function isOfNetwork(type: ConnectErrorType): boolean {
  return ['dns', 'refused', 'timeout_connect', 'timeout_headers', 'http_5xx'].includes(type);
}
