import { z } from 'zod';
import { defineExtension } from '../../component/factory.ts';
import { SCHEDULER_METRICS } from '../../component/scheduler-metrics.ts';
import {
  duration,
  durationBetween,
  flag,
  formatDuration,
  intBetween,
  numberBetween,
  shown,
  text,
} from '../../config/schema/values.ts';
import { SchedulerExtension } from './extension.ts';

const DAY_MS = 24 * 3_600_000;

const schema = z
  .strictObject({
    adaptive_polling: z
      .strictObject({
        enabled: flag().prefault(true).describe('Whether intervals follow activity and load.'),
        min_interval: durationBetween('100ms', '8760h', 'must be at least 100ms')
          .prefault('10s')
          .describe('Least distance of two runs of a target; a shorter registered interval wins.'),
        max_interval: duration({ positive: false })
          .prefault('5m')
          .describe('Longest interval that load may lead to; a longer registered interval wins. Above 0.'),
        idle_runs: intBetween(1, 1_000, 'runs')
          .prefault(3)
          .describe('Runs that find nothing before a shortened interval grows back by one step.'),
        max_busy_ratio: numberBetween(0.01, 1, 'ratio')
          .prefault(0.25)
          .describe('Share of its interval that a run may take before the interval grows.'),
        overload_lag: durationBetween('1ns', '8760h', 'must be positive')
          .prefault('5s')
          .describe('Wait for a free slot above which the interval grows.'),
      })
      .prefault({})
      .describe('The interval law. Load makes intervals longer, activity shorter, idleness neither.'),
    task_timeout: durationBetween('1s', '1h')
      .prefault('90s')
      .describe('Time that a run may take when its target sets none.'),
    concurrency: z
      .strictObject({
        max: intBetween(1, 10_000, 'runs')
          .prefault(256)
          .describe('Runs in flight at once; the others wait in order of their due time.'),
        per_type: z
          .record(z.string(), z.unknown())
          .meta({ type: 'map of int (runs)' })
          .prefault({})
          .describe('As `max`, for the targets of one type; a type at its limit holds up no other.'),
      })
      .prefault({})
      .describe('Bounds on what runs at once.'),
    max_starts_per_second: intBetween(1, 100_000, 'runs per second')
      .prefault(2_000)
      .describe('Starts of runs are spread to this rate.'),
    breaker: z
      .strictObject({
        failure_threshold: intBetween(1, 100, 'failures')
          .prefault(5)
          .describe('Failures in a row that open the breaker of a target.'),
        base_delay: duration({ positive: false }).prefault('30s').describe('Wait before the first trial; above 0.'),
        max_delay: duration({ positive: false })
          .prefault('5m')
          .describe('Bound of the wait, which doubles each time; above 0.'),
        jitter: numberBetween(0, 1, 'ratio').prefault(0.2).describe('Share of the wait that chance adds. 0: none.'),
        max_retry_after: durationBetween('0s', '24h')
          .prefault('1h')
          .describe('Longest wait that a target may ask for; 0: it is not asked.'),
        flap_threshold: intBetween(2, 10, 'openings')
          .prefault(3)
          .describe('Openings in `flap_window` that count as flapping.'),
        flap_window: durationBetween('1m', '24h').prefault('1h').describe('See `flap_threshold`.'),
      })
      .prefault({})
      .describe('Circuit breaker, one per target: open, nothing runs before its retry time.'),
    dead_letter: z
      .strictObject({
        max_retry_attempts: intBetween(1, 100, 'runs')
          .prefault(5)
          .describe('Trials in a row that fail before the target is parked.'),
        retry_interval: durationBetween('10s', '168h')
          .prefault('30m')
          .describe('Time between runs of a parked target.'),
        jitter: numberBetween(0, 1, 'ratio')
          .prefault(0.2)
          .describe('Share of `retry_interval` that chance adds. 0: none.'),
        redrive_rate: numberBetween(0.1, 1_000, 'targets per second')
          .prefault(10)
          .describe('Parked targets per second that a redrive runs.'),
      })
      .prefault({})
      .describe('Targets that keep failing, or fail in a way that no wait heals, are parked.'),
    status_threshold: numberBetween(0.01, 1, 'ratio')
      .prefault(0.5)
      .describe('Share of targets with an open breaker at which the scheduler reports itself as not well.'),
    storage: text().optional().describe('Id of a storage extension: the state of targets survives a restart.'),
  })
  .check(
    z.superRefine(
      ({ adaptive_polling: polling, concurrency, breaker }, context) => {
        const issue = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
        if (polling) {
          const { min_interval: min, max_interval: max } = polling;
          const range = `must lie between min_interval (${formatDuration(min)}) and 24h, got ${formatDuration(max)}`;
          if (max < min || max > DAY_MS) issue(['adaptive_polling', 'max_interval'], range);
        }
        if (breaker) {
          const { base_delay: base, max_delay: max } = breaker;
          if (max > DAY_MS) issue(['breaker', 'max_delay'], `must not be above 24h, got ${formatDuration(max)}`);
          if (base <= 0 || base > max)
            issue(
              ['breaker', 'base_delay'],
              `base_delay (${formatDuration(base)}) must be positive and not above max_delay (${formatDuration(max)})`,
            );
        }
        for (const [type, limit] of Object.entries(concurrency?.per_type ?? {})) {
          const { max } = concurrency;
          if (!Number.isInteger(limit) || Number(limit) < 1 || Number(limit) > max)
            issue(
              ['concurrency', 'per_type'],
              `type "${type}": must be an integer between 1 and concurrency::max (${max}), got ${shown(limit)}`,
            );
        }
      },
      { when: () => true },
    ),
  );

export type SchedulerConfig = z.output<typeof schema>;

export default defineExtension({
  type: 'scheduler',
  summary: 'Owns every due time: polls run through it, with circuit breakers, dead letters and a health snapshot.',
  stability: 'beta',
  schema,
  metrics: SCHEDULER_METRICS,
  references: ({ storage }) => (storage === undefined ? [] : [{ path: ['storage'], id: storage }]),
  create: ({ config, host }) => new SchedulerExtension(config, host),
});
