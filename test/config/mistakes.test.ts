import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cli } from '../support/cli.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures/config/', import.meta.url));

const validate = (file: string, env: NodeJS.ProcessEnv = {}) =>
  cli(['validate', '--config', file], { cwd: FIXTURES, env });

const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  'bad-five-mistakes.yaml': [
    '3:11  receivers::bmc_logs::mode: must be one of auto, sse, periodic',
    '5:21  receivers::bmc_logs::endpoints::0: has invalid keys: adress (did you mean "address"?)',
    '6:29  receivers::bmc_logs::sse::initial_backoff: expected a duration, got 30 (did you mean "30s"?)',
    '8:3  exporters::otlp_http::tls: plain http endpoint needs tls::insecure: true',
    '15:48  service::pipelines::logs: references exporter "otlp_htp" which is not configured (did you mean "otlp_http"?)',
  ],
  'bad-ignored-sections.yaml': [
    '3:5  receivers::bmc_logs/periodic: "periodic" is required when mode is "periodic"',
    '5:10  receivers::bmc_logs/periodic::sse: "sse" must not be set when mode is "periodic"',
    '6:11  receivers::bmc_logs/periodic::auto: "auto" must not be set when mode is "periodic"',
    '6:37  receivers::bmc_logs/periodic::auto::connect_failure_window: must be greater than 0',
    '10:15  receivers::bmc_logs/sse::periodic: "periodic" must not be set when mode is "sse"',
    '11:11  receivers::bmc_logs/sse::auto: "auto" must not be set when mode is "sse"',
  ],
  'bad-endpoints.yaml': [
    '5:17  receivers::bmc_logs::endpoints::1::name: duplicate endpoint name "r1" (also at endpoints::0)',
    '6:17  receivers::bmc_logs::endpoints::2::name: must be 1 to 253 of A-Z a-z 0-9 . _ : -',
    '7:30  receivers::bmc_logs::endpoints::3::address: plain http needs tls.insecure: true',
    '8:30  receivers::bmc_logs::endpoints::4::address: must not contain credentials; use auth',
    '9:30  receivers::bmc_logs::endpoints::5::address: must not have a path or a query',
    '10:71  receivers::bmc_logs::endpoints::6::labels::host.name: is an attribute of the receiver itself',
  ],
  'bad-pipelines.yaml': [
    '3:5  receivers::bmc_logs::scheduler: references extension "scheduler" which is not configured (add `scheduler: {}` to extensions and "scheduler" to service::extensions)',
    '4:3  receivers: in "bmc_logs/" id: the part after / should not be empty',
    '8:16  service::extensions: references extension "zpages" which is not configured',
    '10:55  service::pipelines::logs: references exporter "debug" multiple times',
    '11:5  service::pipelines::logs/empty: must have at least one exporter',
    '12:28  service::pipelines::metrics: failed to create "bmc_logs" receiver for data type "metrics": telemetry type is not supported',
    '12:51  service::pipelines::metrics: failed to create "debug" exporter for data type "metrics": telemetry type is not supported',
    '13:5  service::pipelines: unknown pipeline "traces" (valid values: [logs metrics])',
    '14:1  connectors: not supported by this agent; use two pipelines',
  ],
  'bad-odd-values.yaml': [
    '2:3  receivers::bmc_logs::endpoints: needs endpoints',
    '3:5  receivers::bmc_logs: has invalid keys: labels (valid values: [auth auto bmc_request_concurrency body_idle_timeout critical_as endpoints exclude_services include_oem include_original initial_history max_handshakes mode ...])',
    '3:5  receivers::bmc_logs::scheduler: references extension "scheduler" which is not configured (add `scheduler: {}` to extensions and "scheduler" to service::extensions)',
    '3:13  receivers::bmc_logs::labels: nested deeper than 64 levels',
    '4:3  receivers::bmc_logs/none::endpoints: needs endpoints',
    '4:18  receivers::bmc_logs/none::scheduler: references extension "scheduler" which is not configured (add `scheduler: {}` to extensions and "scheduler" to service::extensions)',
    '8:23  exporters::otlp_http::headers::a b: is no header name',
    '8:29  exporters::otlp_http::headers::x: holds a character that a header cannot carry',
    '8:40  exporters::otlp_http::headers::host: is set by the exporter itself',
  ],
  'bad-not-yaml.yaml': ['3:1  Flow sequence in block collection must be sufficiently indented and end with a ]'],
  'bad-secret.yaml': [
    '3:64  receivers::bmc_logs::endpoints::0::mode: must be one of auto, sse, periodic (from ${env:CANARY})',
    '4:37  receivers::bmc_logs::auth::password: ${env:UNSET_PASSWORD} is not set',
  ],
};

for (const [file, lines] of Object.entries(EXPECTED))
  test(`${file} prints each of its ${lines.length} mistakes on one line`, async () => {
    const { code, stdout, stderr } = await validate(file, { CANARY: 'canary-value' });
    const count = lines.length === 1 ? '1 error' : `${lines.length} errors`;
    assert.equal(stderr, `${lines.map((line) => `${file}:${line}\n`).join('')}${count} in the configuration\n`);
    assert.equal(stdout, '');
    assert.equal(code, 1);
  });

test('a good configuration is silent', async () => {
  assert.deepEqual(await validate('good.yaml'), { code: 0, stdout: '', stderr: '' });
});

test('a file that is not there is said in one line', async () => {
  const { code, stderr } = await validate('nowhere.yaml');
  assert.equal(code, 1);
  assert.equal(
    stderr,
    'config_source  cannot retrieve the configuration: unable to read the file file:nowhere.yaml: no such file or directory\n',
  );
});
