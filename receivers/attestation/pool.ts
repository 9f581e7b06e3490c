import { createHash } from 'node:crypto';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { Host } from '../../src/component/component.ts';
import { OutbandError } from '../../src/component/errors.ts';
import type { Facts, RunReason, RunResult, TargetHandle } from '../../src/component/scheduler.ts';
import type { KeyValue } from '../../src/component/storage.ts';
import type { AttestationConfig, ModelSettings } from './config.ts';
import { type CyclePool, type ProbeGates, runCycle } from './cycle.ts';
import { type CycleSummary, type Trigger, triggerOf } from './cycle-record.ts';
import { estimate } from './diagnosis/estimates.ts';
import {
  type JudgedCycle,
  judgeCycle,
  NO_MEMORY,
  type PoolMemory,
  type PoolState,
  stateOf,
  windowAfter,
} from './judge-cycle.ts';
import type { Instruments } from './metrics.ts';
import { failureOf } from './outcome.ts';
import { Candidates } from './pins/candidates.ts';
import type { Pin, Pins } from './pins/pin-set.ts';
import { restorePool, type Told, writePool } from './pool-state.ts';
import { PoolVoice, type SkipReason } from './pool-voice.ts';
import type { Prober } from './probe/probe.ts';
import type { ProbeResult } from './probe/result.ts';
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

/** What is remembered of a cycle for the page. */
export interface RememberedCycle {
  readonly summary: CycleSummary;
  readonly results: readonly ProbeResult[];
}

const REMEMBERED_CYCLES = 10;
/** A pool from which nothing may be served is tried so often; milliseconds. */
const UNPINNED_INTERVAL_MS = 60_000;

/** One model behind one URL: runs its cycles, keeps what they found, and lets it be told. */
export class Pool {
  readonly settings: PoolSettings;
  /** As it was configured, to see a change. */
  readonly source: ModelSettings;
  readonly candidates: Candidates;
  readonly #shared: PoolShared;
  readonly #prober: Prober;
  readonly #voice: PoolVoice;
  #handle: TargetHandle | undefined;
  #memory: PoolMemory = NO_MEMORY;
  #seq = 0;
  /** What the pipeline has taken; stored. */
  #told: Told = { stalled: null, blocked: false };
  #wasBlocked = false;
  #isRunning = false;
  #isRemoved = false;
  #wantsAgain = false;
  #isSkipping = false;
  #wasBreakerOpen = false;
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
    this.#voice = new PoolVoice(settings, shared);
  }

  get state(): PoolState {
    return stateOf({ pins: this.pins, ended: this.#memory.ended });
  }

  /** Keys that are trusted at this moment: also while no cycle ends, none is older than it may be. */
  get pins(): Pins {
    const { max_age } = this.#shared.config.pins;
    const now = this.#now();
    const isYoung = ({ lastVerified }: Pin) => now - lastVerified < max_age;
    const { pins } = this.#memory;
    const all = [...pins.values()];
    return all.every(isYoung) ? pins : new Map(all.filter(isYoung).map((pin) => [pin.fingerprint, pin]));
  }

  get memory(): PoolMemory {
    return this.#memory;
  }

  /** Newest first. */
  get cycles(): readonly RememberedCycle[] {
    return this.#cycles;
  }

  /** Of the last cycle. */
  get summary(): CycleSummary | undefined {
    return this.#cycles[0]?.summary;
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
    const { config, host, instruments } = this.#shared;
    const { name, port, serverAddress } = this.settings;
    // What an alert watches the growth of must be there before it grows.
    instruments('rejected', 0, { pool: name, reason: 'spki_unpinned' });
    instruments('mismatch', 0, { pool: name });
    this.#handle = host.scheduler(config.scheduler).register(
      {
        ...{ type: 'attestation', name },
        connection: serverAddress === undefined ? name : `${serverAddress}:${port}`,
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
    for (const pin of this.#memory.pins.values()) this.#voice.evicted(pin, 'pool_removed', `removed-${this.#now()}`);
    await this.#shared.store?.set({ [this.settings.key]: undefined }).catch(() => {});
  }

  /** Its breaker has opened: slots that pass now are skipped for that reason. */
  breakerOpened(): void {
    this.#wasBreakerOpen = true;
  }

  /** A client met this key. It is looked for, never trusted. */
  offerCandidate(fingerprint: string): 'pinned' | 'open' | 'new' | 'full' {
    if (this.pins.has(fingerprint)) return 'pinned';
    const { instruments } = this.#shared;
    const { name: pool } = this.settings;
    const taken = this.candidates.offer(fingerprint, this.#now());
    if (taken === 'full') instruments('candidatesRefused', 1, { pool });
    if (taken !== 'new') return taken;
    instruments('rejected', 1, { pool, reason: 'spki_unpinned' });
    this.#voice.candidate(fingerprint, 'received', `received-${this.#now()}`);
    if (this.#isRunning) this.#wantsAgain = true;
    else this.#handle?.runNow();
    return 'new';
  }

  async #run(signal: AbortSignal, why: RunReason): Promise<RunResult> {
    const { slots, config } = this.#shared;
    if (why.missed > 0) this.#skipped(this.#wasBreakerOpen ? 'breaker_open' : 'overlap', why.missed);
    else this.#isSkipping = false;
    this.#wasBreakerOpen = false;
    this.#isRunning = true;
    try {
      const release = await slots.enter(!this.#memory.hasSucceeded, config.refresh_interval, signal);
      if (!release) {
        this.#skipped('no_capacity', 1);
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
    const { config, gates, host } = this.#shared;
    const { clock } = host;
    const [startedAt, began] = [this.#now(), clock.monotonic()];
    const { hasSucceeded, lastCount } = this.#memory;
    const isInitial = !hasSucceeded;
    const report = await runCycle({
      ...{ pool: this.settings, prober: this.#prober, config, gates, clock, signal },
      ...{ isInitial, seq: this.#seq, lastCount },
      unseenAfter: (results) => {
        const window = windowAfter(this.#memory, results, config.sampling.window, this.#now());
        return estimate(window, config.sampling.confidence).unseenMassUpper;
      },
    });
    const judged = judgeCycle(
      this.#memory,
      report,
      {
        ...{ id: this.#cycleId(startedAt), seq: this.#seq, trigger, mode: this.settings.mode },
        kind: isInitial ? 'initial' : trigger === 'candidate' ? 'targeted' : 'cumulative',
        ...{ startedAt, durationMs: clock.monotonic() - began, isCut: signal.aborted },
      },
      { config, candidates: this.candidates, now: this.#now() },
    );
    this.#take(judged);
    await this.#save();
    this.#handle?.setInterval(this.#interval());
    const { counts } = judged.summary;
    if (counts.ok > 0) return { again: this.#wantsAgain, facts: factsOf(judged.summary) };
    throw failureOf(judged.results, counts);
  }

  #cycleId(startedAt: number): string {
    const hash = createHash('sha256').update(this.settings.key).digest('hex').slice(0, 8);
    return `${hash}-${startedAt}-${this.#seq}`;
  }

  #take(judged: JudgedCycle): void {
    const { memory, summary, results } = judged;
    const { stall: before } = this.#memory;
    this.#memory = memory;
    this.#seq++;
    this.#cycles = [{ summary, results }, ...this.#cycles].slice(0, REMEMBERED_CYCLES);
    this.#lastAt.cycle = summary.endedAt;
    if (summary.newFingerprints > 0) this.#lastAt.new = summary.endedAt;
    if (summary.coverage === 'complete') this.#lastAt.complete = summary.endedAt;
    this.#voice.cycle(judged);
    this.#tellEdges(before, summary);
  }

  /** What has changed about the pool since people were told. A crash repeats it, and loses none. */
  #tellEdges(before: PoolMemory['stall'], summary: CycleSummary): void {
    const { stall } = this.#memory;
    if (stall && stall.cause !== before?.cause)
      this.#voice.stall('stalled', stall.cause, summary, () => this.#remember({ stalled: stall.cause }));
    if (!stall && before)
      this.#voice.stall('recovered', before.cause, summary, () => this.#remember({ stalled: null }));
    const isBlocked = summary.state === 'blocked';
    if (isBlocked === this.#wasBlocked) return;
    this.#wasBlocked = isBlocked;
    if (isBlocked) this.#voice.blocked(summary, () => this.#remember({ blocked: true }));
    else this.#told = { ...this.#told, blocked: false };
  }

  #remember(told: Partial<Told>): void {
    this.#told = { ...this.#told, ...told };
    void this.#save();
  }

  #skipped(reason: SkipReason, missed: number): void {
    const kind = this.#memory.hasSucceeded ? 'cumulative' : 'initial';
    this.#voice.skipped(reason, missed, kind, !this.#isSkipping);
    this.#isSkipping = true;
  }

  #interval(): number {
    const { refresh_interval } = this.#shared.config;
    return this.state === 'pinned' ? refresh_interval : Math.min(refresh_interval, UNPINNED_INTERVAL_MS);
  }

  async #save(): Promise<void> {
    const { store, host } = this.#shared;
    // A record that is delivered late must not bring back what was deleted.
    if (!store || this.#isRemoved) return;
    const { key, mode, policyDigest } = this.settings;
    const { pins, window, generation, lastCount = null } = this.#memory;
    const text = writePool({
      ...{ mode, policyDigest, seq: this.#seq, generation, lastCount },
      ...{ pins: [...pins.values()], window, told: this.#told },
    });
    try {
      await store.set({ [key]: text });
    } catch (error) {
      // Its text may name a path.
      const code = error instanceof OutbandError ? error.code : 'internal';
      host.logger.warn('pins could not be stored', { pool: this.settings.name, 'error.type': code });
    }
  }

  #restore(text: string): void {
    const { host, config } = this.#shared;
    const restored = restorePool(text, this.settings, config.pins.ttl, this.#now());
    if (!restored)
      return host.logger.warn('stored pins are not readable; they are left out', { pool: this.settings.name });
    this.#memory = restored.memory;
    this.#seq = restored.seq;
    this.#told = restored.told;
    this.#wasBlocked = restored.told.blocked;
    for (const { pin, reason } of restored.evicted) this.#voice.evicted(pin, reason, `restored-${this.#seq}`);
  }

  #now(): number {
    return Number(this.#shared.host.clock.now() / 1_000_000n);
  }
}

/** What people see of it beside other targets. */
function factsOf({ totalPinned: pinned, declared, coverage }: CycleSummary): Facts {
  return { pinned, ...(declared !== undefined && { declared }), coverage };
}
