// The pictures of the README, made from the demo: node scripts/pictures.ts. Needs Chromium; CHROMIUM=<path> names one.
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { launchBrowser } from '../test/support/browser.ts';

const FOLDER = fileURLToPath(new URL('../docs/pictures/', import.meta.url));
/** By then a BMC has lost its stream, and another one reboots. */
const PICTURE_AT = 'bmc-2 reboots';
const MOST_COLUMNS = 140;
const [CHAR_WIDTH, LINE_HEIGHT, MARGIN] = [7.83, 19, 16];

mkdirSync(FOLDER, { recursive: true });
const demo = spawn(process.execPath, [fileURLToPath(new URL('./start.ts', import.meta.url)), '--duration', '46'], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
const lines: string[] = [];
let address = '';
let taken: Promise<unknown> = Promise.resolve();
const browser = await launchBrowser();
for await (const line of createInterface({ input: demo.stdout })) {
  lines.push(line);
  address = /Status page\s+(\S+)/.exec(line)?.[1] ?? address;
  if (line.includes(PICTURE_AT)) taken = Promise.all((['light', 'dark'] as const).map(takePicture));
}
await taken;
await browser.close();
writeFileSync(`${FOLDER}terminal.svg`, terminal(['$ npm ci && npm start', ...lines]));

async function takePicture(colorScheme: 'light' | 'dark'): Promise<void> {
  const page = await (await browser.newContext({ colorScheme, viewport: { width: 1280, height: 1180 } })).newPage();
  await page.goto(address);
  await page.waitForSelector('#targets tbody tr');
  // Two looks later there is a rate to show.
  for (let look = 0; look < 2; look++) await page.waitForResponse((response) => response.url().endsWith('/overview'));
  await page.waitForTimeout(300);
  await page.screenshot({ path: `${FOLDER}status-page-${colorScheme}.png` });
}

/** What the demo says at its beginning, of what it breaks, and at its end, without the agent's own lines. */
function terminal(said: readonly string[]): string {
  const own = said.filter((line) => !line.includes('agent: '));
  const first = own.findIndex((line) => line.startsWith('published'));
  const story = own.flatMap((line, n) => (line.startsWith('--') ? [line, own[n + 1] ?? '', '…'] : []));
  const shown = [...own.slice(0, first + 2), '…', ...story, own.at(-1)!].map((line) => line.slice(0, MOST_COLUMNS));
  const [width, height] = [MOST_COLUMNS * CHAR_WIDTH + 2 * MARGIN, shown.length * LINE_HEIGHT + 2 * MARGIN];
  const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const color = (line: string) => (line.startsWith('--') ? '#e3ad45' : line.startsWith('$') ? '#6fd0b4' : '#e6ebec');
  const rows = shown.map(
    (line, n) =>
      `<text x="${MARGIN}" y="${MARGIN + (n + 0.75) * LINE_HEIGHT}" fill="${color(line)}" xml:space="preserve">${escaped(line)}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="ui-monospace, monospace" font-size="13">
<title>The demo in a terminal</title>
<rect width="100%" height="100%" rx="10" fill="#14181a"/>
${rows.join('\n')}
</svg>
`;
}
