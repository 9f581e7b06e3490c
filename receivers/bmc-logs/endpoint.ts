import type { Host } from '../../src/component/component.ts';
import type { LogsConsumer } from '../../src/component/consumer.ts';
import { deadline } from '../../src/component/deadline.ts';
import { describeError, OutbandError } from '../../src/component/errors.ts';
import type { RunResult, TargetHandle } from '../../src/component/scheduler.ts';
import type { Semaphore } from '../../src/resilience/semaphore.ts';
import { type ConnectOutcome, classifyError } from './classify-connect.ts';
import { createConnector } from './client/connector.ts';
import { RedfishClient } from './client/redfish-client.ts';
import type { BmcLogsConfig, EndpointConfig } from './config.ts';
import { DeliveryLane } from './delivery-lane.ts';
import type { BmcEvents } from './events.ts';
import { LogReader } from './log-reader.ts';
import {
  type Discovery,
  discoverLogs,
  type EventStreamCapability,
  readEventStream,
  readRoot,
} from './logs/discovery.ts';
import { JoinLedger } from './logs/ledger.ts';
import type { Positions } from './logs/positions.ts';
import { type Mode, ModeMachine, type Transition } from './mode-machine.ts';
import { ResourceCache } from './record/resource.ts';
import { type EventStream, openStream, type StreamEnd } from './stream/event-stream.ts';
import { StreamReader } from './stream-reader.ts';

/** A poll whose records the pipeline has not taken after this time ends as deferred; its delivery goes on. */
const PIPELINE_PATIENCE_MS = 60_000;
/** Beyond its own limits a run of the target gets this much for the request under way. */
const RUN_SLACK_MS = 65_000;
/** Runs in a row that go on at once where the last one ended at a limit. */
const MOST_RESUMED_RUNS = 10;
const MAX_REDIRECTS = 3;
/** Least distance of a read that a stream asks for from the one before. */
const GAP_FILL_SPACING_MS = 1_000;
const STOP_GRACE_MS = 2_000;
const MOST_GAP_FILL_SPACING_MS = 30_000;

export interface EndpointOptions {
  readonly receiver: string;
  readonly config: BmcLogsConfig;
  readonly endpoint: EndpointConfig;
  readonly host: Host;
  readonly next: LogsConsumer;
  readonly events: BmcEvents;
  /** One for all endpoints of the receiver. */
  readonly handshakes: Semaphore;
}

interface Parts {
  readonly client: RedfishClient;
  readonly connector: Awaited<ReturnType<typeof createConnector>>;
  readonly logs: LogReader;
  readonly stream: StreamReader;
  readonly target: TargetHandle;
}

/**
 * One BMC. Two things run side by side: its target, which the scheduler calls to read the logs, and its loop, which
 * keeps a stream open while there is one to be had. What they read meets in the delivery lane.
 */
export class Endpoint {
  readonly #options: EndpointOptions;
  readonly #machine: ModeMachine;
  readonly #lane: DeliveryLane;
  readonly #ledger = new JoinLedger();
  readonly #resource: ResourceCache;
  /** Ends all reading. */
  readonly #stop = new AbortController();
  /** Ends the delivery of what was read. */
  readonly #abandon = new AbortController();
  #parts: Parts | undefined;
  #loop: Promise<void> | undefined;
  /** Renewed when old, before each trial, and after an answer that contradicts it. */
  #capability: { readonly at: number; readonly stream: EventStreamCapability } | undefined;
  #discovery: { readonly at: number; readonly found: Discovery } | undefined;
  /** A delivery of an earlier poll that the pipeline has not taken yet. */
  #undelivered: Promise<unknown> | undefined;
  /** A wish for a poll that came while one was running. */
  #pollAgain = false;
  #resumedRuns = 0;
  #gapFillDue = false;
  #lastGapFillAt = Number.NEGATIVE_INFINITY;
  #everStreamed = false;
  /** Where the last stream ended; asks the BMC for what came since, and proves nothing. */
  #lastEventId: string | undefined;
  #lastError = '';
  /** Wait before the next attempt to stream, as it was announced; undefined: never. */
  #attemptIn: number | undefined;

  constructor(options: EndpointOptions) {
    this.#options = options;
    const { config, endpoint, host, next, receiver, events } = options;
    this.#machine = new ModeMachine({ mode: endpoint.mode, sse: config.sse, auto: config.auto });
    this.#resource = new ResourceCache(endpoint);
    this.#lane = new DeliveryLane({
      next,
      origin: { receiver, target: endpoint.name },
      clock: host.clock,
      signal: this.#abandon.signal,
      onDelivered: events.delivered,
    });
  }

  get mode(): Mode {
    return this.#machine.mode;
  }

  /**
   * Rejects only for what a configuration change must cure; a BMC that is away is no error.
   * @param all where positions are stored, if they are
   */
  async start(all: Positions | undefined): Promise<void> {
    const { config, endpoint, host, handshakes, events } = this.#options;
    const { clock } = host;
    const positions = all?.of(endpoint.name);
    const known = await positions?.load();
    for (const [keys, part] of known?.told ?? []) this.#ledger.addTold(keys, part);
    const connector = await createConnector({
      tls: endpoint.tls,
      connectTimeoutMs: config.sse.connect_timeout,
      handshakes,
      clock,
      signal: this.#stop.signal,
    });
    const client = new RedfishClient({
      endpoint,
      connector,
      concurrency: config.bmc_request_concurrency,
      requestTimeoutMs: config.request_timeout,
      bodyIdleTimeoutMs: config.body_idle_timeout,
      clock,
      onRequest: events.request,
      onRefusedLink: (error) => events.refusedLink(endpoint.name, error),
    });
    const shared = { config, endpoint, client, clock, lane: this.#lane, ledger: this.#ledger, events, positions };
    const logs = new LogReader({ ...shared, resource: this.#resource }, known?.cursors);
    const stream = new StreamReader({
      ...shared,
      resource: this.#resource,
      knows: (what) => logs.knows(what),
      offsetMinutes: (service) => this.#offsetMinutes(service),
      signal: this.#stop.signal,
      onLoss: () => this.#requestGapFill(0),
    });
    const target = host.scheduler(config.scheduler).register(
      {
        type: 'bmc',
        name: endpoint.name,
        connection: endpoint.address.origin,
        run: (signal) => this.#run(signal),
      },
      {
        interval: config.periodic.logs_collection_interval,
        minInterval: GAP_FILL_SPACING_MS,
        timeout: config.request_timeout + RUN_SLACK_MS,
        firstRun: 'now',
        mode: 'poll',
      },
    );
    this.#parts = { client, connector, logs, stream, target };
    this.#attemptIn = this.#machine.waitBeforeAttempt(host.random());
    this.#loop = this.#keepStreaming().catch((error) => {
      if (!this.#stop.signal.aborted) throw error;
    });
  }

  /** Reads no more; what was read goes out if the pipeline takes it soon, else it stays behind the position. */
  async shutdown(signal: AbortSignal): Promise<void> {
    const { host, endpoint } = this.#options;
    this.#stop.abort(new OutbandError('shutting_down', `endpoint ${endpoint.name} stops`));
    using grace = deadline(host.clock, STOP_GRACE_MS, 'the last delivery', signal);
    grace.signal.addEventListener('abort', () => this.#abandon.abort(grace.signal.reason), { once: true });
    await this.#parts?.target.unregister();
    await this.#loop;
    await this.#undelivered;
    this.#abandon.abort();
    await this.#parts?.client.close();
  }

  /** One run of the target: whatever reading is due. */
  async #run(signal: AbortSignal): Promise<RunResult> {
    const { host, endpoint, events } = this.#options;
    const started = host.clock.monotonic();
    const report = (outcome: 'success' | 'partial' | 'failure', error?: unknown) =>
      events.poll(endpoint.name, outcome, error, host.clock.monotonic() - started);
    try {
      const result = await this.#patiently(() => this.#poll(signal));
      if (result === 'deferred') return { deferred: true };
      const { failed, services, unfinished, emitted, error } = result;
      if (error !== undefined && failed === services) throw error;
      report(error === undefined ? 'success' : 'partial', error);
      this.#resumedRuns = unfinished ? this.#resumedRuns + 1 : 0;
      const again = this.#pollAgain || (unfinished && this.#resumedRuns <= MOST_RESUMED_RUNS);
      this.#pollAgain = false;
      return { items: emitted, again };
    } catch (error) {
      if (!this.#stop.signal.aborted) report('failure', error);
      throw error;
    }
  }

  /**
   * Waits for the pipeline, but not for ever: a sink that is down is no fault of the BMC. The work goes on meanwhile,
   * holding what it has read, and the next run waits for it first.
   */
  async #patiently<T>(work: () => Promise<T>): Promise<T | 'deferred'> {
    const { clock } = this.#options.host;
    using patience = deadline(clock, PIPELINE_PATIENCE_MS + this.#options.config.request_timeout, 'the pipeline');
    const gaveUp = new Promise<'deferred'>((resolve) => {
      patience.signal.addEventListener('abort', () => resolve('deferred'), { once: true });
    });
    if (this.#undelivered && (await Promise.race([this.#undelivered, gaveUp])) === 'deferred') return 'deferred';
    const running = work();
    this.#undelivered = running.then(
      () => undefined,
      () => undefined,
    );
    // Awaited here: the limit ends with this block.
    return await Promise.race([running, gaveUp]);
  }

  async #poll(signal: AbortSignal) {
    const { endpoint } = this.#options;
    const { logs } = this.#parts!;
    const found = await this.#discoverLogs(signal);
    const none = { emitted: 0, unfinished: false, failed: 0, error: undefined };
    const onlyStream = endpoint.mode === 'sse' && !this.#everStreamed;
    const { kind } = this.#machine.mode;
    const reason = this.#gapFillDue ? 'gap_fill' : kind === 'streaming' ? 'reconcile' : 'periodic';
    const services = onlyStream ? [] : found.services;
    if (this.#gapFillDue) this.#lastGapFillAt = this.#options.host.clock.monotonic();
    this.#gapFillDue = false;
    const mayStream = kind !== 'periodic' && !(kind === 'polling' && this.#machine.mode.reason === 'sse_not_available');
    const whole = found.failures.length === 0;
    const result = onlyStream ? none : await logs.poll(services, whole, reason, mayStream, signal);
    // A service that vanished, or a branch that failed: look again next time.
    if (this.#discovery && (result.failed > 0 || !whole))
      this.#discovery = { ...this.#discovery, at: Number.NEGATIVE_INFINITY };
    return { ...result, services: services.length, error: result.error ?? found.failures[0]?.error };
  }

  async #eventStream(): Promise<EventStreamCapability> {
    const { client } = this.#parts!;
    const { host, config } = this.#options;
    const { signal } = this.#stop;
    const refresh = config.periodic.state_refresh_interval;
    if (this.#capability && host.clock.monotonic() - this.#capability.at < refresh) return this.#capability.stream;
    const stream = await readEventStream(client, await readRoot(client, signal), signal);
    this.#capability = { at: host.clock.monotonic(), stream };
    return stream;
  }

  async #discoverLogs(signal: AbortSignal): Promise<Discovery> {
    const { config, host } = this.#options;
    const { client } = this.#parts!;
    const refresh = config.periodic.state_refresh_interval;
    if (this.#discovery && host.clock.monotonic() - this.#discovery.at < refresh) return this.#discovery.found;
    const found = await discoverLogs({
      client,
      root: await readRoot(client, signal),
      exclude: config.exclude_services,
      previous: this.#discovery?.found.services ?? [],
      signal,
    });
    this.#discovery = { at: host.clock.monotonic(), found };
    this.#resource.update(found.facts);
    return found;
  }

  /** For times without a zone in the stream: that of the service, else the one that all services share. */
  #offsetMinutes(path: string | undefined): number {
    const services = this.#discovery?.found.services ?? [];
    const named = services.find((service) => service.path === path);
    const offsets = new Set(services.map(({ offsetMinutes }) => offsetMinutes));
    return named?.offsetMinutes ?? (offsets.size === 1 ? [...offsets][0]! : 0);
  }

  /** Asks for a poll beside the stream: events that came while there was none are in the logs. */
  #requestGapFill(spacingMs: number): void {
    const { clock } = this.#options.host;
    this.#gapFillDue = true;
    const delay = Math.max(0, this.#lastGapFillAt + spacingMs - clock.monotonic());
    if (!this.#parts!.target.runNow(delay)) this.#pollAgain = true;
  }

  async #keepStreaming(): Promise<void> {
    const { host, events, endpoint } = this.#options;
    while (this.#attemptIn !== undefined) {
      await host.clock.sleep(this.#attemptIn, this.#stop.signal);
      const wasPolling = this.#machine.mode.kind === 'polling';
      const attempt = await this.#attempt(wasPolling);
      this.#stop.signal.throwIfAborted();
      if (!('kind' in attempt)) {
        await this.#follow(attempt);
        continue;
      }
      events.connect(attempt.kind, attempt.kind === 'failure' ? attempt.type : undefined);
      // The answer contradicts what was learned: the next attempt asks the BMC again.
      if (attempt.kind === 'unsupported') this.#capability = undefined;
      this.#lastError = attempt.why;
      if (wasPolling) events.trialFailed(endpoint.name, attempt.why);
      this.#changed(this.#machine.refused(host.clock.monotonic(), attempt));
    }
  }

  async #attempt(isTrial: boolean): Promise<EventStream | ConnectOutcome> {
    const { client } = this.#parts!;
    try {
      if (isTrial) this.#capability = undefined;
      const stream = await this.#eventStream();
      if ('unsupported' in stream) return { kind: 'unsupported', why: stream.unsupported };
      let url = client.resolve(stream.uri);
      for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
        const opened = await this.#open(url);
        if (!('location' in opened)) return opened;
        url = client.resolve(opened.location, url);
      }
      return { kind: 'failure', type: 'http_4xx', why: 'the stream URI redirects without end' };
    } catch (error) {
      return classifyError(
        error instanceof OutbandError
          ? error
          : new OutbandError('bmc_bad_body', describeError(error), { cause: error }),
      );
    }
  }

  #open(url: URL): ReturnType<typeof openStream> {
    const { config, endpoint, host } = this.#options;
    return openStream({
      endpoint,
      connector: this.#parts!.connector,
      url,
      lastEventId: this.#lastEventId,
      headerTimeoutMs: config.sse.header_timeout,
      idleTimeoutMs: config.sse.idle_timeout,
      clock: host.clock,
      onRetry: (ms) => this.#machine.serverRetry(ms),
      signal: this.#stop.signal,
    });
  }

  /** Reads an open stream to its end. */
  async #follow(stream: EventStream): Promise<void> {
    const { config, endpoint, host, events } = this.#options;
    const { clock } = host;
    const openedAt = clock.monotonic();
    events.connect('opened');
    this.#machine.opened(openedAt);
    this.#everStreamed = true;
    this.#setPace();
    this.#parts!.target.report({ alive: true });
    // A stream that flaps must not have the logs read each time; one that counts as good may.
    this.#requestGapFill(Math.min(MOST_GAP_FILL_SPACING_MS, config.sse.min_stream_lifetime));
    // The stream's own end counts, not the moment at which its last messages were delivered.
    clock.sleep(this.#machine.lifetimeToProve, AbortSignal.any([stream.ended, this.#stop.signal])).then(
      () => this.#changed(this.#machine.survived(clock.monotonic())),
      () => {},
    );
    let cause: StreamEnd | 'error' = 'error';
    try {
      for (let messages = await stream.next(); messages; messages = await stream.next()) {
        this.#parts!.target.report({ alive: true });
        await this.#parts!.stream.take(messages);
        this.#lastEventId = stream.lastEventId;
      }
      cause = stream.end;
    } catch (error) {
      this.#stop.signal.throwIfAborted();
      // A fault of ours: it costs this stream, which the logs make good, and not the process.
      host.logger.error('the stream cannot be read', { endpoint: endpoint.name, error });
    } finally {
      stream.close();
    }
    this.#stop.signal.throwIfAborted();
    const livedMs = stream.endedAt - openedAt;
    this.#lastError = `the stream ended (${cause}) after ${Math.round(livedMs / 1_000)}s`;
    events.streamEnded(endpoint.name, cause, livedMs);
    if (this.#machine.mode.kind === 'trial') events.trialFailed(endpoint.name, this.#lastError);
    this.#changed(this.#machine.ended(stream.endedAt));
    this.#setPace();
  }

  /** After every step of the machine: the wait for the next attempt, and what a transition entails. */
  #changed(transition: Transition | undefined): void {
    const { endpoint, host, events } = this.#options;
    this.#attemptIn = this.#machine.waitBeforeAttempt(host.random());
    if (!transition) return;
    this.#setPace();
    this.#requestGapFill(0);
    events.transition(endpoint.name, transition, this.#lastError, this.#attemptIn);
  }

  /** While a stream is open and trusted, reads only check that it tells everything. */
  #setPace(): void {
    const { config } = this.#options;
    const streaming = this.#machine.mode.kind === 'streaming';
    const interval = streaming ? config.sse.reconcile_interval : config.periodic.logs_collection_interval;
    this.#parts!.target.setInterval(interval, { mode: streaming ? 'stream' : 'poll' });
  }
}
