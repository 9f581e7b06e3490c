import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/storage.ts';

test('--version tells version, Node and platform', async () => {
  const { code, stdout } = await cli(['--version']);
  assert.equal(code, 0);
  assert.match(stdout, /^outband \d+\.\d+\.\d+ \(Node v\d+\.\d+\.\d+, \w+ \w+\)\n$/);
});

test('--help lists the commands with an example each', async () => {
  const { code, stdout } = await cli(['--help']);
  assert.equal(code, 0);
  for (const text of ['outband --config', 'outband validate --config', 'Exit codes'])
    assert.ok(stdout.includes(text), text);
});

test('without a configuration it says how to run one, and where the demo is', async () => {
  const { code, stderr } = await cli([]);
  assert.equal(code, 2);
  assert.deepEqual(stderr.split('\n'), [
    'no configuration',
    '  outband --config otel-config.yaml   runs one',
    '  npm ci && npm start                 is a demo, in a checkout',
    '',
  ]);
  const demo = await cli(['demo']);
  assert.deepEqual([demo.code, demo.stdout], [1, '']);
  assert.match(demo.stderr, /in the repository.*\n {2}npm ci\n {2}npm start\n$/s);
});

test('every command tells its own flags, and an example', async () => {
  const commands = ['run', 'validate', 'print-config', 'components', 'schema', 'status', 'probe', 'dlq', 'demo'];
  const flags = {
    run: '--set',
    validate: '--json',
    'print-config': '--format',
    components: '--json',
    status: '--watch [2s]',
  };
  for (const command of commands) {
    const { code, stdout, stderr } = await cli([command, '--help']);
    assert.deepEqual([code, stderr], [0, ''], command);
    assert.match(stdout, new RegExp(`^outband ${command}: .*\n\nUsage: outband ${command}.*Example: .*\n$`, 's'));
    assert.ok(stdout.includes((flags as Record<string, string>)[command] ?? ''), stdout);
  }
});

test('a command that reads a configuration reads all of them, and its overrides', async (t) => {
  const folder = await temporaryDirectory(t);
  const base = join(folder, 'base.yaml');
  const service =
    'service: { extensions: [file_storage], pipelines: { logs: { receivers: [scheduler_health], exporters: [debug] } } }';
  await writeFile(base, `receivers: { scheduler_health: }\nexporters: { debug: }\n${service}\n`);
  const site = join(folder, 'site.yaml');
  await writeFile(site, 'extensions: { scheduler: , file_storage: }\n');
  const set = ['--set', `extensions.file_storage.directory=${join(folder, 'state')}`];
  const more = ['--set', 'service.extensions=[scheduler, file_storage]'];
  const { code, stderr } = await cli(['dlq', 'list', '--config', base, '--config', site, ...set, ...more]);
  assert.deepEqual(
    [code, stderr],
    [1, `storage_io  there is no store in ${folder}/state; it is made when the agent first runs\n`],
  );
});

test('the configuration may stand before the command, and components are told to machines, too', async () => {
  const { code, stdout } = await cli(['--config', good, 'components', '--json']);
  assert.equal(code, 0);
  const { version, receivers } = JSON.parse(stdout);
  assert.deepEqual([version, receivers.length > 2], [1, true]);
});

const good = fileURLToPath(new URL('../fixtures/config/good.yaml', import.meta.url));

for (const [args, message] of [
  [
    ['components', '--set', 'a=b'],
    'no configuration\n  outband --config otel-config.yaml   runs one\n  npm ci && npm start                 is a demo, in a checkout',
  ],
  [['validate', '--config='], '--config: the name of the file is empty'],
  [
    ['status', '--endpoint', 'http://u:p@h'],
    '--endpoint: no account belongs into a URL; give a token with --token-file',
  ],
  [['validat', '--config', 'x'], 'unknown command "validat" (did you mean "validate"?); see outband --help'],
  [
    ['otel-config.yaml'],
    'unknown command "otel-config.yaml" (did you mean --config otel-config.yaml?); see outband --help',
  ],
  [['run', '--confg', 'x'], 'unknown flag --confg (did you mean "--config"?); see outband run --help'],
  [['--confg', 'x'], 'unknown flag --confg (did you mean "--config"?); see outband run --help'],
  [['--confg=x'], 'unknown flag --confg (did you mean "--config"?); see outband run --help'],
  [
    ['print-config', '--json'],
    'unknown flag --json (valid values: [--config --defaults --format --set]); see outband print-config --help',
  ],
  [['validate', 'more', '--config', 'x'], 'unexpected argument "more"; see outband validate --help'],
  [['validate', '--config'], "Option '--config <value>' argument missing; see outband validate --help"],
] as const)
  test(`wrong usage (${args.join(' ') || 'no arguments'}) exits 2 with one line`, async () => {
    assert.deepEqual(await cli(args), { code: 2, stdout: '', stderr: `${message}\n` });
  });
