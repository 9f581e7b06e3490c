// What a discovery cycle costs: ten probes with full verification, against a fleet in a process of its own. Prints wall time, CPU time of
// the agent's side and the longest hold of its loop, medians of so many cycles.
//   node bench/attestation.ts [cycles]

import { readFile } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createSecureContext } from 'node:tls';
import { attestationConfig } from '../receivers/attestation/config.ts';
import { ProbeGates, runCycle } from '../receivers/attestation/cycle.ts';
import { tally } from '../receivers/attestation/outcome.ts';
import { ReportVerifier, readRootCa } from '../receivers/attestation/verification/verifier.ts';
import { systemClock } from '../src/platform/system-clock.ts';
import { Semaphore } from '../src/resilience/semaphore.ts';
import { readyLine, startChild } from '../test/support/child.ts';

const CYCLES = Number(process.argv[2] ?? 21);
const PROBES = 10;

interface Ready {
  readonly proxy: string;
  readonly domain: string;
  readonly pccs: string;
  readonly tlsCaFile: string;
  readonly rootCaFile: string;
  readonly osImageHash: string;
  readonly composeHash: string;
}

const child = startChild(new URL('../test/simulators/attested-fleet/main.ts', import.meta.url), [
  '--n',
  String(PROBES),
]);
const fleet = await readyLine<Ready>(child);
const port = Number(fleet.proxy.split(':')[1]);
const config = attestationConfig.parse({
  models: [{ model: 'bench', url: `https://bench.${fleet.domain}:${port}` }],
  per_host_concurrency: 10,
  verification: {
    root_ca_file: fleet.rootCaFile,
    collateral: { pccs: { url: fleet.pccs } },
    policy: { os_images: [fleet.osImageHash], compose_hashes: [fleet.composeHash] },
  },
});
const signal = new AbortController().signal;
const secureContext = createSecureContext({ ca: await readFile(fleet.tlsCaFile, 'utf8') });
const verifier = new ReportVerifier(
  {
    ...{ config: config.verification, clock: systemClock, resolvePath: (path: string) => path, signal },
    ...{ turns: new Semaphore(1), onStage: () => {}, onCollateralFailed: () => {} },
  },
  await readRootCa(fleet.rootCaFile),
);
const cycle = (seq: number) =>
  runCycle({
    pool: { host: `bench.${fleet.domain}`, port, declared: undefined, strategy: 'index_sni', addresses: undefined },
    ...{ config, gates: new ProbeGates(32, 10), clock: systemClock, isInitial: false, seq, signal },
    ...{ lastCount: undefined, unseenAfter: () => 1 },
    prober: {
      settings: {
        ...{ model: 'bench', path: config.request.path, bodyLimit: config.body_limit },
        ...{ connectTimeoutMs: 5_000, callTimeoutMs: 10_000, idleTimeoutMs: 10_000, verifyTimeoutMs: 45_000 },
      },
      ...{ verifier, clock: systemClock, secureContext: async () => secureContext, headers: async () => ({}) },
    },
  });

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
const walls: number[] = [];
const cpus: number[] = [];
const holds: number[] = [];
for (let n = 0; n < CYCLES + 3; n++) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const began = performance.now();
  const cpu = process.cpuUsage();
  const { results } = await cycle(n);
  const { user, system } = process.cpuUsage(cpu);
  delay.disable();
  const { ok, failureReasons } = tally(results);
  if (ok !== PROBES) throw new Error(`not proven: ${failureReasons}`);
  // The first ones pay for compilation and for the collateral.
  if (n < 3) continue;
  walls.push(performance.now() - began);
  cpus.push((user + system) / 1_000);
  holds.push(delay.max / 1e6);
}
await child.stop();
const shown = (ms: number) => `${ms.toFixed(0)} ms`;
process.stdout.write(
  `a cycle of ${PROBES} proven probes: ${shown(median(walls))} wall, ${shown(median(cpus))} CPU, loop held ${shown(median(holds))} at most (${shown(Math.max(...holds))} in ${CYCLES} cycles)\n`,
);
