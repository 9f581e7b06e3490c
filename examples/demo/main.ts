// The demo: simulated BMCs, an attested fleet behind a balancer and an OTLP sink as processes of their own, and the agent
// between them on the repository's otel-config.yaml, byte for byte. Prints counts every two seconds; breaks a BMC and the sink,
// renews a backend's key and kills the agent, so that one sees everything heal.

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { DeadLetterTool } from '../../src/extensions/file-storage/dead-letter-tool.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { type Child, readyLine, startChild } from '../../test/support/child.ts';

const BMCS = 12;
const BACKENDS = 5;
const ENTRIES_PER_SECOND = 10;
const REPORT_EVERY_MS = 2_000;
/** Longest wait for what the BMCs still hold, after the last entry was written. */
const DRAIN_MS = 40_000;
const PASSWORD = 'demo';

interface Counts {
  readonly received: number;
  readonly unique: number;
  /** Of metrics. */
  readonly points: number;
}

interface AttestedReady {
  readonly proxy: string;
  readonly domain: string;
  readonly control: string;
  readonly pccs: string;
  readonly tlsCaFile: string;
  readonly rootCaFile: string;
  readonly osImageHash: string;
  readonly composeHash: string;
  readonly measurements: Readonly<Record<string, string>>;
}

interface PoolView {
  readonly pins: readonly unknown[];
  readonly declared: number | null;
  readonly coverage: string;
}

const { values } = parseArgs({ options: { duration: { type: 'string' } } });
const durationMs =
  values.duration === undefined ? Number.POSITIVE_INFINITY : Number.parseFloat(values.duration) * 1_000;

const say = (text: string) => process.stdout.write(`${text}\n`);
const post = async (url: string, body?: unknown) => {
  await (await fetch(url, { method: 'POST', ...(body !== undefined && { body: JSON.stringify(body) }) })).text();
};
const ask = async <T>(url: string): Promise<T> => (await (await fetch(url)).json()) as T;

const stopped = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopped.abort());

const children: Child[] = [];
process.exitCode = 1;
const state = await mkdtemp(join(tmpdir(), 'outband-demo-'));
try {
  await runDemo();
} finally {
  for (const child of children) child.process.stdin?.end();
  await rm(state, { recursive: true, force: true });
}

async function runDemo(): Promise<void> {
  say(
    `Starting ${BMCS} simulated BMCs, every second one without an event stream, ${BACKENDS} attested backends behind one name, an OTLP sink, and the agent.`,
  );
  const sink = startChild(new URL('../../test/simulators/otlp-sink/main.ts', import.meta.url), []);
  children.push(sink);
  const fleet = startChild(new URL('../../test/simulators/bmc/main.ts', import.meta.url), [
    ...['--count', String(BMCS), '--tls', '--half-without-sse', '--history', '5'],
    ...['--username', 'demo', '--password', PASSWORD],
  ]);
  children.push(fleet);
  const attested = startChild(new URL('../../test/simulators/attested-fleet/main.ts', import.meta.url), [
    ...['--n', String(BACKENDS)],
  ]);
  children.push(attested);
  const otlp = await readyLine<{ url: string; control: string }>(sink);
  const bmcs = await readyLine<{ endpoints: unknown[]; caFile: string; control: string }>(fleet);
  const pool = await readyLine<AttestedReady>(attested);
  const metricsPort = await freePort();
  const apiPort = await freePort();
  const healthPort = await freePort();

  const startAgent = (): Child => {
    const child = startChild(
      new URL('./agent.ts', import.meta.url),
      ['--config', new URL('../../otel-config.yaml', import.meta.url).pathname],
      {
        BMC_ENDPOINTS: JSON.stringify(bmcs.endpoints),
        BMC_USERNAME: 'demo',
        BMC_PASSWORD: PASSWORD,
        BMC_CA_FILE: bmcs.caFile,
        BMC_POLL_INTERVAL: '2s',
        RECEIVERS: '[bmc_logs, attestation]',
        ATTESTATION_MODELS: JSON.stringify([
          { model: 'demo', name: 'demo', url: `https://demo.${pool.domain}:${pool.proxy.split(':')[1]}` },
        ]),
        ATTESTATION_INTERVAL: '2s',
        ATTESTATION_CA_FILE: pool.tlsCaFile,
        ATTESTATION_ROOT_CA_FILE: pool.rootCaFile,
        ATTESTATION_PCCS: pool.pccs,
        ATTESTATION_OS_IMAGES: JSON.stringify([pool.osImageHash]),
        ATTESTATION_COMPOSE_HASHES: JSON.stringify([pool.composeHash]),
        ATTESTATION_MEASUREMENTS: JSON.stringify(listed(pool.measurements)),
        OTLP_ENDPOINT: otlp.url,
        OTLP_INSECURE: 'true',
        METRICS_PORT: String(metricsPort),
        API_PORT: String(apiPort),
        HEALTH_PORT: String(healthPort),
        HEALTH_INTERVAL: '2s',
        STATE_DIRECTORY: state,
      },
    );
    children.push(child);
    void showAgentLog(child);
    child.process.once('exit', (code) => {
      if (code !== null) stopped.abort();
    });
    return child;
  };
  let agent = startAgent();
  say('Expect one warning for each of the six BMCs that cannot stream: they are polled from the start.');
  say('');
  say(`  Status page   http://localhost:${apiPort}`);
  say(`  Health        http://localhost:${healthPort}/status?verbose`);
  say(`  Metrics       http://localhost:${metricsPort}/metrics`);
  say(`  In a terminal npm start -- status --watch --endpoint http://localhost:${apiPort}`);
  say('');
  say('Ctrl-C stops.');

  await post(`${bmcs.control}/rate?per_second=${ENTRIES_PER_SECOND}`);
  const pins = async (): Promise<string> => {
    const url = `http://localhost:${apiPort}/api/monitoring/attestation`;
    const page = await ask<{ pools: readonly PoolView[] }>(url).catch(() => undefined);
    const [view] = page?.pools ?? [];
    return view ? `${view.pins.length}/${view.declared ?? '?'} ${view.coverage}` : '-';
  };
  const report = async () => {
    const { received, unique, points } = await ask<Counts>(`${otlp.control}/counts?receiver=bmc_logs`);
    const { received: cycles } = await ask<Counts>(`${otlp.control}/counts?receiver=attestation`);
    const { published, streams } = await ask<{ published: number; streams: number }>(`${bmcs.control}/truth`);
    say(
      `published ${published}  received ${received}  unique ${unique}  duplicates ${received - unique}  streams ${streams}/6  ` +
        `attestation ${cycles} records, pins ${await pins()}  metric points ${points}`,
    );
    return { published, received, unique };
  };
  const script = [
    {
      at: 10_000,
      what: 'bmc-0 now refuses its event stream: polling takes over for it alone.',
      run: () => post(`${bmcs.control}/stream?bmc=0&kind=status&status=404`),
    },
    {
      at: 15_000,
      what: 'bmc-2 reboots: down for 5 s.',
      run: () => post(`${bmcs.control}/reboot?bmc=2&seconds=5`),
    },
    {
      at: 20_000,
      what: 'A backend behind the balancer renews its key: the old pin goes, the new one is proven and pinned.',
      run: () => post(`${pool.control}/control/rotate`, { i: 0 }),
    },
    {
      at: 30_000,
      what: 'The sink answers 503 for 8 s, and the agent is killed meanwhile and started anew: nothing may be lost.',
      run: async () => {
        const healed = post(`${otlp.control}/fault?status=503&seconds=8`).catch(() => {});
        await sleep(3_000);
        if (stopped.signal.aborted) return;
        agent.process.kill('SIGKILL');
        await once(agent.process, 'exit');
        agent = startAgent();
        await healed;
      },
    },
  ];
  await Promise.race([
    ask(`${otlp.control}/wait?unique=1&receiver=bmc_logs`).catch(() => {}),
    once(stopped.signal, 'abort'),
  ]);
  const started = performance.now();
  if (!stopped.signal.aborted) await report();
  for (;;) {
    const left = durationMs - (performance.now() - started);
    if (stopped.signal.aborted || left <= 0) break;
    await sleep(Math.min(REPORT_EVERY_MS, left), undefined, { signal: stopped.signal }).catch(() => {});
    if (stopped.signal.aborted) break;
    while (script[0] && performance.now() - started >= script[0].at) {
      const { what, run } = script.shift()!;
      say(`-- ${what}`);
      void run().catch(() => {});
    }
    await report();
  }

  say('Stopping: no new entries; waiting for what the BMCs still hold.');
  await post(`${bmcs.control}/rate?per_second=0`);
  await post(`${otlp.control}/heal`);
  const drainUntil = performance.now() + DRAIN_MS;
  let last = await report();
  while (last.unique < last.published && performance.now() < drainUntil && agent.process.exitCode === null) {
    await sleep(500);
    last = await report();
  }
  const code = await agent.stop();
  const { received, unique } = await ask<Counts>(`${otlp.control}/counts?receiver=bmc_logs`);
  await fleet.stop();
  await attested.stop();
  await sink.stop();
  const deadLetters = new DeadLetterTool({ directory: state, maxBytes: 2 ** 30 }, systemClock)
    .totals()
    .reduce((sum, { records }) => sum + records, 0);
  const lost = last.published - unique - deadLetters;
  say(
    `published ${last.published} received ${received} duplicates ${received - unique} dead-lettered ${deadLetters} lost ${lost}`,
  );
  process.exitCode = lost === 0 && code === 0 ? 0 : 1;
}

function listed(values: Readonly<Record<string, string>>): Record<string, string[]> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, [value]]));
}

/** Warnings and errors of the agent, as it writes them. */
async function showAgentLog({ process: child }: Child): Promise<void> {
  child.stdout?.resume();
  for await (const line of createInterface({ input: child.stderr! })) {
    if (/\t(warn|error)\t/.test(line) || !line.includes('\t')) say(`   agent: ${line}`);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
