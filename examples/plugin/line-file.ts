// A receiver of one's own: every new line of a file is a log record. All that a component must do stands here: settings with a schema, due
// times by the scheduler, a position that moves only after the pipeline took the records, and a stop that waits.
import { readFile } from 'node:fs/promises';
import { millisToHrTime } from '@opentelemetry/core';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { defineReceiver, formatComponentId, type KeyValue, PermanentError, type TargetHandle } from 'outband/component';
import { z } from 'zod';

const schema = z.strictObject({
  file: z.string().describe('The file.'),
  interval_ms: z.int().positive().prefault(1_000).meta({ unit: 'ms' }).describe('Time between two looks.'),
  storage: z.string().optional().describe('Store of the position; without it a restart sends the whole file again.'),
});

export default defineReceiver({
  type: 'line_file',
  summary: 'Lines of a file, as log records.',
  stability: { logs: 'alpha' },
  schema,
  references: ({ storage: id = '' }) => [{ path: [], id: 'scheduler' }, ...(id ? [{ path: ['storage'], id }] : [])],
  create({ id, config: { file, interval_ms, storage }, host, next }) {
    const [receiver, scope] = [formatComponentId(id), { name: 'line-file' }];
    const resource = resourceFromAttributes({ 'log.file.path': file });
    const state: { taken: number; store?: KeyValue; target?: TargetHandle } = { taken: 0 };
    const run = async (signal: AbortSignal) => {
      const lines = (await readFile(file, { encoding: 'utf8', signal })).split('\n').slice(state.taken, -1);
      const time = millisToHrTime(Number(host.clock.now() / 1_000_000n));
      const records = lines.map((body, n) => ({
        ...{ body, attributes: { 'log.record.uid': `${file}:${state.taken + n}` }, droppedAttributesCount: 0 },
        ...{ hrTime: time, hrTimeObserved: time, resource, instrumentationScope: scope },
      }));
      if (records.length === 0) return {};
      // A rejection leaves the position where it is: the same lines are offered with the next run. What will never be taken is passed.
      const batch = { resource, scope, records, origin: { receiver, target: file } };
      await next.logs!.consumeLogs(batch, { signal }).catch((e) => e instanceof PermanentError || Promise.reject(e));
      state.taken += lines.length;
      await state.store?.set({ [file]: String(state.taken) });
      return { items: lines.length };
    };
    return {
      async start() {
        if (storage) state.store = host.storage(storage).keyValue(receiver, 'position');
        state.taken = Number((await state.store?.list(file))?.get(file) ?? 0);
        const target = { type: 'line_file', name: file, connection: file, run };
        state.target = host.scheduler('scheduler').register(target, { interval: interval_ms, firstRun: 'now' });
      },
      shutdown: async () => state.target?.unregister(),
    };
  },
});
