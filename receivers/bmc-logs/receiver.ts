import type { Component, Host } from '../../src/component/component.ts';
import type { LogsConsumer, NextConsumers } from '../../src/component/consumer.ts';
import { OutbandError } from '../../src/component/errors.ts';
import { type ComponentId, formatComponentId } from '../../src/component/id.ts';
import { publicMessage } from '../../src/component/public-message.ts';
import type { TargetHandle } from '../../src/component/scheduler.ts';
import { formatDuration } from '../../src/config/schema/values.ts';
import { Semaphore } from '../../src/resilience/semaphore.ts';
import { RequestLimiter } from './client/request-limiter.ts';
import { TlsContexts } from './client/tls.ts';
import type { BmcLogsConfig } from './config.ts';
import { Endpoint, type Shared } from './endpoint.ts';
import { type EndpointSettings, resolveEndpoint } from './endpoint-settings.ts';
import { FleetGuard } from './fleet-guard.ts';
import { Positions } from './logs/positions.ts';
import { bmcInstruments } from './metrics.ts';
import { digestOfSettings, type Merged } from './sources/merge.ts';
import { shardOf } from './sources/shard.ts';
import { Sources } from './sources/sources.ts';
import { StartGate } from './start-gate.ts';
import { bmcPages } from './view.ts';

/** Status and what is left of endpoints that are gone are looked after so often. */
const HOUSEKEEPING_MS = 60_000;
/** More than this share without success is a status of the receiver. */
const UNWELL_SHARE = 0.5;

interface Running {
  readonly endpoint: Endpoint;
  /** Digest of its settings. */
  readonly digest: string;
}

/** All endpoints of one `bmc_logs` section: which there are, and what they share. */
export class BmcLogsReceiver implements Component {
  readonly #host: Host;
  readonly #config: BmcLogsConfig;
  readonly #receiver: string;
  readonly #next: NextConsumers;
  readonly #guard: FleetGuard;
  readonly #contexts = new TlsContexts();
  readonly #running = new Map<string, Running>();
  /** Ends the waiting for the end of an incident. */
  readonly #stop = new AbortController();
  #shared: Shared | undefined;
  #sources: Sources | undefined;
  #housekeeping: TargetHandle | undefined;
  #positions: Positions | undefined;
  #foreign = 0;
  /** Of the endpoints that there should be. */
  #names: ReadonlySet<string> = new Set();
  /** Told once. */
  readonly #unverified = new Set<string>();
  /** Endpoints in mode `auto`. */
  #autoEndpoints = 0;
  /** Changes of the set of endpoints, one after the other. */
  #applying: Promise<void> = Promise.resolve();
  /** Why an endpoint could not be started. */
  #permanent: Error | undefined;
  #merged: Merged | undefined;
  #isTelling = false;

  constructor(id: ComponentId, config: BmcLogsConfig, host: Host, next: NextConsumers) {
    this.#host = host;
    this.#config = config;
    this.#receiver = formatComponentId(id);
    this.#next = next;
    this.#guard = new FleetGuard(config.auto.fleet_guard_ratio, config.auto.connect_failure_window);
  }

  async start(): Promise<void> {
    const { clock, random, meter, scheduler, serve } = this.#host;
    const store = this.#openStore();
    this.#shared = {
      receiver: this.#receiver,
      config: this.#config,
      host: this.#host,
      next: { logs: this.#next.logs ?? DISCARD, metrics: this.#next.metrics },
      instruments: bmcInstruments(meter, this.#receiver, {
        endpoints: () => this.#gauged(),
        isIncident: () => this.#guard.incident !== undefined,
        discoveryAges: () => this.#sources?.ages ?? new Map(),
      }),
      handshakes: new Semaphore(this.#config.max_handshakes),
      limiter: new RequestLimiter(this.#config.rate_limit, clock, random),
      contexts: this.#contexts,
      startGate: new StartGate(clock),
      positions: this.#positions,
      onChange: (endpoint, what) => this.#judge(endpoint, what),
    };
    this.#sources = new Sources({
      receiver: this.#receiver,
      config: this.#config,
      host: this.#host,
      contexts: this.#contexts,
      store,
      onChange: (merged) => this.#changed(merged),
      onStatus: () => this.#reportStatus(),
    });
    await this.#sources.start();
    await this.#applying;
    // What the configuration itself says wrong stops the agent; what a source says wrong must not.
    if (this.#permanent) throw this.#permanent;
    this.#housekeeping = scheduler(this.#config.scheduler).register(
      {
        type: 'bmc-house',
        name: this.#receiver,
        connection: this.#receiver,
        run: async () => {
          // A file that an endpoint needs may have come.
          if (this.#permanent && this.#merged) this.#changed(this.#merged);
          this.#reportStatus();
          // While a source is away, an endpoint that is not named may be its.
          if (this.#sources!.stale.length === 0) await this.#positions?.forgetGone(this.#names);
          return {};
        },
      },
      { interval: HOUSEKEEPING_MS, internal: true },
    );
    for (const page of bmcPages({
      receiver: this.#receiver,
      window: this.#config.auto.connect_failure_window,
      endpoints: () => new Map([...this.#running].map(([name, { endpoint }]) => [name, endpoint])),
      foreign: () => this.#foreign,
      incident: () => this.#guard.incident,
      incidentOverAt: () => this.#guard.overAt,
      now: () => Number(clock.now() / 1_000_000n),
      monotonic: () => clock.monotonic(),
      onRetry: (name, caller) =>
        this.#host.logger.info('a stream was asked for', { endpoint: name, by: caller.name, from: caller.address }),
    }))
      serve(page);
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    this.#stop.abort();
    await this.#sources?.stop();
    await this.#housekeeping?.unregister();
    await this.#applying;
    await Promise.all([...this.#running.values()].map(({ endpoint }) => endpoint.shutdown(signal)));
    await this.#positions?.close();
  }

  #openStore() {
    const { logger } = this.#host;
    const { storage, auto } = this.#config;
    if (storage === undefined) {
      const loses = auto.persist_downgrade ? ', and `auto::persist_downgrade` needs `storage`' : '';
      logger.warn(
        `read positions are kept in memory: a restart reads the logs again, as \`initial_history\` says${loses}`,
      );
      return undefined;
    }
    const store = this.#host.storage(storage).keyValue(this.#receiver, 'position');
    this.#positions = new Positions(store, this.#host);
    return store;
  }

  #changed(merged: Merged): void {
    this.#merged = merged;
    this.#applying = this.#applying.then(() => this.#apply(merged));
  }

  /** Starts, stops and restarts what has changed, and nothing else. Never rejects. */
  async #apply({ endpoints: all }: Merged): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const { shard, shards_count } = this.#config;
    const own = new Map([...all].filter(([, one]) => shards_count === 1 || shardOf(one, shards_count) === shard));
    this.#foreign = all.size - own.size;
    this.#names = new Set(own.keys());
    const digests = new Map([...own].map(([name, one]) => [name, digestOfSettings(one)]));
    const gone = [...this.#running].filter(([name, { digest }]) => digests.get(name) !== digest);
    await Promise.all(
      gone.map(async ([name, { endpoint }]) => {
        this.#running.delete(name);
        this.#guard.forget(name);
        await endpoint.shutdown(this.#stop.signal, !own.has(name));
      }),
    );
    let mistake: Error | undefined;
    const fresh = [...own].filter(([name]) => !this.#running.has(name));
    this.#autoEndpoints = own.size;
    this.#warnUnverified(fresh.map(([, one]) => one));
    await Promise.all(
      fresh.map(async ([name, settings]) => {
        const endpoint = new Endpoint(resolveEndpoint(settings, this.#config), this.#shared!);
        this.#running.set(name, { endpoint, digest: digests.get(name)! });
        try {
          await endpoint.start();
        } catch (error) {
          mistake ??= error as Error;
          this.#running.delete(name);
          await endpoint.shutdown(this.#stop.signal);
        }
      }),
    );
    this.#permanent = mistake;
    this.#autoEndpoints = [...this.#running.values()].filter(({ endpoint }) => endpoint.config.mode === 'auto').length;
    this.#reportStatus();
  }

  #warnUnverified(endpoints: readonly EndpointSettings[]): void {
    const before = this.#unverified.size;
    for (const one of endpoints) {
      const { insecure_skip_verify, spki_sha256 = [] } = { ...this.#config.tls, ...one.tls };
      if (insecure_skip_verify && spki_sha256.length === 0) this.#unverified.add(one.name);
    }
    const unverified = this.#unverified.size - before;
    if (unverified > 0) this.#host.logger.warn('certificates of BMCs are not verified', { endpoints: unverified });
  }

  /** A change of one endpoint, seen as one of the fleet. */
  #judge(endpoint: Endpoint, what: 'failed' | 'opened' | 'ended' | 'moved'): void {
    if (endpoint.config.mode !== 'auto') return;
    const { name } = endpoint.config;
    const now = this.#host.clock.monotonic();
    const { mode } = endpoint;
    if (what === 'failed') this.#guard.failed(name, now);
    else if (endpoint.isStreaming || mode.kind === 'streaming') this.#guard.forget(name);
    else if (mode.kind === 'held') this.#guard.held(name);
    else if (mode.kind === 'polling') this.#guard.downgraded(name, mode.since);
    this.#judgeFleet(endpoint);
  }

  #judgeFleet(last?: Endpoint): void {
    if (this.#isTelling) return;
    const now = this.#host.clock.monotonic();
    const began = this.#guard.incident?.since ?? now;
    const change = this.#guard.judge(now, this.#autoEndpoints);
    if (change === undefined) return;
    const isOpen = change === 'began';
    if (isOpen) {
      const { share, failing } = this.#guard.incident!;
      this.#host.logger.warn('fleet incident: downgrades held', {
        share: share.toFixed(2),
        endpoints: failing,
        error: this.#commonestError(last),
      });
      void this.#awaitEnd();
    } else this.#host.logger.info('fleet incident is over', { duration: formatDuration(Math.round(now - began)) });
    // What each of them does about it is no new judgement.
    this.#isTelling = true;
    for (const { endpoint } of this.#running.values()) endpoint.incident(isOpen);
    this.#isTelling = false;
    this.#reportStatus();
  }

  async #awaitEnd(): Promise<void> {
    const { clock } = this.#host;
    for (let { overAt } = this.#guard; overAt !== undefined; { overAt } = this.#guard) {
      const left = overAt - clock.monotonic();
      if (left <= 0) this.#judgeFleet();
      else await clock.sleep(left, this.#stop.signal).catch(() => {});
      if (this.#stop.signal.aborted) return;
    }
  }

  #commonestError(last: Endpoint | undefined): string {
    const counts = new Map<string, number>();
    for (const { endpoint } of this.#running.values()) {
      const error = endpoint.status.loop?.lastError ?? '';
      if (error !== '') counts.set(error, (counts.get(error) ?? 0) + 1);
    }
    const [commonest] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [last?.status.loop?.lastError ?? ''];
    return publicMessage(commonest);
  }

  /** One BMC alone never changes the status of the receiver. */
  #reportStatus(): void {
    const error = this.#permanent;
    if (error) return this.#host.report({ status: 'permanent', error });
    const unwell = this.#unwell();
    this.#host.report(
      unwell === undefined
        ? { status: 'ok' }
        : { status: 'recoverable', error: new OutbandError('fleet_unwell', unwell) },
    );
  }

  #unwell(): string | undefined {
    const [stale] = this.#sources?.stale ?? [];
    if (stale) return `a source of endpoints cannot be used: ${stale.name}`;
    if (this.#guard.incident)
      return 'a fleet incident is open: downgrades are held until its share was low for a whole window';
    const now = this.#host.clock.monotonic();
    const patience = 2 * Math.max(this.#config.periodic.logs_collection_interval, HOUSEKEEPING_MS);
    const all = [...this.#running.values()];
    const silent = all.filter(
      ({ endpoint }) => now - endpoint.lastSuccessAt > patience + this.#intervalOf(endpoint),
    ).length;
    return silent > UNWELL_SHARE * all.length ? 'most endpoints have not been read for two intervals' : undefined;
  }

  #intervalOf(endpoint: Endpoint): number {
    return endpoint.mode.kind === 'streaming' ? this.#config.sse.reconcile_interval : 0;
  }

  *#gauged() {
    for (const { endpoint } of this.#running.values()) {
      const { mode, status, events } = endpoint;
      yield {
        mode: mode.kind === 'periodic' ? 'polling' : mode.kind,
        reason: 'reason' in mode ? mode.reason : '',
        vendor: events.vendor,
        session: status.credentials?.kind === 'session',
        held: status.credentials?.holdUntilMs !== undefined,
      };
    }
  }
}

/** Of a receiver that stands in pipelines of metrics alone. */
const DISCARD: LogsConsumer = { consumeLogs: async () => {} };
