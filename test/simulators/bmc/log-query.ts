import { type Answer, redfishError } from './answer.ts';

/** What a BMC makes of a query option; a number refuses it with that status. */
export type Treatment = 'honoured' | 'ignored' | 'wrong' | 400 | 501;

/** The query options of a request for entries, as far as the BMC heeds them. */
export interface LogQuery {
  readonly skip: number;
  readonly top: number | undefined;
  /** Epoch milliseconds that `Created` must reach. */
  readonly since: number | undefined;
  /** What a link to the next page must repeat. */
  readonly carried: Readonly<Record<string, string>>;
}

/** Continues a read whatever the BMC makes of `$skip`: a link of its own making must always work. */
export const PAGE_TOKEN = '$skiptoken';

const CREATED = /^\s*Created\s+ge\s+'?([^']+?)'?\s*$/;

/** @returns the query, or the answer that refuses it */
export function parseLogQuery(
  query: URLSearchParams,
  treatments: { readonly filter: Treatment; readonly skip: Treatment; readonly top: Treatment },
): LogQuery | Answer {
  for (const option of ['filter', 'skip', 'top'] as const) {
    const treatment = treatments[option];
    if (typeof treatment === 'number' && query.has(`$${option}`))
      return redfishError(treatment, treatment === 501 ? 'ActionNotSupported' : 'QueryParameterValueFormatError');
  }
  const heeded = (option: 'filter' | 'skip' | 'top') =>
    treatments[option] === 'ignored' ? null : query.get(`$${option}`);
  const filter = heeded('filter');
  const since = filter === null ? undefined : timeOf(filter);
  if (Number.isNaN(since)) return redfishError(400, 'QueryParameterValueFormatError');
  const asked = Number(heeded('skip') ?? 0);
  const token = Number(query.get(PAGE_TOKEN) ?? 0);
  const top = heeded('top');
  return {
    // Wrong: past the overlap that a client asks for to check the answer.
    skip: token + (treatments.skip === 'wrong' ? asked * 2 + (asked && 1) : asked),
    top: top === null ? undefined : Number(top),
    since,
    carried: { ...(filter !== null && { $filter: filter }), ...(top !== null && { $top: top }) },
  };
}

function timeOf(filter: string): number {
  // A "+" that the client did not encode arrives as a space.
  const text = CREATED.exec(filter)?.[1]?.replace(/ (\d\d:?\d\d)$/, '+$1') ?? '';
  return Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`);
}
