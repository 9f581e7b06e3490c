// What delivery needs at a steady rate, in an outage and at a start. Run:
//   node bench/limits.ts steady [records per second] [seconds]
//   node bench/limits.ts outage [records per second] [seconds]
//   node bench/limits.ts start  [records]
// Prints one line of JSON each.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { batchOf, print, startExporter, startSink } from './scene.ts';

const MIB = 1024 * 1024;
const [what = 'steady', first, second] = process.argv.slice(2);

/** Offers at a rate, a hundred records at a time, without waiting for the answers; @returns when all are acknowledged */
async function offerAt(
  offer: (batch: ReturnType<typeof batchOf>) => Promise<void>,
  perSecond: number,
  seconds: number,
) {
  const offers = new Set<Promise<void>>();
  const began = performance.now();
  for (let n = 0; n < perSecond * seconds; n += 100) {
    const due = began + (n / perSecond) * 1_000;
    await sleep(Math.max(0, due - performance.now()));
    const one = offer(batchOf(n, 100)).finally(() => offers.delete(one));
    offers.add(one);
  }
  await Promise.all(offers);
}

async function steady(perSecond: number, seconds: number): Promise<void> {
  const sink = await startSink();
  const exporter = await startExporter({ url: sink.url, durable: true });
  await offerAt(exporter.offer, perSecond, 3);
  const loop = monitorEventLoopDelay({ resolution: 5 });
  loop.enable();
  const cpu = process.cpuUsage();
  const began = performance.now();
  await offerAt(exporter.offer, perSecond, seconds);
  await exporter.atRest();
  const { user, system } = process.cpuUsage(cpu);
  const elapsedUs = (performance.now() - began) * 1_000;
  print({
    steady_records_per_second: perSecond,
    cpu_share_of_a_core: Number(((user + system) / elapsedUs).toFixed(2)),
    rss_mib: Math.round(process.memoryUsage.rss() / MIB),
    loop_delay_p99_ms: Number((loop.percentile(99) / 1e6).toFixed(1)),
  });
  await exporter.stop();
  await sink.stop();
}

async function outage(perSecond: number, seconds: number): Promise<void> {
  const exporter = await startExporter({
    url: 'http://127.0.0.1:1',
    durable: true,
    keep: true,
    storage: { max_bytes: '6GiB' },
  });
  await offerAt(exporter.offer, perSecond, 1);
  const idle = process.memoryUsage.rss();
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 200);
  await offerAt(exporter.offer, perSecond, seconds);
  clearInterval(watch);
  const { queued, inFlight, dropped } = await exporter.books();
  await exporter.stop();

  const sink = await startSink();
  const again = await startExporter({
    url: sink.url,
    durable: true,
    directory: exporter.directory,
    storage: { max_bytes: '6GiB' },
  });
  const began = performance.now();
  await again.atRest();
  const perSecondDrained = (queued + inFlight) / ((performance.now() - began) / 1_000);
  const { sent } = await again.books();
  print({
    outage_seconds: seconds,
    queued: queued + inFlight,
    dropped,
    rss_above_idle_mib: Math.round((most - idle) / MIB),
    drained: sent,
    drain_records_per_second: Math.round(perSecondDrained),
  });
  await again.stop();
  await sink.stop();
  await rm(exporter.directory, { recursive: true });
}

async function start(records: number): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'outband-bench-'));
  const options = { url: 'http://127.0.0.1:1', durable: true, directory, storage: { max_bytes: '6GiB' } };
  const exporter = await startExporter(options);
  for (let n = 0; n < records; n += 5_000)
    await Promise.all(Array.from({ length: 50 }, (_, k) => exporter.offer(batchOf(n + k * 100, 100))));
  await exporter.stop();
  const began = performance.now();
  const again = await startExporter(options);
  const ready = performance.now() - began;
  const { recovered } = await again.books();
  print({ recovered, ready_ms: Math.round(ready) });
  await again.stop();
  await rm(directory, { recursive: true });
}

switch (what) {
  case 'steady':
    await steady(Number(first ?? 10_000), Number(second ?? 20));
    break;
  case 'outage':
    await outage(Number(first ?? 5_000), Number(second ?? 60));
    break;
  case 'start':
    await start(Number(first ?? 1_000_000));
    break;
  default:
    throw new Error(`unknown benchmark "${what}"`);
}
