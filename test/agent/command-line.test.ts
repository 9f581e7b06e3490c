import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli } from '../support/cli.ts';

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

for (const [args, message] of [
  [['validat', '--config', 'x'], /unknown command "validat" \(did you mean "validate"\?\)/],
  [['run', '--confg', 'x'], /Unknown option '--confg'/],
  [['validate', 'more', '--config', 'x'], /unexpected argument "more"/],
] as const)
  test(`wrong usage (${args.join(' ') || 'no arguments'}) exits 2 with one line`, async () => {
    const { code, stdout, stderr } = await cli(args);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, message);
    assert.equal(stderr.trim().split('\n').length, 1);
  });
