// The thread that owns the database. It answers requests one by one, in order.
import { parentPort, workerData } from 'node:worker_threads';
import { describeError, OutbandError } from '../../component/errors.ts';
import { systemClock } from '../../platform/system-clock.ts';
import type { Reply, Request, StoreOptions } from './protocol.ts';
import { Store } from './store.ts';

const port = parentPort!;
const store = new Store(workerData as StoreOptions, {
  now: () => Number(systemClock.now() / 1_000_000n),
  monotonic: () => systemClock.monotonic(),
});
const reply = (answer: Reply) => port.postMessage(answer);

try {
  store.open();
  reply({ id: 0, results: [], state: store.state() });
  port.on('message', (request: Request) => {
    if ('close' in request) {
      const state = store.state();
      store.close();
      reply({ id: request.id, results: [], state });
      port.close();
      return;
    }
    const results = 'ops' in request ? store.commit(request.ops) : [];
    if ('tick' in request) store.tick();
    reply({ id: request.id, results, state: store.state() });
  });
} catch (error) {
  const code = error instanceof OutbandError ? error.code : 'storage_io';
  const hint = error instanceof OutbandError && error.hint !== undefined ? { hint: error.hint } : {};
  const state = {
    totals: [],
    changes: [],
    fileBytes: 0,
    queueBytes: 0,
    commits: 0,
    commitMs: [],
    ioErrors: 0,
    corruptions: 0,
    warnings: [],
  };
  reply({ id: 0, results: [{ error: { code, message: describeError(error), ...hint } }], state });
  port.close();
}
