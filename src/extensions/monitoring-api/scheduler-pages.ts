import { createHash, randomBytes } from 'node:crypto';
import type { Logger } from '../../component/component.ts';
import type { Page, PageAnswer, PageRequest } from '../../component/page.ts';
import type { ActionResult, Scheduler, SchedulerSnapshot } from '../../component/scheduler.ts';
import { healthJson, instance, instant, targetsJson } from './health-json.ts';
import { Problem } from './problem.ts';
import { gzipped, inSlices, SharedBody, Turns } from './shared-body.ts';
import { parseTargetQuery, type TargetQuery } from './target-query.ts';

/** An answer that is written while it is made. */
export interface StreamedAnswer extends PageAnswer {
  readonly stream: SharedBody;
}

export function isStreamed(answer: PageAnswer): answer is StreamedAnswer {
  return 'stream' in answer;
}

export interface SchedulerPagesOptions {
  readonly scheduler: Scheduler;
  readonly logger: Logger;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Milliseconds for which requests share a snapshot; 0: never. */
  readonly maxAge: number;
}

type Json = (snapshot: SchedulerSnapshot, query: TargetQuery) => Generator<string>;

/** What the API shows of the scheduler, and what it can be told to do. Reading changes nothing. */
export class SchedulerPages {
  readonly #options: SchedulerPagesOptions;
  readonly #turns = new Turns();
  readonly #boot = randomBytes(6).toString('hex');
  #shared:
    | { readonly snapshot: SchedulerSnapshot; readonly at: number; readonly bodies: Map<string, SharedBody> }
    | undefined;

  constructor(options: SchedulerPagesOptions) {
    this.#options = options;
  }

  get pages(): readonly Page[] {
    const root = '/api/monitoring/scheduler';
    const post = { method: 'POST', commands: true } as const;
    return [
      { method: 'GET', path: `${root}/health`, handle: (request) => this.#answer('health', healthJson, request) },
      { method: 'GET', path: `${root}/targets`, handle: (request) => this.#answer('targets', targetsJson, request) },
      { method: 'GET', path: `${root}/targets/:key`, handle: ({ params }) => this.#target(params.key!) },
      { ...post, path: `${root}/targets/:key/run`, handle: (request) => this.#act('run', request) },
      { ...post, path: `${root}/targets/:key/reset`, handle: (request) => this.#act('reset', request) },
      { ...post, path: `${root}/dead-letters/redrive`, handle: (request) => this.#redrive(request) },
    ];
  }

  /** The snapshot of the moment; a new one is made in a turn of its own. */
  async #current() {
    const { scheduler, now, maxAge } = this.#options;
    const isFresh = () => this.#shared !== undefined && maxAge > 0 && now() - this.#shared.at < maxAge;
    if (!isFresh()) await this.#turns.next();
    const at = now();
    if (!this.#shared || !isFresh()) this.#shared = { snapshot: scheduler.snapshot(), at, bodies: new Map() };
    if (this.#shared.snapshot.totals.lastTick === null) {
      this.#shared = undefined;
      throw new Problem('scheduler_starting', 'the scheduler has not started yet');
    }
    return this.#shared;
  }

  async #answer(view: string, json: Json, { query, headers }: PageRequest): Promise<PageAnswer | StreamedAnswer> {
    const asked = parseTargetQuery(query);
    const shared = await this.#current();
    const { snapshot, bodies } = shared;
    const filter = view === 'health' && asked.canonical === '' ? '' : `-${shortHash(`${view}?${asked.canonical}`)}`;
    const etag = `W/"${this.#boot}-${snapshot.revision}-${Math.round(snapshot.at)}${filter}"`;
    const answer = {
      etag,
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-cache',
      vary: 'Authorization, Cookie, Accept-Encoding',
    };
    if (isKnown(headers['if-none-match'], etag)) return { status: 304, headers: answer };
    // Only what everybody asks for is kept for others: a reader could think of any number of filters.
    const body = (name: string, make: () => AsyncIterable<Buffer>): SharedBody => {
      if (asked.canonical !== '') return new SharedBody(make());
      const known = bodies.get(`${view} ${name}`) ?? new SharedBody(make());
      bodies.set(`${view} ${name}`, known);
      return known;
    };
    const plain = body('plain', () => inSlices(json(snapshot, asked), this.#turns, this.#options.now));
    if (!acceptsGzip(headers['accept-encoding'])) return { status: 200, headers: answer, stream: plain };
    const stream = body('gzip', () => gzipped(plain));
    return { status: 200, headers: { ...answer, 'content-encoding': 'gzip' }, stream };
  }

  async #target(key: string): Promise<PageAnswer> {
    const { snapshot } = await this.#current();
    const target = snapshot.size > 0 ? snapshot.target(Math.min(snapshot.indexOf(key), snapshot.size - 1)) : undefined;
    if (target?.key !== key) throw unknownTarget(key);
    return { status: 200, headers: { 'cache-control': 'no-cache' }, body: JSON.parse(instance(target)) };
  }

  #act(action: 'run' | 'reset', { params, caller }: PageRequest): PageAnswer {
    const key = params.key!;
    const result: ActionResult = this.#options.scheduler.actions[action](key);
    // The next reader sees what it did.
    this.#shared = undefined;
    this.#log(action, key, caller, 'refused' in result ? result.refused : 'accepted');
    if ('refused' in result) {
      if (result.refused === 'target_unknown') throw unknownTarget(key);
      throw new Problem('run_in_flight', `a run of ${key} is in flight; try again when it has ended`);
    }
    return { status: 202, body: { key, nextRun: instant(Number(result.nextRun / 1_000_000n)) } };
  }

  #redrive({ caller }: PageRequest): PageAnswer {
    const accepted = this.#options.scheduler.actions.redrive();
    this.#shared = undefined;
    this.#log('redrive', undefined, caller, 'accepted');
    return { status: 202, body: { accepted } };
  }

  /** One line per command. */
  #log(action: string, target: string | undefined, caller: PageRequest['caller'], result: string): void {
    this.#options.logger.info('action', { action, target, result, token: caller.name, client: caller.address });
  }
}

function unknownTarget(key: string): Problem {
  return new Problem('target_unknown', `there is no target ${JSON.stringify(key.slice(0, 300))}`);
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

/** RFC 9110, section 13.1.2, with weak comparison. */
function isKnown(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  const opaque = etag.replace(/^W\//, '');
  return header.split(',').some((each) => ['*', opaque].includes(each.trim().replace(/^W\//, '')));
}

/** RFC 9110, section 12.5.3: a coding that is named counts more than `*`. */
function acceptsGzip(header = ''): boolean {
  const weights = new Map(
    header.split(',').map((entry) => {
      const [coding = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase());
      const weight = parameters.find((parameter) => parameter.startsWith('q='));
      return [coding, weight === undefined ? 1 : Number(weight.slice(2))] as const;
    }),
  );
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0;
}
