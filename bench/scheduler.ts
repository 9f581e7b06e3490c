// What the scheduler costs: fire and re-arm per target, hot bytes per target, a snapshot and its JSON for many readers, how
// late runs start. Run: node bench/scheduler.ts [targets]
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { healthJson } from '../src/extensions/monitoring-api/health-json.ts';
import { isStreamed, SchedulerPages } from '../src/extensions/monitoring-api/scheduler-pages.ts';
import { parseTargetQuery } from '../src/extensions/monitoring-api/target-query.ts';
import { SchedulerExtension } from '../src/extensions/scheduler/extension.ts';
import factory, { type SchedulerConfig } from '../src/extensions/scheduler/index.ts';
import { COLUMN_BYTES } from '../src/extensions/scheduler/registry.ts';
import { systemClock } from '../src/platform/system-clock.ts';
import { DueQueue } from '../src/resilience/due-queue.ts';
import { afterSuccess } from '../src/resilience/next-run.ts';
import { pace } from '../src/resilience/poll-interval.ts';
import { testHost } from '../src/testing/host.ts';

const TARGETS = Number(process.argv[2] ?? 10_000);
const REPETITIONS = 5;
/** Of a due queue and the queue of deadlines, per target. */
const QUEUE_BYTES = 28;

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

const report: Record<string, number | string> = {};
report['hot bytes per target'] = COLUMN_BYTES + QUEUE_BYTES;

/** Taken out of the queue, the interval law, the next slot, back into the queue. */
function fireAndRearm(targets: number): number {
  const queue = new DueQueue();
  const interval = 300_000;
  for (let n = 0; n < targets; n++) queue.set(n, (n * 7_919) % interval);
  const rounds = 1_000_000;
  const last = { step: 0, cause: 'interval', idleRuns: 0 } as const;
  const run = { items: 0, smoothedDuration: 50, lag: 0, registered: interval, minStep: -2, maxStep: 0 };
  const law = { idleRuns: 3, maxBusyRatio: 0.25, overloadLag: 5_000 };
  const began = performance.now();
  for (let n = 0; n < rounds; n++) {
    const item = queue.first()!;
    const now = queue.nextDue();
    queue.delete(item);
    const { cause } = pace(last, run, law);
    const end = { now, grid: { interval, phase: item % interval }, earliest: now, cause };
    queue.set(item, afterSuccess(undefined, end).due);
  }
  return ((performance.now() - began) * 1_000) / rounds;
}
fireAndRearm(100_000);
report['fire and re-arm of 100,000, us'] = median(Array.from({ length: REPETITIONS }, () => fireAndRearm(100_000)));

async function schedulerOf(targets: number, interval: number) {
  const host = testHost({ clock: systemClock });
  const scheduler = new SchedulerExtension(factory.schema.parse({}) as SchedulerConfig, host);
  await scheduler.start();
  for (let n = 0; n < targets; n++)
    scheduler.register(
      {
        ...{ type: 'bmc', name: `rack-${n >> 5}-node-${n}`, connection: `https://10.0.${n >> 8}.${n & 255}` },
        run: async () => (n % 50 === 0 ? Promise.reject(new Error('connection refused')) : {}),
      },
      { interval },
    );
  return scheduler;
}

const scheduler = await schedulerOf(TARGETS, 10_000);
await systemClock.sleep(12_000);
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const cpu = process.cpuUsage();
await systemClock.sleep(20_000);
const used = process.cpuUsage(cpu);
const { lag } = scheduler.snapshot().totals;
delay.disable();
report[`${TARGETS} targets every 10 s: lag p50, ms`] = lag!.p50;
report[`${TARGETS} targets every 10 s: lag p99, ms`] = lag!.p99;
report[`${TARGETS} targets every 10 s: CPU, % of a core`] = (used.user + used.system) / 200_000;
report[`${TARGETS} targets every 10 s: loop delay max, ms`] = delay.max / 1e6;

const everything = parseTargetQuery(new URLSearchParams());
const captures: number[] = [];
const cpuPerReader: number[] = [];
// A process that serves readers is warm: the first answers are not counted.
for (let n = -10; n < 2 * REPETITIONS; n++) {
  const began = performance.now();
  const snapshot = scheduler.snapshot();
  const captured = performance.now() - began;
  const before = process.cpuUsage();
  for (const piece of healthJson(snapshot, everything)) Buffer.from(piece);
  const spent = process.cpuUsage(before);
  if (n < 0) continue;
  captures.push(captured);
  cpuPerReader.push((spent.user + spent.system) / 1_000);
}
report['capture, ms'] = median(captures);
report['whole JSON, ms of CPU'] = median(cpuPerReader);

/** So many readers at once, by the pages of the API. @returns the longest that the loop was held up, in milliseconds */
async function readers(count: number, maxAge: number): Promise<number> {
  const now = () => performance.now();
  const { pages } = new SchedulerPages({ scheduler, logger: testHost().logger, now, maxAge });
  const health = pages.find(({ path }) => path.endsWith('/health'))!;
  const request = {
    params: {},
    query: new URLSearchParams(),
    body: undefined,
    headers: {},
    caller: { name: '', address: '' },
  };
  delay.reset();
  delay.enable();
  await Promise.all(
    Array.from({ length: count }, async () => {
      const answer = await health.handle(request);
      if (isStreamed(answer)) for await (const piece of answer.stream.read()) void piece.length;
    }),
  );
  delay.disable();
  return delay.max / 1e6;
}
async function medianOf(count: number, maxAge: number): Promise<number> {
  const all: number[] = [];
  for (let n = 0; n < REPETITIONS; n++) all.push(await readers(count, maxAge));
  return median(all);
}
report['1 reader: loop delay max, ms'] = await medianOf(1, 1_000);
report['20 readers at once: loop delay max, ms'] = await medianOf(20, 1_000);
report['20 readers, nothing shared: loop delay max, ms'] = await medianOf(20, 0);

await scheduler.shutdown(AbortSignal.abort());
for (const [what, value] of Object.entries(report))
  process.stdout.write(`${what.padEnd(52)} ${typeof value === 'number' ? value.toFixed(3) : value}\n`);
