// An exporter of one's own: each record is a line of a file. It sends once and says what became of it; queue, batches, retries, dead
// letters and metrics come from the agent, by the settings that it takes in.
import { writeFile } from 'node:fs/promises';
import { defineExporter, deliveryReferences, deliverySettings, withDelivery } from 'outband';
import { z } from 'zod';

export default defineExporter({
  type: 'append_lines',
  summary: 'Appends records to a file, a line each.',
  stability: { logs: 'alpha' },
  schema: withDelivery(
    z.strictObject({
      path: z.string().describe('The file.'),
      ...deliverySettings({ timeout: '5s', queue: true }),
    }),
  ),
  example: 'path: /var/log/outband/lines.log',
  references: deliveryReferences,
  create: ({ config: { path } }) => ({
    async sendLogs(records, { signal }) {
      try {
        const lines = records.map(({ body }) => `${body}\n`).join('');
        await writeFile(path, lines, { flag: 'a', signal });
        return { kind: 'accepted' };
      } catch (error) {
        // Weather is a value: the same records come again. `reject` would say that they are at fault.
        return { kind: 'retry', reason: String(error) };
      }
    },
  }),
});
