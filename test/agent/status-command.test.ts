import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type HealthView, statusTable } from '../../src/commands/status-table.ts';
import { cli } from '../support/cli.ts';
import { apiScene, TOKEN } from '../support/monitoring-api.ts';
import { temporaryDirectory } from '../support/storage.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

type Instance = HealthView['instances'][number];

function instance(name: string, change: Partial<Instance> = {}): Instance {
  return {
    ...{ type: 'bmc', displayName: name, instance: name, mode: 'stream', deadLetter: { present: false } },
    pollStatus: { lastSuccess: '2026-01-01T00:00:00Z', lastError: null, consecutiveFailures: 0 },
    breaker: { state: 'closed', retryAt: null },
    ...change,
  };
}

const failing = {
  pollStatus: {
    lastSuccess: null,
    lastError: { message: `connect ECONNREFUSED \u001b[2J${'x'.repeat(300)}` },
    consecutiveFailures: 3,
  },
  breaker: { state: 'open', retryAt: '2026-01-01T00:01:00Z' },
};

const HEALTH: HealthView = {
  updatedAt: '2026-01-01T00:00:30Z',
  summary: { targets: 2, late: 1, parked: 0, breakers: { open: 1, half_open: 0 } },
  staleness: [{ type: 'bmc', instance: 'b', score: 0.7 }],
  instances: [instance('a'), instance('b', failing)],
};

test('one row per target, cut and never wrapped, and nothing of a target commands the terminal', () => {
  const lines = statusTable(HEALTH, 100, false).split('\n');
  assert.equal(lines[0], 'targets 2  overdue 1  open breakers 1  parked 0  oldest success 30s ago');
  assert.match(lines[1]!, /^NAME +TYPE +MODE +BREAKER +LAST SUCCESS +FAILURES +STALENESS +LAST ERROR$/);
  assert.match(lines[2]!, /^a +bmc +stream +closed +30s ago +0 +0\.00$/);
  assert.match(lines[3]!, /^b +bmc +stream +open +never +3 +0\.70 +connect ECONNREFUSED/);
  assert.equal(lines.length, 4);
  for (const line of lines) {
    assert.ok(line.length <= 100);
    assert.ok(!line.includes('\u001b'));
  }
  assert.equal(statusTable(HEALTH, 100, true).split('\n').length, 3);
});

test('asks a running agent, with its token', async (t) => {
  const { origin, scheduler } = await apiScene(t);
  scheduler.register(
    { type: 'bmc', name: 'rack-1', connection: 'https://rack-1', run: async () => ({}) },
    { interval: 60_000 },
  );
  const file = join(await temporaryDirectory(t), 'token');
  await writeFile(file, `ops: ${TOKEN}\n`);
  const refused = await cli(['status', '--endpoint', origin]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^agent_unreachable {2}http:.* answered 401; Give a token/);
  const { code, stdout } = await cli(['status', '--endpoint', origin, '--token-file', file]);
  assert.equal(code, 0);
  assert.match(stdout, /^targets 1 .*\nNAME.*\nrack-1 +bmc/);
  const json = await cli(['status', '--endpoint', origin, '--token-file', file, '--json']);
  assert.equal(JSON.parse(json.stdout).version, 1);
});

test('watches an agent, also while it is away', async (t) => {
  let isAway = false;
  const server = createServer((request, response) => {
    if (isAway) return request.socket.destroy();
    response.end(JSON.stringify(HEALTH));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const watch = spawn(process.execPath, [MAIN, 'status', '--watch', '20ms', '--endpoint', `http://127.0.0.1:${port}`]);
  t.after(() => watch.kill('SIGKILL'));
  const steps = [/^targets 2/, /cannot be reached/, /^targets 2/];
  for await (const line of createInterface({ input: watch.stdout })) {
    if (!steps[0]!.test(line)) continue;
    steps.shift();
    isAway = steps.length === 2;
    if (steps.length === 0) break;
  }
  assert.equal(watch.exitCode, null, 'it goes on');
});

test('a check is silent, and its code says alive or not', async (t) => {
  let status = 200;
  const endpoint = await serve(t, () => status);
  assert.deepEqual(await cli(['status', '--check', '--endpoint', endpoint]), { code: 0, stdout: '', stderr: '' });
  status = 503;
  assert.deepEqual(await cli(['status', '--check', '--endpoint', endpoint]), { code: 1, stdout: '', stderr: '' });
  assert.equal((await cli(['status', '--check', '--endpoint', 'http://127.0.0.1:1'])).code, 1);
});

test('nothing there, and wrong usage', async () => {
  const away = await cli(['status', '--endpoint', 'http://127.0.0.1:1']);
  assert.equal(away.code, 1);
  assert.match(away.stderr, /^agent_unreachable {2}http:\/\/127.0.0.1:1.* cannot be reached/);
  for (const args of [['--watch', 'often'], ['--endpoint', 'nowhere'], ['--fail']])
    assert.equal((await cli(['status', ...args])).code, 2);
});

test('an answer that is no health, whatever it is, is one line; nothing in one commands the terminal', async (t) => {
  let body = '';
  const server = createServer((_, response) => response.end(body)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (body of ['<html>', '{}', 'null', '[]', '"x"', JSON.stringify({ ...HEALTH, instances: [{}] })])
    for (const more of [[], ['--json']]) {
      const { code, stdout, stderr } = await cli(['status', '--endpoint', endpoint, ...more]);
      assert.deepEqual([code, stdout], [1, ''], body);
      assert.match(stderr, /^agent_unreachable {2}.*no health of a scheduler\n$/);
    }
  body = JSON.stringify({
    ...HEALTH,
    version: 7,
    instances: [instance('a', { mode: 'po\u001b]0;t\u0007ll\nFAKE ROW' })],
  });
  const table = await cli(['status', '--endpoint', endpoint]);
  assert.equal(table.stdout.split('\n').length, 4);
  assert.ok(!table.stdout.includes('\u001b'));
  assert.equal(JSON.parse((await cli(['status', '--endpoint', endpoint, '--json'])).stdout).version, 1);
});

test('who watches through a pipe that closes is not left running', async (t) => {
  const server = createServer((_, response) => response.end(JSON.stringify(HEALTH))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const watch = spawn(process.execPath, [MAIN, 'status', '--watch', '20ms', '--endpoint', endpoint]);
  t.after(() => watch.kill('SIGKILL'));
  await once(watch.stdout, 'data');
  watch.stdout.destroy();
  assert.deepEqual(await once(watch, 'exit'), [0, null]);
});

async function serve(t: TestContext, status: () => number): Promise<string> {
  const server = createServer((_, response) => response.writeHead(status()).end('ok')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
