import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { builtins } from '../../src/builtins.ts';
import { describeSettings } from '../../src/config/describe-settings.ts';
import { loadConfig } from '../../src/config/load.ts';
import { formatProblems } from '../../src/config/problem.ts';
import { serviceSchema } from '../../src/config/schema/service.ts';
import { startBmcFleet } from '../simulators/bmc/fleet.ts';
import { startAgentProcess } from '../support/agent-process.ts';
import { cli } from '../support/cli.ts';
import { freePort } from '../support/free-port.ts';
import { undocumented } from '../support/metrics-page.ts';
import { temporaryDirectory } from '../support/storage.ts';

/** Begins every secret of this test. Nothing else in it holds this text. */
const CANARY = 'kanarienvogel';

/** Every place that holds a secret, and what is put there. A new one belongs here, and into the configuration below. */
const PLACES = [
  'receiver bmc_logs endpoints[].auth.password',
  'receiver bmc_logs http_discovery[].headers',
  'receiver bmc_logs http_discovery[].auth.password',
  'receiver bmc_logs auth.password',
  'receiver attestation models[].verification.collateral.pccs.headers',
  'receiver attestation sources[].http.headers',
  'receiver attestation request.headers',
  'receiver attestation verification.collateral.pccs.headers',
  'exporter otlp_http headers',
  'exporter otlp_http tls.key_pem',
  'extension basic_auth client_auth.password',
  'extension bearer_token_auth token',
  'extension monitoring_api auth.tokens[].token',
  'service telemetry.logs.processors[].batch.exporter.otlp.headers',
  'service telemetry.metrics.readers[].periodic.exporter.otlp.headers',
];

test('the configuration of this test has a secret in every place that there is for one', () => {
  const schemas = [
    ...builtins.map(({ kind, type, schema }) => ({ name: `${kind} ${type}`, schema })),
    { name: 'service', schema: serviceSchema },
  ];
  const found = schemas.flatMap(({ name, schema }) =>
    describeSettings(schema)
      .filter(({ path, type }) => type === 'secret' || path.endsWith('headers'))
      .map(({ path }) => `${name} ${path}`),
  );
  assert.deepEqual(found.sort(), PLACES.toSorted());
});

let secrets = 0;
const secret = () => `${CANARY}-${secrets++}`;

interface Places {
  readonly bmc: string;
  readonly other: string;
  readonly state: string;
  readonly metrics: number;
}

const config = ({ bmc, other, state, metrics }: Places, mistake = '') => `
receivers:
  bmc_logs:
    ${mistake}
    auth: { username: reader, password: ${secret()} }
    endpoints:
      - { name: wrong, address: "${bmc}", tls: { insecure: true }, auth: { username: reader, password: ${secret()} } }
      - { name: away, address: "https://127.0.0.1:1" }
    http_discovery:
      - { url: "${other}/bmcs", headers: { x-key: ${secret()} }, tls: { insecure: true } }
      - { url: "${other}/more", auth: { username: reader, password: ${secret()} }, tls: { insecure: true } }
  attestation:
    storage: file_storage
    models:
      - model: glm
        url: "https://127.0.0.1:1"
        verification:
          policy: { accept_any_workload: true }
          collateral: { pccs: { url: "http://127.0.0.1:1", headers: { x-key: ${secret()} } } }
    sources: [{ http: { url: "${other}/models", headers: { x-key: ${secret()} } } }]
    request: { headers: { authorization: ${secret()} } }
    verification:
      policy:
        os_images: ["${'0'.repeat(64)}"]
        compose_hashes: ["${'0'.repeat(64)}"]
      collateral: { pccs: { url: "http://127.0.0.1:1", headers: { x-key: ${secret()} } } }
exporters:
  otlp_http:
    endpoint: "${other}"
    headers: { x-key: ${secret()} }
    auth: { authenticator: bearer_token_auth }
    tls: { insecure: true }
    sending_queue: { storage: file_storage }
  otlp_http/basic: { endpoint: "${other}", auth: { authenticator: basic_auth }, tls: { insecure: true } }
extensions:
  scheduler: { storage: file_storage }
  file_storage: { directory: "${state}", ballast_bytes: 0 }
  basic_auth: { client_auth: { username: reader, password: ${secret()} } }
  bearer_token_auth: { token: ${secret()} }
  health_check: { endpoint: "127.0.0.1:0", http: { config: { enabled: true } } }
  monitoring_api: { endpoint: "127.0.0.1:0", auth: { tokens: [{ name: reader, token: ${CANARY}-reader }] } }
service:
  extensions: [scheduler, file_storage, basic_auth, bearer_token_auth, health_check, monitoring_api]
  reload_interval: 0s
  telemetry:
    logs:
      level: debug
      sampling: { enabled: false }
      processors: [{ batch: { exporter: { otlp: { endpoint: "${other}", headers: { x-key: ${secret()} } } } } }]
    metrics:
      readers:
        - pull: { exporter: { prometheus: { host: 127.0.0.1, port: ${metrics} } } }
        - periodic: { interval: 200, exporter: { otlp: { endpoint: "${other}", headers: { x-key: ${secret()} } } } }
  pipelines: { logs: { receivers: [bmc_logs, attestation], exporters: [otlp_http, otlp_http/basic] } }
`;

/** Answers 401 to everybody, after a while of being away. */
async function refusingServer(t: TestContext): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(401).end('no'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close().closeAllConnections());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function assertClean(what: string, text: string): void {
  const at = text.indexOf(CANARY);
  assert.ok(at < 0, `${what}: …${text.slice(Math.max(0, at - 200), at + 60)}`);
}

test('no secret of the configuration stands in any byte that an agent writes, whatever goes wrong', async (t) => {
  const fleet = await startBmcFleet({
    count: 1,
    profiles: ['openbmc'],
    account: { username: 'reader', password: 'x' },
  });
  t.after(() => fleet.close());
  const folder = await temporaryDirectory(t);
  const state = await temporaryDirectory(t);
  const places = { bmc: fleet.bmc(0).address, other: await refusingServer(t), state, metrics: await freePort() };
  const agent = await startAgentProcess(folder, config(places));
  t.after(() => agent.kill());
  let stdout = '';
  agent.process.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  await agent.line('Everything is ready');
  for (const what of ['the BMC answered 401 to the account', 'HTTP 401', '"endpoint":"away"']) await agent.line(what);

  const [health, api] = ['health check is listening', 'monitoring API is listening'].map((line) => {
    const [, address] = new RegExp(`${line}\\t.*?"address":"([^"]+)"`).exec(agent.log()) ?? [];
    assert.ok(address, line);
    return address;
  });
  for (const path of ['/', '/status?verbose', '/config', '/livez', '/readyz'])
    assertClean(path, await (await fetch(`${health}${path}`)).text());
  const page = await (await fetch(`http://127.0.0.1:${places.metrics}/metrics`)).text();
  assertClean('/metrics', page);
  assert.deepEqual(undocumented(page), []);
  for (const path of ['overview', 'scheduler/health', 'bmc', 'bmc/wrong', 'attestation', 'attestation/glm/pins'])
    for (const token of [`${CANARY}-reader`, `${CANARY}-wrong-token`]) {
      const answer = await fetch(`${api}/api/monitoring/${path}`, { headers: { authorization: `Bearer ${token}` } });
      assertClean(path, (await answer.text()) + JSON.stringify([...answer.headers]));
    }

  // A reload that is refused, and one that is not.
  await writeFile(join(folder, 'config.yaml'), config(places, 'pasword: x'));
  agent.process.kill('SIGHUP');
  await agent.line('The configuration is not taken over');
  await writeFile(join(folder, 'config.yaml'), config(places).replaceAll(CANARY, `${CANARY}-new`));
  agent.process.kill('SIGHUP');
  await agent.line('this needs a restart');
  agent.process.kill('SIGTERM');
  await agent.ended;
  assertClean('stderr', agent.log());
  assertClean('stdout', stdout);
  for (const name of await readdir(state, { recursive: true })) {
    const file = join(state, name);
    if ((await stat(file)).isFile()) assertClean(file, (await readFile(file)).toString('latin1'));
  }
});

test('no secret of the configuration stands in what the commands print, with mistakes beside each and in each', async (t) => {
  const folder = await temporaryDirectory(t);
  const places = { bmc: 'https://b.example.net', other: 'https://o.example.net', state: '/var/lib/x', metrics: 8_888 };
  const good = config(places);
  const texts: Record<string, string> = {
    good,
    'unknown keys': good.replaceAll(/(password|token|headers|x-key):/g, '$1s:'),
    'a list in place of a secret': good.replaceAll(new RegExp(`: (${CANARY}-\\S+)`, 'g'), ': [$1]'),
    'a map in place of a secret': good.replaceAll(new RegExp(`: (${CANARY}-\\d+)`, 'g'), ': { inner: $1 }'),
    'a secret that is no YAML': good.replaceAll(new RegExp(`: (${CANARY}-\\d+)`, 'g'), ': "$1'),
    'a secret twice': good.replace('bearer_token_auth: { token:', `bearer_token_auth: { token: ${CANARY}-x, token:`),
  };
  for (const [what, text] of Object.entries(texts)) {
    const source = { env: () => undefined, file: () => '' };
    const result = loadConfig('config.yaml', text, builtins, source);
    assert.equal('config' in result, what === 'good', what);
    if ('problems' in result) assertClean(what, formatProblems(result.problems));
  }
  // And the real commands, with the good one and the worst.
  const file = join(folder, 'config.yaml');
  const commands = ['validate --json', 'print-config', 'print-config --format json --defaults', 'run'];
  for (const what of ['good', 'a list in place of a secret']) {
    await writeFile(file, texts[what]!);
    for (const command of what === 'good' ? commands.slice(0, -1) : commands) {
      const { code, stdout, stderr } = await cli([...command.split(' '), '--config', file]);
      assertClean(`${command}, ${what}`, stdout + stderr);
      assert.equal(code, what === 'good' ? 0 : 1, `${command}, ${what}: ${stderr}`);
    }
  }
});
