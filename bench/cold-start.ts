// From the start of the process to the first record at the backend, with a store: node bench/cold-start.ts [runs]. Needs `npm run build`.
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startBmcFleet } from '../test/simulators/bmc/fleet.ts';
import { startOtlpSink } from '../test/simulators/otlp-sink/sink.ts';

const MAIN = fileURLToPath(new URL('../dist/src/main.js', import.meta.url));
const runs = Number(process.argv[2] ?? 9);
const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'] });
fleet.bmc(0).append();
const times: number[] = [];
for (let n = 0; n < runs; n++) {
  const folder = await mkdtemp(join(tmpdir(), 'outband-cold-'));
  const sink = await startOtlpSink();
  const file = join(folder, 'config.yaml');
  await writeFile(
    file,
    `
receivers:
  bmc_logs: { initial_history: all, endpoints: [{ name: a, address: "${fleet.bmc(0).address}", tls: { insecure: true } }], storage: file_storage }
exporters:
  otlp_http: { endpoint: "${sink.url}", tls: { insecure: true }, sending_queue: { storage: file_storage, batch: { flush_timeout: 1ms } } }
extensions: { scheduler: , file_storage: { directory: "${folder}/state" } }
service:
  extensions: [scheduler, file_storage]
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [bmc_logs], exporters: [otlp_http] } }
`,
  );
  const before = performance.now();
  const agent = spawn(process.execPath, [MAIN, '--config', file], { stdio: 'ignore' });
  await sink.waitFor(({ unique }) => unique >= 1);
  times.push(performance.now() - before);
  agent.kill('SIGKILL');
  await sink.close();
  await rm(folder, { recursive: true, force: true });
}
times.sort((a, b) => a - b);
process.stdout.write(
  `${JSON.stringify({ runs, median_ms: Math.round(times[runs >> 1]!), worst_ms: Math.round(times.at(-1)!) })}\n`,
);
process.exit(0);
