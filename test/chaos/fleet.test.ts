import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readyLine, startChild } from '../support/child.ts';

/** `OUTAGE_SECONDS=30 npm test` waits as long as a real outage lasts; the shape of the test is the same. */
const OUTAGE_SECONDS = Number(process.env.OUTAGE_SECONDS ?? 4);
const BMCS = 50;

interface Counts {
  readonly received: number;
  readonly unique: number;
}

const simulator = (name: string) => new URL(`../simulators/${name}/main.ts`, import.meta.url);
const ask = async <T>(url: string, method = 'GET'): Promise<T> => (await (await fetch(url, { method })).json()) as T;

test(`${BMCS} BMCs, half without a stream, one reboot and a sink that is down for ${OUTAGE_SECONDS} s: nothing lost, nothing doubled`, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'outband-chaos-'));
  const sink = startChild(simulator('otlp-sink'), []);
  const fleet = startChild(simulator('bmc'), ['--count', String(BMCS), '--half-without-sse', '--history', '10']);
  const otlp = await readyLine<{ url: string; control: string }>(sink);
  const bmcs = await readyLine<{ endpoints: { name: string; address: string }[]; control: string }>(fleet);
  const config = join(folder, 'config.yaml');
  await writeFile(config, configFor(bmcs.endpoints, otlp.url));
  // A hard cap: an agent whose memory grew with the outage would die of it, and RSS alone says more of the collector's mood.
  const heap = { NODE_OPTIONS: '--max-old-space-size=96' };
  const agent = startChild(new URL('../../src/main.ts', import.meta.url), ['--config', config], heap);
  let log = '';
  agent.process.stderr?.on('data', (chunk) => {
    log += chunk;
  });
  t.after(async () => {
    await Promise.all([agent.stop(), fleet.stop(), sink.stop()]);
    await rm(folder, { recursive: true });
  });

  const wait = (unique: number) => ask<Counts>(`${otlp.control}/wait?unique=${unique}`);
  const { received: initial } = await wait(BMCS * 10);
  assert.equal(initial, BMCS * 10);
  await ask(`${bmcs.control}/rate?per_second=200`, 'POST');
  await wait(BMCS * 10 + 200);
  await Promise.all([
    ask(`${bmcs.control}/reboot?bmc=0&seconds=1`, 'POST'),
    ask(`${otlp.control}/fault?status=503&seconds=${OUTAGE_SECONDS}`, 'POST'),
  ]);
  await ask(`${bmcs.control}/rate?per_second=0`, 'POST');
  const { published, streams } = await ask<{ published: number; streams: number }>(`${bmcs.control}/truth`);
  await wait(published);
  // Whatever would be sent twice has been after two more reads of every BMC.
  await ask(`${bmcs.control}/polled?times=3`, 'POST');
  const { received, unique } = await wait(published);
  assert.deepEqual({ received, unique }, { received: published, unique: published });

  const downgrades = log.split('\n').filter((line) => line.includes('log stream downgraded to polling'));
  assert.equal(downgrades.length, BMCS / 2, 'one WARN for each BMC without a stream, none for the others');
  assert.ok(!log.includes('\terror\t'), log);
  const peakKib = Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${agent.process.pid}/status`, 'utf8'))?.[1]);
  t.diagnostic(
    `published ${published} received ${received} duplicates 0, ${streams} streams, agent peak RSS ${Math.round(peakKib / 1024)} MiB`,
  );
  assert.ok(peakKib < 300 * 1024, `peak RSS ${peakKib} KiB`);
  assert.equal(await agent.stop(), 0);
});

function configFor(endpoints: readonly { name: string; address: string }[], sink: string): string {
  return `
receivers:
  bmc_logs:
    endpoints: ${JSON.stringify(endpoints)}
    tls: { insecure: true }
    initial_history: all
    periodic: { logs_collection_interval: 1s }
    sse: { min_stream_lifetime: 1s, reconcile_interval: 2s }
    auto: { trial_lifetime: 1s }
exporters:
  otlp_http:
    endpoint: ${sink}
    tls: { insecure: true }
    retry_on_failure: { initial_interval: 500ms, max_interval: 5s }
extensions:
  scheduler: {}
service:
  extensions: [scheduler]
  telemetry: { metrics: { level: none }, logs: { sampling: { enabled: false } } }
  pipelines:
    logs: { receivers: [bmc_logs], exporters: [otlp_http] }
`;
}
