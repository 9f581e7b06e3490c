import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { type AttestedFleet, startAttestedFleet } from '../simulators/attested-fleet/fleet.ts';
import { type OtlpSink, startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { startAgentProcess } from '../support/agent-process.ts';
import { freePort } from '../support/free-port.ts';
import { TOKEN } from '../support/monitoring-api.ts';
import { agentOf } from '../support/run-agent.ts';
import { temporaryDirectory } from '../support/storage.ts';

const ALERTS = new URL('../../dashboards/attestation-alerts.yaml', import.meta.url);

interface ConfigOptions {
  readonly fleet: AttestedFleet;
  readonly sink: OtlpSink;
  readonly folder: string;
  /** Flow maps. */
  readonly models: readonly string[];
  readonly metrics?: string;
  /** Bounds a cycle: a machine that is busy needs time for its handshakes. */
  readonly refresh?: string;
}

async function configOf({
  fleet,
  sink,
  folder,
  models,
  metrics = '{ level: none }',
  refresh = '1s',
}: ConfigOptions): Promise<string> {
  await writeFile(join(folder, 'tls.pem'), fleet.tlsCa);
  await writeFile(join(folder, 'root.pem'), fleet.rootCa);
  return `
receivers:
  attestation:
    models: [${models.join(', ')}]
    refresh_interval: ${refresh}
    initial: { launch_stagger: 0s }
    cumulative: { launch_stagger: 0s, model_stagger: 0s }
    sampling: { window: 1h }
    tls: { ca_file: ${folder}/tls.pem }
    verification:
      root_ca_file: ${folder}/root.pem
      collateral: { pccs: { url: "${fleet.pccs}" } }
      policy: { os_images: ["${fleet.osImageHash}"], compose_hashes: ["${fleet.composeHash}"] }
    storage: file_storage
    metrics_interval: 1s
exporters:
  otlp_http:
    endpoint: ${sink.url}
    tls: { insecure: true }
    sending_queue: { batch: { flush_timeout: 5ms } }
extensions:
  scheduler:
  file_storage: { directory: ${folder}/state, ballast_bytes: 0, commit: { max_delay: 5ms } }
  monitoring_api: { endpoint: "127.0.0.1:0", auth: { tokens: [{ name: ops, token: ${TOKEN} }] }, rate_limit: { requests_per_minute: 100000 } }
service:
  extensions: [scheduler, file_storage, monitoring_api]
  shutdown_timeout: 5s
  telemetry: { metrics: ${metrics} }
  pipelines:
    logs: { receivers: [attestation], exporters: [otlp_http] }
    metrics: { receivers: [attestation], exporters: [otlp_http] }
`;
}

const names = (sink: OtlpSink, event: string) => sink.records.filter(({ eventName }) => eventName === event);

test('a whole agent: records arrive, pins are served with their tag, candidates are taken, and a restart serves at once', async (t) => {
  const [fleet, sink, folder] = await Promise.all([startAttestedFleet(), startOtlpSink(), temporaryDirectory(t)]);
  t.after(() => Promise.all([fleet.stop(), sink.close()]));
  const models = [`{ model: z/glm, url: "${fleet.url('glm')}", strategy: index_sni }`];
  const yaml = await configOf({ fleet, sink, folder, models, refresh: '4s' });
  const agent = agentOf(yaml);
  t.after(() => agent.stop());
  await agent.start();
  const { address } = await agent.line(({ msg }) => msg === 'monitoring API is listening');
  await sink.waitFor(() => names(sink, 'attestation.discovery.initial').length > 0);
  const pool = encodeURIComponent(`z/glm@glm.fleet.localhost:${fleet.port}`);
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`${address}/api/monitoring/attestation${path}`, {
      ...init,
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', ...init.headers },
    });
  const first = await ask(`/${pool}/pins`);
  assert.equal(first.status, 200);
  const { pins, state, generation } = (await first.json()) as { pins: string[]; state: string; generation: number };
  assert.deepEqual([state, generation], ['pinned', 1]);
  assert.deepEqual(pins, [...fleet.truth().keys()].sort());
  assert.match(first.headers.get('cache-control') ?? '', /^max-age=[0-4]$/);
  const again = await ask(`/${pool}/pins`, { headers: { 'if-none-match': first.headers.get('etag')! } });
  assert.equal(again.status, 304);
  assert.equal(await again.text(), '');
  const post = (body: string, path = `/${pool}/candidates`) => ask(path, { method: 'POST', body });
  assert.equal((await post(JSON.stringify({ fingerprint: pins[0] }))).status, 200);
  assert.equal((await post(JSON.stringify({ fingerprint: 'cd'.repeat(32) }))).status, 202);
  assert.equal((await post('{"fingerprint"')).status, 400);
  assert.equal((await post('{}')).status, 400);
  assert.equal((await post(JSON.stringify({ fingerprint: 'x'.repeat(5_000) }))).status, 413);
  assert.equal((await post('{}', '/nobody/candidates')).status, 404);
  assert.equal((await fetch(`${address}/api/monitoring/attestation`)).status, 401);
  await sink.waitFor(() => names(sink, 'attestation.discovery.unchanged').length > 0);
  await agent.stop();

  fleet.refuse();
  const next = agentOf(yaml);
  t.after(() => next.stop());
  await next.start();
  const { address: second } = await next.line(({ msg }) => msg === 'monitoring API is listening');
  const served = await fetch(`${second}/api/monitoring/attestation/${pool}/pins`, {
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  assert.deepEqual(((await served.json()) as { pins: string[] }).pins, pins);
});

test('every metric that the alerts watch is on the page, and nothing that has no value is', async (t) => {
  const [fleet, sink, folder] = await Promise.all([startAttestedFleet(), startOtlpSink(), temporaryDirectory(t)]);
  t.after(() => Promise.all([fleet.stop(), sink.close()]));
  fleet.fault(1, 'wrongFingerprint', { times: 1 });
  const port = await freePort();
  const models = [`{ model: glm, name: glm, url: "${fleet.url('glm')}", strategy: index_sni }`];
  const metrics = `{ readers: [{ pull: { exporter: { prometheus: { host: 127.0.0.1, port: ${port} } } } }] }`;
  const agent = await startAgentProcess(folder, await configOf({ fleet, sink, folder, models, metrics }));
  t.after(() => agent.kill());
  await agent.line('Cumulative discovery');
  const address = /"address":"([^"]+)"/.exec(agent.log())![1]!;
  await fetch(`${address}/api/monitoring/attestation/glm/candidates`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ fingerprint: 'ef'.repeat(32) }),
  });
  const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const shown = new Set([...page.matchAll(/^(\w+)\{/gm)].map(([, name]) => name));
  const { groups } = parse(await readFile(ALERTS, 'utf8')) as { groups: { rules: { expr: string }[] }[] };
  const watched = groups.flatMap(({ rules }) => rules).flatMap(({ expr }) => expr.match(/outband_\w+/g) ?? []);
  assert.ok(watched.length >= 10);
  for (const name of watched) assert.ok(shown.has(name), `${name} is not on the page`);
  assert.ok(!shown.has('outband_attestation_pool_estimated'), 'no draw, so no estimate');
  assert.ok([...shown].every((name) => !name!.endsWith('_total')));
  assert.match(page, /^# TYPE outband_attestation_discovery_probes counter$/m);
  const documented = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  for (const [, name] of page.matchAll(/^# TYPE (\w+) /gm))
    assert.ok(name === 'target_info' || documented.includes(`\`${name}\``), `${name} is not in docs/metrics.md`);
  for (const name of ['otelcol_process_memory_rss', 'nodejs_eventloop_delay_p99', 'otelcol_component_status'])
    assert.ok(shown.has(name) || page.includes(`\n${name} `), name);
  const series = page.split('\n').filter((line) => line.startsWith('outband_attestation_'));
  assert.ok(series.length <= 250, `${series.length}`);
  for (const line of series) assert.doesNotMatch(line, /[0-9a-f]{64}|localhost/);
  agent.process.kill('SIGTERM');
  assert.equal(await agent.ended, 0);
});

test('a kill at any moment brings back no pin that was evicted and stored', async (t) => {
  const [fleet, sink, folder] = await Promise.all([
    startAttestedFleet({ n: 4 }),
    startOtlpSink(),
    temporaryDirectory(t),
  ]);
  t.after(() => Promise.all([fleet.stop(), sink.close()]));
  const models = [`{ model: glm, name: glm, url: "${fleet.url('glm')}", strategy: index_sni }`];
  const yaml = await configOf({ fleet, sink, folder, models });
  for (let round = 0; round < Number(process.env.KILLS ?? 1); round++) {
    const retired = fleet.backends[round]!.fingerprint;
    const agent = await startAgentProcess(folder, yaml);
    await agent.line('Initial attestation discovery complete');
    await fleet.rotate(round);
    await agent.line(`"fingerprint":"${retired}","reason":"not_in_complete_set"`);
    // The cycle after it begins when the one before it is stored.
    const seen = agent.log().length;
    await agent.line('no new fingerprints');
    while (!agent.log().slice(seen).includes('no new fingerprints')) await once(agent.process.stderr!, 'data');
    await agent.kill();
    const next = await startAgentProcess(folder, yaml);
    await next.line('monitoring API is listening');
    const address = /"address":"([^"]+)"/.exec(next.log())![1]!;
    // The page comes with the receiver, which starts last.
    let served: Response;
    do
      served = await fetch(`${address}/api/monitoring/attestation/glm/pins`, {
        headers: { authorization: `Bearer ${TOKEN}` },
      });
    while (served.status === 404);
    const { pins } = (await served.json()) as { pins: string[] };
    assert.equal(pins.length, 4);
    assert.ok(!pins.includes(retired));
    await next.kill();
  }
});

test('two sections of one file share the pages', async (t) => {
  const [fleet, sink, folder] = await Promise.all([
    startAttestedFleet({ n: 1 }),
    startOtlpSink(),
    temporaryDirectory(t),
  ]);
  t.after(() => Promise.all([fleet.stop(), sink.close()]));
  const one = (name: string) => `{ model: glm, name: ${name}, url: "${fleet.url(name)}", strategy: index_sni }`;
  const yaml = await configOf({ fleet, sink, folder, models: [one('a')] });
  const section = yaml.slice(yaml.indexOf('  attestation:'), yaml.indexOf('exporters:'));
  const second = section.replace('  attestation:', '  attestation/b:').replaceAll('name: a,', 'name: b,');
  const both = yaml
    .replace('exporters:\n  otlp_http', `${second}exporters:\n  otlp_http`)
    .replaceAll('receivers: [attestation]', 'receivers: [attestation, attestation/b]')
    .replace(`name: b, url: "${fleet.url('a')}"`, `name: b, url: "${fleet.url('b')}"`);
  const agent = agentOf(both);
  t.after(() => agent.stop());
  await agent.start();
  const { address } = await agent.line(({ msg }) => msg === 'monitoring API is listening');
  await sink.waitFor(() => names(sink, 'attestation.discovery.initial').length >= 2);
  const headers = { authorization: `Bearer ${TOKEN}` };
  const page = await (await fetch(`${address}/api/monitoring/attestation`, { headers })).json();
  assert.deepEqual(
    (page as { pools: { pool: string }[] }).pools.map(({ pool }) => pool),
    ['a', 'b'],
  );
  for (const pool of ['a', 'b'])
    assert.equal((await fetch(`${address}/api/monitoring/attestation/${pool}/pins`, { headers })).status, 200);
});
