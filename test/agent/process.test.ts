import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startAgentProcess } from '../support/agent-process.ts';
import { cli } from '../support/cli.ts';
import { undocumented } from '../support/metrics-page.ts';
import { temporaryDirectory } from '../support/storage.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const READY = 'Everything is ready. Begin running and processing data.';

/** Writes a configuration with one BMC that is not there, and a metrics page on this port. */
async function configFile(t: TestContext, metrics: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'outband-process-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'config.yaml');
  await writeFile(
    file,
    `
receivers:
  bmc_logs:
    endpoints: [{ name: away, address: "https://127.0.0.1:1" }]
exporters:
  otlp_http: { endpoint: "http://127.0.0.1:1", tls: { insecure: true } }
extensions: { scheduler: }
service:
  extensions: [scheduler]
  telemetry: { metrics: ${metrics} }
  pipelines: { logs: { receivers: [bmc_logs], exporters: [otlp_http] } }
`,
  );
  return file;
}

/** Starts the real command and waits until it says that it is ready. */
async function ready(file: string): Promise<{ agent: ChildProcess; lines: string[] }> {
  const agent = spawn(process.execPath, [MAIN, '--config', file], { stdio: ['ignore', 'inherit', 'pipe'] });
  const lines: string[] = [];
  const output = createInterface({ input: agent.stderr! });
  output.on('line', (line) => lines.push(line));
  while (!lines.some((line) => line.includes(READY))) await once(output, 'line');
  return { agent, lines };
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  test(`${signal} stops the agent with 0, BMC and backend away or not`, async (t) => {
    const { agent, lines } = await ready(await configFile(t, '{ level: none }'));
    agent.kill(signal);
    const [code] = await once(agent, 'exit');
    assert.equal(code, 0);
    assert.match(lines.at(-1) ?? '', /\tinfo\tStopped$/);
  });

const page = (port: number) =>
  `{ readers: [{ pull: { exporter: { prometheus: { host: 127.0.0.1, port: ${port} } } } }] }`;

test('a metrics port that is taken is a start error that names the address and the key', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.after(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const { code, stderr } = await cli(['--config', await configFile(t, page(port))]);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`service::telemetry::metrics: cannot listen on 127.0.0.1:${port}; .*level: none`));
});

test('the metrics page tells of endpoints, polls and the queue', async (t) => {
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port } = free.address() as AddressInfo;
  free.close();
  await once(free, 'close');
  const { agent } = await ready(await configFile(t, page(port)));
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  assert.match(text, /^outband_bmc_endpoints\{receiver="bmc_logs",mode="connecting",reason="",vendor="[a-z]+"\} 1$/m);
  assert.deepEqual(undocumented(text), []);
  assert.match(text, /^otelcol_exporter_queue_capacity\{exporter="otlp_http",data_type="logs"\} 1000$/m);
  agent.kill('SIGTERM');
  await once(agent, 'exit');
});

test('an agent says when it is ready, that it is alive, and how each component is', async (t) => {
  const file = await configFile(t, '{ level: none }');
  const text = await readFile(file, 'utf8');
  const check = '{ scheduler: , health_check: { endpoint: "127.0.0.1:0" } }';
  await writeFile(file, text.replace('{ scheduler: }', check).replace('[scheduler]', '[scheduler, health_check]'));
  const { agent, lines } = await ready(file);
  const [, address] = /health check is listening\t.*"address":"([^"]+)"/.exec(lines.join('\n'))!;
  assert.equal(await (await fetch(`${address}/readyz`)).text(), 'ok');
  assert.equal(await (await fetch(`${address}/livez`)).text(), 'ok');
  const status = (await (await fetch(`${address}/status?verbose`)).json()) as { status: string; components: object };
  assert.equal(status.status, 'StatusOK');
  assert.ok('pipeline:logs' in status.components);
  agent.kill('SIGTERM');
  await once(agent, 'exit');
});

const BOOM = `
import { defineReceiver } from 'outband/component';
import { z } from 'zod';
export default defineReceiver({
  type: 'boom', summary: 'Fails.', stability: { logs: 'development' }, schema: z.strictObject({ how: z.string() }),
  create: ({ config: { how }, host }) => ({
    async start() {
      if (how === 'start') throw new Error('no luck');
      const fail = () => void Promise.resolve().then(() => { throw new Error('out of the blue'); });
      if (how === 'later') setImmediate(fail);
      const run = async () => { fail(); return {}; };
      const target = { type: 'boom', name: 'x', connection: 'x', run };
      if (how === 'run') host.scheduler('scheduler').register(target, { interval: 1000, firstRun: 'now' });
    },
    shutdown: async () => {},
  }),
});`;

for (const [how, line] of [
  ['start', /^start_failed {2}receiver boom\/mine cannot start: no luck\nError: no luck\n {4}at .*boom\.ts:8/m],
  ['later', /error\tunexpected error; the process ends\t\{"component":"receiver boom\/mine","error":"out of the blue"/],
  ['run', /error\tunexpected error; the process ends\t\{"component":"receiver boom\/mine","error":"out of the blue"/],
] as const)
  test(`an error that nobody caught (${how}) ends the process with 1, and is laid to the door of its component`, async (t) => {
    const folder = await temporaryDirectory(t);
    await writeFile(join(folder, 'boom.ts'), BOOM);
    const agent = await startAgentProcess(
      folder,
      `
plugins: [./boom.ts]
receivers: { boom/mine: { how: ${how} } }
exporters: { debug: }
extensions: { scheduler: }
service:
  extensions: [scheduler]
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [boom/mine], exporters: [debug] } }
`,
    );
    assert.equal(await agent.ended, 1);
    assert.match(agent.log(), line);
  });

test('a log that is a file holds the last line; one that cannot be written is told at start', async (t) => {
  const folder = await temporaryDirectory(t);
  const file = await configFile(t, '{ level: none }');
  const log = join(folder, 'own.log');
  const paths = (path: string) => ['--set', `service.telemetry.logs.output_paths=[stderr, ${path}]`];
  const agent = spawn(process.execPath, [MAIN, '--config', file, ...paths(log)], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  for await (const line of createInterface({ input: agent.stderr! })) if (line.includes(READY)) agent.kill('SIGTERM');
  assert.match(await readFile(log, 'utf8'), /\tinfo\tStopped\n$/);
  const { code, stderr } = await cli(['--config', file, ...paths(join(folder, 'no', 'own.log'))]);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^start_failed {2}service::telemetry::logs::output_paths: cannot write .*own\.log: ENOENT[^\n]*\n$/,
  );
});
