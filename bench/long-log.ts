// A poll of a log of 10,000 entries of which one is new, with nothing that shortens it: records out, time, and how long the
// event loop was held. The BMC is a process of its own. Run: node bench/long-log.ts [entries]. Prints one line of JSON per
// repetition, and the median.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { readyLine, startChild } from '../test/support/child.ts';
import { agentOf } from '../test/support/run-agent.ts';

const entries = Number(process.argv[2] ?? 10_000);
const REPETITIONS = 5;

const sink = startChild(new URL('../test/simulators/otlp-sink/main.ts', import.meta.url), []);
const fleet = startChild(new URL('../test/simulators/bmc/main.ts', import.meta.url), [
  ...['--count', '1', '--history', String(entries)],
]);
const otlp = await readyLine<{ url: string; control: string }>(sink);
const bmcs = await readyLine<{ endpoints: unknown[]; control: string }>(fleet);
const records = async () => ((await (await fetch(`${otlp.control}/counts`)).json()) as { unique: number }).unique;

const agent = agentOf(`
receivers:
  bmc_logs:
    mode: periodic
    endpoints: ${JSON.stringify(bmcs.endpoints)}
    tls: { insecure: true }
    initial_history: none
    periodic: { logs_collection_interval: 2s, full_read_interval: 1s }
exporters:
  otlp_http: { endpoint: "${otlp.url}", tls: { insecure: true } }
extensions: { scheduler: { adaptive_polling: { enabled: false } } }
service:
  extensions: [scheduler]
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [bmc_logs], exporters: [otlp_http] } }
`);
await agent.start();
const reads = () => agent.lines.filter(({ msg }) => msg === 'logs read').length;
const nextRead = async () => {
  const before = reads();
  await agent.line(() => reads() > before);
};
await nextRead();
const held: number[] = [];
for (let repetition = 0; repetition < REPETITIONS; repetition++) {
  await fetch(`${bmcs.control}/append?n=1`, { method: 'POST' });
  const before = await records();
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  await nextRead();
  loop.disable();
  held.push(loop.max / 1e6);
  await fetch(`${otlp.control}/wait?unique=${before + 1}`);
  const line = { entries, records: (await records()) - before, loop_held_ms: Math.round(loop.max / 1e5) / 10 };
  process.stdout.write(
    `${JSON.stringify({ ...line, read: agent.lines.findLast(({ msg }) => msg === 'logs read')?.duration })}\n`,
  );
}
process.stdout.write(
  `median: event loop held ${held.sort((a, b) => a - b)[REPETITIONS >> 1]!.toFixed(1)} ms at most\n`,
);
await agent.stop();
await fleet.stop();
await sink.stop();
