import { z } from 'zod';
import type { Host } from '../../src/component/component.ts';
import { defineExporter } from '../../src/component/factory.ts';
import { deliveryReferences, deliverySettings, withDelivery } from '../../src/config/schema/delivery.ts';
import { bool, count, oneOf, wrongType } from '../../src/config/schema/values.ts';
import { DebugSender } from './exporter.ts';

const schema = withDelivery(
  z.strictObject({
    verbosity: oneOf('basic', 'normal', 'detailed')
      .prefault('basic')
      .describe('`basic`: one line per batch. `normal`: one line per record. `detailed`: every field of a record.'),
    sampling_initial: count('batches')
      .prefault(2)
      .describe('Batches of each second that are printed in any case. 0: none.'),
    sampling_thereafter: count('batches').prefault(1).describe('Of the others one in so many is printed. 0: none.'),
    use_internal_logger: bool().prefault(true).describe("Print through the agent's own log, on stderr."),
    output_paths: z
      .array(oneOf('stdout', 'stderr'), { error: wrongType('slice') })
      .prefault(['stdout'])
      .describe('Where to print when `use_internal_logger` is off.'),
    ...deliverySettings({ timeout: '5s', queue: false }),
  }),
);

export type DebugConfig = z.output<typeof schema>;

export default defineExporter({
  type: 'debug',
  summary: 'Prints what passes through, for looking at a pipeline by hand.',
  stability: { logs: 'beta', metrics: 'beta' },
  schema,
  references: (config) => deliveryReferences(config),
  create: ({ config, host }) => new DebugSender(config, host.clock, writer(config, host)),
});

function writer({ use_internal_logger, output_paths }: DebugConfig, { logger }: Host): (line: string) => void {
  if (use_internal_logger) return (line) => logger.info(line);
  return (line) => {
    for (const path of output_paths) process[path].write(`${line}\n`);
  };
}
