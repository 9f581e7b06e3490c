// The status page with a fleet behind it, in a real browser: node bench/status-page.ts [targets]. Needs Chromium; CHROMIUM=<path> names one.
// Prints milliseconds from the log-in to the first whole picture, and of work on the browser's main thread for one refresh.
import { MonitoringApi } from '../src/extensions/monitoring-api/extension.ts';
import factory, { type MonitoringApiConfig } from '../src/extensions/monitoring-api/index.ts';
import { testHost } from '../src/testing/host.ts';
import { virtualScheduler } from '../src/testing/scheduler.ts';
import { launchBrowser, noBrowser } from '../test/support/browser.ts';

const TOKEN = 'correct-horse-battery';
const RUNS = 7;
const targets = Number(process.argv[2] ?? 10_000);
if (noBrowser) {
  process.stdout.write(`${JSON.stringify({ skipped: noBrowser })}\n`);
  process.exit(0);
}
const { clock, extension: scheduler } = await virtualScheduler({});
for (let n = 0; n < targets; n++)
  scheduler.register(
    {
      ...{ type: 'bmc', name: `rack-${n % 300}-node-${n}`, connection: `https://10.0.0.${n}` },
      async run() {
        if (n % 50 === 3) throw new Error('connect ECONNREFUSED');
        return { items: 0 };
      },
    },
    { interval: 60_000, firstRun: 'now', mode: n % 3 ? 'stream' : 'poll' },
  );
await clock.advance(20 * 60_000);
const auth = { tokens: [{ name: 'ops', token: TOKEN }] };
const config = factory.schema.parse({ endpoint: '127.0.0.1:0', auth }) as MonitoringApiConfig;
const api = new MonitoringApi('extensions::monitoring_api', config, testHost({ clock, scheduler }));
await api.start();
const browser = await launchBrowser();
const [pictures, refreshes, nodes]: number[][] = [[], [], []];
for (let n = 0; n < RUNS; n++) {
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
  await page.goto(`http://127.0.0.1:${api.port}`);
  await page.fill('#token', TOKEN);
  const before = performance.now();
  await page.press('#token', 'Enter');
  await page.waitForSelector('#targets tbody tr');
  pictures!.push(performance.now() - before);
  nodes!.push(await page.evaluate<number>('document.querySelectorAll("*").length'));
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  const busy = async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration')!.value * 1_000;
  };
  const answered = page.waitForResponse((response) => response.url().endsWith('/overview'));
  await clock.advance(5_000);
  const start = await busy();
  await answered;
  await page.evaluate('new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 50)))');
  refreshes!.push((await busy()) - start);
  await page.context().close();
}
const median = (values: number[]) => Math.round(values.toSorted((a, b) => a - b)[values.length >> 1]!);
process.stdout.write(
  `${JSON.stringify({ targets, picture_ms: median(pictures!), refresh_ms: median(refreshes!), nodes: median(nodes!) })}\n`,
);
await browser.close();
process.exit(0);
