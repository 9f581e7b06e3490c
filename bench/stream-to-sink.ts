// CPU of the agent per record, from SSE event to OTLP 2xx: a fleet and a sink as processes of their own, the agent in this
// one. Run: node bench/stream-to-sink.ts [streams] [records]. Prints one line of JSON per repetition, and the median.

import { readyLine, startChild } from '../test/support/child.ts';
import { agentOf } from '../test/support/run-agent.ts';

const streams = Number(process.argv[2] ?? 25);
const records = Number(process.argv[3] ?? 20_000);
const REPETITIONS = 5;

const sink = startChild(new URL('../test/simulators/otlp-sink/main.ts', import.meta.url), []);
const fleet = startChild(new URL('../test/simulators/bmc/main.ts', import.meta.url), ['--count', String(streams)]);
const otlp = await readyLine<{ url: string; control: string }>(sink);
const bmcs = await readyLine<{ endpoints: unknown[]; control: string }>(fleet);
const ask = async <T>(url: string, method = 'GET'): Promise<T> => (await (await fetch(url, { method })).json()) as T;

const agent = agentOf(`
receivers:
  bmc_logs:
    endpoints: ${JSON.stringify(bmcs.endpoints)}
    tls: { insecure: true }
    sse: { reconcile_interval: 1h }
    periodic: { logs_collection_interval: 1h }
exporters:
  otlp_http: { endpoint: "${otlp.url}", tls: { insecure: true } }
extensions: { scheduler: {} }
service:
  extensions: [scheduler]
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [bmc_logs], exporters: [otlp_http] } }
`);
await agent.start();
for (;;) {
  const { streams: open } = await ask<{ streams: number }>(`${bmcs.control}/truth`);
  if (open === streams) break;
}

const costs: number[] = [];
for (let repetition = 0; repetition < REPETITIONS; repetition++) {
  const before = await ask<{ unique: number }>(`${otlp.control}/counts`);
  const cpu = process.cpuUsage();
  const started = performance.now();
  await ask(`${bmcs.control}/burst?n=${records}`, 'POST');
  await ask(`${otlp.control}/wait?unique=${before.unique + records}`);
  const { user, system } = process.cpuUsage(cpu);
  const microseconds = (user + system) / records;
  const perSecond = Math.round(records / ((performance.now() - started) / 1_000));
  costs.push(microseconds);
  process.stdout.write(
    `${JSON.stringify({ streams, records, cpu_us_per_record: Math.round(microseconds), records_per_second: perSecond })}\n`,
  );
}
process.stdout.write(`median ${Math.round(costs.sort((a, b) => a - b)[REPETITIONS >> 1]!)} us of CPU per record\n`);
await agent.stop();
await fleet.stop();
await sink.stop();
