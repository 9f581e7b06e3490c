import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { builtins } from '../../src/builtins.ts';
import { Secret } from '../../src/component/secret.ts';
import { loadConfig } from '../../src/config/load.ts';
import { formatProblems } from '../../src/config/problem.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/storage.ts';

interface Parts {
  receivers?: string;
  exporters?: string;
  extensions?: string;
  more?: string;
}

const yaml = ({ receivers = '', exporters = 'debug: ', extensions = '', more = '' }: Parts) => `
receivers: { scheduler_health: , ${receivers} }
exporters: { ${exporters} }
extensions: { scheduler: , ${extensions} }
${more}
service: { extensions: [scheduler], pipelines: { logs: { receivers: [scheduler_health], exporters: [debug] } } }
`;

function load(text: string, env: Readonly<Record<string, string>>) {
  const missing = () => {
    throw new Error('no such file or directory');
  };
  return loadConfig('c.yaml', text, builtins, { env: (name) => env[name], file: missing });
}

function messages(parts: Parts, env: Readonly<Record<string, string>>): string {
  const result = load(yaml(parts), env);
  return 'problems' in result ? formatProblems(result.problems) : '';
}

for (const password of [
  '!hunter2 x',
  '%hunter2',
  '? [hunter2]',
  '#hunter2',
  '~',
  'null',
  ' ',
  '---',
  '0123',
  '&a b',
  '*a',
  '{x: 1}',
  '"q"',
])
  test(`a password arrives as it is: ${password}`, async (t) => {
    const text = yaml({
      receivers:
        'bmc_logs: { auth: { username: u, password: "${env:P}" }, endpoints: [{ name: a, address: "https://a" }] }',
      exporters: 'debug: , otlp_http: { endpoint: "https://o", headers: [{ name: x, value: "${env:P}" }] }',
      extensions:
        'bearer_token_auth: { token: "${env:P}" }, basic_auth: { client_auth: { username: u, password: "${env:P}" } }',
    });
    const result = load(text, { P: password });
    assert.ok('config' in result, JSON.stringify(result));
    const { receivers, exporters, extensions } = result.config;
    const secrets = [
      (receivers.get('bmc_logs')!.config as { auth: { password: Secret } }).auth.password,
      (exporters.get('otlp_http')!.config as { headers: { value: Secret }[] }).headers[0]!.value,
      (extensions.get('bearer_token_auth')!.config as { token: Secret }).token,
      (extensions.get('basic_auth')!.config as { client_auth: { password: Secret } }).client_auth.password,
    ];
    assert.deepEqual(
      secrets.map((secret) => secret instanceof Secret && secret.reveal()),
      secrets.map(() => password),
    );
    const file = join(await temporaryDirectory(t), 'c.yaml');
    await writeFile(file, text);
    assert.deepEqual(await cli(['validate', '--config', file], { env: { P: password } }), {
      code: 0,
      stdout: '',
      stderr: '',
    });
  });

const CANARIES = [
  'hunter2',
  'se"cret\nhunter2',
  '-7771234',
  '{hunter2: v7771234}',
  '[hunter2]',
  'https://u:hunter2@h',
  '7771234',
];

test('no message repeats what came by reference, whatever the setting and the value', () => {
  const places: Parts[] = [
    {
      exporters:
        'debug: , otlp_http: { endpoint: "https://o", encoding: "${env:C}", compression: "${env:C}", timeout: "${env:C}", max_request_size: "${env:C}" }',
    },
    {
      exporters:
        'debug: { verbosity: "${env:C}", sending_queue: { sizer: "${env:C}", storage: "x-${env:C}", queue_size: "${env:C}" } }',
    },
    { exporters: 'debug: , otlp_http: { endpoint: "https://o", headers: "${env:C}" }' },
    { receivers: 'bmc_logs: { auth: "${env:C}", mode: "${env:C}", shard: "${env:C}", endpoints: "${env:C}" }' },
    {
      receivers:
        'attestation: { models: [{ model: m, url: "${env:C}", strategy: "${env:C}" }], max_pools: "${env:C}" }',
    },
    {
      receivers:
        'attestation: { initial: { calls: 9, max_calls: "${env:C}" }, verification: { gpu: "${env:C}", mode: "${env:C}" } }',
    },
    {
      receivers:
        'scheduler_health/x: { per_target: "${env:C}", collection_interval: "${env:C}", scheduler: "${env:C}" }',
    },
    {
      extensions: 'scheduler/x: { concurrency: { per_type: { k: "${env:C}" } }, breaker: { base_delay: "${env:C}" } }',
    },
    { extensions: 'monitoring_api: { auth: "${env:C}", endpoint: "${env:C}", scheduler: "${env:C}" }' },
  ];
  for (const canary of CANARIES)
    for (const place of places) {
      const told = messages(place, { C: canary });
      for (const text of ['hunter2', '7771234']) assert.ok(!told.includes(text), `${canary}\n${told}`);
    }
});

test('a reference in a reference is told as it was written, and so is what is not set in it', () => {
  for (const [written, told] of [
    ['${env:${env:N}}', '${env:${env:N}} is not a reference; write $$ for one $'],
    ['${file:${env:N}}', 'cannot read ${file:${env:N}}: no such file or directory'],
    ['${file:${env:DIR}/bmc}', 'cannot read ${file:${env:DIR}/bmc}: no such file or directory (${env:DIR} is not set)'],
  ] as const) {
    const text = messages({ extensions: `bearer_token_auth: { token: "${written}" }` }, { N: 'hunter2!' });
    assert.ok(text.includes(`extensions::bearer_token_auth::token: ${told}\n`), text);
  }
});

test('blanks in an id lead nobody to another place, and show no value', () => {
  const result = load(
    `
receivers: { scheduler_health: }
exporters:
  debug:
  "debug / a":
    sending_queue:
      storage: "\${env:S}"
extensions: { scheduler: }
service: { extensions: [scheduler], pipelines: { logs: { receivers: [scheduler_health], exporters: [debug] } } }
`,
    { S: 'hunter2' },
  );
  assert.ok('problems' in result);
  assert.match(
    formatProblems(result.problems),
    /^c\.yaml:7:16 {2}exporters::debug\/a::sending_queue::storage: references extension/m,
  );
  assert.doesNotMatch(formatProblems(result.problems), /hunter2/);
});

test('an unknown key is one, also with nothing behind it; a pipeline with nothing in it lacks its parts', () => {
  const told = messages({ exporters: 'debug: { verbosty: , qux: "${env:UNSET}" }', more: '' }, {});
  assert.match(told, /debug: has invalid keys: verbosty \(did you mean "verbosity"\?\)/);
  assert.match(told, /debug: has invalid keys: qux/);
  const empty = load(yaml({}).replace('pipelines: {', 'pipelines: { metrics: ,'), {});
  assert.ok('problems' in empty);
  assert.match(formatProblems(empty.problems), /pipelines::metrics: must have at least one receiver/);
});

test('a variable that is not set is named where a rule of its section breaks, and inside a secret', () => {
  const told = messages(
    { exporters: 'debug: , otlp_http: { endpoint: "${env:EP}", headers: { a: "Bearer ${env:TOKEN}" } }' },
    {},
  );
  assert.match(told, /either endpoint or logs_endpoint must be specified \(\$\{env:EP\} is not set\)/);
  assert.match(told, /headers::a: \$\{env:TOKEN\} is not set/);
});

test('no line of a mistake commands a terminal or ends before its end', () => {
  const told = messages({ exporters: 'debug: , "debug/a\\nb": , "otlp_http": { "fo\\u001b[2J": 1 }' }, {});
  for (const line of told.split('\n')) assert.match(line, /^(c\.yaml:\d+:\d+ {2}|\d+ errors? in)/);
  assert.ok(!told.includes('\u001b'));
});

test('ordinary words that came by reference garble no other message', () => {
  const env = {
    LEVEL: 'debug',
    A: 'queue',
    V: 'verbose',
    S: '{ endpoint: "https://x", sending_queue: { batch: { min_size: 10, max_size: 1 } } }',
  };
  const level = load(
    `receivers: { scheduler_health: }
exporters: { debug: }
extensions: { scheduler: }
service: { extensions: [scheduler], telemetry: { logs: { level: "\${env:LEVEL}" } }, pipelines: { logs: { receivers: [scheduler_health], exporters: [debgu] } } }`,
    env,
  );
  assert.ok('problems' in level);
  assert.match(
    formatProblems(level.problems),
    /references exporter "debgu" which is not configured \(did you mean "debug"\?\)/,
  );
  assert.match(
    messages({ exporters: 'debug: { verbosity: basic, sending_queue: { queue_size: 0, storage: "${env:A}" } }' }, env),
    /debug::sending_queue: `queue_size` must be positive/,
  );
  assert.match(
    messages({ exporters: 'debug: { verbosity: "${env:V}", verbose: 1 }' }, env),
    /has invalid keys: verbose/,
  );
  assert.match(
    messages({ exporters: 'debug: , otlp_http: "${env:S}"' }, env),
    /otlp_http::sending_queue::batch: `max_size` must be greater than or equal to `min_size` \(from \$\{env:S\}\)/,
  );
});

test('what is missing in a value that came by reference is named, and what it names itself is not', () => {
  const told = messages({ receivers: 'bmc_logs: { endpoints: "${env:E}" }' }, { E: '[{ name: hunter2, hunter3: 1 }]' });
  assert.match(told, /bmc_logs::endpoints::0::address: is required \(from \$\{env:E\}\)/);
  assert.match(told, /bmc_logs::endpoints::0: has invalid keys: \$\{env:E\}/);
  assert.doesNotMatch(told, /hunter/);
});

test('a part of another form is one mistake, and misses nothing', () => {
  const count = (text: string) => {
    const result = load(text, {});
    return 'problems' in result ? result.problems.map(({ path, message }) => `${path}: ${message}`) : [];
  };
  const base = yaml({});
  assert.deepEqual(count(base.replace('exporters: [debug]', 'exporters: debug')), [
    "service::pipelines::logs::exporters: expected type 'slice', got 'string'",
  ]);
  assert.deepEqual(count(base.replace(/service: .*/, 'service: x')), ["service: expected type 'map', got 'string'"]);
  assert.deepEqual(count(base.replace('exporters: { debug:  }', 'exporters: []')), [
    "exporters: expected type 'map', got 'slice'",
  ]);
});

test('aliases count as they are written; what they stand for has a bound of its own', () => {
  const nine = Array.from({ length: 9 }, (_, n) => `  otlp_http/${n}: { endpoint: "https://x", headers: *h }`).join(
    '\n',
  );
  const good = `
receivers: { scheduler_health: }
exporters:
  debug:
  otlp_http: { endpoint: "https://x", headers: &h { a: &t x, b: *t, c: *t, d: *t, e: *t, f: *t } }
${nine}
extensions: { scheduler: }
service: { extensions: [scheduler], pipelines: { logs: { receivers: [scheduler_health], exporters: [debug] } } }
`;
  assert.ok('config' in load(good, {}));
  const levels = Array.from({ length: 8 }, (_, n) => `  l${n + 1}: &l${n + 1} [${Array(6).fill(`*l${n}`).join(', ')}]`);
  const bomb = load(`x:\n  l0: &l0 [a, b, c, d, e, f]\n${levels.join('\n')}\n`, {});
  assert.ok('problems' in bomb);
  assert.match(formatProblems(bomb.problems), /^c\.yaml:\d+:\d+ {2}alias \*l6 stands for more than 100000 values$/m);
});

test('a default stands in the file: it is told, and so is what was meant', () => {
  const text = yaml({}).replace('exporters: [debug]', 'exporters: "${env:EXPORTERS:-[debgu]}"');
  const told = (env: Readonly<Record<string, string>>) => {
    const result = load(text, env);
    assert.ok('problems' in result);
    return formatProblems(result.problems);
  };
  assert.match(told({}), /references exporter "debgu" which is not configured \(did you mean "debug"\?\)/);
  assert.doesNotMatch(told({ EXPORTERS: '[hunter2]' }), /hunter2/);
});
