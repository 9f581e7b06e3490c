import { aborted } from '../../src/component/aborted.ts';
import type { Clock } from '../../src/component/clock.ts';
import { deadline } from '../../src/component/deadline.ts';
import { Semaphore } from '../../src/resilience/semaphore.ts';
import { type BackendCount, type CountError, readBackendCount } from './backend-count.ts';
import { type AttestationConfig, parseAddress, type Strategy } from './config.ts';
import type { CountBlocker } from './diagnosis/coverage.ts';
import { identityOf } from './pins/pin-set.ts';
import { resolveHost } from './probe/connection.ts';
import { type ProbePlan, type Prober, runProbe } from './probe/probe.ts';
import type { ProbeResult, Via } from './probe/result.ts';

/** What a cycle needs to know of its pool. */
export interface CyclePool {
  readonly host: string;
  readonly port: number;
  readonly declared: number | undefined;
  readonly strategy: Strategy;
  readonly addresses: readonly string[] | undefined;
}

export interface CycleOptions {
  readonly pool: CyclePool;
  readonly config: AttestationConfig;
  readonly prober: Prober;
  readonly gates: ProbeGates;
  readonly clock: Clock;
  readonly isInitial: boolean;
  /** Number of the cycle; turns the algorithms. */
  readonly seq: number;
  /** What the last count of backends said. */
  readonly lastCount: number | undefined;
  /** The bound on what is unseen, if these results came in. */
  readonly unseenAfter: (results: readonly ProbeResult[]) => number;
  readonly signal: AbortSignal;
}

/** What a cycle did; one result per planned probe. */
export interface CycleReport {
  readonly results: readonly ProbeResult[];
  readonly planned: number;
  /** As used. */
  readonly strategy: Strategy;
  readonly declared: number | undefined;
  readonly declaredSource: 'config' | 'count' | 'addresses' | 'none';
  readonly countError?: CountError;
  readonly count: readonly CountBlocker[];
  /** What the proxy counted, for the next cycle. */
  readonly counted?: number;
}

/** Limits on probes that run at once; shared by all pools of a receiver. */
export class ProbeGates {
  readonly #inflight: Semaphore;
  readonly #perHost: number;
  /** Those that somebody is in, or waits for: names come and go with the sources of models. */
  readonly #hosts = new Map<string, { readonly gate: Semaphore; users: number }>();

  constructor(inflight: number, perHost: number) {
    this.#inflight = new Semaphore(inflight);
    this.#perHost = perHost;
  }

  /** @param backend of which there is one: an index or an address */
  async enter(host: string, backend: string | undefined, signal: AbortSignal): Promise<() => void> {
    const held: (() => void)[] = [];
    const leave = () => {
      for (const release of held.reverse()) release();
    };
    const named = (name: string, permits: number): Semaphore => {
      const host = this.#hosts.get(name) ?? { gate: new Semaphore(permits), users: 0 };
      this.#hosts.set(name, host);
      host.users++;
      held.push(() => {
        if (--host.users === 0) this.#hosts.delete(name);
      });
      return host.gate;
    };
    const gates = [named(host, this.#perHost), this.#inflight];
    if (backend !== undefined) gates.unshift(named(`${host} ${backend}`, 1));
    try {
      for (const gate of gates) held.push(await gate.acquire(signal));
      return leave;
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** Names that are held in memory. */
  get size(): number {
    return this.#hosts.size;
  }
}

/** Runs the probes of one cycle of one pool. Never rejects: what is cut off is `cancelled`. */
export async function runCycle(options: CycleOptions): Promise<CycleReport> {
  const { clock, config, pool } = options;
  using limit = deadline(clock, config.cycle_timeout, 'the cycle', options.signal);
  const within = { ...options, signal: limit.signal };
  if (pool.strategy === 'index_sni') return await enumerateIndexes(within);
  if (pool.strategy === 'addresses') return await enumerateAddresses(within);
  return await sample(within);
}

/** Calls to the name, in rounds, until nothing more is to be expected. */
async function sample(options: CycleOptions, countError?: CountError): Promise<CycleReport> {
  const { pool, config, isInitial, signal, unseenAfter } = options;
  const { calls, max_calls, launch_stagger } = isInitial ? config.initial : config.cumulative;
  const { adaptive, unseen_mass } = config.sampling;
  const most = adaptive ? max_calls : calls;
  const results: ProbeResult[] = [];
  while (results.length < most) {
    const first = results.length;
    const size = Math.min(calls, most - first);
    const plans = Array.from({ length: size }, (_, k) => planOf(options, first + k, { kind: 'plain' }, pool.host));
    const round = await launch(options, plans, launch_stagger);
    results.push(...round);
    const isDone =
      signal.aborted ||
      !round.some(({ outcome }) => outcome === 'ok') ||
      distinctIdentities(results, config.pins.shared_keys) >= (pool.declared ?? Number.POSITIVE_INFINITY) ||
      unseenAfter(results) <= unseen_mass;
    if (isDone) break;
  }
  return {
    ...{ results, planned: results.length, strategy: 'sample', declared: pool.declared, count: [] },
    declaredSource: pool.declared === undefined ? 'none' : 'config',
    ...(countError !== undefined && { countError }),
  };
}

/** Each backend by a name of its own, which the proxy maps to the N-th healthy one. */
async function enumerateIndexes(options: CycleOptions): Promise<CycleReport> {
  const { pool, config, lastCount } = options;
  const { max_backends } = config.index_sni;
  const before = await askCount(options);
  if ('error' in before) return sample(options, before.error);
  const { healthy } = before;
  const indexes = Math.min(healthy, max_backends);
  const dot = pool.host.indexOf('.');
  const plans = Array.from(
    { length: Math.max(indexes, Math.min(config.request.signing_algos.length, max_backends)) },
    (_, k) => {
      const index = k % indexes;
      return planOf(
        options,
        k,
        { kind: 'index', index },
        `${pool.host.slice(0, dot)}-i${index}${pool.host.slice(dot)}`,
      );
    },
  );
  const results = await launch(options, plans, 0);
  const after = await askCount(options);
  const hasChanged = 'error' in after || after.healthy !== healthy;
  const blockers: readonly (readonly [CountBlocker, boolean])[] = [
    ['count_changed', hasChanged],
    ['count_capped', healthy > max_backends],
    ['declared_shrank', lastCount !== undefined && healthy < lastCount],
    ['declared_disagrees', pool.declared !== undefined && pool.declared !== healthy],
  ];
  return {
    ...{ results, planned: plans.length, strategy: 'index_sni', declared: healthy, declaredSource: 'count' },
    count: blockers.flatMap(([blocker, holds]) => (holds ? [blocker] : [])),
    counted: healthy,
  };
}

function askCount({ pool, config, prober, clock, signal }: CycleOptions): Promise<BackendCount> {
  const { count_path: path, timeout: timeoutMs } = config.index_sni;
  const secureContext = () => prober.secureContext();
  return readBackendCount({ host: pool.host, port: pool.port, path, timeoutMs, clock, signal, secureContext });
}

/** One probe per address, each with the name of the pool. */
async function enumerateAddresses(options: CycleOptions): Promise<CycleReport> {
  const { pool, signal } = options;
  // The system may take longer for a name than a cycle, or a stop, has time.
  const resolved = () => Promise.race([resolveHost(pool.host), aborted(signal)]).catch(() => undefined);
  const addresses = pool.addresses ?? (await resolved()) ?? [];
  const parsed = addresses.map((text) => parseAddress(text)!).map(({ ip, port = pool.port }) => ({ ip, port }));
  const targets = [...new Map(parsed.map((target) => [`${target.ip} ${target.port}`, target])).values()];
  // A name that does not resolve is told by a probe that fails.
  if (targets.length === 0) return sample(options);
  const plans = targets.map(({ ip, port }, index) => ({
    ...planOf(options, index, { kind: 'address', index }, pool.host),
    ...{ address: ip, addressPort: port },
  }));
  const results = await launch(options, plans, 0);
  const declared = targets.length;
  const disagrees = pool.declared !== undefined && pool.declared !== declared;
  return {
    ...{ results, planned: plans.length, strategy: 'addresses', declared, declaredSource: 'addresses' },
    count: disagrees ? ['declared_disagrees'] : [],
  };
}

function planOf({ config, pool, seq }: CycleOptions, attempt: number, via: Via, host: string): ProbePlan {
  const { signing_algos: algos } = config.request;
  return { attempt, via, host, port: pool.port, algo: algos[(attempt + seq) % algos.length]! };
}

/** @param staggerMs between two starts */
function launch(options: CycleOptions, plans: readonly ProbePlan[], staggerMs: number): Promise<ProbeResult[]> {
  const { gates, clock, signal, prober, pool } = options;
  const start = async (plan: ProbePlan, delay: number): Promise<ProbeResult> => {
    let leave: () => void;
    try {
      if (delay > 0) await clock.sleep(delay, signal);
      const backend = plan.via.kind === 'plain' ? undefined : `${plan.via.kind}-${plan.via.index}`;
      leave = await gates.enter(`${pool.host}:${pool.port}`, backend, signal);
    } catch {
      const { attempt, via, algo } = plan;
      return { attempt, via, algo, outcome: 'cancelled', checksSkipped: [], elapsed: { total: 0 }, evidence: {} };
    }
    try {
      return await runProbe(prober, plan, signal);
    } finally {
      leave();
    }
  };
  return Promise.all(plans.map((plan, k) => start(plan, k * staggerMs)));
}

/** Backends that results prove. */
export function distinctIdentities(results: readonly ProbeResult[], sharedKeys: boolean): number {
  const proven = results.filter(({ outcome }) => outcome === 'ok');
  return new Set(proven.map((result) => identityOf(result, sharedKeys))).size;
}
