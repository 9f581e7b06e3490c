import { createHash } from 'node:crypto';
import type { Attributes } from '@opentelemetry/api';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { Host } from '../../src/component/component.ts';
import { OutbandError } from '../../src/component/errors.ts';
import type { Facts, RunReason, RunResult, TargetHandle } from '../../src/component/scheduler.ts';
import type { KeyValue } from '../../src/component/storage.ts';
import type { AttestationConfig, ModelSettings } from './config.ts';
import { type CyclePool, type CycleReport, distinctIdentities, type ProbeGates, runCycle } from './cycle.ts';
import { type CycleSummary, cycleAttributes, type Trigger, triggerOf } from './cycle-record.ts';
import { type CycleSight, isFullCycle, judgeCoverage } from './diagnosis/coverage.ts';
import { addDraws, type DrawWindow, EMPTY_WINDOW } from './diagnosis/draws.ts';
import { estimate, judgeBalance } from './diagnosis/estimates.ts';
import { judgeStall, type Stall, stallP } from './diagnosis/stall.ts';
import type { Instruments } from './metrics.ts';
import { brokenSums, type Tally, tally } from './outcome.ts';
import { Candidates } from './pins/candidates.ts';
import { applyCycle, type Eviction, identitiesSince, type Pin, type PinChange, type Pins } from './pins/pin-set.ts';
import { readPool, type Told, writePool } from './pool-state.ts';
import type { Prober } from './probe/probe.ts';
import { type ProbeResult, shownResult } from './probe/result.ts';
import { attestationRecord, EVENTS, type EventKind, type RecordIdentity, type Severity } from './records.ts';
import type { CycleSlots } from './slots.ts';

/** One pool with everything decided. */
export interface PoolSettings extends CyclePool {
  /** Where its state is kept. */
  readonly key: string;
  readonly name: string;
  readonly model: string;
  /** For people; undefined when it is an IP address. */
  readonly serverAddress: string | undefined;
  readonly mode: AttestationConfig['verification']['mode'];
  readonly policyDigest: string;
}

/** What all pools of a receiver share. */
export interface PoolShared {
  /** Id of the receiver. */
  readonly receiver: string;
  readonly config: AttestationConfig;
  readonly host: Host;
  readonly instruments: Instruments;
  readonly gates: ProbeGates;
  readonly slots: CycleSlots;
  readonly store: KeyValue | undefined;
  /** Hands a record to the pipeline. @param onTaken called when it was delivered */
  readonly send: (record: ReadableLogRecord, onTaken?: () => void) => void;
}

export type PoolState = 'bootstrap' | 'pinned' | 'blocked';
export type CycleKind = 'initial' | 'cumulative' | 'targeted';

/** What is remembered of a cycle for the page. */
export interface RememberedCycle {
  readonly summary: CycleSummary;
  readonly results: readonly ProbeResult[];
}

const REMEMBERED_CYCLES = 10;
/** A pool from which nothing may be served is tried so often; milliseconds. */
const UNPINNED_INTERVAL_MS = 60_000;
/** Backends that were proven within so many intervals are there. */
const RECENT_INTERVALS = 3;

/** One model behind one URL: runs its cycles, keeps its pins, and says what it saw. */
export class Pool {
  readonly settings: PoolSettings;
  /** As it was configured, to see a change. */
  readonly source: ModelSettings;
  readonly candidates: Candidates;
  readonly resource: Resource;
  readonly #shared: PoolShared;
  readonly #prober: Prober;
  #handle: TargetHandle | undefined;
  #pins: Pins = new Map();
  #window: DrawWindow = EMPTY_WINDOW;
  #seq = 0;
  #generation = 0;
  #lastCount: number | undefined;
  #stall: (Stall & { readonly since: number }) | undefined;
  #told: Told = { stalled: null, blocked: false };
  /** A cycle of this process has proven a backend. */
  #hasSucceeded = false;
  #cyclesEnded = 0;
  #fruitless = 0;
  #incomplete = 0;
  #isRunning = false;
  #isRemoved = false;
  #wantsAgain = false;
  #wasBlocked = false;
  #isSkipping = false;
  #wasBreakerOpen = false;
  #summary: CycleSummary | undefined;
  #cycles: readonly RememberedCycle[] = [];
  /** Milliseconds since the epoch. */
  readonly #lastAt: { cycle?: number; new?: number; complete?: number } = {};

  constructor(settings: PoolSettings, prober: Prober, shared: PoolShared, source: ModelSettings) {
    const { config } = shared;
    this.settings = settings;
    this.source = source;
    this.candidates = new Candidates(config.candidates.max, config.candidates.ttl);
    this.#prober = prober;
    this.#shared = shared;
    this.resource = resourceFromAttributes({
      'attestation.pool': settings.name,
      ...(settings.serverAddress !== undefined && { 'server.address': settings.serverAddress }),
      'server.port': settings.port,
    });
  }

  get state(): PoolState {
    if (this.pins.size > 0) return 'pinned';
    return this.#cyclesEnded > 0 ? 'blocked' : 'bootstrap';
  }

  /** Keys that are trusted at this moment. */
  get pins(): Pins {
    const { max_age } = this.#shared.config.pins;
    const now = this.#now();
    const isYoung = ({ lastVerified }: Pin) => now - lastVerified < max_age;
    const all = [...this.#pins.values()];
    return all.every(isYoung) ? this.#pins : new Map(all.filter(isYoung).map((pin) => [pin.fingerprint, pin]));
  }

  get generation(): number {
    return this.#generation;
  }

  get stall(): (Stall & { readonly since: number }) | undefined {
    return this.#stall;
  }

  /** Of the last cycle. */
  get summary(): CycleSummary | undefined {
    return this.#summary;
  }

  /** Newest first. */
  get cycles(): readonly RememberedCycle[] {
    return this.#cycles;
  }

  get draws(): DrawWindow {
    return this.#window;
  }

  get fruitlessCycles(): number {
    return this.#fruitless;
  }

  get lastAt(): Readonly<{ cycle?: number; new?: number; complete?: number }> {
    return this.#lastAt;
  }

  /**
   * Puts the pool under the scheduler.
   * @param stored its state of before
   * @param phase milliseconds on the grid
   */
  start(stored: string | undefined, phase: number): void {
    if (stored !== undefined) this.#restore(stored);
    const { config, host } = this.#shared;
    const { name, host: connection, port } = this.settings;
    this.#handle = host.scheduler(config.scheduler).register(
      {
        ...{
          type: 'attestation',
          name,
          connection: this.settings.serverAddress === undefined ? name : `${connection}:${port}`,
        },
        run: (signal, why) => this.#run(signal, why),
      },
      {
        ...{ interval: this.#interval(), phase, firstRun: 'now', mode: this.settings.strategy },
        minInterval: config.candidates.min_interval,
        maxInterval: config.refresh_interval,
        maxRetryDelay: UNPINNED_INTERVAL_MS,
        timeout: 2 * config.refresh_interval + 5_000,
      },
    );
  }

  /** @param isRemoved it is no longer wanted, so its state goes, too */
  async stop(isRemoved = false): Promise<void> {
    await this.#handle?.unregister();
    if (!isRemoved) return;
    this.#isRemoved = true;
    for (const pin of this.#pins.values()) this.#tellEvicted(pin, 'pool_removed', `removed-${this.#seq}`);
    await this.#shared.store?.set({ [this.settings.key]: undefined }).catch(() => {});
  }

  /** Its breaker has opened: slots that pass now are skipped for that reason. */
  breakerOpened(): void {
    this.#wasBreakerOpen = true;
  }

  /** A client met this key. It is looked for, never trusted. */
  offerCandidate(fingerprint: string): 'pinned' | 'open' | 'new' | 'full' {
    if (this.pins.has(fingerprint)) return 'pinned';
    const taken = this.candidates.offer(fingerprint, this.#now());
    if (taken === 'full') this.#shared.instruments('candidatesRefused', 1, { pool: this.settings.name });
    if (taken !== 'new') return taken;
    this.#shared.instruments('rejected', 1, { pool: this.settings.name, reason: 'spki_unpinned' });
    this.#tell('candidate', `received-${this.#now()}`, { fingerprint, result: 'received' }, { fingerprint });
    if (this.#isRunning) this.#wantsAgain = true;
    else this.#handle?.runNow();
    return 'new';
  }

  async #run(signal: AbortSignal, why: RunReason): Promise<RunResult> {
    const { slots, config } = this.#shared;
    this.#noteSkipped(why.missed);
    this.#isRunning = true;
    try {
      const isInitial = !this.#hasSucceeded;
      const release = await slots.enter(isInitial, config.refresh_interval, signal);
      if (!release) {
        this.#tellSkipped('no_capacity', 1);
        return { deferred: true };
      }
      try {
        // What comes from here on may be missed by this cycle, which has begun.
        this.#wantsAgain = false;
        return await this.#cycle(triggerOf(why.cause), signal);
      } finally {
        release();
      }
    } finally {
      this.#isRunning = false;
    }
  }

  async #cycle(trigger: Trigger, signal: AbortSignal): Promise<RunResult> {
    const { clock } = this.#shared.host;
    const startedAt = this.#now();
    const began = clock.monotonic();
    const isInitial = !this.#hasSucceeded;
    const kind: CycleKind = isInitial ? 'initial' : trigger === 'candidate' ? 'targeted' : 'cumulative';
    const report = await runCycle({
      ...{
        pool: this.settings,
        prober: this.#prober,
        isInitial,
        seq: this.#seq,
        lastCount: this.#lastCount,
        signal,
        clock,
      },
      ...{ config: this.#shared.config, gates: this.#shared.gates },
      unseenAfter: (results) => this.#estimate(this.#windowAfter(results, this.#now())).unseenMassUpper,
    });
    const idHash = createHash('sha256').update(this.settings.key).digest('hex').slice(0, 8);
    const id = `${idHash}-${startedAt}-${this.#seq}`;
    const counts = this.#take(report, {
      ...{ id, kind, trigger, seq: this.#seq, startedAt, isCut: signal.aborted, durationMs: clock.monotonic() - began },
    });
    this.#seq++;
    await this.#save();
    this.#handle?.setInterval(this.#interval());
    if (counts.ok > 0) return { again: this.#wantsAgain, facts: this.#facts() };
    throw failureOf(report.results, counts);
  }

  /** What a cycle saw becomes pins, verdicts and records. */
  #take(
    report: CycleReport,
    cycle: Pick<CycleSummary, 'id' | 'kind' | 'trigger' | 'seq' | 'startedAt' | 'durationMs'> & {
      readonly isCut: boolean;
    },
  ): Tally {
    const { config, host } = this.#shared;
    const now = this.#now();
    const results = [...report.results].sort((a, b) => a.attempt - b.attempt);
    const counts = tally(results);
    const broken = brokenSums(report.planned, results, counts);
    const before = this.#pins;
    this.#window = this.#windowAfter(results, now);
    const seen = new Set([...before.keys(), ...counts.observedFingerprints]);
    const balance = judgeBalance(this.#window, Math.max(report.declared ?? 0, seen.size), config.stall.min_draws);
    const sight: CycleSight = {
      ...{
        declared: report.declared,
        isEnumerating: report.strategy !== 'sample',
        results,
        count: report.count,
        balance,
      },
      identities: distinctIdentities(results, config.pins.shared_keys),
    };
    const isFull = broken.length === 0 && isFullCycle(sight);
    const change = this.#change({ results, isFull, source: cycle.kind, now, isBroken: broken.length > 0 });
    this.#pins = change.pins;
    if (change.added.length + change.evicted.length > 0) this.#generation++;
    if (change.evicted.length > 0) this.#window = { ...this.#window, sinceChange: 0 };
    const verdicts = this.candidates.settle(
      {
        pinned: (fingerprint) => change.pins.has(fingerprint),
        unverified: counts.unverifiedFingerprints,
        ...{ isFull, since: cycle.startedAt },
      },
      now,
    );
    this.#hasSucceeded ||= counts.ok > 0;
    this.#cyclesEnded++;
    // A smaller number counts from its second time on, a larger one when it has proven true.
    if (isFull || report.count.includes('declared_shrank')) this.#lastCount = report.counted;
    this.#fruitless = counts.ok > 0 ? 0 : this.#fruitless + 1;
    const known = identitiesSince(change.pins, 0);
    this.#incomplete = sight.isEnumerating && known < (report.declared ?? 0) ? this.#incomplete + 1 : 0;
    const isCandidateOpen = this.candidates.open(now).length > 0;
    const figures = this.#estimate(this.#window);
    const coverage = judgeCoverage({
      ...{ sight, isCandidateOpen, unseenMassUpper: figures.unseenMassUpper, unseenMass: config.sampling.unseen_mass },
      recentIdentities: identitiesSince(change.pins, now - RECENT_INTERVALS * config.refresh_interval),
    });
    const stallInput = {
      ...{ known, declared: report.declared, isCandidateOpen, drawsSinceNew: this.#window.sinceNew, balance },
      ...{ isEnumerating: sight.isEnumerating, incompleteCycles: this.#incomplete, fruitlessCycles: this.#fruitless },
      isFailing: counts.failedCalls + counts.verifyFailures > 0,
    };
    const stall = judgeStall(this.#stall, stallInput, config.stall);
    const wasStalled = this.#stall;
    this.#stall = stall && { cause: stall.cause, since: wasStalled?.cause === stall.cause ? wasStalled.since : now };
    const summary: CycleSummary = {
      ...cycle,
      ...{ counts, ...coverage, ...figures, balance, state: this.state, known, stallP: stallP(stallInput) },
      ...{ strategy: report.strategy, declared: report.declared, declaredSource: report.declaredSource },
      ...(report.countError !== undefined && { countError: report.countError }),
      ...{ newFingerprints: change.added.length, evicted: change.evicted.length, totalPinned: change.pins.size },
      sharedKeys: coverage.coverage === 'complete' && change.pins.size < (report.declared ?? 0),
      ...{ mode: this.settings.mode, endedAt: now },
    };
    this.#summary = summary;
    this.#cycles = [{ summary, results }, ...this.#cycles].slice(0, REMEMBERED_CYCLES);
    this.#lastAt.cycle = now;
    if (change.added.length > 0) this.#lastAt.new = now;
    if (coverage.coverage === 'complete') this.#lastAt.complete = now;
    this.#count(summary, results, change, cycle.isCut);
    if (broken.length > 0)
      host.logger.error('numbers of a cycle do not agree; its pins are as before', {
        ...{ pool: this.settings.name, sums: broken.join(', '), 'error.type': 'internal' },
      });
    this.#tellCycle(summary, results);
    for (const pin of change.added)
      this.#tell('discovered', cycle.id, pinAttributes(pin), { fingerprint: pin.fingerprint });
    for (const { pin, reason } of change.evicted) this.#tellEvicted(pin, reason, cycle.id);
    for (const { fingerprint, result } of verdicts)
      this.#tell('candidate', `${cycle.id}-${result}`, { fingerprint, result }, { fingerprint });
    this.#tellEdges(cycle.id, wasStalled);
    return counts;
  }

  #change(of: Parameters<typeof applyCycle>[1] & { readonly isBroken: boolean }): PinChange {
    if (of.isBroken) return { pins: this.#pins, added: [], evicted: [] };
    const { ttl, max_age: maxAge, floor, shared_keys: sharedKeys } = this.#shared.config.pins;
    return applyCycle(this.#pins, of, { ttl, maxAge, floor, sharedKeys });
  }

  #windowAfter(results: readonly ProbeResult[], now: number): DrawWindow {
    const proven = results.filter(({ outcome }) => outcome === 'ok').sort((a, b) => a.attempt - b.attempt);
    const isKnown = (fingerprint: string) => this.#pins.has(fingerprint);
    const draws = proven.flatMap(({ via, fingerprint }) =>
      via.kind === 'plain' ? [{ fingerprint: fingerprint!, at: now }] : [],
    );
    const window = addDraws(this.#window, draws, isKnown, now - this.#shared.config.sampling.window);
    // A key that an enumeration found is news, too.
    const isNews = proven.some(({ via, fingerprint }) => via.kind !== 'plain' && !isKnown(fingerprint!));
    return isNews ? { ...window, sinceChange: 0, sinceNew: 0 } : window;
  }

  #estimate(window: DrawWindow) {
    return estimate(window, this.#shared.config.sampling.confidence);
  }

  /** What people see of it beside other targets. */
  #facts(): Facts {
    const { declared, coverage = 'unknown' } = this.#summary ?? {};
    return { pinned: this.#pins.size, ...(declared !== undefined && { declared }), coverage };
  }

  #interval(): number {
    const { refresh_interval } = this.#shared.config;
    return this.state === 'pinned' ? refresh_interval : Math.min(refresh_interval, UNPINNED_INTERVAL_MS);
  }

  #tellCycle(summary: CycleSummary, results: readonly ProbeResult[]): void {
    const { config, host } = this.#shared;
    const { kind, id } = summary;
    const told: EventKind = kind === 'initial' ? 'initial' : summary.newFingerprints > 0 ? 'expanded' : 'unchanged';
    this.#tell(told, id, cycleAttributes(this.settings.model, summary));
    for (const result of results) {
      const shown = shownResult(id, result);
      host.logger.debug(EVENTS.probe[2], { pool: this.settings.name, ...shown, local_port: result.localPort });
      if (config.records.probes) this.#send('probe', `${id}-${result.attempt}`, flat(shown));
    }
  }

  /** What has changed about the pool since people were told. A crash repeats it, and loses none. */
  #tellEdges(cycleId: string, before: Stall | undefined): void {
    const stalled = this.#stall?.cause ?? null;
    const pool = { 'attestation.pool.state': this.state, total_pinned: this.#pins.size };
    if (before?.cause !== this.#stall?.cause) {
      if (stalled !== null)
        this.#tell('stalled', cycleId, { ...pool, cause: stalled }, {}, () => this.#remember({ stalled }));
      else
        this.#tell('recovered', cycleId, { ...pool, cause: before!.cause }, {}, () =>
          this.#remember({ stalled: null }),
        );
    }
    const isBlocked = this.state === 'blocked';
    if (isBlocked === this.#wasBlocked) return;
    this.#wasBlocked = isBlocked;
    if (isBlocked) this.#tell('blocked', cycleId, pool, {}, () => this.#remember({ blocked: true }));
    else this.#told = { ...this.#told, blocked: false };
  }

  #remember(told: Partial<Told>): void {
    this.#told = { ...this.#told, ...told };
    void this.#save();
  }

  #tellEvicted({ fingerprint }: Pin, reason: Eviction, cycleId: string): void {
    this.#tell('evicted', cycleId, { fingerprint, reason }, { fingerprint });
  }

  #noteSkipped(missed: number): void {
    const reason = this.#wasBreakerOpen ? 'breaker_open' : 'overlap';
    this.#wasBreakerOpen = false;
    if (missed > 0) this.#tellSkipped(reason, missed);
    else this.#isSkipping = false;
  }

  /** The first of a run of skips. */
  #tellSkipped(reason: 'overlap' | 'breaker_open' | 'no_capacity', count: number): void {
    const kind = this.#hasSucceeded ? 'cumulative' : 'initial';
    this.#shared.instruments('cycles', count, { pool: this.settings.name, kind, result: 'skipped' });
    if (!this.#isSkipping) this.#tell('skipped', `skipped-${this.#now()}`, { reason, missed: count });
    this.#isSkipping = true;
  }

  /** Into the pipeline and into the agent's own log. */
  #tell(
    kind: EventKind,
    cycleId: string,
    attributes: Readonly<Record<string, unknown>>,
    identity: Partial<RecordIdentity> = {},
    onTaken?: () => void,
  ): void {
    const record = this.#send(kind, cycleId, attributes, identity, onTaken);
    const level: Severity = EVENTS[kind][1];
    this.#shared.host.logger[level](EVENTS[kind][2], { pool: this.settings.name, ...record.attributes });
  }

  #send(
    kind: EventKind,
    cycleId: string,
    attributes: Readonly<Record<string, unknown>>,
    identity: Partial<RecordIdentity> = {},
    onTaken?: () => void,
  ): ReadableLogRecord {
    const { receiver: component, host } = this.#shared;
    const whose = { component, pool: this.settings.name, cycleId, ...identity };
    const record = attestationRecord(kind, host.clock.now(), whose, attributes, this.resource);
    this.#shared.send(record, onTaken);
    return record;
  }

  #count(summary: CycleSummary, results: readonly ProbeResult[], change: PinChange, isCut: boolean): void {
    const { instruments } = this.#shared;
    const pool = this.settings.name;
    const { kind, newFingerprints } = summary;
    const result = isCut
      ? 'cancelled'
      : kind === 'initial'
        ? 'initial'
        : newFingerprints > 0
          ? 'expanded'
          : 'unchanged';
    instruments('cycles', 1, { pool, kind, result });
    instruments('cycleDuration', summary.durationMs / 1_000, { pool });
    for (const { outcome, algo, failure, check, unbound, elapsed } of results) {
      instruments('probes', 1, { pool, outcome, algo });
      instruments('probeDuration', elapsed.total / 1_000, { pool });
      if (failure) instruments('failures', 1, { pool, category: classOf(failure.category), stage: failure.stage });
      if (check === 'spki_mismatch') instruments('mismatch', 1, { pool });
      if (unbound === 'session_reused') instruments('rejected', 1, { pool, reason: unbound });
    }
    if (change.added.length > 0) instruments('added', change.added.length, { pool });
    for (const { reason } of change.evicted) instruments('evicted', 1, { pool, reason });
  }

  async #save(): Promise<void> {
    const { store, host } = this.#shared;
    // A record that is delivered late must not bring back what was deleted.
    if (!store || this.#isRemoved) return;
    const { key, mode, policyDigest } = this.settings;
    const text = writePool({
      ...{ mode, policyDigest, seq: this.#seq, generation: this.#generation, lastCount: this.#lastCount ?? null },
      ...{ pins: [...this.#pins.values()], window: this.#window, told: this.#told },
    });
    await store
      .set({ [key]: text })
      // Its text may name a path.
      .catch((error) =>
        host.logger.warn('pins could not be stored', {
          pool: this.settings.name,
          'error.type': error instanceof OutbandError ? error.code : 'internal',
        }),
      );
  }

  /** Pins of before serve again when they were proven by the same rules and not too long ago. */
  #restore(text: string): void {
    const { host, config } = this.#shared;
    const stored = readPool(text);
    if (!stored)
      return host.logger.warn('stored pins are not readable; they are left out', { pool: this.settings.name });
    const now = this.#now();
    this.#seq = stored.seq;
    this.#generation = stored.generation;
    this.#told = stored.told;
    this.#wasBlocked = stored.told.blocked;
    this.#stall = stored.told.stalled === null ? undefined : { cause: stored.told.stalled, since: now };
    this.#lastCount = stored.lastCount ?? undefined;
    const isSamePolicy = stored.mode === this.settings.mode && stored.policyDigest === this.settings.policyDigest;
    const kept = new Map<string, Pin>();
    for (const pin of stored.pins) {
      const isYoung = pin.lastVerified <= now && now - pin.lastVerified < config.pins.ttl;
      if (isSamePolicy && isYoung) kept.set(pin.fingerprint, { ...pin, source: 'restored' });
      else this.#tellEvicted(pin, isSamePolicy ? 'ttl' : 'policy_changed', `restored-${stored.seq}`);
    }
    this.#pins = kept;
    if (kept.size !== stored.pins.length) this.#generation++;
    if (isSamePolicy) this.#window = stored.window;
  }

  #now(): number {
    return Number(this.#shared.host.clock.now() / 1_000_000n);
  }
}

function pinAttributes({ fingerprint, tcbStatus, notAfter }: Pin): Record<string, unknown> {
  return {
    fingerprint,
    'tee.tcb.status': tcbStatus,
    'tls.server.not_after': new Date(notAfter).toISOString(),
  };
}

/** Each status would be a series of its own. */
function classOf(category: string): string {
  return category.startsWith('status:') ? `status:${category[7]}xx` : category;
}

/** Attributes are texts, numbers and lists of them. */
function flat(shown: Readonly<Record<string, unknown>>): Attributes {
  const { via, elapsed_ms, ...rest } = shown as {
    via: { kind: string; index?: number };
    elapsed_ms: Record<string, number>;
  };
  const parts = Object.entries(elapsed_ms).map(([part, ms]) => [`elapsed_ms.${part}`, ms]);
  return {
    ...rest,
    'via.kind': via.kind,
    ...(via.index !== undefined && { 'via.index': via.index }),
    ...Object.fromEntries(parts),
  };
}

/** Waiting heals no wrong setting and no missing right. */
function failureOf(results: readonly ProbeResult[], { calls, failureReasons }: Tally): OutbandError {
  const isPermanent =
    results.length > 0 &&
    results.every(
      ({ failure, httpStatus }) =>
        failure?.category === 'client_build' ||
        failure?.category === 'query_encode' ||
        httpStatus === 401 ||
        httpStatus === 403,
    );
  const [reason = 'cut off'] = commonest(failureReasons);
  return new OutbandError(
    isPermanent ? 'config_invalid' : 'pool_unproven',
    `no probe of ${calls} proved a backend (${reason})`,
  );
}

/** The most frequent first. */
export function commonest(reasons: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([reason]) => reason);
}
