import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBmcFleet } from '../simulators/bmc/fleet.ts';
import { startChild } from '../support/child.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/storage.ts';

const MAIN = new URL('../../src/main.ts', import.meta.url);
const ACCOUNT = { username: 'root', password: 'canary-4f1b' };

test('one line per answer as it comes, a block to paste, and no byte of the password', async (t) => {
  const fleet = await startBmcFleet({ count: 1, account: ACCOUNT });
  t.after(() => fleet.close());
  const bmc = fleet.bmc(0);
  bmc.overlay.push({ path: '/redfish/v1', merge: { Product: 'evil \n\u001b[2J\ntls     OK   forged' } });
  const file = join(await temporaryDirectory(t), 'password');
  await writeFile(file, `${ACCOUNT.password}\n`);
  const args = ['probe', bmc.address, '--username', 'root', '--password-file', file, '--no-stream'];
  const { code, stdout, stderr } = await cli(args);
  assert.equal(code, 0, stderr);
  const topics = stdout.split('\n').flatMap((line) => /^(\w+) +(OK|WARN|FAIL)/.exec(line)?.[1] ?? []);
  assert.deepEqual([...new Set(topics)], ['tls', 'root', 'auth', 'events', 'stream', 'mode', 'logs', 'config']);
  assert.match(stdout, /\nreceivers:\n {2}bmc_logs:\n/);
  assert.ok(!stdout.includes('\u001b'), 'a BMC commands the terminal');
  assert.equal(topics.filter((topic) => topic === 'tls').length, 1, 'a BMC writes a line of its own');
  const json = await cli([...args, '--json'], { env: { OUTBAND_PROBE_PASSWORD: ACCOUNT.password } });
  assert.equal(JSON.parse(json.stdout).version, 1);
  for (const text of [stdout, stderr, json.stdout, json.stderr]) assert.ok(!text.includes(ACCOUNT.password));
});

test('Ctrl-C ends the stream and the session that it has opened', async (t) => {
  const fleet = await startBmcFleet({ count: 1, account: ACCOUNT });
  t.after(() => fleet.close());
  const bmc = fleet.bmc(0);
  bmc.auth = { ...ACCOUNT, sessions: { slots: 1 } };
  const child = startChild(MAIN, ['probe', bmc.address, '--username', 'root'], {
    OUTBAND_PROBE_PASSWORD: ACCOUNT.password,
  });
  let out = '';
  child.process.stdout!.on('data', (chunk) => {
    out += chunk;
  });
  await fleet.waitFor(() => bmc.openStreams === 1);
  assert.equal(bmc.liveSessions, 1);
  child.process.kill('SIGINT');
  assert.equal(await child.stop(), 1);
  assert.match(out, /probe +FAIL +interrupted/);
  assert.deepEqual([bmc.liveSessions, bmc.openStreams], [0, 0]);
});

test('a BMC that never answers is given up after --timeout; a wrong use is told', async (t) => {
  const fleet = await startBmcFleet({ count: 1 });
  t.after(() => fleet.close());
  fleet.bmc(0).faults.push({ path: '/redfish/v1', kind: 'hang' });
  const { code, stdout } = await cli(['probe', fleet.bmc(0).address, '--timeout', '1s']);
  assert.equal(code, 1);
  assert.match(stdout, /probe +FAIL +the probe took longer than 1s/);
  for (const [args, text] of [
    [['probe'], /which BMC\?/],
    [['probe', 'https://a', '--username', 'x'], /--password-file or OUTBAND_PROBE_PASSWORD/],
    [['probe', 'https://a', '--password', 'x'], /unknown flag --password /],
  ] as const) {
    const wrong = await cli(args);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, text);
  }
});
