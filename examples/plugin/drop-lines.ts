// A processor of one's own: records that hold a text go no further. What it leaves out is acknowledged, and everything else is answered by
// what stands behind it.
import { defineProcessor } from 'outband/component';
import { z } from 'zod';

export default defineProcessor({
  type: 'drop_lines',
  summary: 'Leaves out records that hold a text.',
  stability: { logs: 'alpha' },
  schema: z.strictObject({ text: z.string().describe('The text.') }),
  create: ({ config: { text }, next }) => ({
    start: async () => {},
    shutdown: async () => {},
    logs: {
      async consumeLogs(batch, context) {
        const records = batch.records.filter(({ body }) => !String(body).includes(text));
        // Batches are readonly: one that changes is a new one.
        if (records.length > 0) await next.logs!.consumeLogs({ ...batch, records }, context);
      },
    },
  }),
});
