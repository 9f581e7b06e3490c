import assert from 'node:assert/strict';
import { test } from 'node:test';
import { builtins } from '../../src/builtins.ts';
import { loadConfig } from '../../src/config/load.ts';
import { formatProblems } from '../../src/config/problem.ts';
import { expandReferences } from '../../src/config/references.ts';

const env: Record<string, string> = {
  HOST: 'example.net',
  PORT: '8080',
  LIST: '[a, b]',
  EMPTY: '',
  TRICKY: 'pa$$w${HOST}rd',
  NAME: 'HOST',
  DIR: 'secrets',
};
const source = {
  env: (name: string) => env[name],
  file: (path: string) => {
    if (path === 'secrets/bmc') return 'from file\n';
    throw new Error(`cannot read \${file:${path}}: no such file or directory`);
  },
};
const expand = (value: unknown) => expandReferences(value, source);

for (const [written, expected] of [
  ['plain', 'plain'],
  ['${env:HOST}', 'example.net'],
  ['${HOST}', 'example.net'],
  ['https://${env:HOST}:${env:PORT}/x', 'https://example.net:8080/x'],
  ['${env:PORT}', 8080],
  ['${env:LIST}', ['a', 'b']],
  ['${env:MISSING:-fallback}', 'fallback'],
  ['${env:MISSING:-[{ a: 1 }]}', [{ a: 1 }]],
  ['${env:EMPTY:-fallback}', null],
  ['costs 5$$', 'costs 5$'],
  ['$${env:HOST}', '${env:HOST}'],
  ['${env:TRICKY}', 'pa$$w${HOST}rd'],
  ['${env:${env:NAME}}', 'example.net'],
  ['${file:${env:DIR}/bmc}', 'from file'],
] as const)
  test(`${written} becomes ${JSON.stringify(expected)}`, () => {
    const { value, problems } = expand({ key: written });
    assert.deepEqual(value, { key: expected });
    assert.deepEqual(problems, []);
  });

test('keys are never expanded', () => assert.deepEqual(expand({ '${env:HOST}': 1 }).value, { '${env:HOST}': 1 }));

test('an unset variable without default is null and a warning', () => {
  const { value, warnings } = expand({ a: ['${env:MISSING}'] });
  assert.deepEqual(value, { a: [null] });
  assert.deepEqual(warnings, [{ path: ['a', 0], message: '${env:MISSING} is not set' }]);
});

test('a file that is missing, an open brace and a strange name are problems at their place', () => {
  const { problems } = expand({ a: '${file:nowhere}', b: '${env:HOST', c: '${http://x}' });
  assert.deepEqual(
    problems.map(({ path }) => path),
    [['a'], ['b'], ['c']],
  );
  assert.match(problems[0]!.message, /no such file/);
});

test('a secret from a file that others may read is a warning with file and mode; anything else from there is none', () => {
  const yaml = (password: string) => `
receivers:
  bmc_logs: { endpoints: [{ name: a, address: "\${file:host}" }], auth: { username: root, password: "${password}" } }
exporters: { debug: }
extensions: { scheduler: }
service: { extensions: [scheduler], pipelines: { logs: { receivers: [bmc_logs], exporters: [debug] } } }
`;
  const warnings = (text: string, mode: string | undefined) => {
    const read = loadConfig('a.yaml', text, builtins, {
      ...{ env: () => 'given', file: (path) => (path === 'host' ? 'bmc.example' : '0123') },
      openMode: () => mode,
    });
    assert.ok('config' in read, JSON.stringify(read));
    return read.warnings;
  };
  assert.deepEqual(warnings(yaml('${file:pw}'), '0644'), [
    'a.yaml:3:100  receivers::bmc_logs::auth::password: pw holds a secret, and others may read it (mode 0644)',
  ]);
  const holds = /auth::password: pw holds a secret, and others may read it \(mode 0644\)$/;
  assert.match(
    warnings(yaml('${file:${env:PW:-pw}}'), '0644').join(),
    /auth::password: \$\{file:\$\{env:PW:-pw\}\} holds a secret/,
  );
  assert.match(warnings(yaml('x-${file:pw}'), '0644').join(), holds);
  const header = yaml('${file:pw}').replace(
    'debug:',
    'otlp_http: { endpoint: "https://o", headers: { authorization: "Bearer ${file:key}" } }',
  );
  const withHeader = warnings(header.replace('[debug]', '[otlp_http]'), '0644');
  assert.equal(withHeader.length, 2);
  assert.match(withHeader.join(), /otlp_http::headers::authorization: key holds a secret/);
  assert.deepEqual(warnings(yaml('${file:pw}'), undefined), []);
  assert.deepEqual(warnings(yaml('${env:PW}'), '0644'), []);
});

test('a value of another type is told in the words of the Collector, in every place', () => {
  const read = loadConfig(
    'x.yaml',
    `
receivers: { bmc_logs: [a], attestation: 7 }
exporters: { otlp_http: { sending_queue: { queue_size: many, batch: 3 }, retry_on_failure: { multiplier: high } } }
service: { pipelines: [logs] }
`,
    builtins,
    { env: () => undefined, file: () => '' },
  );
  assert.ok('problems' in read);
  const text = formatProblems(read.problems);
  assert.doesNotMatch(text, /Invalid input/);
  for (const line of [
    "receivers::bmc_logs: expected type 'map', got 'slice'",
    "receivers::attestation: expected type 'map', got 'int'",
    "sending_queue::queue_size: expected type 'int', got 'string'",
    "retry_on_failure::multiplier: expected type 'float64', got 'string'",
    "service::pipelines: expected type 'map', got 'slice'",
  ])
    assert.ok(text.includes(line), `${line}\n${text}`);
});

test('a value that came by reference stands in no message, of whatever setting, nor does one inside it', () => {
  const read = loadConfig(
    'x.yaml',
    `
receivers: { bmc_logs: { endpoints: "\${env:SEC}", request_timeout: "\${env:SEC}", shard: "\${env:NUMBER}", storage: "\${env:SEC}" } }
exporters:
  otlp_http: { endpoint: "\${env:SEC}", headers: { a: "\${env:NUMBER}", b: "\${env:UNSET}" }, sending_queue: { sizer: "\${env:SEC}", batch: "\${env:MAP}" } }
service: { pipelines: { logs: { receivers: [bmc_logs], exporters: ["\${env:SEC}"] } } }
`,
    builtins,
    { env: (name) => ({ SEC: 'hunter2', NUMBER: '-47', MAP: '{ min_size: hunter3 }' })[name], file: () => '' },
  );
  assert.ok('problems' in read);
  const text = formatProblems(read.problems);
  assert.doesNotMatch(text, /hunter|47/);
  assert.match(text, /request_timeout: expected a duration, got \$\{env:SEC\}/);
  assert.match(text, /headers::b: \$\{env:UNSET\} is not set/);
  assert.match(text, /references exporter \$\{env:SEC\} which is not configured/);
  assert.doesNotMatch(text, /headers::a/, 'a header that looks like a number is a text');
});
