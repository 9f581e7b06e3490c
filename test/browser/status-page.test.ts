import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { suite, type TestContext, test } from 'node:test';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { RetryableError } from '../../src/component/errors.ts';
import { MonitoringApi } from '../../src/extensions/monitoring-api/extension.ts';
import factory, { type MonitoringApiConfig } from '../../src/extensions/monitoring-api/index.ts';
import { noBrowser, openPage } from '../support/browser.ts';
import { type ApiScene, apiScene, TOKEN } from '../support/monitoring-api.ts';

const HOSTILE = '<img src=x onerror="document.title=1">';
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Hours pass in these tests. */
const LONG_SESSION = { tokens: [{ name: 'ops', token: TOKEN }], session_idle: '168h', session_max: '168h' };

interface Fleet {
  readonly targets?: number;
  /** Whether a target fails now. */
  readonly fails?: (n: number) => boolean;
}

/** Targets that are read once a minute; every third streams. */
function addFleet({ scheduler }: ApiScene, { targets = 20, fails = () => false }: Fleet): void {
  for (let n = 0; n < targets; n++)
    scheduler.register(
      {
        ...{ type: 'bmc', name: `node-${String(n).padStart(5, '0')}`, connection: `https://10.0.0.${n}` },
        displayName: n === 0 ? HOSTILE : `node ${n}`,
        async run() {
          if (fails(n)) throw new RetryableError('bmc_unreachable', `connect ECONNREFUSED ${HOSTILE}`);
          return { items: 0, facts: { firmware: HOSTILE } };
        },
      },
      { interval: 60_000, firstRun: 'now', mode: n % 3 === 0 ? 'stream' : 'poll' },
    );
}

interface SceneOptions extends Fleet {
  readonly settings?: Record<string, unknown>;
  readonly browser?: BrowserContextOptions;
}

/** A page over the real API, and time that the test moves on both sides. */
async function scene(t: TestContext, { settings = {}, browser = {}, ...fleet }: SceneOptions = {}) {
  const api = await apiScene(t, { auth: LONG_SESSION, ...settings });
  addFleet(api, fleet);
  await api.clock.advance(1_000);
  const page = await openPage(t, 'about:blank', browser);
  await page.clock.install();
  const asked: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(api.origin);
  return {
    ...{ ...api, page, asked },
    /** Moves time to the next look of the page, and waits for what it shows of it. */
    async look(ms = 5_000) {
      await api.clock.advance(ms);
      const now = new Date(Number(api.clock.now() / 1_000_000n)).toISOString();
      await page.clock.runFor(ms);
      await page.waitForSelector(`#age[title="as of ${now}"]`);
    },
  };
}

async function logIn(page: Page, token = TOKEN): Promise<void> {
  await page.fill('#token', token);
  await page.press('#token', 'Enter');
}

async function inside(t: TestContext, options: SceneOptions = {}) {
  const one = await scene(t, options);
  await logIn(one.page);
  await one.page.waitForSelector('#targets tbody tr');
  return one;
}

/** A total, by the word below it. */
const total = (page: Page, name: string) => page.locator(`#tiles > div:has(dt:text-is("${name}")) dd`).innerText();
const stateOf = (page: Page, name: string) =>
  page.locator(`#targets tr:has(button:text-is("bmc::${name}")) td:nth-child(3)`).innerText();

async function findings(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const { violations } = await page.evaluate<{ violations: { id: string; nodes: { html: string }[] }[] }>('axe.run()');
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

/** Whether the page is wider than its window. */
const overflows = (page: Page) =>
  page.evaluate<boolean>('document.documentElement.scrollWidth > document.documentElement.clientWidth');

suite('the status page', { skip: noBrowser }, () => {
  test('asks for a token, says when it is wrong, and keeps it nowhere but in a cookie that no script can read', async (t) => {
    const { page, asked, origin } = await scene(t);
    await page.waitForSelector('#token');
    assert.equal(await page.evaluate<string>('document.activeElement.id'), 'token');
    await logIn(page, 'not-the-token-at-all');
    await page.locator('#login-error:not(:empty)').waitFor();
    assert.equal(await page.innerText('#login-error'), 'This token is not known here.');
    await logIn(page);
    await page.waitForSelector('#targets tbody tr');
    assert.equal(await total(page, 'targets'), '20');
    const kept = '[document.cookie, localStorage.length, sessionStorage.length, location.search, location.hash]';
    assert.deepEqual(await page.evaluate(kept), ['', 0, 0, '', '']);
    const [cookie] = await page.context().cookies();
    assert.deepEqual([cookie?.httpOnly, cookie?.sameSite], [true, 'Strict']);
    assert.ok(!(await page.content()).includes(TOKEN));
    const elsewhere = asked.filter((url) => !url.startsWith(origin) && !url.startsWith('data:'));
    assert.deepEqual(elsewhere, []);
  });

  test('shows the form again when the session has ended, and after a log-out', async (t) => {
    const { page } = await inside(t);
    await page.context().clearCookies();
    await page.clock.runFor(5_000);
    await page.waitForSelector('#login', { state: 'visible' });
    assert.equal(await page.isVisible('#status'), false);
    await logIn(page);
    await page.waitForSelector('#targets tbody tr');
    await page.click('#logout');
    await page.waitForSelector('#login', { state: 'visible' });
    await page.reload();
    await page.waitForSelector('#login', { state: 'visible' });
  });

  test('shows nothing that was asked for before a log-out, and says when a log-out was refused', async (t) => {
    const { page } = await inside(t);
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const asked = page.waitForRequest((request) => request.url().endsWith('/overview'));
    await page.route('**/overview', async (route) => {
      await held;
      await route.continue();
    });
    await page.clock.runFor(5_000);
    await asked;
    await page.route('**/api/logout', (route) => route.abort());
    await page.click('#logout');
    await page.waitForSelector('#trouble', { state: 'visible' });
    assert.match(await page.innerText('#trouble'), /^You are still logged in: /);
    assert.equal(await page.isVisible('#login'), false);
    await page.unroute('**/api/logout');
    await page.click('#logout');
    await page.waitForSelector('#login', { state: 'visible' });
    const answered = page.waitForResponse((response) => response.url().endsWith('/overview'));
    release();
    await answered;
    await page.waitForResponse((response) => response.status() === 401);
    assert.deepEqual([await page.isVisible('#login'), await page.isVisible('#status')], [true, false]);
    await logIn(page);
    await page.waitForSelector('#targets tbody tr');
  });

  test('needs no token where there is none, and has nothing to log out of', async (t) => {
    const { page } = await scene(t, { settings: { auth: 'none' } });
    await page.waitForSelector('#targets tbody tr');
    assert.equal(await page.isVisible('#logout'), false);
  });

  test('shows a breaker that opens, its target parked with reason and error, and closes again', async (t) => {
    let isDown = false;
    const { page, look, clock } = await inside(t, { fails: (n) => n === 7 && isDown });
    assert.equal(await total(page, 'breakers open'), '0');
    assert.equal(await page.isVisible('#dead-none'), true);
    isDown = true;
    await clock.advance(10 * 60_000);
    await look();
    assert.equal(await total(page, 'breakers open'), '1');
    assert.equal(await stateOf(page, 'node-00007'), 'open');
    await clock.advance(5 * 3_600_000);
    await look();
    assert.equal(await total(page, 'parked'), '1');
    assert.equal(await stateOf(page, 'node-00007'), 'parked');
    assert.match(
      await page.innerText('#dead li'),
      /bmc::node-00007\s+next retry in .*max retry attempts, since .*connect ECONNREFUSED/s,
    );
    assert.match(await page.innerText('#stale li'), /bmc::node-00007\s+100 %/);
    await page.click('#dead button');
    await page.locator('#ring li').nth(1).waitFor();
    assert.match(await page.innerText('#ring'), /half-open → open \(trial failed\)/);
    await page.keyboard.press('Escape');
    isDown = false;
    await clock.advance(3 * 3_600_000);
    await look();
    assert.deepEqual([await total(page, 'breakers open'), await total(page, 'parked')], ['0', '0']);
    assert.equal(await stateOf(page, 'node-00007'), 'closed');
  });

  test('shows what comes from targets as text', async (t) => {
    const { page } = await inside(t, { fails: (n) => n === 1 });
    await page.click('#targets button:text-is("bmc::node-00000")');
    await page.locator('#detail-facts dd').nth(6).waitFor();
    const facts = await page.innerText('#detail-facts');
    assert.equal(facts.split(HOSTILE).length - 1, 2, facts);
    assert.equal(await page.locator('img').count(), 0);
    assert.equal(await page.title(), 'outband');
  });

  test('holds 10,000 targets in few nodes; by text, type and state those are found that are meant', async (t) => {
    const { page } = await inside(t, { targets: 10_000, fails: (n) => n % 1_000 === 3 });
    assert.equal(await total(page, 'targets'), '10,000');
    assert.ok((await page.evaluate<number>('document.querySelectorAll("*").length')) <= 3_000);
    const grids = await page.locator('.grid h3').allInnerTexts();
    assert.deepEqual(grids, ['poll: 6,666', 'stream: 3,334']);
    await page.fill('#text', 'NODE-0001');
    assert.equal(await page.innerText('#range'), '1 to 10 of 10');
    await page.fill('#text', '');
    await page.selectOption('#order', 'name');
    await page.click('#next');
    assert.equal(await page.innerText('#range'), '13 to 24 of 10,000');
    assert.equal(await page.innerText('#targets tbody tr:first-child button'), 'bmc::node-00012');
    await page.selectOption('#state', 'parked');
    assert.equal(await page.innerText('#range'), 'no target');
    // A cell of the grid is its target.
    await page.selectOption('#state', '');
    await page
      .locator('.grid canvas')
      .first()
      .click({ position: { x: 12, y: 4 } });
    assert.equal(await page.innerText('#detail-title'), 'bmc::node-00002');
  });

  test('can be used by keyboard alone, and shows where that is; a refresh does not take it away', async (t) => {
    const { page, look } = await scene(t);
    await page.waitForSelector('#token');
    await page.keyboard.type(TOKEN);
    await page.keyboard.press('Enter');
    await page.waitForSelector('#targets tbody tr');
    const focus = () =>
      page.evaluate<{ name: string; outline: string }>(
        '({ name: document.activeElement.id || document.activeElement.textContent, outline: getComputedStyle(document.activeElement).outlineStyle })',
      );
    const visited: string[] = [];
    for (let n = 0; n < 12; n++) {
      await page.keyboard.press('Tab');
      const { name, outline } = await focus();
      visited.push(name);
      assert.equal(outline, 'solid', name);
      if (name.startsWith('bmc::')) break;
    }
    assert.deepEqual(visited.slice(0, 4), ['text', 'type', 'state', 'order']);
    const target = visited.at(-1)!;
    await look();
    assert.equal((await focus()).name, target);
    await page.keyboard.press('Enter');
    await page.waitForSelector('#detail[open]');
    assert.equal(await page.innerText('#detail-title'), target);
    await page.keyboard.press('Escape');
    assert.equal((await focus()).name, target);
    assert.deepEqual(await page.locator('#targets th[scope=col]').allInnerTexts(), [
      ...['Target', 'Mode', 'Breaker', 'Staleness', 'Next run', 'Failures'],
    ]);
  });

  for (const colorScheme of ['light', 'dark'] as const)
    test(`is free of findings and legible in ${colorScheme}, at 360 px, at twice the size, and without motion`, async (t) => {
      const browser = { colorScheme, reducedMotion: 'reduce' as const };
      const { page, look, clock } = await scene(t, { browser, fails: (n) => n < 3, settings: { allow_actions: true } });
      await page.waitForSelector('#token');
      assert.deepEqual(await findings(page), []);
      await logIn(page);
      await page.waitForSelector('#targets tbody tr');
      await clock.advance(6 * 3_600_000);
      await look();
      assert.deepEqual(await findings(page), []);
      const background = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
      assert.equal(background, colorScheme === 'light' ? 'rgb(246, 247, 247)' : 'rgb(20, 24, 26)');
      for (const width of [360, 640]) {
        await page.setViewportSize({ width, height: 800 });
        assert.equal(await overflows(page), false, `${width} px`);
      }
      await page.click('#targets button');
      await page.waitForSelector('#detail[open]');
      assert.deepEqual(await findings(page), []);
      assert.equal(await overflows(page), false);
      assert.equal(await page.evaluate<number>('document.getAnimations().length'), 0);
    });

  test('tells the totals to those who hear it, once, and changes of them every half minute at most', async (t) => {
    const { page, look, scheduler } = await inside(t);
    const told = () => page.locator('#totals-live').innerText();
    const first = await told();
    assert.match(first, /^20 targets, /);
    scheduler.register(
      { type: 'bmc', name: 'new', connection: 'x', run: async () => ({}) },
      { interval: 60_000, firstRun: 'now' },
    );
    for (let n = 0; n < 5; n++) {
      await look();
      assert.equal(await total(page, 'targets'), '21');
      assert.equal(await told(), first);
    }
    await look();
    assert.match(await told(), /^21 targets, /);
  });

  test('waits as long as it is told to when it has asked too often', async (t) => {
    const { page, asked } = await inside(t, { settings: { rate_limit: { requests_per_minute: 14 } } });
    await page.clock.runFor(5_000);
    await page.waitForSelector('#trouble', { state: 'visible' });
    assert.match(
      await page.innerText('#trouble'),
      /too many requests\. What you see is \d+ s old\. Asking again in (\d+ s|1 min)\./,
    );
    const before = asked.length;
    await page.clock.runFor(10_000);
    assert.equal(asked.length, before);
  });

  test('says how old its data is while the agent is away, and goes on when it is back', async (t) => {
    const { page, api, host, look } = await scene(t, { settings: { auth: 'none' } });
    await page.waitForSelector('#targets tbody tr');
    const { port } = api;
    await api.shutdown(AbortSignal.abort());
    for (let seconds = 0; seconds < 60; seconds += 5) {
      const failed = page.waitForEvent('requestfailed');
      await page.clock.runFor(5_000);
      await failed;
      await page.waitForSelector('#trouble', { state: 'visible' });
    }
    assert.match(
      await page.innerText('#trouble'),
      /^the agent does not answer\. What you see is (55 s|1 min) old\. Asking again in 5 s\.$/,
    );
    assert.equal(await total(page, 'targets'), '20', 'what was seen last stays');
    const config = factory.schema.parse({ endpoint: `127.0.0.1:${port}`, auth: 'none' }) as MonitoringApiConfig;
    const again = new MonitoringApi('extensions::monitoring_api', config, host);
    await again.start();
    t.after(() => again.shutdown(AbortSignal.abort()));
    await look();
    await page.waitForSelector('#trouble', { state: 'hidden' });
  });

  test('asks nothing while it is hidden, and at once when it is seen again', async (t) => {
    const { page, asked } = await inside(t);
    const hide = (isHidden: boolean) =>
      page.evaluate(`
        Object.defineProperty(document, 'hidden', { configurable: true, value: ${isHidden} });
        document.dispatchEvent(new Event('visibilitychange'));`);
    await hide(true);
    const before = asked.length;
    await page.clock.runFor(60_000);
    assert.equal(asked.length, before);
    const answered = page.waitForResponse((response) => response.url().endsWith('/overview'));
    await hide(false);
    await answered;
  });

  test('has no actions unless they are allowed; then it asks before all are tried again', async (t) => {
    const fails = (n: number) => n === 4;
    const reader = await inside(t, { fails });
    await reader.clock.advance(6 * 3_600_000);
    await reader.look();
    assert.equal(await reader.page.isVisible('#redrive'), false);
    await reader.page.click('#targets button');
    await reader.page.locator('#detail-facts dd').nth(6).waitFor();
    assert.equal(await reader.page.isVisible('#run'), false);

    const { page, clock, look, host } = await inside(t, { fails, settings: { allow_actions: true } });
    await clock.advance(6 * 3_600_000);
    await look();
    const actions = () => host.lines.filter(({ message }) => message === 'action').length;
    await page.click('#redrive');
    await page.click('#confirm button[value=no]');
    assert.equal(actions(), 0);
    await page.click('#redrive');
    await page.click('#confirm button[value=yes]');
    await page.locator('#redrive-result:not(:empty)').waitFor();
    assert.equal(await page.innerText('#redrive-result'), '1 are tried again.');
    await page.click('#targets button:text-is("bmc::node-00004")');
    await page.waitForSelector('#reset');
    await page.click('#reset');
    await page.locator('#action-result:not(:empty)').waitFor();
    assert.match(await page.innerText('#action-result'), /^Closed; next run /);
    assert.equal(actions(), 2);
  });

  test('is served to anybody, under a policy that lets in nothing else', async (t) => {
    const { ask } = await apiScene(t);
    const { status, headers, text } = await ask('/', { token: null });
    assert.equal(status, 200);
    assert.match(
      headers['content-security-policy']!,
      /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    );
    assert.ok(!/https?:\/\/(?!www\.w3\.org)/.test(text), 'no address of anybody');
    assert.equal((await ask('/', { token: null, method: 'POST' })).status, 405);
  });
});
