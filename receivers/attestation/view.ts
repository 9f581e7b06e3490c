import { createHash } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Page, PageAnswer, PageRequest } from '../../src/component/page.ts';
import type { AttestationConfig } from './config.ts';
import { estimate, recentDraws } from './diagnosis/estimates.ts';
import { explain } from './explain.ts';
import { commonest } from './outcome.ts';
import { identitiesSince, isOverTtl, type Pin } from './pins/pin-set.ts';
import type { Pool, RememberedCycle } from './pool.ts';
import { shownResult } from './probe/result.ts';
import type { SourceView } from './sources/model-sources.ts';

const SCHEMA_VERSION = 1;

/** What the pages show. */
export interface Fleet {
  readonly config: AttestationConfig;
  pools(): readonly Pool[];
  sources(): readonly SourceView[];
  /** When pools are due, as of one instant; milliseconds since the epoch. */
  dueTimes(): (pool: string) => number | null;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** The pages below `/api/monitoring/attestation`. @param fleets of all receivers of the agent; names of pools are unique over them */
export function attestationPages(fleets: ReadonlySet<Fleet>): Page[] {
  const path = '/api/monitoring/attestation';
  const forPool =
    (answer: (fleet: Fleet, pool: Pool, request: PageRequest) => PageAnswer) =>
    (request: PageRequest): PageAnswer => {
      for (const fleet of fleets) {
        const pool = fleet.pools().find(({ settings }) => settings.name === request.params.pool);
        if (pool) return answer(fleet, pool, request);
      }
      return NO_SUCH_POOL;
    };
  return [
    { method: 'GET', path, handle: ({ query }) => overview([...fleets], query) },
    {
      method: 'GET',
      path: `${path}/:pool/pins`,
      handle: forPool((fleet, pool, { headers }) => pinsOf(fleet, pool, headers['if-none-match'])),
    },
    {
      ...{ method: 'POST', path: `${path}/:pool/candidates`, takesBody: true },
      handle: forPool((fleet, pool, { body }) => offer(fleet, pool, body)),
    },
  ];
}

function overview(fleets: readonly Fleet[], query: URLSearchParams): PageAnswer {
  const wanted = query.get('pool');
  const pools = fleets.flatMap((fleet) => {
    const dueTimes = fleet.dueTimes();
    return fleet
      .pools()
      .filter(({ settings }) => wanted === null || settings.name === wanted)
      .map((pool) => poolView(fleet, pool, dueTimes(pool.settings.name), wanted !== null));
  });
  if (wanted !== null && pools.length === 0) return NO_SUCH_POOL;
  const sources = fleets.flatMap((fleet) => fleet.sources());
  const body = {
    schemaVersion: SCHEMA_VERSION,
    updatedAt: iso(fleets[0]?.now() ?? 0),
    sources: sources.map(({ ageMs, ...source }) => ({
      ...source,
      ageSeconds: ageMs === undefined ? null : Math.round(ageMs / 1_000),
    })),
    pools: pools.sort((a, b) => (a.pool < b.pool ? -1 : 1)),
  };
  return { status: 200, body };
}

/** One pool, always with all fields; what is not known is null. */
function poolView(fleet: Fleet, pool: Pool, due: number | null, withResults: boolean) {
  const { settings, summary } = pool;
  const { stall } = pool.memory;
  const now = fleet.now();
  return {
    pool: settings.name,
    model: settings.model,
    host: settings.serverAddress ?? null,
    state: pool.state,
    strategy: settings.strategy,
    mode: settings.mode,
    pins: [...pool.pins.values()].map((pin) => pinView(pin, pool, fleet)),
    candidates: pool.candidates
      .open(now)
      .map(({ fingerprint, receivedAt, result }) => ({ fingerprint, receivedAt: iso(receivedAt), result })),
    declared: summary?.declared ?? null,
    coverage: summary?.coverage ?? 'unknown',
    coverageBlockers: summary?.blockers ?? [],
    balance: summary?.balance ?? 'unknown',
    stall: {
      ...{ stalled: stall !== undefined, cause: stall?.cause ?? null, p: summary?.stallP ?? null },
      since: stall ? iso(stall.since) : null,
    },
    estimated: summary?.estimated ?? null,
    unseenMassUpper: summary?.unseenMassUpper ?? null,
    effectiveSize: summary?.effectiveSize ?? null,
    lastCycles: pool.cycles.map((cycle) => cycleView(cycle, withResults)),
    nextDue: due === null ? null : iso(due),
    explain: explainPool(pool, fleet.config.stall.min_draws),
  };
}

function pinView(pin: Pin, { settings }: Pool, { config, now }: Fleet) {
  return {
    fingerprint: pin.fingerprint,
    firstSeen: iso(pin.firstSeen),
    lastSeen: iso(pin.lastSeen),
    lastVerified: iso(pin.lastVerified),
    notAfter: iso(pin.notAfter),
    evidenceSha256: pin.evidenceSha256 ?? null,
    tcbStatus: pin.tcbStatus ?? null,
    advisoryIds: pin.advisoryIds,
    index: pin.index ?? null,
    backends: Object.keys(pin.identities).length,
    algos: pin.algos,
    mode: settings.mode,
    source: pin.source,
    overTtl: isOverTtl(pin, now(), config.pins),
  };
}

function cycleView({ summary, results }: RememberedCycle, withResults: boolean) {
  const { counts } = summary;
  return {
    id: summary.id,
    kind: summary.kind,
    trigger: summary.trigger,
    endedAt: iso(summary.endedAt),
    durationMs: Math.round(summary.durationMs),
    strategy: summary.strategy,
    calls: counts.calls,
    successfulCalls: counts.successfulCalls,
    failedCalls: counts.failedCalls,
    verifyFailures: counts.verifyFailures,
    unboundCalls: counts.unboundCalls,
    cancelledCalls: counts.cancelledCalls,
    newFingerprints: summary.newFingerprints,
    evicted: summary.evicted,
    totalPinned: summary.totalPinned,
    observedFingerprints: counts.observedFingerprints,
    failureReasons: counts.failureReasons,
    coverage: summary.coverage,
    ...(withResults && { results: results.map((result) => shownResult(summary.id, result)) }),
  };
}

/** @param minDraws fewer say nothing about the balancer */
function explainPool(pool: Pool, minDraws: number): string {
  const { summary } = pool;
  const { stall, window, fruitless, pins } = pool.memory;
  const backends = Math.max(summary?.declared ?? 0, pins.size);
  const recent = recentDraws(window, backends, minDraws);
  const counts = summary?.counts;
  return explain({
    state: pool.state,
    coverage: summary?.coverage ?? 'unknown',
    blockers: summary?.blockers ?? [],
    stall: stall?.cause,
    declared: summary?.declared,
    pinned: identitiesSince(pool.pins, 0),
    ...{ draws: recent.draws.length, drawn: new Set(recent.draws.map(({ fingerprint }) => fingerprint)).size },
    effectiveSize: estimate(recent, 0.5).effectiveSize,
    isProven: pool.settings.mode === 'dcap',
    isEnumerating: summary !== undefined && summary.strategy !== 'sample',
    countError: summary?.countError,
    isSkewed: summary?.balance === 'skewed',
    unseenMassUpper: summary?.unseenMassUpper ?? 1,
    candidates: pool.candidates.open(summary?.endedAt ?? 0).length,
    failed: counts ? counts.failedCalls + counts.unboundCalls + counts.cancelledCalls : 0,
    verifyFailed: counts?.verifyFailures ?? 0,
    calls: counts?.calls ?? 0,
    fruitlessCycles: fruitless,
    reason: commonest(counts?.failureReasons ?? [])[0],
  });
}

/**
 * The keys that a client may trust now. Its answer varies with the set alone, so that a client can ask whether it changed.
 * @param known the tag of the answer that the client has
 */
function pinsOf({ config, now }: Fleet, pool: Pool, known: string | undefined): PageAnswer {
  const { mode, name } = pool.settings;
  if (mode === 'none' || (mode === 'binding' && !config.pins.serve_binding))
    return problem(409, 'unverified_pool', `pins of mode ${mode} are not proven by hardware, so they are not served`);
  const pins = [...pool.pins.values()];
  const body = {
    ...{ schemaVersion: SCHEMA_VERSION, pool: name, state: pool.state, generation: pool.memory.generation },
    pins: pins.map(({ fingerprint }) => fingerprint).sort(),
  };
  const etag = `"${createHash('sha256').update(JSON.stringify(body)).digest('hex').slice(0, 32)}"`;
  const headers = { etag, 'cache-control': `max-age=${Math.floor(lifeOf(pins, config, now()) / 1_000)}` };
  const isKnown = known?.split(',').some((tag) => [etag, '*'].includes(tag.trim().replace(/^W\//, '')));
  return isKnown ? { status: 304, headers } : { status: 200, body, headers };
}

/** Milliseconds until the first pin expires, at most one interval. A pin beyond its time is only there for want of a newer one. */
function lifeOf(
  pins: readonly Pin[],
  { refresh_interval, pins: { ttl, max_age } }: AttestationConfig,
  now: number,
): number {
  const left = pins.map((pin) => pin.lastVerified + (isOverTtl(pin, now, { ttl }) ? max_age : ttl) - now);
  return Math.max(0, Math.min(refresh_interval, ...left));
}

function offer({ config }: Fleet, pool: Pool, body: unknown): PageAnswer {
  if (!config.candidates.enabled) return problem(404, 'candidates_disabled', '`candidates::enabled` is false');
  const { fingerprint } = (typeof body === 'object' && body !== null ? body : {}) as { fingerprint?: unknown };
  if (typeof fingerprint !== 'string' || !/^[0-9a-f]{64}$/i.test(fingerprint))
    return problem(400, 'bad_request', '"fingerprint" must be 64 hex digits');
  const result = pool.offerCandidate(fingerprint.toLowerCase());
  if (result === 'full') return problem(429, 'too_many_candidates', 'too many keys are looked for already');
  return { status: result === 'new' ? 202 : 200, body: { pool: pool.settings.name, result } };
}

function problem(status: number, code: string, detail: string): PageAnswer {
  return {
    status,
    body: { type: `urn:outband:problem:${code}`, title: STATUS_CODES[status], status, detail, code },
    headers: { 'content-type': 'application/problem+json' },
  };
}

const NO_SUCH_POOL = problem(404, 'pool_unknown', 'there is no such pool');

function iso(epochMs: number): string {
  return new Date(Number.isFinite(epochMs) ? epochMs : 0).toISOString();
}
