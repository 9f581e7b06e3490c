import { z } from 'zod';
import { bool, count, duration, oneOf, positiveInt, text } from './values.ts';

const idList = () => z.array(text(), { error: "expected type 'slice'" });

const pipeline = z.strictObject({
  receivers: idList().prefault([]).describe('Receivers that feed this pipeline; at least one.'),
  processors: idList().prefault([]).describe('Processors, in order, none twice.'),
  exporters: idList().prefault([]).describe('Exporters; each gets all data.'),
});

const prometheus = z
  .strictObject({
    host: text().prefault('localhost').describe('Address to listen on.'),
    port: positiveInt()
      .check(z.lte(65535, { error: 'must not be greater than 65535' }))
      .prefault(8888)
      .describe('TCP port to listen on.'),
    without_scope_info: bool().prefault(true).describe('No labels that name the scope of a metric.'),
    without_units: bool().prefault(true).describe('No unit at the end of a name.'),
    without_type_suffix: bool().prefault(true).describe('No `_total` at the end of the name of a counter.'),
  })
  .describe('A Prometheus page at `/metrics`.');

const reader = z.strictObject({
  pull: z
    .strictObject({ exporter: z.strictObject({ prometheus }).describe('How the metrics are shown.') })
    .describe('Metrics that somebody fetches.'),
});

/** The `service` section: what runs, and how the agent speaks about itself. */
export const serviceSchema = z.strictObject({
  extensions: idList().prefault([]).describe('Extensions to start, in order.'),
  pipelines: z.record(z.string(), pipeline).prefault({}).describe('`logs[/name]` or `metrics[/name]`.'),
  shutdown_timeout: duration()
    .prefault('10s')
    .describe('Time that a stop may take; what is not delivered by then stays unacknowledged.'),
  reload_interval: duration({ positive: false })
    .prefault('5s')
    .describe(
      'Time between two looks at the configuration files; a change counts when two looks agree. 0: only SIGHUP.',
    ),
  telemetry: z
    .strictObject({
      logs: z
        .strictObject({
          level: oneOf('debug', 'info', 'warn', 'error').prefault('info').describe('Least level written to stderr.'),
          encoding: oneOf('console', 'json').prefault('console').describe('Form of a line.'),
          sampling: z
            .strictObject({
              enabled: bool().prefault(true).describe('Whether lines that repeat are left out.'),
              tick: duration().prefault('10s').describe('Length of a window.'),
              initial: positiveInt().prefault(10).describe('Lines of one level and message that pass in a window.'),
              thereafter: count().prefault(100).describe('After them every so-manieth passes. 0: none.'),
            })
            .prefault({})
            .describe('What is left out; the next line that passes says how many in `sampled_out`.'),
          initial_fields: z.record(z.string(), text()).prefault({}).describe('Fields of every line.'),
          output_paths: z
            .array(text())
            .check(z.minLength(1, { error: 'must not be empty' }))
            .prefault(['stderr'])
            .describe('`stderr`, `stdout`, or files.'),
        })
        .prefault({})
        .describe('The own log of the agent, on stderr.'),
      metrics: z
        .strictObject({
          level: oneOf('none', 'normal').prefault('normal').describe('`none` switches the metrics page off.'),
          readers: z
            .array(reader)
            .max(1, { error: 'only one reader is supported' })
            .prefault([{ pull: { exporter: { prometheus: {} } } }])
            .describe('Where the metrics page listens; default http://localhost:8888/metrics.'),
        })
        .prefault({})
        .describe('The own metrics of the agent.'),
    })
    .prefault({})
    .describe('What the agent tells about itself.'),
});

export type ServiceConfig = z.output<typeof serviceSchema>;
