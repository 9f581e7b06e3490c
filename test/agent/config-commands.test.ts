import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { builtins } from '../../src/builtins.ts';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/storage.ts';

const BASE = `
receivers:
  bmc_logs:
    endpoints: [{ name: a, address: "https://a.example.org", auth: { username: ro, password: "\${env:PW}" } }]
exporters:
  debug:
  otlp_http: { endpoint: "https://otlp.example.org", headers: { x-key: "\${file:key.txt}" } }
extensions:
  scheduler:
service:
  extensions: [scheduler]
  telemetry: { logs: { level: warn } }
  pipelines:
    logs: { receivers: [bmc_logs], exporters: [debug, otlp_http] }
`;
const env = { PW: 'canary-password' };

async function files(t: import('node:test').TestContext, contents: Record<string, string>) {
  const folder = await temporaryDirectory(t);
  await writeFile(join(folder, 'key.txt'), 'canary-key\n');
  for (const [name, content] of Object.entries(contents)) await writeFile(join(folder, name), content);
  return folder;
}

test('several files are one: maps merge, the rest is replaced, null takes away; overrides stand above all', async (t) => {
  const cwd = await files(t, {
    'a.yaml': BASE,
    'b.yaml': `
exporters: { otlp_http: null }
receivers: { bmc_logs: { periodic: { logs_collection_interval: 1m } } }
service: { pipelines: { logs: { exporters: [debug] } } }
`,
  });
  const args = ['--config', 'a.yaml', '--config', 'b.yaml', '--set', 'receivers::bmc_logs::shards_count=4'];
  const { code, stdout, stderr } = await cli(['print-config', ...args, '--set=receivers.bmc_logs.shard=3'], {
    cwd,
    env,
  });
  assert.equal(code, 0, stderr);
  const shown = parse(stdout);
  assert.deepEqual(shown.receivers.bmc_logs.periodic, { logs_collection_interval: '1m' });
  assert.equal(shown.receivers.bmc_logs.endpoints[0].name, 'a');
  assert.deepEqual([shown.receivers.bmc_logs.shard, shown.receivers.bmc_logs.shards_count], [3, 4]);
  assert.deepEqual(shown.service.pipelines.logs, { receivers: ['bmc_logs'], exporters: ['debug'] });
  assert.equal(shown.service.telemetry.logs.level, 'warn');
});

test('a mistake is told where it was made: in the file that said it last, or in the override', async (t) => {
  const cwd = await files(t, {
    'a.yaml': BASE,
    'b.yaml': 'receivers:\n  bmc_logs:\n    shard: x\n    sharf: 1\n',
  });
  const args = [
    'validate',
    '--config',
    'a.yaml',
    '--config',
    'b.yaml',
    '--set',
    'receivers.bmc_logs.request_timeout=7',
  ];
  const { code, stderr } = await cli(args, { cwd, env });
  assert.equal(code, 1);
  assert.deepEqual(stderr.trim().split('\n'), [
    '--set receivers.bmc_logs.request_timeout  receivers::bmc_logs::request_timeout: expected a duration, got 7 (did you mean "7s"?)',
    "b.yaml:3:12  receivers::bmc_logs::shard: expected type 'int', got 'string'",
    'b.yaml:4:5  receivers::bmc_logs: has invalid keys: sharf (did you mean "shard"?)',
    '3 errors in the configuration',
  ]);
  const json = await cli([...args, '--json'], { cwd, env });
  assert.equal(json.code, 1);
  const { version, errors } = JSON.parse(json.stdout);
  assert.equal(version, 1);
  assert.deepEqual(
    errors.map(({ line, column, code: one, suggestion }: Record<string, unknown>) => [line, column, one, suggestion]),
    [
      [0, 0, 'config_value', '7s'],
      [3, 12, 'config_value', null],
      [4, 5, 'config_unknown_key', 'shard'],
    ],
  );
});

test('an override without a value is wrong usage', async (t) => {
  const cwd = await files(t, { 'a.yaml': BASE });
  const { code, stderr } = await cli(['--config', 'a.yaml', '--set', 'x'], { cwd, env });
  assert.deepEqual([code, stderr], [2, '--set x: missing equal sign\n']);
});

test('what is printed shows no secret, and is a configuration itself', async (t) => {
  const cwd = await files(t, { 'a.yaml': BASE });
  for (const [format, more] of [
    ['yaml', []],
    ['json', ['--defaults']],
  ] as const) {
    const { code, stdout, stderr } = await cli(['print-config', '--config', 'a.yaml', '--format', format, ...more], {
      cwd,
      env,
    });
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stdout + stderr, /canary/);
    assert.match(stdout, /\[REDACTED\]/);
    await writeFile(join(cwd, 'printed.yaml'), stdout);
    const again = await cli(['validate', '--config', 'printed.yaml'], { cwd, env });
    assert.equal(again.code, 0, again.stderr);
  }
});

test('the JSON Schema takes what the agent takes, and refuses what it refuses', async (t) => {
  const schema = configJsonSchema(builtins);
  const check = new Ajv2020({ strict: false }).compile(schema as object);
  const cwd = await files(t, {});
  const { stdout } = await cli(['schema'], { cwd });
  assert.deepEqual(JSON.parse(stdout), JSON.parse(JSON.stringify(schema)));
  const { readFile } = await import('node:fs/promises');
  const shipped = await readFile(new URL('../../otel-config.yaml', import.meta.url), 'utf8');
  const nothingSaid = BASE.replace(
    'endpoints:',
    'tls: { ca_file: null }\n    sse:\n    auto: { trial_lifetime: null }\n    shard: null\n    storage: null\n    endpoints:',
  )
    .replace('otlp_http: {', 'otlp_http: { sending_queue: { batch: , queue_size: , sizer: }, compression: ,')
    .replace('  scheduler:\nservice', '  scheduler :\n  scheduler / two: { breaker: { jitter: } }\nservice')
    .replace('telemetry:', 'shutdown_timeout: ~\n  telemetry:');
  await writeFile(join(cwd, 'null.yaml'), nothingSaid);
  const validated = await cli(['validate', '--config', 'null.yaml'], { cwd, env });
  assert.equal(validated.code, 0, validated.stderr);
  for (const good of [shipped, BASE, nothingSaid])
    assert.ok(check(parse(good)), JSON.stringify(check.errors?.slice(0, 5)));
  for (const bad of [
    BASE.replace('endpoints:', 'endpoint:'),
    BASE.replace('  debug:', '  debugs:'),
    BASE.replace('bmc_logs:\n', 'bmc_logs:\n    request_timeout: 30 seconds\n'),
    BASE.replace('bmc_logs:\n', 'bmc_logs:\n    shard: many\n'),
    BASE.replace('level: warn', 'level: loud'),
  ])
    assert.ok(!check(parse(bad)), bad);
});

test('components are listed with what they are good for', async (t) => {
  const { code, stdout } = await cli(['components'], { cwd: await files(t, {}) });
  assert.equal(code, 0);
  const { receivers, exporters, extensions, buildinfo } = parse(stdout);
  assert.equal(buildinfo.command, 'outband');
  assert.ok(
    receivers.some(
      ({ name, stability }: never) => name === 'attestation' && (stability as { logs: string }).logs === 'beta',
    ),
  );
  assert.ok(
    exporters.some(
      ({ name, aliases }: { name: string; aliases?: string[] }) =>
        name === 'otlp_http' && aliases?.includes('otlphttp'),
    ),
  );
  assert.ok(extensions.length > 0);
});
