import { BREAKER_STATES, type SchedulerSnapshot, type TargetSnapshot } from '../../component/scheduler.ts';
import { LATE_SCORE } from '../../resilience/staleness.ts';
import { Problem } from './problem.ts';

const STATES = [...BREAKER_STATES, 'parked', 'late'] as const;
const MOST_PER_PAGE = 1_000;
const KNOWN = ['type', 'state', 'limit', 'cursor', 'summary'];
/** Targets between two looks at the time. */
const PIECE = 100;

/** What a reader asked for. */
export interface TargetQuery {
  readonly types: ReadonlySet<string> | undefined;
  readonly states: ReadonlySet<string> | undefined;
  readonly limit: number;
  /** The key behind which the page begins. */
  readonly after: string | undefined;
  readonly summary: boolean;
  /** A page was asked for, so the answer says where the next one begins. */
  readonly paged: boolean;
  /** Equal for equal queries; empty when everything was asked for. */
  readonly canonical: string;
}

/** @throws Problem `bad_query` that names the parameter. Unknown parameters are ignored. */
export function parseTargetQuery(query: URLSearchParams): TargetQuery {
  const text = (name: string): string | undefined => {
    const values = query.getAll(name);
    if (values.length > 1) throw bad(name, 'is given twice');
    return values[0];
  };
  const words = (name: string, isValid: (word: string) => boolean, rule: string) => {
    const value = text(name);
    if (value === undefined) return undefined;
    const list = value.split(',');
    if (!list.every(isValid)) throw bad(name, rule);
    return new Set(list);
  };
  const types = words('type', (word) => /^[a-z][a-z0-9_-]{0,31}$/.test(word), 'must be a list of target types');
  const states = words(
    'state',
    (word) => (STATES as readonly string[]).includes(word),
    `must be a list of ${STATES.join(', ')}`,
  );
  const limit = text('limit');
  if (limit !== undefined && !(/^\d{1,4}$/.test(limit) && Number(limit) >= 1 && Number(limit) <= MOST_PER_PAGE))
    throw bad('limit', `must be an integer between 1 and ${MOST_PER_PAGE}`);
  const cursor = text('cursor');
  const summary = text('summary');
  if (summary !== undefined && summary !== 'true' && summary !== 'false') throw bad('summary', 'must be true or false');
  const given = KNOWN.filter((name) => query.has(name)).map((name) => `${name}=${query.get(name)}`);
  return {
    types,
    states,
    limit: limit === undefined ? Number.POSITIVE_INFINITY : Number(limit),
    after: cursor === undefined ? undefined : keyOf(cursor),
    summary: summary === 'true',
    paged: limit !== undefined || cursor !== undefined,
    canonical: given.join('&'),
  };
}

export interface Found {
  readonly targets: readonly TargetSnapshot[];
  /** How many there are in all, and the cursor of the next page. */
  readonly page: { readonly total: number; readonly next: string | null } | undefined;
}

/** Looks through a snapshot. Gives an empty piece now and then, so that others get their turn, and returns what it found. */
export function* seek(snapshot: SchedulerSnapshot, query: TargetQuery): Generator<string, Found> {
  const targets: TargetSnapshot[] = [];
  const begin = query.after === undefined ? 0 : snapshot.indexOf(query.after);
  let total = 0;
  let isFull = false;
  for (let index = 0; index < snapshot.size; index++) {
    if (index % PIECE === 0) yield '';
    const target = snapshot.target(index);
    if (!matches(target, query)) continue;
    total++;
    if (index < begin || target.key === query.after) continue;
    if (targets.length < query.limit) targets.push(target);
    else isFull = true;
  }
  const next = isFull ? Buffer.from(targets.at(-1)!.key).toString('base64url') : null;
  return { targets, page: query.paged ? { total, next } : undefined };
}

function matches({ type, breaker, parked, score }: TargetSnapshot, { types, states }: TargetQuery): boolean {
  if (types && !types.has(type)) return false;
  if (!states || states.has(breaker.state)) return true;
  return (states.has('parked') && parked !== null) || (states.has('late') && score > LATE_SCORE);
}

function keyOf(cursor: string): string {
  const key = Buffer.from(cursor, 'base64url').toString();
  if (!key.includes('::') || Buffer.from(key).toString('base64url') !== cursor)
    throw bad('cursor', 'is not one of ours');
  return key;
}

function bad(name: string, rule: string): Problem {
  return new Problem('bad_query', `${name} ${rule}`);
}
