import { z } from 'zod';
import { defineExporter } from '../../src/component/factory.ts';
import { deliveryReferences, deliverySettings, withDelivery } from '../../src/config/schema/delivery.ts';
import { bool, count, oneOf, text, wrongType } from '../../src/config/schema/values.ts';
import { FileSender } from './exporter.ts';

const schema = withDelivery(
  z.strictObject({
    path: text().min(1, { error: 'must be non-empty' }).describe('File to write, readable by the owner only.'),
    format: oneOf('json').prefault('json').describe('OTLP JSON, one object per line.'),
    append: bool().prefault(true).describe('Off: what the file holds is thrown away at start.'),
    create_directory: bool().prefault(true).describe('Make the directory, readable by the owner only.'),
    rotation: z
      .strictObject({
        max_megabytes: z
          .number({ error: wrongType('float64') })
          .gt(0, { error: 'must be positive' })
          .meta({ type: 'float64', unit: 'MB' })
          .prefault(100)
          .describe('Size in MB at which the file is renamed and a new one begun.'),
        max_days: count('days').prefault(0).describe('Age in days at which a renamed file is removed. 0: never.'),
        max_backups: count('files').prefault(100).describe('Renamed files to keep. 0: all.'),
      })
      .prefault({})
      .describe('When the file is renamed to `<name>-<UTC>.<ext>`.'),
    sync: bool().prefault(true).describe('Sync each line to the disk before it counts as delivered.'),
    compression: oneOf('none', 'gzip').prefault('none').describe('Compression of renamed files.'),
    ...deliverySettings({ timeout: '5s', queue: false }),
  }),
);

export type FileConfig = z.output<typeof schema>;

export default defineExporter({
  type: 'file',
  summary: 'Writes OTLP JSON lines into a file, whole lines only, and rotates it.',
  stability: { logs: 'beta', metrics: 'beta' },
  schema,
  example: 'path: /var/log/outband/records.jsonl',
  references: (config) => deliveryReferences(config),
  create: ({ config, host }) => new FileSender(config, host),
});
