import type { AgentView, StatusOf } from '../../component/component.ts';

/** The Collector's words. */
const WORDS: Readonly<Record<StatusOf['status'], string>> = {
  starting: 'StatusStarting',
  ok: 'StatusOK',
  recoverable: 'StatusRecoverableError',
  permanent: 'StatusPermanentError',
  fatal: 'StatusFatalError',
  stopping: 'StatusStopping',
  stopped: 'StatusStopped',
};
/** The worst first. */
const ORDER: readonly StatusOf['status'][] = [
  ...(['fatal', 'permanent', 'recoverable', 'stopping', 'stopped', 'starting', 'ok'] as const),
];

/** What counts as unhealthy, as the settings `component_health` say. */
export interface HealthRules {
  readonly include_permanent_errors: boolean;
  readonly include_recoverable_errors: boolean;
  /** Milliseconds that a recoverable error may last before it counts. */
  readonly recovery_duration: number;
}

/** One node of the tree that the Collector's `healthcheckv2` answers. */
export interface StatusNode {
  readonly healthy: boolean;
  readonly status: string;
  readonly error?: string;
  readonly status_time: string;
  readonly attributes?: Readonly<Record<string, number | string>>;
  readonly components?: Readonly<Record<string, StatusNode>>;
}

export interface StatusReport {
  readonly httpStatus: number;
  readonly node: StatusNode;
}

/**
 * The worst of some components, with them below it when that is wanted.
 * @param now nanoseconds since the epoch
 */
export function aggregate(
  components: Readonly<Record<string, readonly StatusOf[]>>,
  rules: HealthRules,
  now: bigint,
  isVerbose: boolean,
): StatusReport {
  const all = Object.values(components).flat();
  const worst = worstOf(all);
  const below = Object.entries(components).map(([name, group]) => [name, groupNode(group, rules, now)] as const);
  const node: StatusNode = {
    ...nodeOf(worst, rules, now),
    ...(isVerbose && { components: Object.fromEntries(below) }),
  };
  return { httpStatus: httpStatusOf(worst, node.healthy), node };
}

/** As {@link aggregate}, of one group: its components stand right below it. */
export function aggregateOne(
  group: readonly StatusOf[],
  rules: HealthRules,
  now: bigint,
  isVerbose: boolean,
): StatusReport {
  const { components, ...own } = groupNode(group, rules, now);
  const node = { ...own, ...(isVerbose && { components }) } as StatusNode;
  return { httpStatus: httpStatusOf(worstOf(group), node.healthy), node };
}

/** Components by what they belong to: `extensions`, and each pipeline. */
export function groupsOf({ pipelines }: AgentView, statuses: readonly StatusOf[]): Record<string, readonly StatusOf[]> {
  const of = (kind: StatusOf['kind'], ids: readonly string[], key: string) =>
    statuses.filter((one) => one.kind === kind && ids.includes(one.id) && (one.pipeline ?? key) === key);
  const ofPipelines = pipelines.map(({ key, receivers, processors, exporters }) => [
    `pipeline:${key}`,
    [...of('receiver', receivers, key), ...of('processor', processors, key), ...of('exporter', exporters, key)],
  ]);
  const extensions = statuses.filter(({ kind }) => kind === 'extension');
  return { extensions, ...Object.fromEntries(ofPipelines) };
}

function groupNode(group: readonly StatusOf[], rules: HealthRules, now: bigint): StatusNode {
  const components = group.map((one) => [
    `${one.kind}:${one.id}`,
    { ...nodeOf(one, rules, now), ...(one.attributes && { attributes: one.attributes }) },
  ]);
  return { ...nodeOf(worstOf(group), rules, now), components: Object.fromEntries(components) };
}

function worstOf(all: readonly StatusOf[]): StatusOf | undefined {
  return [...all].sort((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status) || Number(a.since - b.since))[0];
}

function nodeOf(one: StatusOf | undefined, rules: HealthRules, now: bigint): StatusNode {
  const { status, since, error } = one ?? { status: 'ok' as const, since: now, error: undefined };
  return {
    healthy: isHealthy(status, since, rules, now),
    status: WORDS[status],
    ...(error !== undefined && { error }),
    status_time: new Date(Number(since / 1_000_000n)).toISOString(),
  };
}

function isHealthy(status: StatusOf['status'], since: bigint, rules: HealthRules, now: bigint): boolean {
  if (status === 'fatal') return false;
  if (status === 'permanent') return !rules.include_permanent_errors;
  const hasLasted = Number((now - since) / 1_000_000n) >= rules.recovery_duration;
  if (status === 'recoverable') return !(rules.include_recoverable_errors && hasLasted);
  return status === 'ok' || status === 'starting';
}

function httpStatusOf(one: StatusOf | undefined, isWell: boolean): number {
  if (one && ['starting', 'stopping', 'stopped'].includes(one.status)) return 503;
  return isWell ? 200 : 500;
}
