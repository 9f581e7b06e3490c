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

  const nothing = { targets: [], page: query.paged ? { total: 0, next: null } : undefined };
  const { targets, page } = enabled && !query.summary ? yield* seek(snapshot, query) : nothing;
  const perType = [...types].filter(([, { queued }]) => queued > 0).map(([type, { queued }]) => [type, queued]);
  const head = {
    updatedAt: instant(snapshot.at),
    enabled,
    queue: { depth: totals.queued, dueWithinSeconds: totals.dueSoon, perType: Object.fromEntries(perType) },
    deadLetter: { count: parked.length, tasks: parked.slice(0, MOST_TASKS).map(task) },
  };
  yield `${JSON.stringify(head).slice(0, -1)},"breakers":[`;
  yield* list(targets, breaker);
  yield '],"staleness":[';
  yield* list(targets, staleness);
  yield '],"instances":[';
  yield* list(targets, instance);
  const tail = { schemaVersion: 1, revision, summary: summary(snapshot), ...(page && { page }) };
  yield `],${JSON.stringify(tail).slice(1)}`;
}

/** The answer of `GET /api/monitoring/scheduler/targets`: the same targets, one short row each. */
export function* targetsJson(snapshot: SchedulerSnapshot, query: TargetQuery): Generator<string> {
  const { targets, page } = yield* seek(snapshot, query);
  const columns = ['key', 'type', 'mode', 'state', 'parked', 'score', 'nextRun', 'failures'];
  const { at, revision } = snapshot;
  const head = { schemaVersion: 1, updatedAt: instant(at), revision, columns };
  yield `${JSON.stringify(head).slice(0, -1)},"targets":[`;
  yield* list(targets, ({ key, type, mode, breaker: { state }, parked, score, nextRun, consecutiveFailures }) => {
    const reason = parked ? `"${parked}"` : 'null';
    return `[${quote(key)},"${type}",${quote(mode)},"${state}",${reason},${score},${time(nextRun)},${consecutiveFailures}]`;
  });
  yield `]${page ? `,"page":${JSON.stringify(page)}` : ''}}`;
}

function* list(targets: readonly TargetSnapshot[], write: (target: TargetSnapshot) => string): Generator<string> {
  let isFirst = true;
  for (let begin = 0; begin < targets.length; begin += PIECE) {
    const texts = targets
      .slice(begin, begin + PIECE)
      .map(write)
      .filter((text) => text !== '');
    if (texts.length === 0) continue;
    yield isFirst ? texts.join(',') : `,${texts.join(',')}`;
    isFirst = false;
  }
}

/**
 * One element of `instances`. Written by hand, like all that stands once per target: ten thousand of them are one answer,
 * and what is the same for every target at rest is one constant.
 */
export function instance(target: TargetSnapshot): string {
  const { key, type, displayName, name, connection, cause, mode, facts } = target;
  return (
    `{"key":${quote(key)},"type":"${type}","displayName":${quote(displayName)},"instance":${quote(name)},` +
    `"connection":${quote(connection)},"pollStatus":{"lastSuccess":${time(target.lastSuccess)},${failures(target)}` +
    `"nextRun":${time(target.nextRun)},"inFlight":${target.startedAt !== null},"startedAt":${time(target.startedAt)},` +
    `"interval":${seconds(target.interval)},"expectedInterval":${seconds(target.expectedInterval)},` +
    `"cause":"${cause}","lag":${seconds(target.lag)}},"breaker":{${circuit(target)}},` +
    `"deadLetter":${deadLetter(target)},"mode":${quote(mode)},"facts":${facts ? JSON.stringify(facts) : 'null'}}`
  );
}

function failures({ lastError, consecutiveFailures, firstFailureAt }: TargetSnapshot): string {
  if (!lastError && consecutiveFailures === 0) return '"lastError":null,"consecutiveFailures":0,"firstFailureAt":null,';
  const error =
    lastError &&
    `{"at":${time(lastError.at)},"message":${quote(lastError.message)},"category":"${lastError.category}","code":${quote(lastError.code)}}`;
  return `"lastError":${error},"consecutiveFailures":${consecutiveFailures},"firstFailureAt":${time(firstFailureAt)},`;
}

function circuit({ breaker }: TargetSnapshot): string {
  const { state, since, retryAt, failureCount, trippedAt, flapping } = breaker;
  const begin = `"state":"${state}","since":${time(since)},`;
  if (breaker.transitions.length === 0 && failureCount === 0)
    return `${begin}"lastTransition":null,"retryAt":null,"failureCount":0,"trippedAt":null,"flapping":false,"transitions":[]`;
  const transitions = breaker.transitions.map(
    ({ at, from, to, cause }) => `{"at":${time(at)},"from":"${from}","to":"${to}","cause":"${cause}"}`,
  );
  return (
    `${begin}"lastTransition":${time(breaker.transitions.at(-1)?.at ?? null)},"retryAt":${time(retryAt)},` +
    `"failureCount":${failureCount},"trippedAt":${time(trippedAt)},"flapping":${flapping},"transitions":[${transitions}]`
  );
}

function deadLetter({ parked, firstFailureAt, lastError, consecutiveFailures, breaker }: TargetSnapshot): string {
  if (!parked) return '{"present":false,"firstAttempt":null,"lastAttempt":null,"retryCount":0,"nextRetry":null}';
  return (
    `{"present":true,"reason":"${parked}","firstAttempt":${time(firstFailureAt)},` +
    `"lastAttempt":${time(lastError?.at ?? null)},"retryCount":${consecutiveFailures},"nextRetry":${time(breaker.retryAt)}}`
  );
}

function isAway({ breaker: { state, failureCount } }: TargetSnapshot): boolean {
  return state === 'open' || state === 'half_open' || (state === 'closed' && failureCount > 0);
}

function breaker(target: TargetSnapshot): string {
  if (!isAway(target)) return '';
  const { name, type } = target;
  const { state, failureCount, retryAt } = target.breaker;
  return `{"instance":${quote(name)},"type":"${type}","state":"${state}","failures":${failureCount},"retryAt":${time(retryAt)}}`;
}

function staleness({ name, type, score, lastSuccess, lastError }: TargetSnapshot): string {
  return `{"instance":${quote(name)},"type":"${type}","score":${score},"lastSuccess":${time(lastSuccess)},"lastError":${time(lastError?.at ?? null)}}`;
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

/** Instants down to the second, as text: due times of a fleet share few of them. */
const secondTexts = new Map<number, string>();
const MOST_SECONDS = 4_096;

/** An instant as JSON. */
function time(epochMs: number | null): string {
  if (epochMs === null) return 'null';
  const ms = Math.round(epochMs);
  const second = Math.floor(ms / 1_000);
  let text = secondTexts.get(second);
  if (text === undefined) {
    text = `"${new Date(second * 1_000).toISOString().slice(0, -4)}`;
    if (secondTexts.size >= MOST_SECONDS) secondTexts.clear();
    secondTexts.set(second, text);
  }
  return `${text}${String(ms - second * 1_000).padStart(3, '0')}Z"`;
}

/** What JSON writes as it is. */
const PLAIN = /^[ !#-[\]-\ud7ff]*$/;

/** A text as JSON. */
function quote(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}
