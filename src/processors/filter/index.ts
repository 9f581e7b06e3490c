import { z } from 'zod';
import { defineProcessor } from '../../component/factory.ts';
import { formatComponentId } from '../../component/id.ts';
import { bool, intBetween, text } from '../../config/schema/values.ts';
import { FILTER_METRICS, FilterProcessor } from './processor.ts';

const matchType = () =>
  z
    .enum(['strict', 'glob'], {
      error: ({ input }) =>
        input === 'regexp' ? 'regexp is not supported; use glob, whose time is linear' : 'must be one of strict, glob',
    })
    .describe('`strict`: equal. `glob`: `*` is any text, `?` one character.');

const attributes = (where: string) =>
  z
    .array(
      z.strictObject({
        key: text().describe('Attribute.'),
        value: z
          .union([z.string(), z.number(), z.boolean()], { error: 'expected a text, a number or a boolean' })
          .optional()
          .describe('Its value; without one it must merely be there.'),
      }),
    )
    .optional()
    .describe(`Attributes of the ${where}; all of them.`);

const texts = (what: string) => z.array(text()).optional().describe(`${what}; any of them.`);

const logConditions = z.strictObject({
  match_type: matchType(),
  resource_attributes: attributes('resource'),
  record_attributes: attributes('record'),
  bodies: texts('Bodies'),
  severity_texts: texts('Severity texts'),
  severity_number: z
    .strictObject({
      min: intBetween(1, 24, 'severity number').describe('Least severity number.'),
      match_undefined: bool().prefault(false).describe('Whether a record without severity matches.'),
    })
    .optional()
    .describe('Severity.'),
  event_names: texts('Event names'),
});

const metricConditions = z.strictObject({
  match_type: matchType(),
  metric_names: z.array(text()).describe('Names; any of them.'),
});

const blocks = <T extends z.ZodType>(conditions: T, what: string) =>
  z
    .strictObject({
      include: conditions.optional().describe(`Only these ${what} pass.`),
      exclude: conditions.optional().describe(`These ${what} do not pass; looked at after \`include\`.`),
    })
    .prefault({} as never);

const schema = z.strictObject({
  logs: blocks(logConditions, 'records').describe('Log records. All conditions of a block must hold.'),
  metrics: blocks(metricConditions, 'metrics').describe('Metrics.'),
});

export type FilterConfig = z.output<typeof schema>;
export type LogConditions = z.output<typeof logConditions>;

export default defineProcessor({
  type: 'filter',
  summary: 'Leaves out records and metrics, by exact texts or globs.',
  stability: { logs: 'beta', metrics: 'beta' },
  schema,
  example: `
logs:
  exclude:
    match_type: glob
    bodies: ["*session opened*", "*session closed*"]`,
  metrics: FILTER_METRICS,
  create: ({ id, config, host, next }) => new FilterProcessor(formatComponentId(id), config, host, next),
});
