import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, rename, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { planReload } from '../../src/agent/reload-plan.ts';
import { builtins } from '../../src/builtins.ts';
import { loadConfig } from '../../src/config/load.ts';
import { settle } from '../../src/testing/fake-clock.ts';
import { startBmcFleet } from '../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { startAgentProcess } from '../support/agent-process.ts';
import { agentOf } from '../support/run-agent.ts';
import { temporaryDirectory } from '../support/storage.ts';

const BASE = `
receivers:
  bmc_logs/a: { endpoints: [{ name: a, address: "https://a.example.org" }], storage: file_storage }
  bmc_logs/b: { endpoints: [{ name: b, address: "https://b.example.org" }] }
  scheduler_health:
processors:
  filter: { logs: { exclude: { match_type: strict, bodies: [x] } } }
exporters:
  debug/one:
  debug/two:
extensions:
  scheduler:
  file_storage: { directory: /tmp/state }
  monitoring_api: { auth: none }
service:
  extensions: [scheduler, file_storage, monitoring_api]
  pipelines:
    logs: { receivers: [bmc_logs/a, bmc_logs/b], processors: [filter], exporters: [debug/one] }
    logs/two: { receivers: [bmc_logs/b], exporters: [debug/two] }
    metrics: { receivers: [scheduler_health], exporters: [debug/two] }
`;

function configOf(text: string) {
  const result = loadConfig('x', text, builtins, { env: () => undefined, file: () => '' });
  assert.ok('config' in result, JSON.stringify(result));
  return result.config;
}

const NOTHING = { extensions: [], exporters: [], pipelines: [], receivers: [] };

for (const [what, from, to, stop, start] of [
  ['nothing', 'x', 'x', NOTHING, NOTHING],
  ['one receiver', 'name: a,', 'name: c,', { receivers: ['bmc_logs/a'] }, { receivers: ['bmc_logs/a'] }],
  [
    'one exporter: its pipelines, and no receiver',
    'debug/two:',
    'debug/two: { verbosity: detailed }',
    { exporters: ['debug/two'], pipelines: ['logs/two', 'metrics'] },
    { exporters: ['debug/two'], pipelines: ['logs/two', 'metrics'] },
  ],
  ['a processor: its pipeline alone', 'bodies: [x]', 'bodies: [y]', { pipelines: ['logs'] }, { pipelines: ['logs'] }],
  [
    'an extension: whoever refers to it',
    '/tmp/state',
    '/tmp/other',
    { extensions: ['file_storage'], receivers: ['bmc_logs/a'] },
    { extensions: ['file_storage'], receivers: ['bmc_logs/a'] },
  ],
  [
    'an extension that nobody refers to',
    'auth: none',
    'auth: none, snapshot_max_age: 5s',
    { extensions: ['monitoring_api'] },
    { extensions: ['monitoring_api'] },
  ],
  [
    'a receiver that joins a pipeline',
    'logs/two: { receivers: [bmc_logs/b]',
    'logs/two: { receivers: [bmc_logs/b, bmc_logs/a]',
    { receivers: ['bmc_logs/a'] },
    { receivers: ['bmc_logs/a'] },
  ],
  [
    'a pipeline that goes',
    '    logs/two: { receivers: [bmc_logs/b], exporters: [debug/two] }\n',
    '',
    { exporters: ['debug/two'], pipelines: ['logs/two', 'metrics'], receivers: ['bmc_logs/b'] },
    { exporters: ['debug/two'], pipelines: ['metrics'], receivers: ['bmc_logs/b'] },
  ],
] as const)
  test(`what is replaced when this changes: ${what}`, () => {
    const plan = planReload(configOf(BASE), configOf(BASE.replace(from, to)));
    const sorted = (parts: object) =>
      Object.fromEntries(Object.entries(parts).map(([kind, keys]) => [kind, [...(keys as string[])].sort()]));
    assert.deepEqual(sorted(plan.stop), { ...NOTHING, ...stop });
    assert.deepEqual(sorted(plan.start), { ...NOTHING, ...start });
  });

async function scene(t: import('node:test').TestContext, count: number) {
  const directory = await temporaryDirectory(t);
  const [fleet, sink] = await Promise.all([startBmcFleet({ count }), startOtlpSink()]);
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const receiver = (index: number, more = '') => {
    const { name, address } = fleet.bmc(index);
    return `  bmc_logs/${index}: { endpoints: [{ name: ${name}, address: "${address}", tls: { insecure: true } }], storage: file_storage, initial_history: all, sse: { initial_backoff: 20ms, reconcile_interval: 1s }, periodic: { logs_collection_interval: 1s }${more} }`;
  };
  const yaml = (receivers: readonly string[], exporter = 'timeout: 30s', api = '127.0.0.1:0') => `
receivers:
${receivers.join('\n')}
exporters:
  otlp_http: { endpoint: "${sink.url}", tls: { insecure: true }, ${exporter}, sending_queue: { storage: file_storage, batch: { flush_timeout: 5ms } } }
extensions:
  scheduler: {}
  file_storage: { directory: ${directory}/state, ballast_bytes: 0, commit: { max_delay: 5ms } }
  monitoring_api: { endpoint: "${api}", auth: none }
service:
  extensions: [scheduler, file_storage, monitoring_api]
  shutdown_timeout: 5s
  telemetry: { metrics: { level: none } }
  pipelines:
    logs: { receivers: [${receivers.map((_, index) => `bmc_logs/${index}`).join(', ')}], exporters: [otlp_http] }
`;
  return { fleet, sink, receiver, yaml };
}

test('a change of one receiver restarts it alone; the others keep their streams', async (t) => {
  const { fleet, sink, receiver, yaml } = await scene(t, 2);
  const agent = agentOf(yaml([receiver(0), receiver(1)]));
  t.after(() => agent.stop());
  await agent.start();
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
  const before = fleet.bmcs.map(({ streamRequests }) => streamRequests);
  const { replaced, kept } = await agent.goOver(yaml([receiver(0), receiver(1, ', include_oem: false')]));
  assert.deepEqual([replaced, kept], [['receiver bmc_logs/1'], []]);
  // The BMC may not have noticed yet that the stream of before is gone.
  await fleet.waitFor(() => fleet.bmc(1).openStreams === 1 && fleet.bmc(1).streamRequests > before[1]!);
  assert.equal(fleet.bmc(0).streamRequests, before[0]);
  for (const bmc of fleet.bmcs) bmc.append();
  await sink.waitFor(({ unique }) => unique === 2);
  assert.equal(await agent.metric('outband.bmc.endpoints', { receiver: 'bmc_logs/1', mode: 'streaming' }), 1);
});

test('a hundred reloads under load: nothing lost, nothing doubled', async (t) => {
  const { fleet, sink, receiver, yaml } = await scene(t, 2);
  const agent = agentOf(yaml([receiver(0), receiver(1)]));
  t.after(() => agent.stop());
  await agent.start();
  await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams === 1));
  let published = 0;
  for (let round = 0; round < 100; round++) {
    const exporter = `timeout: ${round % 2 === 0 ? 20 : 30}s`;
    const receivers = [receiver(0), receiver(1, round % 5 === 0 ? ', include_oem: false' : '')];
    const reload = agent.goOver(yaml(receivers, exporter));
    for (const bmc of fleet.bmcs) {
      bmc.append();
      published++;
    }
    const { kept } = await reload;
    assert.deepEqual(kept, []);
  }
  await sink.waitFor(({ unique }) => unique >= published);
  assert.equal(sink.unique, published);
  assert.equal(sink.records.length, published);
  // The books go on over a hundred exporters.
  while ((await agent.metric('otelcol_exporter_sent_log_records')) < published) await settle();
  const { accepted, recovered } = await agent.books('otlp_http');
  assert.deepEqual([accepted, recovered], [published, 0], 'no counter falls, and nothing is told twice');
});

test('what cannot start with its new settings runs with the old ones, and the rest goes over', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.after(() => taken.close());
  const { fleet, sink, receiver, yaml } = await scene(t, 1);
  const agent = agentOf(yaml([receiver(0)]));
  t.after(() => agent.stop());
  await agent.start();
  await fleet.waitFor(() => fleet.bmc(0).openStreams === 1);
  const { port } = taken.address() as AddressInfo;
  const { replaced, kept } = await agent.goOver(
    yaml([receiver(0, ', include_oem: false')], 'timeout: 20s', `127.0.0.1:${port}`),
  );
  assert.ok(replaced.includes('receiver bmc_logs/0'));
  assert.deepEqual(
    kept.map(({ name }) => name),
    ['extension monitoring_api'],
  );
  const addresses = agent.lines
    .filter(({ msg }) => msg === 'monitoring API is listening')
    .map(({ address }) => String(address));
  assert.equal(addresses.length, 2);
  const page = await fetch(`${addresses[1]}/api/monitoring/bmc`);
  assert.equal(page.status, 200);
  assert.equal(((await page.json()) as { endpoints: number }).endpoints, 1);
  fleet.bmc(0).append();
  await sink.waitFor(({ unique }) => unique === 1);
  // The same again, when nothing is in its way any more: that component alone is tried.
  taken.close();
  await once(taken, 'close');
  const again = await agent.goOver(yaml([receiver(0, ', include_oem: false')], 'timeout: 20s', `127.0.0.1:${port}`));
  assert.deepEqual([again.replaced, again.kept], [['extension monitoring_api'], []]);
  assert.equal((await fetch(`http://127.0.0.1:${port}/api/monitoring/bmc`)).status, 200);
});

test('files are looked at by content; a mistake leaves the old configuration at work, and is told once', async (t) => {
  const folder = await temporaryDirectory(t);
  const text = (level: string, interval = '20ms') => `
receivers:
  bmc_logs: { endpoints: [{ name: a, address: "https://127.0.0.1:1" }] }
exporters:
  debug: { verbosity: ${level} }
extensions:
  scheduler:
  health_check: { endpoint: "127.0.0.1:0", http: { config: { enabled: true } } }
service:
  extensions: [scheduler, health_check]
  reload_interval: ${interval}
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [bmc_logs], exporters: [debug] } }
`;
  const agent = await startAgentProcess(folder, text('basic'));
  t.after(() => agent.kill());
  await agent.line('Everything is ready');
  const put = async (content: string) => {
    await writeFile(join(folder, 'next.yaml'), content);
    await rename(join(folder, 'next.yaml'), join(folder, 'config.yaml'));
  };
  await put(text('detailed'));
  await agent.line('The configuration was taken over');
  await put(text('loud'));
  await agent.line('exporters::debug::verbosity: must be one of basic, normal, detailed');
  await agent.line('The configuration is not taken over; the old one runs on');
  const [, address] = /health check is listening\t.*"address":"([^"]+)"/.exec(agent.log())!;
  const { attributes } = (await (await fetch(`${address}/status`)).json()) as { attributes: { config: object } };
  const { last_reload: reload } = attributes.config as { last_reload: { outcome: string; error: string } };
  assert.deepEqual([reload.outcome, reload.error], ['failure', 'the configuration has a mistake; the log names it']);
  const shown = (await (await fetch(`${address}/config`)).json()) as { exporters: object };
  assert.deepEqual(shown.exporters, { debug: { verbosity: 'detailed' } }, 'what is in force');
  await put(text('detailed', '0s'));
  await agent.line('"replaced":"[]"');
  await put(text('basic', '0s'));
  agent.process.kill('SIGHUP');
  await agent.line('"replaced":"[\\"exporter debug\\",\\"pipeline logs\\"]"');
  const told = agent
    .log()
    .split('\n')
    .filter((line) => line.includes('The configuration is not taken over'));
  assert.equal(told.length, 1);
  agent.process.kill('SIGTERM');
  assert.equal(await agent.ended, 0);
  assert.ok((await readFile(join(folder, 'config.yaml'), 'utf8')).length > 0);
});
