// What the metrics page costs with a fleet behind it: node bench/metrics-page.ts [targets]
// Prints the median and the worst of fifty scrapes, in milliseconds, and how long the page is.
import { createOwnMetrics, prometheusPage } from '../src/platform/own-metrics.ts';
import { observeProcess } from '../src/platform/process-metrics.ts';
import { testHost } from '../src/testing/host.ts';
import { virtualScheduler } from '../src/testing/scheduler.ts';
import { pipelineOf, scripted } from '../test/support/delivery.ts';

const targets = Number(process.argv[2] ?? 5_000);
const metrics = createOwnMetrics({
  version: 'bench',
  page: { host: '', port: 0, without_scope_info: true, without_units: true, without_type_suffix: true },
});
observeProcess(metrics.meter('outband.process'));
const { extension, clock } = await virtualScheduler({ meter: metrics.meter('outband.extension.scheduler') });
for (let n = 0; n < targets; n++)
  extension.register(
    { type: 'bmc', name: `bmc-${n}`, connection: `https://10.0.0.${n}`, run: async () => ({ items: n % 3 }) },
    { interval: 60_000 },
  );
await pipelineOf(
  scripted(() => ({ kind: 'accepted' })),
  testHost({ meter: metrics.meter('outband.exporter.otlp_http') }),
);
await clock.advance(60_000);

const times: number[] = [];
let page = '';
for (let n = 0; n < 50; n++) {
  const before = performance.now();
  page = prometheusPage(await metrics.collect());
  times.push(performance.now() - before);
}
times.sort((a, b) => a - b);
const rounded = (ms: number) => Math.round(ms * 100) / 100;
process.stdout.write(
  `${JSON.stringify({ targets, median_ms: rounded(times[25]!), worst_ms: rounded(times.at(-1)!), page_bytes: page.length })}\n`,
);
process.exit(0);
