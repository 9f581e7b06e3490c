import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { startBmcFleet } from '../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { bmcConfig } from '../support/bmc-config.ts';
import { type Health, healthOf } from '../support/health-schema.ts';
import { agentOf } from '../support/run-agent.ts';
import { temporaryDirectory } from '../support/storage.ts';

const HEALTH = '/api/monitoring/scheduler/health';

/** A whole agent over simulated BMCs, and what its API says. */
async function scene(
  t: import('node:test').TestContext,
  count: number,
  options: { scheduler: string; password?: string },
) {
  const fleet = await startBmcFleet({ count });
  const sink = await startOtlpSink();
  const endpoints = fleet.bmcs.map(({ name, address }) => ({ name, address, mode: 'periodic' }));
  const receiver = 'initial_history: all\nperiodic: { logs_collection_interval: 50ms }';
  const agent = agentOf(bmcConfig({ endpoints, sink, receiver, scheduler: options.scheduler }));
  t.after(async () => {
    await agent.stop();
    await Promise.all([fleet.close(), sink.close()]);
  });
  const start = async () => {
    await agent.start();
    const { address } = await agent.line(({ msg }) => msg === 'monitoring API is listening');
    return String(address);
  };
  return { fleet, agent, start };
}

async function health(address: string): Promise<Health & { readonly text: string }> {
  const text = await (await fetch(`${address}${HEALTH}`)).text();
  return { ...healthOf(text), text };
}

test('no request reaches a BMC before the retry time that was shown, and every attempt that is shown was made', async (t) => {
  const { fleet, start } = await scene(t, 1, {
    scheduler:
      '{ breaker: { failure_threshold: 2, base_delay: 60ms, max_delay: 240ms }, dead_letter: { max_retry_attempts: 100 } }',
  });
  const bmc = fleet.bmc(0);
  bmc.faults.push({ kind: 'status', status: 500 });
  const address = await start();
  let announced: number | undefined;
  let trials = 0;
  for (let attempts = 1; attempts <= 15; attempts++) {
    await fleet.waitFor(() => bmc.journal.length >= attempts);
    const at = performance.timeOrigin + bmc.journal[attempts - 1]!.at;
    // A millisecond: the shown time is rounded, and the two clocks tick on their own.
    if (announced !== undefined) {
      assert.ok(at >= announced - 1, `${announced - at} ms too soon`);
      trials++;
    }
    let shown = (await health(address)).instances[0]!;
    while (shown.pollStatus.inFlight || shown.pollStatus.consecutiveFailures < attempts)
      shown = (await health(address)).instances[0]!;
    if (bmc.journal.length === attempts) assert.equal(shown.pollStatus.consecutiveFailures, attempts);
    const isAhead = bmc.journal.length === attempts && shown.breaker.state === 'open';
    announced = isAhead ? Date.parse(shown.breaker.retryAt!) : undefined;
  }
  assert.ok(trials >= 5, `${trials} retry times were seen in time`);
  bmc.faults.length = 0;
  let healed = await health(address);
  while (healed.instances[0]!.breaker.state !== 'closed') healed = await health(address);
  const { pollStatus, breaker } = healed.instances[0]!;
  assert.deepEqual([pollStatus.lastError, pollStatus.consecutiveFailures, breaker.failureCount], [null, 0, 0]);
});

const hasJq = spawnSync('jq', ['--version']).status === 0;

test('the five queries of the contract’s document say what their headings say', {
  skip: hasJq ? false : 'jq is not installed',
}, async (t) => {
  const { fleet, start } = await scene(t, 4, {
    scheduler: '{ breaker: { failure_threshold: 2, base_delay: 10m, max_delay: 10m } }',
  });
  fleet.bmc(1).faults.push({ kind: 'status', status: 500 });
  fleet.bmc(2).faults.push({ kind: 'status', status: 401 });
  const address = await start();
  let now = await health(address);
  const isThere = ({ instances }: Health) =>
    instances[1]!.breaker.state === 'open' &&
    instances[2]!.deadLetter.present &&
    [0, 3].every((index) => instances[index]!.breaker.state === 'closed');
  while (!isThere(now)) now = await health(address);
  const ask = (query: string) => {
    const { stdout, stderr } = spawnSync('jq', ['-c', query], { input: now.text, encoding: 'utf8' });
    assert.equal(stderr, '');
    return stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  };
  const errors = ask('.instances[] | select(.pollStatus.lastError != null) | {key, lastError: .pollStatus.lastError}');
  assert.deepEqual(
    errors.map(({ key, lastError }) => [key, lastError.category]),
    [
      ['bmc::bmc-1', 'transient'],
      ['bmc::bmc-2', 'permanent'],
    ],
  );
  const parked = ask(
    '.instances[] | select(.deadLetter.present) | {key, reason: .deadLetter.reason, retryCount: .deadLetter.retryCount}',
  );
  assert.deepEqual(parked, [{ key: 'bmc::bmc-2', reason: 'permanent_failure', retryCount: 1 }]);
  const open = ask('.instances[] | select(.breaker.state != "closed") | {key, breaker: .breaker}');
  assert.deepEqual(
    open.map(({ key }) => key),
    ['bmc::bmc-1', 'bmc::bmc-2'],
  );
  const stale = ask('.staleness[] | select(.score > 0.5)');
  assert.deepEqual(
    stale.map(({ instance }) => instance),
    ['bmc-1', 'bmc-2'],
  );
  const streaks = ask(
    '.instances[] | select(.pollStatus.consecutiveFailures > 0) | {key, failures: .pollStatus.consecutiveFailures}',
  );
  assert.deepEqual(streaks, [
    { key: 'bmc::bmc-1', failures: 2 },
    { key: 'bmc::bmc-2', failures: 1 },
  ]);
});

test('the overview shows every component and what its exporters did', async (t) => {
  const { fleet, agent, start } = await scene(t, 1, { scheduler: '{}' });
  fleet.bmc(0).append();
  const address = await start();
  let overview = { components: [], exporters: [] as { sent: number }[] };
  while (overview.exporters[0]?.sent !== 1)
    overview = (await (await fetch(`${address}/api/monitoring/overview`)).json()) as typeof overview;
  assert.deepEqual(
    overview.components.map(({ kind, id, status }) => `${kind} ${id} ${status}`),
    ['scheduler', 'monitoring_api']
      .map((id) => `extension ${id} ok`)
      .concat(['exporter otlp_http ok', 'receiver bmc_logs ok']),
  );
  assert.equal(await agent.metric('otelcol_exporter_sent_log_records'), 1);
});

test('a parked BMC stays parked over a restart, whatever the order of the extensions', async (t) => {
  const directory = await temporaryDirectory(t);
  const fleet = await startBmcFleet({ count: 1 });
  t.after(() => fleet.close());
  const bmc = fleet.bmc(0);
  bmc.faults.push({ kind: 'status', status: 401 });
  const life = async (isSeen: (now: Health) => boolean): Promise<Health> => {
    const agent = agentOf(`
receivers:
  bmc_logs:
    mode: periodic
    periodic: {}
    storage: file_storage
    endpoints: [{ name: bmc-0, address: "${bmc.address}", tls: { insecure: true } }]
exporters: { debug: }
extensions:
  monitoring_api: { endpoint: "127.0.0.1:0", auth: none, snapshot_max_age: 0s }
  scheduler: { storage: file_storage }
  file_storage: { directory: ${directory}/state, ballast_bytes: 0 }
service:
  extensions: [monitoring_api, scheduler, file_storage]
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [bmc_logs], exporters: [debug] } }
`);
    await agent.start();
    const { address } = await agent.line(({ msg }) => msg === 'monitoring API is listening');
    let now = await health(String(address));
    while (!isSeen(now)) now = await health(String(address));
    await agent.stop();
    return now;
  };
  const parked = await life(({ deadLetter }) => deadLetter.count === 1);
  const requests = bmc.journal.length;
  bmc.faults.length = 0;
  const again = await life(({ instances }) => instances.length === 1);
  assert.deepEqual(again.instances[0]!.deadLetter, parked.instances[0]!.deadLetter);
  assert.equal(again.instances[0]!.pollStatus.nextRun, parked.instances[0]!.pollStatus.nextRun);
  assert.equal(bmc.journal.length, requests, 'and nothing was asked of it before its time');
});
