import { z } from 'zod';
import { defineProcessor } from '../../component/factory.ts';
import { oneOf, text } from '../../config/schema/values.ts';
import { ResourceProcessor } from './processor.ts';

const value = z.union([z.string(), z.number(), z.boolean(), z.array(z.string())], {
  error: 'expected a text, a number, a boolean or a list of texts',
});

const action = z.strictObject({
  key: text().min(1, { error: 'must be non-empty' }).describe('Attribute of the resource.'),
  action: oneOf('insert', 'update', 'upsert', 'delete').describe(
    '`insert`: only if absent. `update`: only if present. `upsert`: both. `delete`.',
  ),
  value: value.optional().describe('The value to set.'),
  from_attribute: text().optional().describe('Attribute of the resource to copy the value from.'),
});

export type ResourceAction = z.output<typeof action>;

const schema = z
  .strictObject({
    attributes: z
      .array(action, { error: ({ input }) => (input === undefined ? 'is required' : "expected type 'slice'") })
      .min(1, { error: 'must not be empty' })
      .describe('What to do, in order.'),
  })
  .check(
    z.superRefine(
      ({ attributes }, context) => {
        if (!Array.isArray(attributes)) return;
        for (const [index, one] of attributes.entries()) {
          const sources = [one?.value, one?.from_attribute].filter((source) => source !== undefined).length;
          const wanted = one?.action === 'delete' ? 0 : 1;
          const message = wanted === 1 ? 'exactly one of value, from_attribute must be set' : 'delete takes no value';
          if (sources !== wanted) context.addIssue({ code: 'custom', path: ['attributes', index], message });
        }
      },
      { when: () => true },
    ),
  );

export default defineProcessor({
  type: 'resource',
  summary: 'Inserts, updates and deletes attributes of resources.',
  stability: { logs: 'beta', metrics: 'beta' },
  schema,
  example: `
attributes:
  - { key: deployment.environment.name, value: production, action: upsert }`,
  create: ({ config, next }) => new ResourceProcessor(config.attributes, next),
});
