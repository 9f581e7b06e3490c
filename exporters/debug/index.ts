import { z } from 'zod';
import { defineExporter } from '../../src/component/factory.ts';
import { oneOf } from '../../src/config/schema/values.ts';
import { DebugSender } from './exporter.ts';

const schema = z.strictObject({
  verbosity: oneOf('basic', 'normal', 'detailed')
    .prefault('basic')
    .describe('`basic`: one line per batch. `normal`: one line per record. `detailed`: every field of a record.'),
});

export type DebugConfig = z.output<typeof schema>;

export default defineExporter({
  type: 'debug',
  summary: 'Prints what passes through, for looking at a pipeline by hand.',
  stability: { logs: 'beta' },
  schema,
  create: ({ config }) => new DebugSender(config.verbosity, (line) => process.stdout.write(line)),
});
