import { z } from 'zod';
import { escapeForTerminal } from '../telemetry/escape.ts';

const time = z.string().nullable();
const target = z.looseObject({
  ...{ type: z.string(), displayName: z.string(), instance: z.string(), mode: z.string() },
  pollStatus: z.looseObject({
    lastSuccess: time,
    lastError: z.looseObject({ message: z.string() }).nullable(),
    consecutiveFailures: z.number(),
  }),
  breaker: z.looseObject({ state: z.string(), retryAt: time }),
  deadLetter: z.looseObject({ present: z.boolean() }),
});
/** What of the health JSON is shown. */
const healthSchema = z.looseObject({
  updatedAt: z.string(),
  summary: z.looseObject({
    ...{ targets: z.number(), late: z.number(), parked: z.number() },
    breakers: z.looseObject({ open: z.number(), half_open: z.number() }),
  }),
  staleness: z.array(z.looseObject({ instance: z.string(), type: z.string(), score: z.number() })),
  instances: z.array(target),
});
export type HealthView = z.output<typeof healthSchema>;

/** @returns undefined for what is no health JSON: anything may answer at an address */
export function readHealth(text: string): HealthView | undefined {
  try {
    return healthSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

const HEADINGS = ['NAME', 'TYPE', 'MODE', 'BREAKER', 'LAST SUCCESS', 'FAILURES', 'STALENESS', 'LAST ERROR'];
const MOST_NAME_CHARS = 40;

/**
 * A header line and one row per target, none wider than the terminal: long texts are cut, never wrapped.
 * @param width characters
 * @param failingOnly only targets whose last run failed, that are late, or whose breaker is not closed
 */
export function statusTable(health: HealthView, width: number, failingOnly: boolean): string {
  const now = Date.parse(health.updatedAt);
  const scores = new Map(health.staleness.map(({ type, instance, score }) => [`${type}::${instance}`, score]));
  const rows = health.instances
    .map((one) => ({ ...one, score: scores.get(`${one.type}::${one.instance}`) ?? 0 }))
    .filter((one) => !failingOnly || isFailing(one));
  const cells = rows.map((one) => {
    const { pollStatus, breaker, deadLetter } = one;
    const row = [
      ...[cut(one.displayName, MOST_NAME_CHARS), one.type, one.mode],
      ...[deadLetter.present ? 'parked' : breaker.state, ago(pollStatus.lastSuccess, now)],
      ...[String(pollStatus.consecutiveFailures), one.score.toFixed(2), pollStatus.lastError?.message ?? ''],
    ];
    return row.map(escapeForTerminal);
  });
  const lines = [headerOf(health, now), ...(cells.length > 0 ? columns([HEADINGS, ...cells]) : [])];
  return lines.map((line) => cut(line.trimEnd(), width)).join('\n');
}

/** The same without targets whose last run did not fail, that are not late, and whose breaker is closed. */
export function onlyFailing<View extends HealthView>(health: View): View {
  const scores = new Map(health.staleness.map(({ type, instance, score }) => [`${type}::${instance}`, score]));
  const instances = health.instances.filter((one) =>
    isFailing({ ...one, score: scores.get(`${one.type}::${one.instance}`) ?? 0 }),
  );
  return { ...health, instances };
}

function headerOf({ summary, instances }: HealthView, now: number): string {
  const open = summary.breakers.open + summary.breakers.half_open;
  const successes = instances.flatMap(({ pollStatus }) => pollStatus.lastSuccess ?? []).sort();
  return (
    `targets ${summary.targets}  overdue ${summary.late}  open breakers ${open}  parked ${summary.parked}  ` +
    `oldest success ${ago(successes[0] ?? null, now)}`
  );
}

function isFailing({
  pollStatus,
  breaker,
  score,
}: HealthView['instances'][number] & { readonly score: number }): boolean {
  return pollStatus.consecutiveFailures > 0 || score > 0.5 || ['open', 'half_open'].includes(breaker.state);
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  '));
}

function ago(time: string | null, now: number): string {
  if (time === null) return 'never';
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1_000));
  if (seconds < 120) return `${seconds}s ago`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)}m ago` : `${Math.round(seconds / 3_600)}h ago`;
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, Math.max(0, most - 1))}…`;
}
