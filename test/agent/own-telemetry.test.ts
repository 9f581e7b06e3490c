import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { builtins } from '../../src/builtins.ts';
import { AGENT_METRICS, hiddenAt } from '../../src/commands/metric-docs.ts';
import { agentResource } from '../../src/component/agent-resource.ts';
import type { MetricLevel } from '../../src/component/metric-doc.ts';
import { createOwnMetrics } from '../../src/platform/own-metrics.ts';
import { observeProcess } from '../../src/platform/process-metrics.ts';
import { readingsOf } from '../../src/testing/metrics.ts';
import { startBmcFleet } from '../simulators/bmc/fleet.ts';
import { Watchers } from '../simulators/watchers.ts';
import { startAgentProcess } from '../support/agent-process.ts';
import { cli } from '../support/cli.ts';
import { freePort } from '../support/free-port.ts';
import { agentOf } from '../support/run-agent.ts';
import { temporaryDirectory } from '../support/storage.ts';

interface Arrived {
  readonly path: string;
  readonly key: string | undefined;
  readonly body: Record<string, unknown>;
}

/** An OTLP service that keeps what it is sent. */
async function otlpService(t: TestContext) {
  const watchers = new Watchers();
  const arrived: Arrived[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString());
      arrived.push({ path: request.url!, key: [request.headers['x-key']].flat()[0], body });
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      watchers.notify();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close().closeAllConnections());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arrived,
    until: (predicate: (one: Arrived) => boolean) => watchers.until(() => arrived.some(predicate)),
  };
}

const config = (telemetry: string) => `
receivers:
  bmc_logs: { endpoints: [{ name: away, address: "https://127.0.0.1:1" }] }
exporters: { debug: }
extensions: { scheduler: }
service:
  extensions: [scheduler]
  telemetry: ${telemetry}
  pipelines: { logs: { receivers: [bmc_logs], exporters: [debug] } }
`;

test('own logs and metrics arrive at an OTLP service, as those of the agent that the configuration names', async (t) => {
  const service = await otlpService(t);
  const otlp = `otlp: { endpoint: "${service.url}", headers: { x-key: canary-77 } }`;
  const yaml = config(`
    resource: { deployment.environment: test }
    logs: { processors: [{ batch: { schedule_delay: 20, exporter: { ${otlp} } } }] }
    metrics: { readers: [{ periodic: { interval: 50, exporter: { ${otlp} } } }]}
`);
  const agent = await startAgentProcess(await temporaryDirectory(t), yaml, {
    OTEL_SERVICE_NAME: 'rack-agent',
    OTEL_RESOURCE_ATTRIBUTES: 'team=metal%20ops,deployment.environment=overruled',
  });
  await service.until(({ path, body }) => path === '/v1/logs' && JSON.stringify(body).includes('Everything is ready'));
  await service.until(
    ({ path, body }) => path === '/v1/metrics' && JSON.stringify(body).includes('otelcol_process_uptime'),
  );
  assert.equal(await agent.stop(), 0);
  const all = JSON.stringify(service.arrived);
  for (const [key, value] of Object.entries({
    'service.name': 'rack-agent',
    'deployment.environment': 'test',
    team: 'metal ops',
  }))
    assert.ok(all.includes(JSON.stringify({ key, value: { stringValue: value } })), `${key} is not ${value}`);
  for (const { body } of service.arrived.filter(({ path }) => path === '/v1/metrics')) {
    const [, points = ''] = /"otelcol_component_status".*?"dataPoints":(\[.*?\])\}/.exec(JSON.stringify(body)) ?? [];
    const components = [...points.matchAll(/"component","value":\{"stringValue":"([^"]+)"/g)].map(([, id]) => id);
    assert.equal(new Set(components).size, components.length, 'a component has one status');
  }
  assert.ok(service.arrived.every(({ key }) => key === 'canary-77'));
  assert.ok(all.includes('Stopped'), 'the last line was not sent');
  assert.ok(agent.log().includes('Everything is ready'), 'stderr has the lines, too');
  assert.ok(!agent.log().includes('canary-77'));
});

test('an OTLP service that is away costs no line on stderr, is counted, and does not hold the stop', async (t) => {
  const otlp = 'otlp: { endpoint: "http://127.0.0.1:1", timeout: 50 }';
  const page = await freePort();
  const yaml = config(`
    logs: { processors: [{ batch: { schedule_delay: 20, exporter: { ${otlp} } } }] }
    metrics:
      readers:
        - { pull: { exporter: { prometheus: { host: 127.0.0.1, port: ${page} } } } }
        - { periodic: { interval: 50, exporter: { ${otlp} } } }
`);
  const agent = await startAgentProcess(await temporaryDirectory(t), yaml);
  await agent.line('Everything is ready');
  for (let text = ''; !/otelcol_own_logs_dropped\{reason="destination"\} [1-9]/.test(text); )
    text = await (await fetch(`http://127.0.0.1:${page}/metrics`)).text();
  assert.equal(await agent.stop(), 0);
  assert.ok(agent.log().includes('Stopped'));
});

test('headers of an OTLP service are secrets; a reader is one thing or the other', async (t) => {
  const directory = await temporaryDirectory(t);
  const file = `${directory}/config.yaml`;
  await writeFile(
    file,
    config(
      '{ logs: { processors: [{ batch: { exporter: { otlp: { endpoint: "http://a", headers: [{ name: x, value: canary-77 }] } } } }] } }',
    ),
  );
  const shown = await cli(['print-config', '--config', file]);
  assert.equal(shown.code, 0, shown.stderr);
  assert.ok(!shown.stdout.includes('canary-77'), shown.stdout);
  await writeFile(
    file,
    config(
      '{ metrics: { readers: [{}] }, logs: { processors: [{ batch: { exporter: { otlp: { endpoint: x } } } }] } }',
    ),
  );
  const { stderr } = await cli(['validate', '--config', file]);
  assert.match(stderr, /must be either pull or periodic/);
  assert.match(stderr, /must be an absolute http\(s\) URL/);
});

test('attributes of the environment that cannot be read are none', () => {
  const before = process.env.OTEL_RESOURCE_ATTRIBUTES;
  try {
    for (const [text, value] of [
      ['a=1', '1'],
      ['a=1,b', undefined],
      ['a=%zz', undefined],
      ['a=1=2', undefined],
      [' a = 1 , ', '1'],
    ] as const) {
      process.env.OTEL_RESOURCE_ATTRIBUTES = text;
      assert.equal(agentResource().attributes.a, value, text);
      assert.equal(agentResource().attributes['service.name'], 'outband');
    }
  } finally {
    if (before === undefined) delete process.env.OTEL_RESOURCE_ATTRIBUTES;
    else process.env.OTEL_RESOURCE_ATTRIBUTES = before;
  }
});

test('what goes into a processor and what comes out is counted', async (t) => {
  const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'] });
  t.after(() => fleet.close());
  for (let n = 0; n < 5; n++) fleet.bmc(0).append({ text: n < 2 ? 'leave out' : 'keep' });
  const agent = agentOf(`
receivers:
  bmc_logs:
    mode: periodic
    initial_history: all
    periodic: {}
    endpoints: [{ name: a, address: "${fleet.bmc(0).address}", tls: { insecure: true } }]
processors:
  filter/texts: { logs: { exclude: { match_type: strict, bodies: ["leave out"] } } }
exporters: { debug: }
extensions: { scheduler: }
service:
  extensions: [scheduler]
  pipelines: { logs: { receivers: [bmc_logs], processors: [filter/texts], exporters: [debug] } }
`);
  t.after(() => agent.stop());
  await agent.start();
  await agent.line(({ msg }) => msg === 'logs read');
  const items = (end: string) =>
    agent.metric(`otelcol_processor_${end}_items`, { processor: 'filter/texts', 'otel.signal': 'logs' });
  assert.deepEqual([await items('incoming'), await items('outgoing')], [5, 3]);
  const read = { receiver: 'bmc_logs', transport: 'poll' };
  assert.equal(await agent.metric('otelcol_receiver_accepted_log_records', read), 5);
  assert.ok((await agent.metric('otelcol_receiver_requests', { ...read, outcome: 'success' })) >= 1);
});

test('an instrument holds 20,000 series, and what is beyond is told once', async (t) => {
  const overflown: string[] = [];
  const metrics = createOwnMetrics({
    ...{ version: 'test', readers: [readingsOf().reader] },
    onOverflow: (instrument) => overflown.push(instrument),
  });
  t.after(() => metrics.shutdown());
  const [many, more] = ['many', 'more'].map((name) => metrics.meter('test').createCounter(name));
  for (let n = 0; n < 19_000; n++) many!.add(1, { n });
  for (let n = 0; n < 21_000; n++) more!.add(1, { n });
  const { scopeMetrics } = await metrics.collect();
  assert.deepEqual(
    scopeMetrics[0]!.metrics.map(({ descriptor, dataPoints }) => [descriptor.name, dataPoints.length]),
    [
      ['many', 19_000],
      ['more', 20_000],
    ],
  );
  await metrics.collect();
  assert.deepEqual(overflown, ['more']);
});

test('each level shows its metrics and those of the levels below, and hides no name that the manual has at it', async () => {
  const docs = [...AGENT_METRICS, ...builtins.flatMap(({ metrics = [] }) => metrics)];
  const all = [...new Set(docs.map(({ name }) => name))];
  const shown = (level: MetricLevel) => {
    const { instruments } = hiddenAt(level, builtins);
    return all.filter((name) => !instruments.has(name));
  };
  const [basic, normal, detailed] = [shown('basic'), shown('normal'), shown('detailed')];
  assert.deepEqual(detailed, all);
  assert.ok(basic.every((name) => normal.includes(name)));
  assert.ok(basic.includes('otelcol_process_uptime') && !basic.includes('nodejs.eventloop.utilization'));
  assert.ok(normal.includes('nodejs.eventloop.utilization') && !normal.includes('otelcol_storage_commit_duration'));
  const metrics = createOwnMetrics({
    ...{ version: 'test', hidden: hiddenAt('basic', builtins) },
    page: {
      host: '127.0.0.1',
      port: await freePort(),
      without_scope_info: true,
      without_units: true,
      without_type_suffix: true,
    },
  });
  observeProcess(metrics.meter('outband.process'));
  const names = (await metrics.collect()).scopeMetrics.flatMap((scope) =>
    scope.metrics.map((one) => one.descriptor.name),
  );
  assert.deepEqual(names.toSorted(), [
    'otelcol_process_cpu_seconds',
    'otelcol_process_memory_rss',
    'otelcol_process_uptime',
  ]);
  await metrics.shutdown();
});
