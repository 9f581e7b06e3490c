import type { MetricDoc } from './metric-doc.ts';
import {
  BREAKER_STATES,
  type Distribution,
  PARK_REASONS,
  type SchedulerSnapshot,
  type TargetSnapshot,
} from './scheduler.ts';

const TYPE = 'outband.target.type';
const NAME = 'outband.target.name';

const row = (
  name: string,
  kind: MetricDoc['kind'],
  unit: string,
  description: string,
  attributes: readonly string[] = [TYPE],
): MetricDoc => ({ name: `outband.scheduler.${name}`, kind, unit, description, attributes });

const DOCS = {
  targets: row('target.count', 'updown', '{target}', 'Registered targets.', [TYPE, 'outband.target.mode']),
  late: row('target.late', 'updown', '{target}', 'Targets with a staleness score above 0.5.'),
  age: row('target.age', 'gauge', 's', 'Time since the last success, of the target where it is longest ago.'),
  flapping: row('target.flapping', 'updown', '{target}', 'Targets whose breaker opens again and again.'),
  breakers: row('breaker.count', 'updown', '{breaker}', 'Circuit breakers by state.', [TYPE, 'outband.breaker.state']),
  transitions: row('breaker.transitions', 'counter', '{transition}', 'Transitions of breakers.', [
    ...[TYPE, 'outband.breaker.from', 'outband.breaker.to'],
  ]),
  deadLetters: row('dead_letter.count', 'updown', '{target}', 'Parked targets.', [TYPE, 'outband.dead_letter.reason']),
  moves: row('dead_letter.moves', 'counter', '{move}', 'Targets that were parked, and that left.', [
    ...[TYPE, 'outband.dead_letter.reason', 'outband.direction'],
  ]),
  queue: row('queue.size', 'updown', '{task}', 'Targets with a due time: all that are not in flight.'),
  due: row('queue.due', 'updown', '{task}', 'Targets due within twelve seconds, the overdue ones included.', []),
  active: row('run.active', 'updown', '{run}', 'Runs in flight.'),
  limit: row('run.limit', 'updown', '{run}', 'Most runs in flight.'),
  duration: row('run.duration', 'histogram', 's', 'How long runs took.', [TYPE, 'outband.outcome', 'error.type']),
  lag: row('run.lag', 'histogram', 's', 'From due to start.'),
  skipped: row('run.skipped', 'counter', '{run}', 'Runs that did not happen or do not count.', [
    TYPE,
    'outband.reason',
  ]),
  facts: row('facts.refused', 'counter', '{report}', 'What targets said about themselves and was too large to keep.'),
  tick: row('tick.age', 'gauge', 's', 'Time since the dispatcher last looked at its queue.', []),
} satisfies Record<string, MetricDoc>;

/** Bounded by types and states, whatever the number of targets. */
export const SCHEDULER_METRICS: readonly MetricDoc[] = Object.values(DOCS);

export const RUN_DURATION = DOCS.duration;
export const RUN_LAG = DOCS.lag;

type Attributes = Readonly<Record<string, string>>;

export interface Observed<Value> {
  readonly doc: MetricDoc;
  readonly points: readonly { readonly value: Value; readonly attributes: Attributes }[];
}

/** The metrics of a scheduler, all from one snapshot. Used for the agent's own page and for pipelines alike. */
export function observe(snapshot: SchedulerSnapshot): {
  readonly numbers: readonly Observed<number>[];
  readonly distributions: readonly Observed<Distribution>[];
} {
  const { totals, counters } = snapshot;
  const types = [...snapshot.types];
  type Point = Observed<number>['points'][number];
  const perType = (value: (of: (typeof types)[number][1]) => number): Point[] =>
    types.map(([type, of]) => ({ value: value(of), attributes: { [TYPE]: type } }));
  const numbers: [MetricDoc, Point[]][] = [
    [
      DOCS.targets,
      types.flatMap(([type, { modes }]) =>
        [...modes].map(([mode, value]) => ({ value, attributes: { [TYPE]: type, 'outband.target.mode': mode } })),
      ),
    ],
    [DOCS.late, perType(({ late }) => late)],
    [
      DOCS.age,
      types.flatMap(([type, { oldest }]) =>
        oldest === null ? [] : [{ value: oldest / 1_000, attributes: { [TYPE]: type } }],
      ),
    ],
    [DOCS.flapping, perType(({ flapping }) => flapping)],
    [
      DOCS.breakers,
      types.flatMap(([type, { breakers }]) =>
        BREAKER_STATES.map((state) => ({
          value: breakers[state],
          attributes: { [TYPE]: type, 'outband.breaker.state': state },
        })),
      ),
    ],
    [
      DOCS.transitions,
      counters.transitions.map(({ type, from, to, count }) => ({
        value: count,
        attributes: { [TYPE]: type, 'outband.breaker.from': from, 'outband.breaker.to': to },
      })),
    ],
    [
      DOCS.deadLetters,
      types.flatMap(([type, { parked }]) =>
        PARK_REASONS.map((reason) => ({
          value: parked[reason],
          attributes: { [TYPE]: type, 'outband.dead_letter.reason': reason },
        })),
      ),
    ],
    [
      DOCS.moves,
      counters.deadLetterMoves.map(({ type, reason, direction, count }) => ({
        value: count,
        attributes: { [TYPE]: type, 'outband.dead_letter.reason': reason, 'outband.direction': direction },
      })),
    ],
    [DOCS.queue, perType(({ queued }) => queued)],
    [DOCS.due, [{ value: totals.dueSoon, attributes: {} }]],
    [DOCS.active, perType(({ inFlight }) => inFlight)],
    [DOCS.limit, perType(({ limit }) => limit)],
    [
      DOCS.skipped,
      counters.skipped.map(({ type, reason, count }) => ({
        value: count,
        attributes: { [TYPE]: type, 'outband.reason': reason },
      })),
    ],
    [DOCS.facts, counters.refusedFacts.map(({ type, count }) => ({ value: count, attributes: { [TYPE]: type } }))],
    [DOCS.tick, totals.lastTick === null ? [] : [{ value: (snapshot.at - totals.lastTick) / 1_000, attributes: {} }]],
  ];
  return {
    numbers: numbers.map(([doc, points]) => ({ doc, points })),
    distributions: [
      {
        doc: DOCS.duration,
        points: counters.durations.map((value) => ({
          value,
          attributes: runAttributes(value.type, value.outcome, value.errorCode),
        })),
      },
      { doc: DOCS.lag, points: counters.lags.map((value) => ({ value, attributes: { [TYPE]: value.type } })) },
    ],
  };
}

export function runAttributes(type: string, outcome: string, errorCode: string | undefined): Attributes {
  return { [TYPE]: type, 'outband.outcome': outcome, ...(errorCode !== undefined && { 'error.type': errorCode }) };
}

const perTarget = (
  name: string,
  unit: string,
  description: string,
  value: (target: TargetSnapshot, at: number) => number | null,
) => ({
  doc: {
    ...{ name: `outband.target.${name}`, kind: 'gauge', unit, description, attributes: [TYPE, NAME] },
  } satisfies MetricDoc,
  value,
});

/** One point per target where it applies: for pipelines only, since their number is not bounded. */
export const TARGET_METRICS = [
  perTarget('age', 's', 'Time since the last success.', ({ lastSuccess }, at) =>
    lastSuccess === null ? null : Math.max(0, at - lastSuccess) / 1_000,
  ),
  perTarget('interval', 's', 'Interval in force.', ({ interval }) => interval / 1_000),
  perTarget(
    'breaker.failures',
    '{failure}',
    'Failed attempts since it last worked.',
    ({ breaker }) => breaker.failureCount,
  ),
  perTarget('retry_delay', 's', 'Time until the retry of an open breaker.', ({ breaker }, at) =>
    breaker.retryAt === null ? null : Math.max(0, breaker.retryAt - at) / 1_000,
  ),
  perTarget('breaker.open', '1', '1 while its breaker is open or half-open.', ({ breaker: { state } }) =>
    state === 'open' || state === 'half_open' ? 1 : 0,
  ),
] as const;

export function targetAttributes({ type, name }: TargetSnapshot): Attributes {
  return { [TYPE]: type, [NAME]: name };
}
