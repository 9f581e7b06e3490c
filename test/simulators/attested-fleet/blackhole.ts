import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';

/** A port where a SYN gets no answer. */
export interface Blackhole {
  readonly port: number;
  close(): Promise<void>;
}

/** Listens for two connections and never accepts any. A thread of this process, so that it cannot outlive it. */
const LISTENER = `
  const server = require('node:net').createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    require('node:worker_threads').parentPort.postMessage(server.address().port);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;
const ROOM = 2;

/** Makes a listener whose backlog is full. */
export async function startBlackhole(): Promise<Blackhole> {
  const worker = new Worker(LISTENER, { eval: true });
  const [port] = (await once(worker, 'message')) as [number];
  const fillers: Socket[] = [];
  for (let n = 0; n < ROOM; n++) {
    const filler = connect(port, '127.0.0.1').on('error', () => {});
    fillers.push(filler);
    await once(filler, 'connect');
  }
  return {
    port,
    async close() {
      for (const filler of fillers) filler.destroy();
      await worker.terminate();
    },
  };
}
