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

for (const [args, message] of [
  [[], /no configuration: outband --config/],
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
