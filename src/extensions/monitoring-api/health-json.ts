import type { SchedulerSnapshot, TargetSnapshot } from '../../component/scheduler.ts';
import { seek, type TargetQuery } from './target-query.ts';

/** Most parked targets that are listed; their count is always whole. */
const MOST_TASKS = 25;
/** Targets per piece of the answer: what is written between two looks at the time. */
const PIECE = 100;

/**
 * The answer of `GET /api/monitoring/scheduler/health`, in pieces. The documented members first, as they stand in the
 * document, then ours. Nothing is written before all targets were looked at, since all parts must agree.
 */
export function* healthJson(snapshot: SchedulerSnapshot, query: TargetQuery): Generator<string> {
  const { totals, types, enabled, revision } = snapshot;
  const parked: TargetSnapshot[] = [];
  for (let index = 0; index < snapshot.size; index++) {
    if (totals.parked.permanent_failure + totals.parked.max_retry_attempts === 0) break;
    const target = snapshot.target(index);
    if (target.parked) parked.push(target);
    if (index % PIECE === 0) yield '';
  }
  parked.sort((a, b) => dueOf(a) - dueOf(b));

  let found: { readonly targets: readonly TargetSnapshot[]; readonly page: object | undefined } | undefined;
  if (enabled && !query.summary) {
    for (const step of seek(snapshot, query)) {
      if (step) found = step;
      else yield '';
    }
  }
  const { targets = [], page = query.paged ? { total: 0, next: null } : undefined } = found ?? {};
  const perType = [...types].filter(([, { queued }]) => queued > 0).map(([type, { queued }]) => [type, queued]);
  const head = {
    updatedAt: instant(snapshot.at),
    enabled,
    queue: { depth: totals.queued, dueWithinSeconds: totals.dueSoon, perType: Object.fromEntries(perType) },
    deadLetter: { count: parked.length, tasks: parked.slice(0, MOST_TASKS).map(task) },
  };
  yield `${JSON.stringify(head).slice(0, -1)},"breakers":[`;
  yield* list(targets, (target) => (isAway(target) ? breaker(target) : undefined));
  yield '],"staleness":[';
  yield* list(targets, staleness);
  yield '],"instances":[';
  yield* list(targets, instance);
  const tail = { schemaVersion: 1, revision, summary: summary(snapshot), ...(page && { page }) };
  yield `],${JSON.stringify(tail).slice(1)}`;
}

/** The answer of `GET /api/monitoring/scheduler/targets`: the same targets, one short row each. */
export function* targetsJson(snapshot: SchedulerSnapshot, query: TargetQuery): Generator<string> {
  let found: { readonly targets: readonly TargetSnapshot[]; readonly page: object | undefined } | undefined;
  for (const step of seek(snapshot, query)) {
    if (step) found = step;
    else yield '';
  }
  const columns = ['key', 'type', 'mode', 'state', 'parked', 'score', 'nextRun', 'failures'];
  const { at, revision } = snapshot;
  const head = { schemaVersion: 1, updatedAt: instant(at), revision, columns };
  yield `${JSON.stringify(head).slice(0, -1)},"targets":[`;
  yield* list(found!.targets, ({ key, type, mode, breaker: { state }, ...target }) => [
    ...[key, type, mode, state, target.parked, target.score, instant(target.nextRun), target.consecutiveFailures],
  ]);
  yield `]${found!.page ? `,"page":${JSON.stringify(found!.page)}` : ''}}`;
}

function* list(targets: readonly TargetSnapshot[], view: (target: TargetSnapshot) => unknown): Generator<string> {
  let isFirst = true;
  for (let begin = 0; begin < targets.length; begin += PIECE) {
    const views = targets
      .slice(begin, begin + PIECE)
      .map(view)
      .filter((each) => each !== undefined);
    const text = JSON.stringify(views).slice(1, -1);
    if (text === '') continue;
    yield isFirst ? text : `,${text}`;
    isFirst = false;
  }
}

/** One element of `instances`. */
export function instance(target: TargetSnapshot): object {
  const { key, type, displayName, name, connection, lastError, breaker: circuit } = target;
  const { consecutiveFailures, firstFailureAt, parked } = target;
  return {
    ...{ key, type, displayName, instance: name, connection },
    pollStatus: {
      lastSuccess: instant(target.lastSuccess),
      lastError: lastError && {
        ...{
          at: instant(lastError.at),
          message: lastError.message,
          category: lastError.category,
          code: lastError.code,
        },
      },
      consecutiveFailures,
      firstFailureAt: instant(firstFailureAt),
      nextRun: instant(target.nextRun),
      inFlight: target.startedAt !== null,
      startedAt: instant(target.startedAt),
      interval: seconds(target.interval),
      expectedInterval: seconds(target.expectedInterval),
      cause: target.cause,
      lag: seconds(target.lag),
    },
    breaker: {
      state: circuit.state,
      since: instant(circuit.since),
      lastTransition: instant(circuit.transitions.at(-1)?.at ?? null),
      retryAt: instant(circuit.retryAt),
      failureCount: circuit.failureCount,
      trippedAt: instant(circuit.trippedAt),
      flapping: circuit.flapping,
      transitions: circuit.transitions.map((step) => ({ ...step, at: instant(step.at) })),
    },
    deadLetter: {
      present: parked !== null,
      ...(parked && { reason: parked }),
      firstAttempt: parked && instant(firstFailureAt),
      lastAttempt: parked && instant(lastError?.at ?? null),
      retryCount: parked ? consecutiveFailures : 0,
      nextRetry: parked && instant(circuit.retryAt),
    },
    mode: target.mode,
    facts: target.facts,
  };
}

function isAway({ breaker: { state, failureCount } }: TargetSnapshot): boolean {
  return state === 'open' || state === 'half_open' || (state === 'closed' && failureCount > 0);
}

function breaker({ name, type, breaker: { state, failureCount, retryAt } }: TargetSnapshot): object {
  return { instance: name, type, state, failures: failureCount, retryAt: instant(retryAt) };
}

function staleness({ name, type, score, lastSuccess, lastError }: TargetSnapshot): object {
  return {
    ...{ instance: name, type, score },
    ...{ lastSuccess: instant(lastSuccess), lastError: instant(lastError?.at ?? null) },
  };
}

function task(target: TargetSnapshot): object {
  const { name, type, lastError, consecutiveFailures } = target;
  return {
    ...{ instance: name, type, nextRun: instant(dueOf(target)) },
    ...{ lastError: lastError?.message ?? '', failures: consecutiveFailures },
  };
}

/** A parked target in flight is due when its trial must have ended. */
function dueOf({ nextRun, breaker: { retryAt } }: TargetSnapshot): number {
  return nextRun ?? retryAt ?? 0;
}

function summary({ totals }: SchedulerSnapshot): object {
  const { targets, inFlight, late, flapping, breakers, modes, lag, parked, lastTick } = totals;
  return {
    ...{ targets, inFlight, late, parked: parked.permanent_failure + parked.max_retry_attempts, flapping, breakers },
    modes: Object.fromEntries(modes),
    lag: { p50: seconds(lag?.p50 ?? null), p99: seconds(lag?.p99 ?? null), max: seconds(lag?.max ?? null) },
    lastTick: instant(lastTick),
  };
}

/** Milliseconds as seconds with three decimals. */
function seconds(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms) / 1_000;
}

/** RFC 3339, UTC, three decimals. */
export function instant(epochMs: number | null): string | null {
  return epochMs === null ? null : new Date(Math.round(epochMs)).toISOString();
}
