import type { Host } from '../../src/component/component.ts';
import type { LogsConsumer, MetricsConsumer } from '../../src/component/consumer.ts';
import { deadline } from '../../src/component/deadline.ts';
import { OutbandError } from '../../src/component/errors.ts';
import type { RunResult, TargetHandle } from '../../src/component/scheduler.ts';
import type { Semaphore } from '../../src/resilience/semaphore.ts';
import { Signpost } from '../../src/resilience/signpost.ts';
import { Capabilities } from './capabilities.ts';
import { readAccount } from './client/account.ts';
import { createConnector } from './client/connector.ts';
import { RedfishClient } from './client/redfish-client.ts';
import type { RequestLimiter } from './client/request-limiter.ts';
import type { TlsContexts } from './client/tls.ts';
import type { BmcLogsConfig } from './config.ts';
import { DeliveryLane } from './delivery-lane.ts';
import type { EndpointConfig } from './endpoint-settings.ts';
import { EndpointState } from './endpoint-state.ts';
import { EndpointEvents, type PollOutcome } from './events.ts';
import { LogReader, type ReadReason } from './log-reader.ts';
import type { Facts } from './logs/discovery.ts';
import { JoinLedger, type Pending } from './logs/ledger.ts';
import type { Positions } from './logs/positions.ts';
import { StateFile } from './logs/state-file.ts';
import type { Instruments } from './metrics.ts';
import { type Mode, ModeMachine, type Transition } from './mode-machine.ts';
import { ResourceCache } from './record/resource.ts';
import type { StartGate } from './start-gate.ts';
import { Coverage } from './stream/coverage.ts';
import { StreamLoop } from './stream-loop.ts';
import { StreamReader } from './stream-reader.ts';

/** A poll whose records the pipeline has not taken after this time ends as deferred; its delivery goes on. */
const PIPELINE_PATIENCE_MS = 60_000;
/** Beyond its own limits a run of the target gets this much for the request under way. */
const RUN_SLACK_MS = 65_000;
/** Runs in a row that go on at once where the last one ended at a limit. */
const MOST_RESUMED_RUNS = 10;
/** Least distance of a read that a stream asks for from the one before. */
const GAP_FILL_SPACING_MS = 1_000;
const STOP_GRACE_MS = 2_000;
const MOST_GAP_FILL_SPACING_MS = 30_000;
/** An event may be so much later than its entry. */
const EVENT_GRACE_MS = 60_000;
const MOST_TRANSITIONS = 20;
/** A person may ask for a trial so often. */
const RETRY_SPACING_MS = 10_000;
const NANOS_PER_MS = 1_000_000n;
/** Of the retry interval: over this overdue trials are spread after a restart. */
const OVERDUE_SPREAD = 0.1;
/** Of the longest retry interval, with its jitter. */
const LONGEST_WAIT = 1.2;

/** What all endpoints of a receiver share. */
export interface Shared {
  readonly receiver: string;
  readonly config: BmcLogsConfig;
  readonly host: Host;
  readonly next: { readonly logs: LogsConsumer; readonly metrics?: MetricsConsumer | undefined };
  readonly instruments: Instruments;
  readonly handshakes: Semaphore;
  readonly limiter: RequestLimiter;
  readonly contexts: TlsContexts;
  readonly startGate: StartGate;
  /** Undefined without a store: a restart reads the logs again. */
  readonly positions: Positions | undefined;
  /** Something that the whole fleet is judged by. */
  readonly onChange: (endpoint: Endpoint, what: 'failed' | 'opened' | 'ended' | 'moved') => void;
}

interface Parts {
  readonly client: RedfishClient;
  readonly capabilities: Capabilities;
  readonly logs: LogReader;
  readonly loop: StreamLoop;
  readonly coverage: Coverage;
  readonly target: TargetHandle;
  readonly state: EndpointState;
  readonly stateFile: StateFile | undefined;
}

/** A transition as people are shown it. */
export interface ShownTransition {
  readonly at: string;
  readonly from: Mode['kind'];
  readonly to: Mode['kind'];
  readonly reason: string | null;
}

/**
 * One BMC. Two things run side by side: its target, which the scheduler calls to read the logs, and its loop, which
 * keeps a stream open while there is one to be had. What they read meets in the delivery lane.
 */
export class Endpoint {
  readonly config: EndpointConfig;
  readonly events: EndpointEvents;
  readonly #shared: Shared;
  readonly #lane: DeliveryLane;
  readonly #ledger = new JoinLedger();
  readonly #resource: ResourceCache;
  /** Ends all reading. */
  readonly #stop = new AbortController();
  /** Ends the delivery of what was read. */
  readonly #abandon = new AbortController();
  readonly #pollWorks = new Signpost();
  /** Ends the connections that are being made. */
  #setUps = new AbortController();
  #machine: ModeMachine;
  #parts: Parts | undefined;
  #loop: Promise<void> | undefined;
  /** A delivery of an earlier poll that the pipeline has not taken yet. */
  #undelivered: Promise<unknown> | undefined;
  /** A wish for a poll that came while one was running. */
  #pollAgain = false;
  #resumedRuns = 0;
  #gapFillDue = false;
  #lastGapFillAt = Number.NEGATIVE_INFINITY;
  #lastReconcileAt = Number.NEGATIVE_INFINITY;
  #everStreamed = false;
  /** The first read has begun. */
  #isPastStart = false;
  /** Whether a complete read has ended since this stream was opened. */
  #readSinceOpened = false;
  #facts: Facts = {};
  #transitions: ShownTransition[] = [];
  #lastPoll: { at: string; outcome: PollOutcome; durationMs: number; error: unknown } | undefined;
  #lastEvent: { at: string; transport: 'sse' | 'poll'; uid: string } | undefined;
  #lastSuccessAt: number;
  #lastRetryAt = Number.NEGATIVE_INFINITY;

  constructor(config: EndpointConfig, shared: Shared) {
    this.config = config;
    this.#shared = shared;
    const { host, receiver, next, instruments } = shared;
    this.events = new EndpointEvents(config.name, host.logger, instruments, shared.config.per_endpoint_metrics);
    this.#lastSuccessAt = host.clock.monotonic();
    this.#machine = this.#newMachine();
    this.#resource = new ResourceCache(config);
    this.#lane = new DeliveryLane({
      next: next.logs,
      origin: { receiver, target: config.name },
      clock: host.clock,
      signal: this.#abandon.signal,
      onDelivered: (transport, outcome, records) => {
        this.events.delivered(transport, outcome, records);
        const last = outcome === 'accepted' ? records.at(-1) : undefined;
        if (last) this.#lastEvent = { at: this.#now(), transport, uid: String(last.attributes['log.record.uid']) };
      },
    });
  }

  get mode(): Mode {
    return this.#machine.mode;
  }

  get isStreaming(): boolean {
    return this.#parts?.loop.view !== undefined;
  }

  /** Monotonic milliseconds of the last poll that did not fail, or the last byte of a stream. */
  get lastSuccessAt(): number {
    return Math.max(this.#lastSuccessAt, this.#parts?.loop.view?.lastByteAt ?? 0);
  }

  /** Everything that people are shown; raw material of the view. */
  get status() {
    const parts = this.#parts;
    return {
      machine: this.#machine,
      facts: this.#facts,
      transitions: this.#transitions,
      lastPoll: this.#lastPoll,
      lastEvent: this.#lastEvent,
      loop: parts?.loop,
      services: parts?.logs.services ?? [],
      uncovered: parts?.coverage.uncovered ?? new Set<string>(),
      covered: parts?.coverage.covered ?? [],
      credentials: parts?.client.credentials,
      counters: this.events.counters,
    };
  }

  /** Rejects only for what a configuration change must cure; a BMC that is away is no error. */
  async start(): Promise<void> {
    const { config, host, handshakes, limiter, contexts, positions: all } = this.#shared;
    const { clock } = host;
    const endpoint = this.config;
    const positions = all?.of(endpoint.name);
    const known = await positions?.load();
    for (const [keys, part] of known?.told ?? []) this.#ledger.addTold(keys, part);
    const state = known?.state ?? new EndpointState({}, () => {});
    this.#machine = this.#newMachine(state);
    const connector = createConnector({
      tls: await contexts.optionsFor(endpoint.tls),
      pins: endpoint.tls.spki_sha256 ?? [],
      connectTimeoutMs: config.sse.connect_timeout,
      handshakes,
      clock,
      signal: () => this.#setUps.signal,
    });
    const { events } = this;
    const client = new RedfishClient({
      endpoint,
      connector,
      limiter,
      credentials: {
        account: () => readAccount(endpoint.auth!, host),
        state,
        onHold: (untilMs) => events.held(untilMs),
      },
      concurrency: config.bmc_request_concurrency,
      requestTimeoutMs: config.request_timeout,
      bodyIdleTimeoutMs: config.body_idle_timeout,
      clock,
      onRequest: (status, durationMs) => events.request(status, durationMs),
      onRefusedLink: (error) => events.refusedLink(error),
    });
    const capabilities = new Capabilities({
      client,
      clock,
      refreshMs: config.periodic.state_refresh_interval,
      exclude: config.exclude_services,
      onFacts: (facts) => this.#learned(facts),
    });
    const coverage = new Coverage(state.current.covered);
    const onCovered = (service: string) => {
      if (coverage.tells(service)) state.update({ covered: coverage.covered });
    };
    const path = config.periodic.logs_state_file;
    const stateFile =
      path === undefined
        ? undefined
        : new StateFile(path, endpoint.machineId, (message, fields) => {
            events.limit('state_file');
            host.logger.warn(message, { endpoint: endpoint.name, ...fields });
          });
    const shared = {
      ...{ config, endpoint, client, clock, lane: this.#lane, ledger: this.#ledger, events, positions, state },
      ...{ onCovered, resource: this.#resource },
    };
    const isKnown = (known?.cursors.size ?? 0) > 0;
    const imported = isKnown ? undefined : await stateFile?.read();
    const logs = new LogReader(shared, known?.cursors, imported);
    const reader = new StreamReader({
      ...shared,
      metrics: this.#shared.next.metrics,
      knows: (what) => logs.knows(what),
      offsetMinutes: (service) => capabilities.offsetMinutes(service),
      signal: this.#stop.signal,
      onTold: () => {
        coverage.event();
        loop.confirm(this.#machine.told(clock.monotonic()));
      },
      onLoss: () => this.#requestGapFill(0),
    });
    const loop = new StreamLoop({
      ...{ config, endpoint, host, machine: this.#machine, client, limiter, capabilities, reader, events },
      signal: this.#stop.signal,
      onFailure: () => this.#shared.onChange(this, 'failed'),
      onOpened: () => this.#opened(),
      onEnded: () => this.#shared.onChange(this, 'ended'),
      onTransition: (transition) => this.#moved(transition),
      onAlive: () => this.#parts!.target.report({ alive: true }),
      untilPollsWork: () => this.#untilPollsWork(),
    });
    const target = host.scheduler(config.scheduler).register(
      {
        type: 'bmc',
        name: endpoint.name,
        connection: endpoint.address.origin,
        run: (signal, { cause }) => {
          // It was away: whatever came meanwhile is a gap.
          if (cause === 'breaker' || cause === 'dead_letter') this.#gapFillDue = true;
          return this.#run(signal);
        },
      },
      {
        interval: config.periodic.logs_collection_interval,
        minInterval: GAP_FILL_SPACING_MS,
        timeout: config.request_timeout + RUN_SLACK_MS,
        firstRun: 'now',
        mode: 'poll',
      },
    );
    this.#parts = { client, capabilities, logs, loop, coverage, target, state, stateFile };
    if (this.#machine.mode.kind === 'connecting') this.#shared.startGate.add(loop.settled);
    this.#loop = loop.run().catch((error) => {
      if (!this.#stop.signal.aborted) throw error;
    });
    if (this.#machine.mode.kind !== 'polling') return;
    events.staysDowngraded(this.#machine.mode, loop.attemptIn);
    this.#shared.onChange(this, 'moved');
  }

  /**
   * Reads no more; what was read goes out if the pipeline takes it soon, else it stays behind the position.
   * @param signal aborts when there is no more time
   * @param isGone the endpoint left the configuration: its state is kept for a week
   */
  async shutdown(signal: AbortSignal, isGone = false): Promise<void> {
    const { host } = this.#shared;
    const stopping = new OutbandError('shutting_down', `endpoint ${this.config.name} stops`);
    this.#stop.abort(stopping);
    this.#setUps.abort(stopping);
    // The end of the session may need a connection once more.
    this.#setUps = new AbortController();
    using grace = deadline(host.clock, STOP_GRACE_MS, 'the last delivery', signal);
    grace.signal.addEventListener('abort', () => this.#abandon.abort(grace.signal.reason), { once: true });
    await this.#parts?.target.unregister();
    await this.#loop;
    await this.#undelivered;
    this.#abandon.abort();
    await this.#parts?.stateFile?.close();
    using goodbye = deadline(host.clock, STOP_GRACE_MS, 'the end of the session', signal);
    await this.#parts?.client.close(goodbye.signal);
    this.#setUps.abort(stopping);
    if (isGone) this.#parts?.state.update({ goneMs: Number(host.clock.now() / NANOS_PER_MS) });
  }

  /** Most of the fleet fails, or does so no more. */
  incident(isOpen: boolean): void {
    const now = this.#shared.host.clock.monotonic();
    const transition = isOpen ? this.#machine.incidentBegan(now) : this.#machine.incidentOver(now);
    if (transition) this.#parts?.loop.plan();
    this.#moved(transition);
  }

  /** A person asks for a stream now. @returns when it is due, or why not */
  retryStream(): { readonly due: string } | { readonly refused: RetryRefusal } {
    const now = this.#shared.host.clock.monotonic();
    const { kind } = this.#machine.mode;
    if (kind === 'periodic') return { refused: 'mode_periodic' };
    if (this.isStreaming) return { refused: 'already_streaming' };
    if (this.#parts?.client.credentials.holdUntilMs !== undefined) return { refused: 'auth_hold' };
    if (now - this.#lastRetryAt < RETRY_SPACING_MS) return { refused: 'too_soon' };
    this.#lastRetryAt = now;
    this.#machine.retryNow();
    this.#parts?.loop.poke('operator');
    return { due: this.#now() };
  }

  #newMachine(state?: EndpointState): ModeMachine {
    const { config, host } = this.#shared;
    const settings = { mode: this.config.mode, sse: config.sse, auto: config.auto };
    const now = host.clock.monotonic();
    const { origin } = this.config.address;
    if (!state) return new ModeMachine(settings, now);
    if (state.current.address !== origin) state.update({ address: origin, downgrade: undefined });
    const { downgrade } = state.current;
    if (!downgrade || !config.auto.persist_downgrade) return new ModeMachine(settings, now);
    const { reason, failedTrials, nextTrialMs, sinceMs } = downgrade;
    const nowMs = Number(host.clock.now() / NANOS_PER_MS);
    const { sse_retry_interval } = config.auto;
    const isWanted = sse_retry_interval > 0 && nextTrialMs !== undefined;
    return new ModeMachine(settings, now, {
      ...{ reason, failedTrials, since: now - Math.max(0, nowMs - sinceMs) },
      nextTrialIn: isWanted ? this.#restOfWait(nextTrialMs - nowMs) : undefined,
    });
  }

  /** What is left of a wait for a trial: not more than any such wait, and spread over a fleet in which all is overdue. */
  #restOfWait(left: number): number {
    const { sse_retry_interval, sse_retry_max_interval } = this.#shared.config.auto;
    const least = OVERDUE_SPREAD * sse_retry_interval * this.#shared.host.random();
    return Math.min(Math.max(left, least), LONGEST_WAIT * sse_retry_max_interval);
  }

  /** One run of the target: whatever reading is due. */
  async #run(signal: AbortSignal): Promise<RunResult> {
    const { host } = this.#shared;
    const started = host.clock.monotonic();
    let reason: ReadReason = 'periodic';
    const report = (outcome: PollOutcome, error?: unknown) => {
      const durationMs = host.clock.monotonic() - started;
      this.#lastPoll = { at: this.#now(), outcome, durationMs, error };
      this.events.poll(outcome, reason, error, durationMs);
    };
    try {
      await this.#streamFirst(signal);
      const result = await this.#patiently(() => {
        reason = this.#reasonOfRead();
        return this.#poll(reason, signal);
      });
      if (result === 'deferred') return { deferred: true };
      const { failed, services, unfinished, emitted, error } = result;
      if (error !== undefined && failed === services) throw error;
      this.#lastSuccessAt = host.clock.monotonic();
      report(error === undefined ? 'success' : 'partial', error);
      this.#pollWorks.show();
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
   * At start a stream is opened first and the logs are read second, once for both: what came before is in the logs, and what
   * comes meanwhile is told.
   */
  async #streamFirst(signal: AbortSignal): Promise<void> {
    if (this.#isPastStart || this.#machine.mode.kind !== 'connecting') return;
    this.#isPastStart = true;
    await this.#shared.startGate.pass(this.#parts!.loop.settled, signal);
  }

  /**
   * Waits for the pipeline, but not for ever: a sink that is down is no fault of the BMC. The work goes on meanwhile,
   * holding what it has read, and the next run waits for it first.
   */
  async #patiently<T>(work: () => Promise<T>): Promise<T | 'deferred'> {
    const { host, config } = this.#shared;
    using patience = deadline(host.clock, PIPELINE_PATIENCE_MS + config.request_timeout, 'the pipeline');
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

  #reasonOfRead(): ReadReason {
    if (this.#gapFillDue) return 'gap_fill';
    return this.#machine.mode.kind === 'streaming' ? 'reconcile' : 'periodic';
  }

  async #poll(reason: ReadReason, signal: AbortSignal) {
    try {
      return await this.#read(reason, signal);
    } finally {
      this.#parts!.client.releaseIdle();
    }
  }

  async #read(reason: ReadReason, signal: AbortSignal) {
    const { config, host } = this.#shared;
    const { logs, capabilities, coverage, stateFile } = this.#parts!;
    // Whoever wished for a read until now gets this one.
    this.#pollAgain = false;
    const now = host.clock.monotonic();
    const { found, isNew } = await capabilities.logs(signal);
    if (isNew) logs.trustAgain();
    if (isNew && found.isCut) this.events.limit('services');
    if (this.#gapFillDue) this.#lastGapFillAt = now;
    this.#gapFillDue = false;
    const allServices = found.failures.length === 0;
    const problem = found.failures[0]?.error;
    // In mode `sse` logs only complete a stream; before the first one there is nothing to complete.
    if (this.config.mode === 'sse' && !this.#everStreamed)
      return { emitted: 0, unfinished: false, failed: 0, services: 0, error: problem };
    // Between two reconciles only those logs are read that the stream does not tell.
    const isPartial =
      reason === 'reconcile' &&
      coverage.uncovered.size > 0 &&
      now - this.#lastReconcileAt < config.sse.reconcile_interval;
    if (reason === 'reconcile' && !isPartial) this.#lastReconcileAt = now;
    const services = isPartial ? found.services.filter(({ path }) => coverage.uncovered.has(path)) : found.services;
    const { mode } = this.#machine;
    const keepForStream = mode.kind !== 'periodic' && !(mode.kind === 'polling' && mode.reason === 'sse_not_available');
    const readBefore = this.#readSinceOpened;
    const result = await logs.poll({ services, allServices: allServices && !isPartial, reason, keepForStream, signal });
    if (result.complete && this.isStreaming) this.#readSinceOpened = true;
    if (this.isStreaming && reason !== 'periodic') this.events.gapEntries(result.emitted, reason);
    if (reason === 'reconcile' && readBefore) this.#awaitEvents(result.unjoined);
    if (result.failed > 0 || !allServices) capabilities.doubtLogs();
    if (result.failed < services.length) stateFile?.write(logs.lastIds);
    return { ...result, services: services.length, error: result.error ?? problem };
  }

  /** What a reconcile has found new should come by the stream, too, if a little later. */
  #awaitEvents(unjoined: readonly Pending[]): void {
    const { loop, coverage } = this.#parts!;
    const ended = loop.ended;
    if (unjoined.length === 0 || !ended) return;
    const { config, host } = this.#shared;
    const grace = Math.min(EVENT_GRACE_MS, config.sse.reconcile_interval);
    host.clock.sleep(grace, AbortSignal.any([ended, this.#stop.signal])).then(
      () => {
        const missed = unjoined.flatMap(({ joined, service }) => (joined || service === undefined ? [] : [service]));
        const { silent } = coverage.reconciled(new Set(missed));
        this.#setPace();
        if (silent) this.#silent();
      },
      () => {},
    );
  }

  #silent(): void {
    const { loop } = this.#parts!;
    const transition = this.#machine.silent(this.#shared.host.clock.monotonic());
    if (!transition) this.events.silentStream();
    this.#parts!.coverage.opened();
    loop.close();
    loop.plan();
    this.#moved(transition);
  }

  #opened(): void {
    const { config } = this.#shared;
    this.#everStreamed = true;
    this.#readSinceOpened = false;
    this.#parts!.coverage.opened();
    this.#shared.onChange(this, 'opened');
    this.#parts!.target.report({ alive: true });
    // A stream that flaps must not have the logs read each time; one that counts as good may.
    this.#requestGapFill(Math.min(MOST_GAP_FILL_SPACING_MS, config.sse.min_stream_lifetime));
  }

  /** After every step of the machine. */
  #moved(transition: Transition | undefined): void {
    const { config } = this.#shared;
    const parts = this.#parts;
    if (!parts) return;
    const { mode } = this.#machine;
    const isNewDecision = transition !== undefined || mode.kind === 'polling';
    if (transition) {
      const { from, to, reason } = transition;
      this.#transitions = [...this.#transitions, { at: this.#now(), from, to, reason: reason ?? null }].slice(
        -MOST_TRANSITIONS,
      );
      this.#setPace();
      // A downgrade, or a return: whatever came while nobody listened is in the logs.
      if ((to === 'polling' && from !== 'trial') || to === 'held' || from === 'trial') this.#requestGapFill(0);
      const { lastError, attemptIn: nextTrialIn } = parts.loop;
      this.events.transition(transition, { lastError, nextTrialIn, window: config.auto.connect_failure_window });
    }
    if (isNewDecision) this.#storeDecision(parts);
    this.#shared.onChange(this, 'moved');
  }

  #storeDecision({ state, loop }: Parts): void {
    const { mode, failedTrials } = this.#machine;
    if (mode.kind === 'trial') return;
    if (mode.kind !== 'polling') {
      if (state.current.downgrade) state.update({ downgrade: undefined });
      return;
    }
    const { clock } = this.#shared.host;
    const nowMs = Number(clock.now() / NANOS_PER_MS);
    const { attemptIn } = loop;
    state.update({
      downgrade: {
        reason: mode.reason,
        sinceMs: nowMs - Math.round(clock.monotonic() - mode.since),
        failedTrials,
        nextTrialMs: attemptIn === undefined ? undefined : Math.round(nowMs + attemptIn),
      },
    });
  }

  #learned(facts: Facts): void {
    const { state, logs, loop } = this.#parts!;
    this.#facts = facts;
    this.#resource.update(facts);
    this.events.knowsVendor(facts.vendor);
    const { serviceUuid, managerSerial, firmwareVersion: firmware } = facts;
    const before = state.current;
    const differs = (now: string | undefined, then: string | undefined) =>
      now !== undefined && then !== undefined && now !== then;
    if (differs(serviceUuid, before.serviceUuid) || differs(managerSerial, before.managerSerial)) {
      this.events.logReset('', { kind: 'replaced' });
      logs.replaced();
    }
    if (differs(firmware, before.firmware) && this.#machine.mode.kind === 'polling') {
      this.#machine.retryNow();
      loop.poke('firmware');
    }
    const known = { serviceUuid, managerSerial, firmware };
    if (Object.entries(known).some(([name, value]) => differs(value, before[name as keyof typeof known] ?? '')))
      state.update(Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined)));
  }

  /** A BMC whose logs cannot be read gets no trial stream either. */
  async #untilPollsWork(): Promise<void> {
    while (this.#lastPoll?.outcome === 'failure' && !this.#stop.signal.aborted)
      await this.#pollWorks.reached(this.#stop.signal);
  }

  /** Asks for a poll beside the stream: events that came while there was none are in the logs. */
  #requestGapFill(spacingMs: number): void {
    const { clock } = this.#shared.host;
    this.#gapFillDue = true;
    const delay = Math.max(0, this.#lastGapFillAt + spacingMs - clock.monotonic());
    if (!this.#parts!.target.runNow(delay)) this.#pollAgain = true;
  }

  /** While a stream is open and trusted, reads only check that it tells everything. */
  #setPace(): void {
    const { config } = this.#shared;
    const { target, coverage } = this.#parts!;
    const streaming = this.#machine.mode.kind === 'streaming';
    const isCovered = coverage.uncovered.size === 0;
    const interval = streaming && isCovered ? config.sse.reconcile_interval : config.periodic.logs_collection_interval;
    target.setInterval(interval, { mode: streaming ? 'stream' : 'poll' });
  }

  #now(): string {
    return new Date(Number(this.#shared.host.clock.now() / NANOS_PER_MS)).toISOString();
  }
}

export type RetryRefusal = 'mode_periodic' | 'already_streaming' | 'auth_hold' | 'too_soon';
