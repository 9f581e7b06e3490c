import type { Attributes } from '@opentelemetry/api';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { type CycleSummary, cycleAttributes } from './cycle-record.ts';
import type { StallCause } from './diagnosis/stall.ts';
import type { JudgedCycle } from './judge-cycle.ts';
import type { CandidateResult } from './pins/candidates.ts';
import type { Eviction, Pin } from './pins/pin-set.ts';
import type { PoolSettings, PoolShared } from './pool.ts';
import { type ProbeResult, shownResult } from './probe/result.ts';
import { attestationRecord, EVENTS, type EventKind } from './records.ts';

export type SkipReason = 'overlap' | 'breaker_open' | 'no_capacity';

interface TellOptions {
  /** Part of what makes the record that record. */
  readonly fingerprint?: string;
  /** Called when the pipeline has taken it. */
  readonly onTaken?: () => void;
}

/** All that one pool tells: records for the pipeline, the same lines in the agent's own log, and counters. */
export class PoolVoice {
  readonly #settings: PoolSettings;
  readonly #shared: PoolShared;
  readonly #resource: Resource;

  constructor(settings: PoolSettings, shared: PoolShared) {
    this.#settings = settings;
    this.#shared = shared;
    this.#resource = resourceFromAttributes({
      'attestation.pool': settings.name,
      ...(settings.serverAddress !== undefined && { 'server.address': settings.serverAddress }),
      'server.port': settings.port,
    });
  }

  /** One record per cycle, whatever happened; then what it has changed. */
  cycle({ summary, results, change, verdicts, broken }: JudgedCycle): void {
    const { id } = summary;
    if (broken.length > 0)
      this.#shared.host.logger.error('numbers of a cycle do not agree; its pins are as before', {
        ...{ pool: this.#settings.name, sums: broken.join(', '), 'error.type': 'internal' },
      });
    this.#count(summary, results, change);
    this.#tell(outcomeOf(summary), id, cycleAttributes(this.#settings.model, summary));
    for (const result of results) this.#probe(id, result);
    for (const pin of change.added) this.#tell('discovered', id, pinAttributes(pin), { fingerprint: pin.fingerprint });
    for (const { pin, reason } of change.evicted) this.evicted(pin, reason, id);
    for (const { fingerprint, result } of verdicts) this.candidate(fingerprint, result, `${id}-${result}`);
  }

  evicted({ fingerprint }: Pin, reason: Eviction, cycleId: string): void {
    this.#tell('evicted', cycleId, { fingerprint, reason }, { fingerprint });
  }

  candidate(fingerprint: string, result: CandidateResult, cycleId: string): void {
    this.#tell('candidate', cycleId, { fingerprint, result }, { fingerprint });
  }

  /** @param cause of the stall that began, or is over */
  stall(kind: 'stalled' | 'recovered', cause: StallCause, summary: CycleSummary, onTaken: () => void): void {
    this.#tell(kind, summary.id, { ...edgeAttributes(summary), cause }, { onTaken });
  }

  blocked(summary: CycleSummary, onTaken: () => void): void {
    this.#tell('blocked', summary.id, edgeAttributes(summary), { onTaken });
  }

  /** @param isFirst of a run of skips: only that is told, all are counted */
  skipped(reason: SkipReason, missed: number, kind: CycleSummary['kind'], isFirst: boolean): void {
    this.#shared.instruments('cycles', missed, { pool: this.#settings.name, kind, result: 'skipped' });
    const { clock } = this.#shared.host;
    if (isFirst) this.#tell('skipped', `skipped-${clock.now()}`, { reason, missed });
  }

  #probe(cycleId: string, result: ProbeResult): void {
    const shown = shownResult(cycleId, result);
    const { host, config } = this.#shared;
    host.logger.debug(EVENTS.probe[2], { pool: this.#settings.name, ...shown, local_port: result.localPort });
    if (config.records.probes) this.#send('probe', `${cycleId}-${result.attempt}`, flat(shown));
  }

  #tell(kind: EventKind, cycleId: string, attributes: Readonly<Record<string, unknown>>, options?: TellOptions): void {
    const record = this.#send(kind, cycleId, attributes, options);
    const [, level, body] = EVENTS[kind];
    this.#shared.host.logger[level](body, { pool: this.#settings.name, ...record.attributes });
  }

  #send(
    kind: EventKind,
    cycleId: string,
    attributes: Readonly<Record<string, unknown>>,
    { fingerprint, onTaken }: TellOptions = {},
  ): ReadableLogRecord {
    const { receiver: component, host, send } = this.#shared;
    const identity = { component, pool: this.#settings.name, cycleId, fingerprint };
    const record = attestationRecord(kind, host.clock.now(), identity, attributes, this.#resource);
    send(record, onTaken);
    return record;
  }

  #count(summary: CycleSummary, results: readonly ProbeResult[], { added, evicted }: JudgedCycle['change']): void {
    const { instruments } = this.#shared;
    const pool = this.#settings.name;
    instruments('cycles', 1, { pool, kind: summary.kind, result: summary.isCut ? 'cancelled' : outcomeOf(summary) });
    instruments('cycleDuration', summary.durationMs / 1_000, { pool });
    for (const { outcome, algo, failure, check, unbound, elapsed } of results) {
      instruments('probes', 1, { pool, outcome, algo });
      instruments('probeDuration', elapsed.total / 1_000, { pool });
      if (failure) instruments('failures', 1, { pool, category: classOf(failure.category), stage: failure.stage });
      if (check === 'spki_mismatch') instruments('mismatch', 1, { pool });
      if (unbound === 'session_reused') instruments('rejected', 1, { pool, reason: unbound });
    }
    if (added.length > 0) instruments('added', added.length, { pool });
    for (const { reason } of evicted) instruments('evicted', 1, { pool, reason });
  }
}

function outcomeOf({ kind, newFingerprints }: CycleSummary): 'initial' | 'expanded' | 'unchanged' {
  if (kind === 'initial') return 'initial';
  return newFingerprints > 0 ? 'expanded' : 'unchanged';
}

function edgeAttributes({ state, totalPinned }: CycleSummary) {
  return { 'attestation.pool.state': state, total_pinned: totalPinned };
}

function pinAttributes({ fingerprint, tcbStatus, notAfter }: Pin) {
  const end = new Date(notAfter).toISOString();
  return { fingerprint, 'tee.tcb.status': tcbStatus, 'tls.server.not_after': end };
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
    ...{ ...rest, 'via.kind': via.kind, ...Object.fromEntries(parts) },
    ...(via.index !== undefined && { 'via.index': via.index }),
  };
}
