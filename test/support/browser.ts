import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { after, type TestContext } from 'node:test';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executablePath = process.env.CHROMIUM ?? PLACES.find(existsSync);

/** For the option `skip` of a test: why it cannot run here, or false. */
export const noBrowser = reason();

function reason(): string | false {
  if (executablePath === undefined) return 'no Chromium on this machine; CHROMIUM=<path> names one';
  const { status, error } = spawnSync(executablePath, ['--version'], { timeout: 30_000 });
  return status !== 0 && `${executablePath} does not run: ${error?.message ?? `it ends with ${status}`}`;
}

/** It asks nobody but the page's own server. */
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: executablePath!, args: QUIET });
}

let browser: Promise<Browser> | undefined;
after(async () => (await browser)?.close());

/** A page of a real browser, in a session of its own. Errors of its scripts, and refusals by its policy, fail the test. */
export async function openPage(t: TestContext, url: string, options: BrowserContextOptions = {}): Promise<Page> {
  browser ??= launchBrowser();
  const context = await (await browser).newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const mistakes: string[] = [];
  page.on('pageerror', (error) => mistakes.push(String(error)));
  page.on('console', (message) => {
    if (/Content Security Policy|Uncaught/.test(message.text())) mistakes.push(message.text());
  });
  t.after(async () => {
    await context.close();
    if (mistakes.length > 0) throw new Error(mistakes.join('\n'));
  });
  await page.goto(url);
  return page;
}
