import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { builtins } from '../../src/builtins.ts';
import { type AnyFactory, defineReceiver } from '../../src/component/factory.ts';
import { loadConfig } from '../../src/config/load.ts';
import { formatProblems } from '../../src/config/problem.ts';
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
  'bad-misplaced.yaml': [
    '3:60  receivers::bmc_logs::endpoints::0: has invalid keys: username (username belongs under auth)',
    '3:79  receivers::bmc_logs: has invalid keys: idle_timeout (idle_timeout belongs under sse)',
    '7:5  exporters::otlp_http: has invalid keys: queue_size (queue_size belongs under sending_queue)',
    '8:22  exporters::otlp_http::sending_queue: has invalid keys: endpoint (endpoint belongs beside sending_queue, not in it)',
    '8:35  exporters::otlp_http::sending_queue: has invalid keys: nonsense (valid values: [batch block_on_overflow enabled max_memory_mib num_consumers queue_size sizer storage wait_for_result])',
    '11:41  extensions::monitoring_api::auth: has invalid keys: max_age (valid values: [none session_idle session_max token_file tokens])',
    '11:53  extensions::monitoring_api::auth: has invalid keys: allow_actions (allow_actions belongs beside auth, not in it)',
    '11:87  extensions::monitoring_api::scheduler: references extension "schedular" which is not configured (did you mean "scheduler"?)',
  ],
  'bad-endpoints.yaml': [
    '5:17  receivers::bmc_logs::endpoints::1::name: duplicate endpoint name "r1" (also at endpoints::0)',
    '6:17  receivers::bmc_logs::endpoints::2::name: must be 1 to 253 of A-Z a-z 0-9 . _ : -',
    '7:30  receivers::bmc_logs::endpoints::3::address: plain http needs tls.insecure: true',
    '8:30  receivers::bmc_logs::endpoints::4::address: must not contain credentials; use auth',
    '9:30  receivers::bmc_logs::endpoints::5::address: must not have a path or a query',
    '10:71  receivers::bmc_logs::endpoints::6::labels::host.name: is an attribute of the receiver itself',
  ],
  'bad-attestation.yaml': [
    '4:28  receivers::attestation::models::0::url: must be an https URL without credentials',
    '5:28  receivers::attestation::models::1::url: must be an https URL without credentials',
    '6:66  receivers::attestation::models::2::declared: must be an integer between 1 and 1000, got 0',
    '6:79  receivers::attestation::models::2::strategy: unknown value "sni" (valid values: [sample index_sni addresses])',
    '7:28  receivers::attestation::models::3::url: "index_sni" needs a name with at least 3 labels',
    '8:81  receivers::attestation::models::4::addresses::0: must be an IP address, with or without a port',
    '10:57  receivers::attestation::models::6::name: duplicate pool name "twice" (also at models::5)',
    '11:9  receivers::attestation::models::7: same model and url as models::5: that is one pool',
    '13:9  receivers::attestation::sources::0: exactly one of "file", "http"',
    '14:24  receivers::attestation::sources::1::http::url: must be https, or http on the loopback',
    '14:65  receivers::attestation::sources::1::interval: must be at least 1s',
    '15:16  receivers::attestation::max_pools: must be between 1 and 2000',
    '17:23  receivers::attestation::initial::calls: must not exceed "max_calls" (20)',
    '18:26  receivers::attestation::cumulative::calls: must be an integer between 1 and 256, got 300',
    '18:26  receivers::attestation::cumulative::calls: must not exceed "max_calls" (10)',
    '19:30  receivers::attestation::sampling::unseen_mass: must be between 0 and 1',
    '19:41  receivers::attestation::sampling::window: must be at least 2 x "refresh_interval" (10m)',
    '20:22  receivers::attestation::connect_timeout: must be below "call_timeout" (10s)',
    '21:19  receivers::attestation::idle_timeout: must not exceed "call_timeout" (10s)',
    '22:20  receivers::attestation::cycle_timeout: must not exceed "refresh_interval" (5m)',
    '23:17  receivers::attestation::body_limit: must be between 64KiB and 16MiB',
    '24:27  receivers::attestation::per_host_concurrency: must be between 1 and 64',
    '25:13  receivers::attestation::jitter: must lie between 0 and 0.5, got 0.7',
    '26:30  receivers::attestation::index_sni::count_path: must start with "/"',
    '27:22  receivers::attestation::request::path: must start with "/"',
    '27:45  receivers::attestation::request::signing_algos: must not be empty',
    '27:72  receivers::attestation::request::auth::authenticator: references extension "bearer_token_auth/none" which is not configured (add `bearer_token_auth/none: {}` to extensions and "bearer_token_auth/none" to service::extensions)',
    '28:12  receivers::attestation::tls: has invalid keys: insecure_skip_verify (valid values: [ca_file min_version])',
    '29:5  receivers::attestation::verification::collateral: "dcap" needs "directory" or "pccs"',
    '30:20  receivers::attestation::verification::accept_tcb::0: "Revoked" can never be accepted',
    '31:15  receivers::attestation::verification::policy: accepts any workload; list "os_images" or "compose_hashes", or set "accept_any_workload"',
    '32:12  receivers::attestation::verification::gpu: "required" needs "nras_url"',
    '33:18  receivers::attestation::pins::ttl: must be at least 3 x "refresh_interval" (15m)',
    '33:30  receivers::attestation::pins::floor: must be an integer between 1 and 1000, got 0',
    '34:24  receivers::attestation::candidates::max: must be between 1 and 1024',
    '35:17  receivers::attestation::stall::p: must be between 0 and 0.5',
    '35:33  receivers::attestation::stall::min_draws: must be an integer between 5 and 1000, got 4',
    '36:14  receivers::attestation::storage: references extension "nowhere" which is not configured (add `nowhere: {}` to extensions and "nowhere" to service::extensions)',
    "37:24  receivers::attestation::records::probes: expected type 'bool', got 'string'",
  ],
  'bad-bmc-logs.yaml': [
    '5:61  receivers::bmc_logs::endpoints::0::proxy_url: must not have a path or a query',
    '5:77  receivers::bmc_logs::endpoints::0::auth::password: set one of password, password_file, authenticator',
    '6:56  receivers::bmc_logs::endpoints::1::auth: set one of password, password_file, authenticator',
    '7:71  receivers::bmc_logs::endpoints::2::tls::spki_sha256::0: must be 32 bytes as base64 or hex',
    '7:90  receivers::bmc_logs::endpoints::2::tls::min_version: must be one of 1.0, 1.1, 1.2, 1.3',
    '8:73  receivers::bmc_logs::endpoints::3::auth::authenticator: references extension "basic_auth/none" which is not configured (add `basic_auth/none: {}` to extensions and "basic_auth/none" to service::extensions)',
    '10:16  receivers::bmc_logs::http_discovery::0::url: must be an absolute http(s) URL without credentials',
    '10:33  receivers::bmc_logs::http_discovery::0::interval: must be at least 5s',
    '11:12  receivers::bmc_logs::shard: shard must be less than shards_count',
    '13:33  receivers::bmc_logs::rate_limit::bucket_burst: must be greater than 0',
    '14:34  receivers::bmc_logs::periodic::logs_state_file: must contain {machine_id}',
    '14:75  receivers::bmc_logs::periodic::full_read_interval: must be greater than 0',
    '15:5  receivers::bmc_logs::sse::max_backoff: must not be less than initial_backoff',
    '15:20  receivers::bmc_logs::sse::filter: must not contain line breaks or NUL',
    '16:5  receivers::bmc_logs::auto::sse_retry_max_interval: must not be less than sse_retry_interval',
    '17:31  receivers::bmc_logs::auto::connect_failure_window: must be greater than 0',
    '18:26  receivers::bmc_logs::auto::fleet_guard_ratio: must be greater than 0',
    '20:23  receivers::bmc_logs::auto::trial_lifetime: must not be less than sse.min_stream_lifetime',
    '21:22  receivers::bmc_logs::initial_history: must be all, none or a duration',
  ],
  'bad-pipelines.yaml': [
    '3:5  receivers::bmc_logs::scheduler: references extension "scheduler" which is not configured (add `scheduler: {}` to extensions and "scheduler" to service::extensions)',
    '4:3  receivers: in "bmc_logs/" id: the part after / should not be empty',
    '8:16  service::extensions: references extension "zpages" which is not configured',
    '10:55  service::pipelines::logs: references exporter "debug" multiple times',
    '11:5  service::pipelines::logs/empty: must have at least one exporter',
    '12:5  service::pipelines::traces: not supported by this agent, which carries logs and metrics',
    '13:1  connectors: not supported by this agent; use two pipelines',
  ],
  'bad-scheduler.yaml': [
    '3:16  receivers::scheduler_health::scheduler: references extension "other" which is not configured (add `other: {}` to extensions and "other" to service::extensions)',
    '4:26  receivers::scheduler_health::collection_interval: must lie between 1s and 1h, got 100ms',
    '5:17  receivers::scheduler_health::per_target: must be one of none, not_at_rest, all, got "some"',
    '6:23  receivers::scheduler_health::per_target_limit: must be an integer between 1 and 100000, got 0',
    '10:34  extensions::scheduler::adaptive_polling::enabled: expected true or false, got yes please',
    '10:60  extensions::scheduler::adaptive_polling::min_interval: must be at least 100ms, got 10ms',
    '10:98  extensions::scheduler::adaptive_polling::overload_lag: must be positive, got 0s',
    '10:118  extensions::scheduler::adaptive_polling::max_busy_ratio: must lie between 0.01 and 1, got 2',
    '11:19  extensions::scheduler::task_timeout: must lie between 1s and 1h, got 2h',
    '12:25  extensions::scheduler::concurrency::max: must be an integer between 1 and 10000, got 20000',
    '13:28  extensions::scheduler::max_starts_per_second: must be an integer between 1 and 100000, got 0.5',
    '14:49  extensions::scheduler::breaker::flap_threshold: must be an integer between 2 and 10, got 1',
    '14:60  extensions::scheduler::breaker::jitter: must lie between 0 and 1, got -1',
    '14:64  extensions::scheduler::breaker: has invalid keys: open_after (valid values: [base_delay failure_threshold flap_threshold flap_window jitter max_delay max_retry_after])',
    '15:36  extensions::scheduler::dead_letter::retry_interval: must lie between 10s and 168h, got 1s',
    '15:54  extensions::scheduler::dead_letter::redrive_rate: must lie between 0.1 and 1000, got 0',
    '16:14  extensions::scheduler::storage: references extension "file_storage" which is not configured (add `file_storage: {}` to extensions and "file_storage" to service::extensions)',
    '18:58  extensions::scheduler/limits::adaptive_polling::max_interval: must lie between min_interval (10s) and 24h, got 1s',
    '19:38  extensions::scheduler/limits::concurrency::per_type: type "bmc": must be an integer between 1 and concurrency::max (4), got 9',
    '22:11  extensions::monitoring_api::auth: "none" is allowed on a loopback address only, endpoint is 0.0.0.0:7655',
    '23:20  extensions::monitoring_api::allow_actions: needs tokens; auth is none',
    '24:35  extensions::monitoring_api::trusted_proxies::1: "proxy.local" is neither an address nor a CIDR block',
    '25:10  extensions::monitoring_api::tls: cert_file and key_file must be set together',
    '26:22  extensions::monitoring_api::max_header_size: must lie between 1KiB and 64KiB, got 1MiB',
    '27:22  extensions::monitoring_api::max_connections: must be an integer between 1 and 65535, got 0',
    '28:23  extensions::monitoring_api::snapshot_max_age: must lie between 0s and 10s, got 1m',
    '30:15  extensions::monitoring_api/tokens::endpoint: expected host:port, got "localhost"',
    '31:22  extensions::monitoring_api/tokens::auth::tokens::0: token "a": must have at least 16 characters',
    '31:49  extensions::monitoring_api/tokens::auth::tokens::1: "a" appears twice',
    '31:106  extensions::monitoring_api/tokens::auth::session_idle: must lie between 1m and 168h, got 1s',
    '32:3  extensions::monitoring_api/none::auth: no tokens: set auth::tokens or auth::token_file, or bind to loopback and write auth: none',
  ],
  'bad-delivery.yaml': [
    '4:14  receivers::bmc_logs::storage: references extension "file_storage/cursors" which is not configured (add `file_storage/cursors: {}` to extensions and "file_storage/cursors" to service::extensions)',
    '7:15  exporters::otlphttp::endpoint: must not contain credentials; use an auth extension',
    '8:15  exporters::otlphttp::encoding: invalid encoding type "avro"',
    '9:18  exporters::otlphttp::compression: unsupported compression type "lz4"',
    '10:26  exporters::otlphttp::headers::x-tenant: contains a line break',
    '10:48  exporters::otlphttp::headers::content-type: is set by the exporter itself',
    '11:10  exporters::otlphttp::tls: provide both cert and key, or neither',
    '11:48  exporters::otlphttp::tls::min_version: must be one of 1.2, 1.3',
    '12:21  exporters::otlphttp::max_reply_size: must be between 1KiB and 64MiB',
    '13:5  exporters::otlphttp: has invalid keys: http2_ping_timeout (not supported by outband)',
    '15:22  exporters::otlphttp::sending_queue: `num_consumers` must be positive',
    '16:19  exporters::otlphttp::sending_queue: `queue_size` must be positive',
    '17:14  exporters::otlphttp::sending_queue::sizer: invalid value "records", want requests, items or bytes',
    '18:24  exporters::otlphttp::sending_queue::wait_for_result: wait_for_result cannot be used with storage',
    '19:16  exporters::otlphttp::sending_queue::storage: references extension "file_storage" which is not listed in service::extensions',
    '20:31  exporters::otlphttp::sending_queue::batch: `flush_timeout` must be positive',
    '20:59  exporters::otlphttp::sending_queue::batch: `max_size` must be greater than or equal to `min_size`',
    '21:62  exporters::otlphttp::retry_on_failure: `max_interval` must be greater than or equal to `initial_interval`',
    '23:5  exporters::otlp_http/two: either endpoint or logs_endpoint must be specified',
    '23:18  exporters::otlp_http/two::dead_letter: needs sending_queue::storage',
    '24:26  exporters::js_exporter::module: must be a package name or a path, not a URL',
    '26:19  processors::memory_limiter: limit_mib or limit_percentage must be set',
    '27:28  processors::resource::attributes::0: exactly one of value, from_attribute must be set',
    '28:44  processors::filter::logs::include::match_type: regexp is not supported; use glob, whose time is linear',
    '31:30  extensions::file_storage::directory: must be an absolute path',
    '31:48  extensions::file_storage::max_bytes: must be at least 16MiB',
    '31:75  extensions::file_storage::commit::max_delay: must be at most 1s',
  ],
  'bad-ten-kinds.yaml': [
    '2:3  receivers: unknown type: "redfish" for id: "redfish" (valid values: [attestation bmc_logs scheduler_health])',
    '3:3  receivers: in "bmc_logs/" id: the part after / should not be empty',
    '5:5  receivers::bmc_logs/a: has invalid keys: endpont (did you mean "endpoints"?)',
    '8:23  exporters::debug::verbosity: must be one of basic, normal, detailed (from ${env:CANARY})',
    "11:34  exporters::otlp_http::sending_queue::queue_size: expected type 'int', got 'string'",
    '11:55  exporters::otlp_http::sending_queue: `num_consumers` must be positive',
    '11:67  exporters::otlp_http::sending_queue::storage: references extension "file_storage" which is not listed in service::extensions',
    '15:31  extensions::bearer_token_auth::token: ${env:UNSET_TOKEN} is not set',
    '17:27  service::extensions: references extension "x" which is not configured',
    '19:50  service::pipelines::logs: references exporter "otlp_htp" which is not configured (did you mean "otlp_http"?)',
    '19:67  service::pipelines::logs: references exporter "debug" multiple times',
    '20:5  service::pipelines::logs / two: must have at least one exporter',
    '21:5  service::pipelines: duplicate id "logs/two"',
    '22:40  service::pipelines::metrics: references receiver "nothing" which is not configured',
    '24:52  processors::filter::logs::include: has invalid keys: severity (valid values: [bodies event_names match_type record_attributes resource_attributes severity_number severity_texts])',
  ],
  'bad-odd-values.yaml': [
    '2:3  receivers::bmc_logs::endpoints: needs endpoints, endpoint_files or http_discovery',
    '3:5  receivers::bmc_logs: has invalid keys: labels (labels belongs under endpoints)',
    '3:5  receivers::bmc_logs::scheduler: references extension "scheduler" which is not configured (add `scheduler: {}` to extensions and "scheduler" to service::extensions)',
    '4:3  receivers::bmc_logs/none::endpoints: needs endpoints, endpoint_files or http_discovery',
    '4:18  receivers::bmc_logs/none::scheduler: references extension "scheduler" which is not configured (add `scheduler: {}` to extensions and "scheduler" to service::extensions)',
    '8:23  exporters::otlp_http::headers::a b: is no header name',
    '8:29  exporters::otlp_http::headers::x: holds a character that a header cannot carry',
    '8:40  exporters::otlp_http::headers::host: is set by the exporter itself',
  ],
  'bad-alias.yaml': [
    '1:16  alias *a stands in what it names',
    '1:20  alias *a stands in what it names',
    '2:12  alias *nowhere has no anchor before it',
    '3:21  alias *b stands in what it names',
    '4:10  Unresolved tag: tag:yaml.org,2002:binary',
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
    'nowhere.yaml  cannot retrieve the configuration: unable to read the file file:nowhere.yaml: no such file or directory\n1 error in the configuration\n',
  );
});

const load = (text: string, factories: readonly AnyFactory[] = builtins) =>
  loadConfig('c.yaml', text, factories, { env: () => undefined, file: () => '' });
const problemsOf = (text: string, factories?: readonly AnyFactory[]) => {
  const result = load(text, factories);
  return 'problems' in result ? formatProblems(result.problems) : '';
};

test('spellings of the Collector are taken, each with a warning that gives the new name', () => {
  const result = load(`
receivers: { scheduler_health: }
exporters: { otlphttp/a: { endpoint: "https://x", auth: { authenticator: basicauth } } }
extensions: { scheduler: , basicauth: { client_auth: { username: u, password: p } }, bearertokenauth: { token: t } }
service: { extensions: [scheduler, basicauth, bearertokenauth], pipelines: { logs: { receivers: [scheduler_health], exporters: [otlphttp/a] } } }
`);
  assert.ok('config' in result, JSON.stringify(result));
  assert.deepEqual(result.warnings, [
    'c.yaml:3:14  exporters::otlphttp/a: "otlphttp" is an alias of "otlp_http"',
    'c.yaml:4:28  extensions::basicauth: "basicauth" is an alias of "basic_auth"',
    'c.yaml:4:86  extensions::bearertokenauth: "bearertokenauth" is an alias of "bearer_token_auth"',
  ]);
});

test('a component in a pipeline of a signal that it does not have', () => {
  const logsOnly = defineReceiver({
    ...{ type: 'lines', summary: '', stability: { logs: 'alpha' }, schema: z.strictObject({}) },
    create: () => ({ start: async () => {}, shutdown: async () => {} }),
  });
  const text =
    'receivers: { lines: }\nexporters: { debug: }\nservice: { pipelines: { metrics: { receivers: [lines], exporters: [debug] } } }';
  assert.match(
    problemsOf(text, [...builtins, logsOnly]),
    /^c\.yaml:3:48 {2}service::pipelines::metrics: failed to create "lines" receiver for data type "metrics": telemetry type is not supported$/m,
  );
});

test('what is nested too deep is told, whether the parser still follows or not', () => {
  const nested = (levels: number) => `receivers: ${'['.repeat(levels)}${']'.repeat(levels)}`;
  for (const levels of [70, 15_000]) assert.match(problemsOf(nested(levels)), /nested deeper than 64 levels/);
  assert.match(problemsOf('a: 1\n---\nb: 2\n'), /^c\.yaml:2:1 {2}one file is one document; this is a second one$/m);
});
