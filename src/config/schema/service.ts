import { z } from 'zod';
import { METRIC_LEVELS } from '../../component/metric-doc.ts';
import { bool, count, duration, httpUrl, oneOf, positiveInt, secret, text, wrongType } from './values.ts';

/** Ids as they are written elsewhere: without blanks around them and their slash. */
const idList = () =>
  z.array(
    text().transform((id) => id.trim().replace(/\s*\/\s*/, '/')),
    { error: wrongType('slice') },
  );

const pipeline = z.strictObject({
  receivers: idList().prefault([]).describe('Receivers that feed this pipeline; at least one.'),
  processors: idList().prefault([]).describe('Processors, in order, none twice.'),
  exporters: idList().prefault([]).describe('Exporters; each gets all data.'),
});

const prometheus = z
  .strictObject({
    host: text().prefault('localhost').describe('Address to listen on.'),
    port: positiveInt('TCP port')
      .check(z.lte(65535, { error: 'must not be greater than 65535' }))
      .prefault(8888)
      .describe('TCP port to listen on.'),
    without_scope_info: bool().prefault(true).describe('No labels that name the scope of a metric.'),
    without_units: bool().prefault(true).describe('No unit at the end of a name.'),
    without_type_suffix: bool().prefault(true).describe('No `_total` at the end of the name of a counter.'),
  })
  .describe('A Prometheus page at `/metrics`.');

const otlp = z
  .strictObject({
    protocol: oneOf('http/json').prefault('http/json').describe('How it is written.'),
    endpoint: httpUrl().describe('Without a path, `/v1/logs` or `/v1/metrics` is added.'),
    headers: z
      .union([z.record(z.string(), secret()), z.array(z.strictObject({ name: text(), value: secret() }))], {
        error: "expected type 'map'",
      })
      .prefault({})
      .transform((given) =>
        Array.isArray(given) ? given : Object.entries(given).map(([name, value]) => ({ name, value })),
      )
      .meta({ type: 'map of secret, or list of `{name, value}`' })
      .describe('Headers of each request.'),
    timeout: positiveInt('ms').prefault(10_000).describe('Of a request; milliseconds.'),
  })
  .describe('An OTLP service.');
const otlpExporter = z.strictObject({ otlp }).describe('Where it is sent.');

const reader = z
  .strictObject({
    pull: z
      .strictObject({ exporter: z.strictObject({ prometheus }).describe('How the metrics are shown.') })
      .optional()
      .describe('Metrics that somebody fetches.'),
    periodic: z
      .strictObject({
        interval: positiveInt('ms').prefault(60_000).describe('Time between two requests; milliseconds.'),
        timeout: positiveInt('ms').prefault(30_000).describe('Of one collection and its request; milliseconds.'),
        exporter: otlpExporter,
      })
      .optional()
      .describe('Metrics that the agent sends by itself.'),
  })
  .refine(({ pull, periodic }) => (pull === undefined) !== (periodic === undefined), {
    error: 'must be either pull or periodic',
  });

const logsProcessor = z.strictObject({
  batch: z
    .strictObject({
      schedule_delay: positiveInt('ms').prefault(1_000).describe('Time that lines are gathered; milliseconds.'),
      exporter: otlpExporter,
    })
    .describe('Lines are sent in batches; what cannot be sent is dropped and counted.'),
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
              initial: positiveInt('lines')
                .prefault(10)
                .describe('Lines of one level and message that pass in a window.'),
              thereafter: count('lines').prefault(100).describe('After them every so-manieth passes. 0: none.'),
            })
            .prefault({})
            .describe('What is left out; the next line that passes says how many in `sampled_out`.'),
          initial_fields: z.record(z.string(), text()).prefault({}).describe('Fields of every line.'),
          output_paths: z
            .array(text())
            .check(z.minLength(1, { error: 'must not be empty' }))
            .prefault(['stderr'])
            .describe('`stderr`, `stdout`, or files.'),
          processors: z.array(logsProcessor).prefault([]).describe('Where the log goes beside `output_paths`.'),
        })
        .prefault({})
        .describe('The own log of the agent, on stderr.'),
      metrics: z
        .strictObject({
          level: oneOf('none', ...METRIC_LEVELS)
            .prefault('normal')
            .describe('How much is measured; `none` switches page and readers off.'),
          readers: z
            .array(reader)
            .refine((readers) => readers.filter(({ pull }) => pull).length < 2, {
              error: 'only one pull reader is supported',
            })
            .prefault([{ pull: { exporter: { prometheus: {} } } }])
            .describe('Where the metrics are shown or sent; default: a page at http://localhost:8888/metrics.'),
        })
        .prefault({})
        .describe('The own metrics of the agent.'),
      resource: z
        .record(z.string(), text())
        .prefault({})
        .describe('Attributes of the agent in its own logs and metrics, above `OTEL_RESOURCE_ATTRIBUTES`.'),
    })
    .prefault({})
    .describe('What the agent tells about itself.'),
});

export type ServiceConfig = z.output<typeof serviceSchema>;
