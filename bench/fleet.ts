// Memory and set-up of the agent with many idle TLS streams: a fleet and a sink as processes of their own, the agent in this
// one. Run: node --expose-gc bench/fleet.ts [streams]. Prints one line of JSON.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { readyLine, startChild } from '../test/support/child.ts';
import { agentOf } from '../test/support/run-agent.ts';

const streams = Number(process.argv[2] ?? 5_000);
const MIB = 1024 * 1024;
/** After the last stream has opened, until reads and garbage of the start are gone. */
const SETTLE_MS = 30_000;

const sink = startChild(new URL('../test/simulators/otlp-sink/main.ts', import.meta.url), []);
const fleet = startChild(new URL('../test/simulators/bmc/main.ts', import.meta.url), [
  ...['--count', String(streams), '--tls'],
]);
const otlp = await readyLine<{ url: string }>(sink);
const bmcs = await readyLine<{ endpoints: unknown[]; control: string; caFile: string }>(fleet);
const openStreams = async () => ((await (await fetch(`${bmcs.control}/truth`)).json()) as { streams: number }).streams;

const agent = agentOf(`
receivers:
  bmc_logs:
    endpoints: ${JSON.stringify(bmcs.endpoints)}
    tls: { ca_file: ${bmcs.caFile} }
exporters:
  otlp_http: { endpoint: "${otlp.url}", tls: { insecure: true } }
extensions: { scheduler: {} }
service:
  extensions: [scheduler]
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [bmc_logs], exporters: [otlp_http] } }
`);
const loop = monitorEventLoopDelay({ resolution: 5 });
loop.enable();
const before = process.memoryUsage().rss;
const cpuBefore = process.cpuUsage();
const started = performance.now();
await agent.start();
while ((await openStreams()) < streams) await new Promise((resolve) => setTimeout(resolve, 100));
const connected = performance.now() - started;
const cpu = process.cpuUsage();
const connectCpu = (cpu.user + cpu.system - cpuBefore.user - cpuBefore.system) / 1e6;
await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
const idle = process.cpuUsage(cpu);
// V8 gives pages back in several collections.
for (let n = 0; n < 5; n++) {
  globalThis.gc?.();
  await new Promise((resolve) => setTimeout(resolve, 500));
}
const { rss, heapUsed, external } = process.memoryUsage();
process.stdout.write(
  `${JSON.stringify({
    streams,
    connected_s: Math.round(connected / 100) / 10,
    connect_cpu_s: Math.round(connectCpu * 10) / 10,
    rss_mib: Math.round(rss / MIB),
    rss_before_mib: Math.round(before / MIB),
    heap_mib: Math.round(heapUsed / MIB),
    external_mib: Math.round(external / MIB),
    kib_per_stream: Math.round(((rss - before) / streams / 1024) * 10) / 10,
    loop_p99_ms: Math.round(loop.percentile(99) / 1e6),
    loop_max_ms: Math.round(loop.max / 1e6),
    idle_cpu_percent: Math.round(((idle.user + idle.system) / 1_000 / SETTLE_MS) * 1_000) / 10,
  })}\n`,
);
await agent.stop();
await fleet.stop();
await sink.stop();
