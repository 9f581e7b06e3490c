import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { defineExtension } from '../../component/factory.ts';
import { formatComponentId } from '../../component/id.ts';
import { bool, byteSize, duration, oneOf, positiveInt, text } from '../../config/schema/values.ts';
import { FileStorage } from './extension.ts';
import { STORAGE_METRICS } from './metrics.ts';

const MIB = 1024 * 1024;

const settings = z.strictObject({
  directory: text()
    .refine(isAbsolute, { error: 'must be an absolute path' })
    .prefault('/var/lib/outband')
    .describe('Directory of the database; one per extension.'),
  create_directory: bool().prefault(true).describe('Make the directory, readable by the owner only.'),
  max_bytes: byteSize({ min: 16 * MIB, minText: 'must be at least 16MiB' })
    .prefault('1GiB')
    .describe('Largest size of the database. At 95 % of what is left for the queues intake waits.'),
  dead_letter: z
    .strictObject({
      max_bytes: byteSize({ min: 1, minText: 'must be positive' })
        .optional()
        .describe('Share of `max_bytes` for dead letters. Default: a tenth.'),
      on_full: oneOf('hold', 'drop_oldest')
        .prefault('hold')
        .describe('`hold`: an exporter with a new dead letter pauses. `drop_oldest`: the oldest goes, and is counted.'),
    })
    .prefault({})
    .describe('Room for records that a backend refused.'),
  commit: z
    .strictObject({
      max_records: positiveInt('records')
        .check(z.lte(10_000, { error: 'must be at most 10000' }))
        .prefault(100)
        .describe('Records that start a commit at once.'),
      max_delay: duration()
        .refine((ms) => ms >= 1, { error: 'must be at least 1ms' })
        .refine((ms) => ms <= 1_000, { error: 'must be at most 1s' })
        .prefault('50ms')
        .describe('Time after which a commit starts with what there is.'),
    })
    .prefault({})
    .describe('How writes share a commit and its sync.'),
  ballast_bytes: byteSize({ min: 0, minText: 'must be positive' })
    .refine((bytes) => bytes === 0 || bytes >= 8 * MIB, { error: 'must be 0 or at least 8MiB' })
    .prefault('16MiB')
    .describe('Room kept on the disk, given back when others fill it so that the store can drain. 0: none.'),
  timeout: duration().prefault('1s').describe('Wait for a former owner of the directory to end.'),
});

const schema = settings
  .check(
    z.superRefine(
      ({ max_bytes, dead_letter }, context) => {
        if (dead_letter?.max_bytes !== undefined && dead_letter.max_bytes >= max_bytes)
          context.addIssue({
            code: 'custom',
            path: ['dead_letter', 'max_bytes'],
            message: 'must be below max_bytes',
          });
      },
      { when: () => true },
    ),
  )
  .transform((config) => ({
    ...config,
    dead_letter: {
      ...config.dead_letter,
      max_bytes: config.dead_letter.max_bytes ?? Math.floor(config.max_bytes / 10),
    },
  }));

export type FileStorageConfig = z.output<typeof schema>;

export default defineExtension({
  type: 'file_storage',
  summary: 'Keeps queues, dead letters and read positions on disk, over restarts and power cuts.',
  stability: 'beta',
  schema,
  example: 'directory: /var/lib/outband',
  metrics: STORAGE_METRICS,
  create: ({ id, config, host }) => new FileStorage(formatComponentId(id), config, host),
});
