import { resolve } from 'node:path';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import { isClientAuth } from '../../src/component/client-auth.ts';
import type { Component, Host } from '../../src/component/component.ts';
import type { NextConsumers } from '../../src/component/consumer.ts';
import { OutbandError, PermanentError, RetryableError } from '../../src/component/errors.ts';
import { type ComponentId, formatComponentId } from '../../src/component/id.ts';
import type { RunResult, Scheduler, TargetHandle } from '../../src/component/scheduler.ts';
import type { KeyValue } from '../../src/component/storage.ts';
import { Outbox } from '../../src/resilience/outbox.ts';
import { Semaphore } from '../../src/resilience/semaphore.ts';
import type { AttestationConfig, ModelSettings } from './config.ts';
import { ProbeGates } from './cycle.ts';
import { attestationInstruments, type Instruments, METRIC_PREFIX } from './metrics.ts';
import { Pool, type PoolShared } from './pool.ts';
import { isIpHost, poolKey, poolName } from './pool-name.ts';
import type { Connect } from './probe/connection.ts';
import type { Prober } from './probe/probe.ts';
import { readings } from './readings.ts';
import { attestationRecord, EVENTS, SCOPE } from './records.ts';
import { CycleSlots } from './slots.ts';
import { ModelSources, type SourceNews } from './sources/model-sources.ts';
import { ProbeTls } from './tls.ts';
import type { Verifier } from './verification/verifier.ts';
import { attestationPages, type Fleet } from './view.ts';

const MAX_WAITING_RECORDS = 1_000;
/** Proofs keep the thread that makes them: all receivers of the process take turns. */
const PROOF_TURNS = new Semaphore(1);
const TARGET_TYPE = 'attestation';
const BY_PROBE = { transport: 'probe' };

/** The receivers of one agent: they share a scheduler, and with it the names of pools and the pages. */
const FLEETS = new WeakMap<Scheduler, Set<Fleet>>();

function fleetsOf(scheduler: Scheduler): Set<Fleet> {
  const fleets = FLEETS.get(scheduler) ?? new Set();
  FLEETS.set(scheduler, fleets);
  return fleets;
}

/** What a test may put in the place of the real thing. */
export interface AttestationParts {
  readonly connect?: Connect;
  readonly verifier?: Verifier;
}

interface Waiting {
  readonly record: ReadableLogRecord;
  readonly onTaken: (() => void) | undefined;
}

/** All pools of one `attestation` section: which there are, and what they share. */
export class AttestationReceiver implements Component {
  readonly #receiver: string;
  readonly #config: AttestationConfig;
  readonly #host: Host;
  readonly #next: NextConsumers;
  readonly #parts: AttestationParts;
  readonly #stop = new AbortController();
  readonly #pools = new Map<string, Pool>();
  readonly #verifiers = new Map<string, { readonly verifier: Verifier; readonly digest: string }>();
  readonly #tls: ProbeTls;
  readonly #sources: ModelSources;
  readonly #resource: Resource = resourceFromAttributes({});
  readonly #outbox: Outbox<Waiting> | undefined;
  readonly #fleet: Fleet;
  #leave: () => void = () => {};
  #instruments: Instruments = () => {};
  #shared: PoolShared | undefined;
  #stored: ReadonlyMap<string, string> = new Map();
  #store: KeyValue | undefined;
  #jitterMs = 0;
  #skipped = 0;
  #metrics: TargetHandle | undefined;
  #unlisten: (() => void) | undefined;
  /** Changes of the set of pools, one after the other. */
  #applying: Promise<void> = Promise.resolve();

  constructor(
    id: ComponentId,
    config: AttestationConfig,
    host: Host,
    next: NextConsumers,
    parts: AttestationParts = {},
  ) {
    this.#receiver = formatComponentId(id);
    this.#config = config;
    this.#host = host;
    this.#next = next;
    this.#parts = parts;
    this.#tls = new ProbeTls(config.tls, (path) => resolve(host.configDirectory, path));
    this.#sources = new ModelSources(this.#receiver, config, host, (news) => this.#sourceRead(news));
    this.#outbox = next.logs && this.#makeOutbox(next.logs);
    this.#fleet = {
      config,
      pools: () => [...this.#pools.values()],
      sources: () => this.#sources.views,
      dueTimes: () => this.#dueTimes(),
      now: () => this.#now(),
    };
  }

  async start(): Promise<void> {
    const { clock, random, meter, scheduler, logger, serve } = this.#host;
    const { initial, cumulative, storage, jitter, refresh_interval } = this.#config;
    this.#instruments = attestationInstruments(meter, this.#receiver, () =>
      readings({
        ...{ pools: this.#pools.values(), sources: this.#sources.views, skipped: this.#skipped, now: this.#now() },
        collateralTtls: [...this.#verifiers.values()].map(({ verifier }) => verifier.collateralTtl),
      }),
    );
    if (storage === undefined)
      logger.warn('pins are kept in memory: after a restart none is served until it is proven again');
    else {
      this.#store = this.#host.storage(storage).keyValue(this.#receiver, 'position');
      this.#stored = await this.#store.list('');
    }
    // Whole milliseconds, as slots of a grid are.
    this.#jitterMs = Math.round(random() * jitter * refresh_interval);
    this.#shared = {
      ...{ receiver: this.#receiver, config: this.#config, host: this.#host, store: this.#store },
      instruments: this.#instruments,
      gates: new ProbeGates(this.#config.max_inflight_probes, this.#config.per_host_concurrency),
      slots: new CycleSlots(initial.model_concurrency, cumulative.model_concurrency, clock),
      send: (record, onTaken) => this.#send(record, onTaken),
    };
    // A file that cannot be read is a mistake of the configuration itself.
    await this.#tls.context();
    for (const one of [this.#config, ...this.#config.models])
      if (one.verification) await this.#verifierFor(one.verification);
    this.#outbox?.start();
    this.#unlisten = scheduler(this.#config.scheduler).onTransition(({ type, name, kind, ...event }) => {
      if (type === TARGET_TYPE && kind === 'breaker' && 'to' in event && event.to === 'open')
        this.#poolNamed(name)?.breakerOpened();
    });
    const { sources, models } = this.#config;
    this.#changed(() => {
      if (sources.length === 0)
        this.#tellModels({ total: models.length, added: models.length, removed: 0, unchanged: 0 });
    });
    this.#sources.start();
    this.#reportMetrics();
    const fleets = fleetsOf(scheduler(this.#config.scheduler));
    fleets.add(this.#fleet);
    this.#leave = () => fleets.delete(this.#fleet);
    for (const page of attestationPages(fleets)) serve(page);
    await this.#applying;
    this.#host.report({ status: 'ok' });
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    this.#stop.abort();
    this.#unlisten?.();
    await Promise.all([this.#sources.stop(), this.#metrics?.unregister(), this.#applying]);
    await Promise.all([...this.#pools.values()].map((pool) => pool.stop()));
    await this.#outbox?.stop(new RetryableError('shutting_down', 'the agent stops'), signal);
    this.#pools.clear();
    this.#leave();
  }

  #makeOutbox(logs: NonNullable<NextConsumers['logs']>): Outbox<Waiting> {
    return new Outbox<Waiting>({
      most: MAX_WAITING_RECORDS,
      sleep: (ms, signal) => this.#host.clock.sleep(ms, signal),
      offer: async (waiting, signal) => {
        try {
          for (const [resource, records] of Map.groupBy(
            waiting.map(({ record }) => record),
            (record) => record.resource,
          ))
            await logs.consumeLogs(
              { resource, scope: SCOPE, records, origin: { receiver: this.#receiver, target: targetOf(resource) } },
              { signal, labels: BY_PROBE },
            );
          return 'taken';
        } catch (error) {
          return error instanceof PermanentError ? 'rejected' : 'refused';
        }
      },
      onTaken: (waiting) => {
        for (const { onTaken } of waiting) onTaken?.();
      },
      onDropped: (count, why) =>
        this.#instruments('dropped', count, { reason: why === 'overflow' ? 'outbox_full' : why }),
    });
  }

  #send(record: ReadableLogRecord, onTaken: (() => void) | undefined): void {
    if (this.#outbox) this.#outbox.add({ record, onTaken });
    else onTaken?.();
  }

  /** @param onApplied called when the pools are those that there should be */
  #changed(onApplied: () => void): void {
    this.#applying = this.#applying.then(() => this.#apply()).then(onApplied);
  }

  /** Starts, stops and restarts what has changed, and nothing else. Never rejects. */
  async #apply(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const wanted = this.#wanted();
    const gone = [...this.#pools].filter(([key, pool]) => {
      const one = wanted.get(key);
      return JSON.stringify(one) !== JSON.stringify(pool.source);
    });
    for (const [key, pool] of gone) {
      this.#pools.delete(key);
      await pool.stop(!wanted.has(key));
      this.#stored = new Map([...this.#stored, ...(await this.#readStored(key))]);
    }
    const names = [...wanted.values()].map(poolName).sort();
    for (const [key, one] of wanted) {
      if (this.#pools.has(key)) continue;
      try {
        await this.#startPool(key, one, names.indexOf(poolName(one)));
      } catch (error) {
        this.#skipped++;
        // Its text may name a file.
        const code = error instanceof OutbandError ? error.code : 'internal';
        this.#host.logger.warn('a pool cannot be started', { pool: poolName(one), 'error.type': code });
      }
    }
    this.#forgetVerifiers(wanted);
    if (this.#sources.haveAllAnswered) await this.#forgetGone(wanted);
  }

  /** The pools that there should be, by key, as they are listed; too many, and names that are taken, are left out and counted. */
  #wanted(): ReadonlyMap<string, ModelSettings> {
    const byName = new Map<string, ModelSettings>();
    const keys = new Set<string>();
    let skipped = 0;
    for (const one of [...this.#config.models, ...this.#sources.models]) {
      const name = poolName(one);
      if (byName.has(name) || keys.has(poolKey(one))) {
        skipped++;
        continue;
      }
      byName.set(name, one);
      keys.add(poolKey(one));
    }
    const kept = new Set([...byName.keys()].sort().slice(0, this.#config.max_pools));
    this.#skipped = skipped + byName.size - kept.size;
    return new Map([...byName].flatMap(([name, one]) => (kept.has(name) ? [[poolKey(one), one]] : [])));
  }

  async #startPool(key: string, one: ModelSettings, rank: number): Promise<void> {
    const config = this.#config;
    const { hostname, port } = new URL(one.url);
    const host = hostname.replace(/^\[|\]$/g, '');
    const verificationConfig = one.verification ?? config.verification;
    const { verifier, digest } = await this.#verifierFor(verificationConfig);
    const prober: Prober = {
      settings: {
        ...{ model: one.model, path: config.request.path, bodyLimit: config.body_limit },
        ...{ connectTimeoutMs: config.connect_timeout, callTimeoutMs: config.call_timeout },
        ...{ idleTimeoutMs: config.idle_timeout, verifyTimeoutMs: config.verify_timeout },
      },
      verifier: this.#parts.verifier ?? verifier,
      clock: this.#host.clock,
      secureContext: () => this.#tls.context(),
      headers: () => this.#requestHeaders(),
      ...(this.#parts.connect && { connect: this.#parts.connect }),
    };
    const pool = new Pool(
      {
        ...{ key, name: poolName(one), model: one.model, host, port: Number(port || 443), declared: one.declared },
        ...{ strategy: one.strategy ?? config.strategy, addresses: one.addresses },
        serverAddress: isIpHost(hostname) ? undefined : host,
        ...{ mode: verificationConfig.mode, policyDigest: digest },
      },
      prober,
      this.#shared!,
      one,
    );
    const phase = Math.round(rank * config.cumulative.model_stagger + this.#jitterMs) % config.refresh_interval;
    pool.start(this.#stored.get(key), phase);
    this.#pools.set(key, pool);
  }

  async #requestHeaders(): Promise<Record<string, string>> {
    const { headers, auth } = this.#config.request;
    const fixed = Object.entries(headers).map(([name, value]) => [name, value.reveal()]);
    const extension = auth && this.#host.extension(auth.authenticator);
    return {
      ...Object.fromEntries(fixed),
      ...(extension && isClientAuth(extension) && { authorization: (await extension.authorization()).reveal() }),
    };
  }

  /** One per set of rules: pools that share rules share collateral and keys. */
  async #verifierFor(config: AttestationConfig['verification']) {
    const key = JSON.stringify(config);
    const known = this.#verifiers.get(key);
    if (known) return known;
    const { configDirectory, clock } = this.#host;
    // Loaded by those who need it: it brings a library that takes a while to load.
    const { checkDirectory, policyDigest, ReportVerifier, readRootCa } = await import('./verification/verifier.ts');
    const resolvePath = (path: string) => resolve(configDirectory, path);
    const root = await readRootCa(config.root_ca_file === undefined ? undefined : resolvePath(config.root_ca_file));
    const { directory } = config.collateral ?? {};
    if (directory !== undefined) await checkDirectory(resolvePath(directory));
    const verifier = new ReportVerifier(
      {
        ...{ config, clock, resolvePath, turns: PROOF_TURNS, signal: this.#stop.signal },
        onStage: (stage, ms) => this.#instruments('verifyDuration', ms / 1_000, { stage }),
        onCollateralFailed: (why) =>
          this.#host.logger.warn('collateral is not to be had: quotes are judged by what is held, until it expires', {
            why,
          }),
      },
      root,
    );
    this.#warnUnmeasured(config);
    const made = { verifier, digest: policyDigest(config, root) };
    this.#verifiers.set(key, made);
    return made;
  }

  /** Hashes of an image are what a running system says of itself: only the registers prove that it is that image. */
  #warnUnmeasured({ mode, policy }: AttestationConfig['verification']): void {
    const isMeasured = Object.values(policy.measurements).some((values) => values.length > 0);
    if (mode !== 'dcap' || isMeasured || policy.accept_any_workload) return;
    this.#host.logger.warn(
      'no measurements are listed: another system on genuine hardware could claim the listed hashes; set `verification::policy::measurements`',
    );
  }

  async #readStored(key: string): Promise<ReadonlyMap<string, string>> {
    return (await this.#store?.list(key).catch(() => undefined)) ?? new Map();
  }

  #forgetVerifiers(wanted: ReadonlyMap<string, ModelSettings>): void {
    const configs = [this.#config, ...wanted.values()].flatMap(({ verification }) => verification ?? []);
    const used = new Set(configs.map((config) => JSON.stringify(config)));
    for (const key of this.#verifiers.keys()) if (!used.has(key)) this.#verifiers.delete(key);
  }

  /** What is stored of pools that are gone. */
  async #forgetGone(wanted: ReadonlyMap<string, ModelSettings>): Promise<void> {
    const gone = [...this.#stored.keys()].filter((key) => !wanted.has(key));
    this.#stored = new Map();
    if (gone.length > 0)
      await this.#store?.set(Object.fromEntries(gone.map((key) => [key, undefined]))).catch(() => {});
  }

  #sourceRead(news: SourceNews): void {
    const { error, ...counts } = news;
    if (error === undefined) this.#changed(() => this.#tellModels(counts));
    else this.#tellSource('sourceFailed', { source: news.source, total: news.total, error });
  }

  #tellModels(counts: Omit<SourceNews, 'source' | 'error'> & Partial<SourceNews>): void {
    this.#tellSource('loaded', { ...counts, skipped: this.#skipped }, counts.added + counts.removed === 0);
  }

  #tellSource(kind: 'loaded' | 'sourceFailed', attributes: Record<string, unknown>, isQuiet = false): void {
    const [, severity, body] = EVENTS[kind];
    const level = isQuiet ? 'debug' : severity;
    const { clock, logger } = this.#host;
    const identity = {
      component: this.#receiver,
      pool: '',
      cycleId: `${kind}-${attributes.source ?? 'config'}-${this.#now()}`,
    };
    const record = attestationRecord(kind, clock.now(), identity, attributes, this.#resource, level);
    logger[level](body, record.attributes);
    this.#send(record, undefined);
  }

  /** The receiver's own metrics, in the pipeline. */
  #reportMetrics(): void {
    const { metrics } = this.#next;
    if (!metrics) return;
    this.#metrics = this.#host.scheduler(this.#config.scheduler).register(
      {
        ...{ type: 'attestation-metrics', name: this.#receiver, connection: this.#receiver },
        run: async (signal): Promise<RunResult> => {
          try {
            await metrics.consumeMetrics(ownOf(await this.#host.ownMetrics.collect(), this.#receiver), { signal });
            return {};
          } catch (error) {
            if (error instanceof RetryableError) return { deferred: true };
            throw error;
          }
        },
      },
      { interval: this.#config.metrics_interval, internal: true },
    );
  }

  #dueTimes(): (pool: string) => number | null {
    const snapshot = this.#host.scheduler(this.#config.scheduler).snapshot();
    return (pool) => {
      const key = `${TARGET_TYPE}::${pool}`;
      const index = snapshot.indexOf(key);
      const target = index < snapshot.size ? snapshot.target(index) : undefined;
      return target?.key === key ? target.nextRun : null;
    };
  }

  #poolNamed(name: string): Pool | undefined {
    return [...this.#pools.values()].find(({ settings }) => settings.name === name);
  }

  #now(): number {
    return Number(this.#host.clock.now() / 1_000_000n);
  }
}

/** What of the agent's metrics is this receiver's. */
function ownOf({ resource, scopeMetrics }: ResourceMetrics, receiver: string): ResourceMetrics {
  const scopes = scopeMetrics.map(({ scope, metrics }) => ({
    scope,
    metrics: metrics
      .filter(({ descriptor }) => descriptor.name.startsWith(METRIC_PREFIX))
      .map((metric) => ({
        ...metric,
        dataPoints: (metric.dataPoints as { attributes: Record<string, unknown> }[]).filter(
          ({ attributes }) => attributes.receiver === receiver,
        ),
      }))
      .filter(({ dataPoints }) => dataPoints.length > 0),
  }));
  return { resource, scopeMetrics: scopes.filter(({ metrics }) => metrics.length > 0) } as ResourceMetrics;
}

function targetOf({ attributes }: Resource): string {
  return String(attributes['attestation.pool'] ?? 'sources');
}
