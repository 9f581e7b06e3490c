// A receiver of one's own: every new line of a file is a log record. All that a component must do stands here: settings with a schema, due
// times by the scheduler, a position that moves only after the pipeline took the records, and a stop that waits.
import { readFile } from 'node:fs/promises';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { type Component, defineReceiver, type TargetHandle } from 'outband/component';
import { z } from 'zod';

const schema = z.strictObject({
  file: z.string().describe('The file.'),
  interval_ms: z.int().positive().prefault(1_000).describe('Milliseconds between two looks.'),
});

export default defineReceiver({
  type: 'line_file',
  summary: 'Lines of a file, as log records.',
  stability: { logs: 'alpha' },
  schema,
  references: () => [{ path: [], id: 'scheduler' }],
  create({ id, config: { file, interval_ms }, host, next }): Component {
    const [resource, scope] = [resourceFromAttributes({ 'log.file.path': file }), { name: 'line-file' }];
    let taken = 0;
    let target: TargetHandle | undefined;
    const run = async (signal: AbortSignal) => {
      const lines = (await readFile(file, 'utf8')).split('\n').slice(taken, -1);
      const time: [number, number] = [Number(host.clock.now() / 1_000_000_000n), 0];
      const records = lines.map((body, n) => ({
        ...{ body, attributes: { 'log.record.uid': `${file}:${taken + n}` }, droppedAttributesCount: 0 },
        ...{ hrTime: time, hrTimeObserved: time, resource, instrumentationScope: scope },
      }));
      // A rejection leaves the position where it is: the same lines are offered with the next run.
      const batch = { resource, scope, records, origin: { receiver: id.type, target: file } };
      if (records.length > 0) await next.logs!.consumeLogs(batch, { signal });
      taken += lines.length;
      return { items: lines.length };
    };
    return {
      async start() {
        const identity = { type: 'line_file', name: file, connection: file, run };
        target = host.scheduler('scheduler').register(identity, { interval: interval_ms, firstRun: 'now' });
      },
      shutdown: async () => target?.unregister(),
    };
  },
});
