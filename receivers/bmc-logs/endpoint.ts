import { aborted } from '../../src/component/aborted.ts';
import type { Host } from '../../src/component/component.ts';
import type { LogsConsumer, MetricsConsumer } from '../../src/component/consumer.ts';
import { deadline } from '../../src/component/deadline.ts';
import { OutbandError } from '../../src/component/errors.ts';
import type { Semaphore } from '../../src/resilience/semaphore.ts';
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
import { EndpointEvents } from './events.ts';
import { LogPoller } from './log-poller.ts';
import { LogReader } from './log-reader.ts';
import type { Facts } from './logs/discovery.ts';
import { JoinLedger } from './logs/ledger.ts';
import type { Positions } from './logs/positions.ts';
import { StateFile } from './logs/state-file.ts';
import type { Instruments } from './metrics.ts';
import { type Mode, ModeMachine, type Transition } from './mode-machine.ts';
import { ResourceCache } from './record/resource.ts';
import { isoNow } from './record/time.ts';
import type { StartGate } from './start-gate.ts';
import { Coverage } from './stream/coverage.ts';
import { StreamLoop } from './stream-loop.ts';
import { StreamReader } from './stream-reader.ts';

const STOP_GRACE_MS = 2_000;
const MOST_GAP_FILL_SPACING_MS = 30_000;
const MOST_TRANSITIONS = 20;
const FAULT_PAUSE_MS = 60_000;
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
  readonly logs: LogReader;
  readonly loop: StreamLoop;
  readonly coverage: Coverage;
  readonly poller: LogPoller;
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
 * One BMC. Two things run side by side: its poller, which the scheduler calls to read the logs, and its loop, which keeps a
 * stream open while there is one to be had. What they read meets in the delivery lane. Here they are put together, and what a
 * change of mode entails is done.
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
  /** Ends the connections that are being made. */
  #setUps = new AbortController();
  #machine: ModeMachine;
  #parts: Parts | undefined;
  #loop: Promise<void> | undefined;
  #facts: Facts = {};
  #transitions: ShownTransition[] = [];
  #lastEvent: { at: string; transport: 'sse' | 'poll'; uid: string } | undefined;
  readonly #startedAt: number;
  #lastRetryAt = Number.NEGATIVE_INFINITY;

  constructor(config: EndpointConfig, shared: Shared) {
    this.config = config;
    this.#shared = shared;
    const { host, receiver, next, instruments } = shared;
    this.events = new EndpointEvents(config.name, host.logger, instruments, shared.config.per_endpoint_metrics);
    this.#startedAt = host.clock.monotonic();
    this.#machine = this.#newMachine();
    this.#resource = new ResourceCache(config);
    this.#lane = new DeliveryLane({
      next: next.logs,
      origin: { receiver, target: config.name },
      labels: this.events.labels,
      clock: host.clock,
      signal: this.#abandon.signal,
      onDelivered: (transport, outcome, records) => {
        this.events.delivered(transport, outcome, records);
        const last = outcome === 'accepted' ? records.at(-1) : undefined;
        if (last)
          this.#lastEvent = {
            at: isoNow(this.#shared.host.clock),
            transport,
            uid: String(last.attributes['log.record.uid']),
          };
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
    const { poller, loop } = this.#parts ?? {};
    return Math.max(poller?.lastSuccessAt ?? this.#startedAt, loop?.view?.lastByteAt ?? 0);
  }

  /** Everything that people are shown; raw material of the view. */
  get status() {
    const parts = this.#parts;
    return {
      machine: this.#machine,
      facts: this.#facts,
      transitions: this.#transitions,
      lastPoll: parts?.poller.lastPoll,
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
    let isLifted = false;
    const client = new RedfishClient({
      endpoint,
      connector,
      limiter,
      credentials: {
        account: () => readAccount(endpoint.auth!, host),
        state,
        onHold: (untilMs) => events.held(untilMs, endpoint.auth),
        onLifted: () => {
          events.lifted();
          isLifted = true;
          // What was put off since the account was refused is due again.
          this.#parts?.poller.alive();
        },
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
      signal: this.#stop.signal,
      refreshMs: config.periodic.state_refresh_interval,
      exclude: config.exclude_services,
      onFacts: (facts) => this.#learned(facts),
    });
    const coverage = new Coverage(state.current.covered);
    const onCovered = (service: string) => {
      // The names come from events; only those of logs that there are count.
      if (!capabilities.services.some(({ path }) => path === service)) return coverage.event();
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
      onLoss: () => poller.requestGapFill(0),
    });
    const loop = new StreamLoop({
      ...{ config, endpoint, host, machine: this.#machine, client, limiter, capabilities, reader, events },
      signal: this.#stop.signal,
      onFailure: () => this.#shared.onChange(this, 'failed'),
      onOpened: () => this.#opened(),
      onEnded: () => this.#shared.onChange(this, 'ended'),
      onTransition: (transition) => this.#moved(transition),
      onAlive: () => poller.alive(),
      pollsFail: () => poller.lastPoll?.outcome === 'failure',
    });
    const poller = new LogPoller({
      ...{
        config,
        endpoint,
        clock,
        machine: this.#machine,
        client,
        capabilities,
        logs,
        loop,
        coverage,
        events,
        stateFile,
      },
      scheduler: host.scheduler(config.scheduler),
      startGate: this.#shared.startGate,
      signal: this.#stop.signal,
      lane: this.#lane,
      onPolled: () => loop.look(),
      onSilent: () => this.#silent(),
    });
    this.#parts = { client, logs, loop, coverage, poller, state, stateFile };
    poller.start();
    if (isLifted) poller.alive();
    if (this.#machine.mode.kind === 'connecting') this.#shared.startGate.add(loop.settled);
    this.#loop = this.#keepStreaming(loop);
    if (this.#machine.mode.kind !== 'polling') return;
    events.staysDowngraded(this.#machine.mode, this.#untilAttempt(loop));
    this.#shared.onChange(this, 'moved');
  }

  /** A fault of ours costs this endpoint a minute without a stream, which its logs make good, and no other endpoint anything. */
  async #keepStreaming(loop: StreamLoop): Promise<void> {
    const { clock, logger } = this.#shared.host;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await loop.run().catch((error) => {
        if (!signal.aborted) logger.error('streaming failed; it begins anew', { endpoint: this.config.name, error });
      });
      await clock.sleep(FAULT_PAUSE_MS, signal).catch(() => {});
    }
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
    void aborted(grace.signal).then(() => this.#abandon.abort(grace.signal.reason));
    await this.#parts?.poller.stop();
    await this.#loop;
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
    return { due: isoNow(this.#shared.host.clock) };
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
    const { coverage, poller } = this.#parts!;
    coverage.opened();
    poller.opened();
    this.#shared.onChange(this, 'opened');
    // A stream that flaps must not have the logs read each time; one that counts as good may.
    poller.requestGapFill(Math.min(MOST_GAP_FILL_SPACING_MS, config.sse.min_stream_lifetime));
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
      this.#transitions = [
        ...this.#transitions,
        { at: isoNow(this.#shared.host.clock), from, to, reason: reason ?? null },
      ].slice(-MOST_TRANSITIONS);
      parts.poller.setPace();
      // A downgrade, or a return: whatever came while nobody listened is in the logs.
      if ((to === 'polling' && from !== 'trial') || to === 'held' || from === 'trial') parts.poller.requestGapFill(0);
      const { lastError } = parts.loop;
      const nextTrialIn = this.#untilAttempt(parts.loop);
      this.events.transition(transition, { lastError, nextTrialIn, window: config.auto.connect_failure_window });
    }
    if (isNewDecision) this.#storeDecision(parts);
    this.#shared.onChange(this, 'moved');
  }

  /** Milliseconds to the next attempt to stream; undefined: never. */
  #untilAttempt({ attemptAtMs }: StreamLoop): number | undefined {
    return attemptAtMs === undefined ? undefined : Math.max(0, attemptAtMs - this.#shared.host.clock.monotonic());
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
    const left = this.#untilAttempt(loop);
    state.update({
      downgrade: {
        reason: mode.reason,
        sinceMs: nowMs - Math.round(clock.monotonic() - mode.since),
        failedTrials,
        nextTrialMs: left === undefined ? undefined : Math.round(nowMs + left),
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
}

export type RetryRefusal = 'mode_periodic' | 'already_streaming' | 'auth_hold' | 'too_soon';
