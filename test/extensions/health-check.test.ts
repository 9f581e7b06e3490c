import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { AgentView, ComponentStatus, ConfigView, StatusOf } from '../../src/component/component.ts';
import { goDuration, HealthCheck } from '../../src/extensions/health-check/extension.ts';
import factory, { type HealthCheckConfig } from '../../src/extensions/health-check/index.ts';
import { aggregate, groupsOf } from '../../src/extensions/health-check/status-tree.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { testHost } from '../../src/testing/host.ts';

const PIPELINES = [{ key: 'logs', receivers: ['bmc_logs'], processors: ['filter'], exporters: ['otlp_http'] }];

function statusOf(
  kind: StatusOf['kind'],
  id: string,
  status: ComponentStatus['status'] = 'ok',
  error?: string,
): StatusOf {
  return { kind, id, status, since: 1_000_000_000n, ...(error !== undefined && { error }) };
}

async function scene(t: TestContext, settings: object = {}) {
  const clock = new FakeClock();
  let view: AgentView = {
    phase: 'starting',
    startedAt: clock.now(),
    runningSince: undefined,
    config: undefined,
    pipelines: PIPELINES,
  };
  let statuses: StatusOf[] = [statusOf('extension', 'health_check')];
  let notAlive: string | undefined;
  const host = {
    ...testHost({ clock }),
    agent: () => view,
    statuses: () => statuses,
    notAlive: async () => notAlive,
  };
  const config = factory.schema.parse({ endpoint: '127.0.0.1:0', ...settings }) as HealthCheckConfig;
  const extension = new HealthCheck(config, host);
  await extension.start();
  t.after(() => extension.shutdown());
  return {
    clock,
    port: extension.port,
    enter(phase: AgentView['phase']) {
      view = { ...view, phase, runningSince: phase === 'running' ? clock.now() : view.runningSince };
    },
    tell(config: ConfigView) {
      view = { ...view, config };
    },
    set(next: StatusOf[]) {
      statuses = next;
    },
    fail(id: string) {
      notAlive = id;
    },
    async ask(path: string, init: RequestInit = {}) {
      const answer = await fetch(`http://127.0.0.1:${extension.port}${path}`, init);
      return { status: answer.status, text: await answer.text() };
    },
  };
}

test('the short answer is the one of the Collector, before, while and after', async (t) => {
  const { clock, ask, enter } = await scene(t);
  const unavailable = {
    status: 503,
    text: '{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""}',
  };
  assert.deepEqual(await ask('/'), unavailable);
  enter('running');
  await clock.advance(50_010);
  assert.deepEqual(await ask('/'), {
    status: 200,
    text: '{"status":"Server available","upSince":"2026-11-25T12:00:00.000Z","uptime":"50.01s"}',
  });
  enter('stopping');
  assert.deepEqual(await ask('/'), unavailable);
});

test('the configuration in force, on the whole status and on a page of its own where that is wanted', async (t) => {
  const config = {
    ...{ hash: 'c0ffee', loadedAt: 1_000_000_000n, shown: { exporters: { debug: null } } },
    lastReload: { at: 2_000_000_000n, outcome: 'failure', error: 'plugins needs a restart' },
  } as const;
  const { ask, enter, tell } = await scene(t, { http: { config: { enabled: true } } });
  assert.equal((await ask('/config')).status, 404, 'nothing is known');
  tell(config);
  enter('running');
  assert.deepEqual(JSON.parse((await ask('/status')).text).attributes, {
    config: {
      ...{ hash: 'c0ffee', loaded_at: '1970-01-01T00:00:01.000Z' },
      last_reload: { at: '1970-01-01T00:00:02.000Z', outcome: 'failure', error: 'plugins needs a restart' },
    },
  });
  assert.deepEqual(JSON.parse((await ask('/config')).text), config.shown);
  const other = await scene(t);
  other.tell(config);
  assert.equal((await other.ask('/config')).status, 404, 'off by default');
});

test('texts of ones own in its place', async (t) => {
  const { ask, enter } = await scene(t, { path: '/health', response_body: { healthy: 'fine', unhealthy: 'not yet' } });
  assert.deepEqual(await ask('/health'), { status: 503, text: 'not yet' });
  enter('running');
  assert.deepEqual(await ask('/health'), { status: 200, text: 'fine' });
  assert.equal((await ask('/')).status, 404);
});

test('ready is not alive, and alive is not ready', async (t) => {
  const { ask, enter, fail } = await scene(t);
  assert.deepEqual(await ask('/readyz'), { status: 503, text: 'starting' });
  assert.deepEqual(await ask('/livez'), { status: 200, text: 'ok' });
  enter('running');
  assert.deepEqual(await ask('/readyz'), { status: 200, text: 'ok' });
  fail('file_storage');
  assert.deepEqual(await ask('/livez'), { status: 503, text: 'file_storage' });
  enter('stopping');
  assert.deepEqual(await ask('/readyz'), { status: 503, text: 'stopping' });
});

test('the whole status, with all components and by pipeline', async (t) => {
  const { ask, enter, set } = await scene(t);
  enter('running');
  set([
    statusOf('extension', 'health_check'),
    statusOf('exporter', 'otlp_http', 'recoverable', 'the backend answers 503'),
    statusOf('processor', 'filter'),
    statusOf('receiver', 'bmc_logs'),
  ]);
  const brief = await ask('/status');
  assert.equal(brief.status, 200);
  assert.deepEqual(JSON.parse(brief.text), {
    start_time: '2026-11-25T12:00:00.000Z',
    healthy: true,
    status: 'StatusRecoverableError',
    error: 'the backend answers 503',
    status_time: '1970-01-01T00:00:01.000Z',
  });
  const { components } = JSON.parse((await ask('/status?verbose')).text);
  assert.deepEqual(Object.keys(components), ['extensions', 'pipeline:logs']);
  assert.deepEqual(Object.keys(components['pipeline:logs'].components), [
    'receiver:bmc_logs',
    'processor:filter',
    'exporter:otlp_http',
  ]);
  assert.equal(components.extensions.status, 'StatusOK');
  assert.equal(JSON.parse((await ask('/status?pipeline=logs')).text).status, 'StatusRecoverableError');
  assert.equal((await ask('/status?pipeline=traces')).status, 404);
  enter('stopping');
  assert.equal((await ask('/status')).status, 503);
});

test('the worst wins, and counts as the settings say', () => {
  const rules = { include_permanent_errors: false, include_recoverable_errors: false, recovery_duration: 60_000 };
  const all = { ...rules, include_permanent_errors: true, include_recoverable_errors: true };
  const [early, late] = [2_000_000_000n, 100_000_000_000n];
  const table = [
    ['ok', rules, early, 200, true],
    ['recoverable', rules, late, 200, true],
    ['recoverable', all, early, 200, true],
    ['recoverable', all, late, 500, false],
    ['permanent', rules, late, 200, true],
    ['permanent', all, early, 500, false],
    ['fatal', rules, early, 500, false],
    ['starting', rules, early, 503, true],
    ['stopping', rules, early, 503, false],
  ] as const;
  for (const [status, rule, now, code, healthy] of table) {
    const group = { extensions: [statusOf('extension', 'a'), statusOf('extension', 'b', status)] };
    const { httpStatus, node } = aggregate(group, rule, now, false);
    assert.deepEqual([httpStatus, node.healthy], [code, healthy], status);
  }
  assert.deepEqual(Object.keys(groupsOf({ pipelines: PIPELINES } as never, [])), ['extensions', 'pipeline:logs']);
});

test('durations as Go prints them', () => {
  const table = [
    [0.0015, '1.5ms'],
    [1, '1s'],
    [50.01, '50.01s'],
    [62, '1m2s'],
    [10_800.5, '3h0m0.5s'],
  ] as const;
  for (const [seconds, text] of table) assert.equal(goDuration(seconds), text);
});

test('a hundred and fifty slow clients that come again do not lock a probe out', async (t) => {
  const { ask, enter, port } = await scene(t);
  enter('running');
  let over = false;
  const slow: Socket[] = [];
  const drip = () => {
    if (over) return;
    const socket = connect(port, '127.0.0.1', () => socket.write('GET /livez HTTP/1.1\r\na'));
    slow.push(socket.on('error', () => {}).once('close', drip));
  };
  t.after(() => {
    over = true;
    for (const socket of slow) socket.destroy();
  });
  for (let n = 0; n < 150; n++) drip();
  await Promise.all(slow.slice(0, 150).map((socket) => once(socket, 'connect')));
  for (let n = 0; n < 20; n++) assert.equal((await ask('/livez')).status, 200);
  assert.equal((await ask('//livez')).status, 404);
  const proxied = connect(port, '127.0.0.1', () =>
    proxied.write(`GET http://127.0.0.1:${port}/livez HTTP/1.0\r\n\r\n`),
  );
  const [answer] = (await once(proxied.setEncoding('utf8'), 'data')) as [string];
  proxied.destroy();
  assert.match(answer, /^HTTP\/1\.1 200 /, 'the whole URL, as a proxy asks');
});

test('whoever drips, posts or shouts is answered or cut, and delays nobody', async (t) => {
  const { ask, enter, port } = await scene(t);
  enter('running');
  const dripping = Array.from({ length: 50 }, () => connect(port, '127.0.0.1'));
  t.after(() => {
    for (const socket of dripping) socket.destroy();
  });
  await Promise.all(dripping.map((socket) => once(socket, 'connect')));
  for (const socket of dripping) socket.on('error', () => {}).write('GET /livez HT');
  const began = performance.now();
  assert.equal((await ask('/livez')).status, 200);
  assert.ok(performance.now() - began < 1_000);
  assert.equal((await ask('/', { method: 'POST', body: 'x' })).status, 405);
  assert.equal((await ask('/livez', { headers: { 'x-large': 'a'.repeat(20_000) } })).status, 431);
  assert.equal((await ask('/nowhere')).status, 404);
  assert.equal((await ask('/', { method: 'HEAD' })).text, '');
});
