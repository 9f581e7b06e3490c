import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import { OutbandError } from '../../src/component/errors.ts';
import { gzipped, SharedBody } from '../../src/extensions/monitoring-api/shared-body.ts';
import { settle } from '../../src/testing/fake-clock.ts';
import { makeCertificates } from '../simulators/bmc/certificates.ts';
import { healthOf } from '../support/health-schema.ts';
import { type ApiScene, apiScene, problemOf, TOKEN } from '../support/monitoring-api.ts';
import { temporaryDirectory } from '../support/storage.ts';

const HEALTH = '/api/monitoring/scheduler/health';
const TARGETS = '/api/monitoring/scheduler/targets';
const MINUTE = 60_000;

/** Registers targets that succeed, fail or hang, and lets them run. */
async function populate({ scheduler, clock }: ApiScene, names: Record<string, 'well' | 'away' | 'locked' | 'hung'>) {
  for (const [name, mood] of Object.entries(names))
    scheduler.register(
      {
        ...{ type: name.startsWith('pool') ? 'attestation' : 'bmc', name, connection: `https://${name}:443` },
        run: async (signal) => {
          if (mood === 'away') throw new OutbandError('bmc_unreachable', 'connection refused');
          if (mood === 'locked') throw new OutbandError('auth_rejected', '401');
          if (mood === 'hung') await clock.sleep(1e9, signal);
          return { facts: { pinned: 3 } };
        },
      },
      { interval: MINUTE, firstRun: 'now' },
    );
  await clock.advance(6 * MINUTE);
}

test('every answer keeps the contract, and its parts agree', async (t) => {
  const scene = await apiScene(t);
  assert.equal(healthOf((await scene.ask(HEALTH)).text).instances.length, 0);
  await populate(scene, { a: 'well', b: 'away', c: 'locked', d: 'hung', 'pool-1': 'well' });
  const answer = await scene.ask(HEALTH);
  assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
  const body = healthOf(answer.text);
  assert.deepEqual(
    body.instances.map(({ key, breaker, deadLetter }) => [key, breaker.state, deadLetter.present]),
    [
      ['attestation::pool-1', 'closed', false],
      ['bmc::a', 'closed', false],
      ['bmc::b', 'open', false],
      ['bmc::c', 'open', true],
      ['bmc::d', 'closed', false],
    ],
  );
  assert.deepEqual(
    body.breakers.map(({ instance }) => instance),
    ['b', 'c', 'd'],
  );
  assert.deepEqual(
    body.deadLetter.tasks.map(({ instance, failures }) => [instance, failures]),
    [['c', 1]],
  );
  const waiting = body.instances.filter(({ pollStatus }) => pollStatus.nextRun !== null);
  const perType = Object.fromEntries(
    ['attestation', 'bmc'].map((type) => [type, waiting.filter((each) => each.type === type).length]),
  );
  assert.deepEqual([body.queue.depth, body.queue.perType], [waiting.length, perType]);
  assert.equal(body.summary.parked, 1);
  assert.deepEqual(body.instances[0]!.facts, { pinned: 3 });
});

test('a tag means the same bytes, and a change another tag', async (t) => {
  const scene = await apiScene(t, { snapshot_max_age: '0s' });
  await populate(scene, { a: 'well' });
  const first = await scene.ask(HEALTH);
  const again = await scene.ask(HEALTH);
  assert.deepEqual([again.text, again.headers.etag], [first.text, first.headers.etag]);
  const etag = first.headers.etag!;
  for (const known of [etag, '*', `"x", ${etag}`, etag.slice(2)]) {
    const { status, text } = await scene.ask(HEALTH, { headers: { 'if-none-match': known } });
    assert.deepEqual([status, text], [304, '']);
  }
  scene.scheduler.actions.run('bmc::a');
  assert.notEqual((await scene.ask(HEALTH)).headers.etag, etag);
  const filtered = await scene.ask(`${HEALTH}?type=bmc`);
  assert.notEqual(filtered.headers.etag, (await scene.ask(`${HEALTH}?type=attestation`)).headers.etag);
});

test('requests within snapshot_max_age share a snapshot; a command drops it', async (t) => {
  const scene = await apiScene(t, { allow_actions: true, snapshot_max_age: '10s' });
  await populate(scene, { a: 'well' });
  const at = async () => healthOf((await scene.ask(HEALTH)).text).updatedAt;
  const first = await at();
  await scene.clock.advance(5_000);
  assert.equal(await at(), first);
  await scene.ask(`${TARGETS}/bmc%3A%3Aa/run`, { method: 'POST' });
  assert.notEqual(await at(), first);
});

test('HEAD is GET without a body; other methods are refused', async (t) => {
  const { ask } = await apiScene(t);
  const head = await ask(HEALTH, { method: 'HEAD' });
  assert.deepEqual([head.status, head.text], [200, '']);
  assert.ok(head.headers.etag);
  const put = await ask(HEALTH, { method: 'PUT' });
  assert.deepEqual([put.status, problemOf(put), put.headers.allow], [405, 'method_not_allowed', 'GET, HEAD']);
});

test('gzip when it is accepted', async (t) => {
  const scene = await apiScene(t);
  await populate(scene, { a: 'well' });
  const url = `${scene.origin}${HEALTH}`;
  const get = (encoding: string) =>
    fetch(url, { headers: { authorization: `Bearer ${TOKEN}`, 'accept-encoding': encoding } });
  const plain = await get('gzip;q=0');
  assert.equal(plain.headers.get('content-encoding'), null);
  const text = await plain.text();
  for (const encoding of ['gzip', 'br, gzip;q=0.5', '*']) {
    const zipped = await get(encoding);
    assert.equal(zipped.headers.get('content-encoding'), 'gzip');
    assert.equal(await zipped.text(), text);
  }
});

test('filters and pages act on the lists, counts stay those of the whole', async (t) => {
  const scene = await apiScene(t);
  await populate(scene, { a: 'well', b: 'away', c: 'locked', d: 'well', 'pool-1': 'well' });
  const keys = async (query: string) => {
    const body = healthOf((await scene.ask(`${HEALTH}?${query}`)).text);
    assert.deepEqual([body.summary.targets, body.deadLetter.count], [5, 1]);
    assert.equal(body.staleness.length, body.instances.length);
    return body.instances.map(({ instance }) => instance);
  };
  assert.deepEqual(await keys('type=attestation'), ['pool-1']);
  assert.deepEqual(await keys('type=bmc,attestation&state=open'), ['b', 'c']);
  assert.deepEqual(await keys('state=parked'), ['c']);
  assert.deepEqual(await keys('state=late'), ['b', 'c']);
  assert.deepEqual(await keys('summary=true&other=x'), []);
  const seen: string[] = [];
  let cursor: string | null = '';
  for (let pages = 0; cursor !== null; pages++) {
    assert.ok(pages < 4);
    const query: string = cursor === '' ? 'limit=2' : `limit=2&cursor=${cursor}`;
    const { instances, page } = healthOf((await scene.ask(`${HEALTH}?${query}`)).text);
    seen.push(...instances.map(({ instance }) => instance));
    assert.equal(page!.total, 5);
    cursor = page!.next;
  }
  assert.deepEqual(seen, ['pool-1', 'a', 'b', 'c', 'd']);
  for (const bad of [
    'limit=0',
    'limit=1001',
    'limit=x',
    'state=broken',
    'type=',
    'cursor=!',
    'summary=1',
    'limit=1&limit=2',
  ]) {
    const answer = await scene.ask(`${HEALTH}?${bad}`);
    assert.deepEqual([answer.status, problemOf(answer)], [400, 'bad_query'], bad);
    assert.match(answer.text, new RegExp(bad.split('=')[0]!));
  }
});

test('adaptive polling switched off empties the three lists; counts and the targets page stay true', async (t) => {
  const scene = await apiScene(t, {}, { settings: { adaptive_polling: { enabled: false } } });
  await populate(scene, { a: 'well', c: 'locked' });
  const body = healthOf((await scene.ask(HEALTH)).text);
  assert.deepEqual([body.enabled, body.instances, body.breakers, body.staleness], [false, [], [], []]);
  assert.deepEqual([body.queue.depth, body.deadLetter.count, body.summary.targets], [2, 1, 2]);
  const rows = JSON.parse((await scene.ask(TARGETS)).text);
  assert.deepEqual(rows.columns.slice(0, 5), ['key', 'type', 'mode', 'state', 'parked']);
  assert.deepEqual(
    rows.targets.map((row: unknown[]) => row.slice(0, 5)),
    [
      ['bmc::a', 'bmc', 'poll', 'closed', null],
      ['bmc::c', 'bmc', 'poll', 'open', 'permanent_failure'],
    ],
  );
});

test('one target, and what it can be told', async (t) => {
  const scene = await apiScene(t, { allow_actions: true });
  await populate(scene, { a: 'well', c: 'locked' });
  const { ask, host, clock } = scene;
  assert.equal(JSON.parse((await ask(`${TARGETS}/bmc::a`)).text).key, 'bmc::a');
  for (const path of [`${TARGETS}/bmc::nobody`, `${TARGETS}/zzz`])
    assert.equal(problemOf(await ask(path)), 'target_unknown');
  const run = await ask(`${TARGETS}/bmc%3A%3Ac/run`, { method: 'POST' });
  assert.deepEqual([run.status, JSON.parse(run.text).key], [202, 'bmc::c']);
  await clock.advance(0);
  const reset = await ask(`${TARGETS}/bmc::c/reset`, { method: 'POST' });
  assert.equal(reset.status, 202);
  assert.equal(healthOf((await ask(HEALTH)).text).deadLetter.count, 0);
  assert.deepEqual(JSON.parse((await ask('/api/monitoring/scheduler/dead-letters/redrive', { method: 'POST' })).text), {
    accepted: 0,
  });
  const lines = host.lines.filter(({ message }) => message === 'action').map(({ fields }) => fields);
  assert.deepEqual(lines[0], {
    action: 'run',
    target: 'bmc::c',
    result: 'accepted',
    token: 'ops',
    client: '127.0.0.1',
  });
  assert.equal(lines.length, 3);
});

test('commands need allow_actions', async (t) => {
  const { ask } = await apiScene(t);
  assert.equal(problemOf(await ask(`${TARGETS}/bmc::a/run`, { method: 'POST' })), 'actions_disabled');
});

test('credentials come first: nothing is told without them, whatever the path and the method', async (t) => {
  const { ask } = await apiScene(t);
  for (const path of [HEALTH, '/nope', '/index.html', '/api/monitoring/overview?token=correct-horse-battery'])
    for (const method of ['GET', 'DELETE'] as const) {
      const answer = await ask(path, { method, token: null });
      assert.deepEqual([answer.status, problemOf(answer)], [401, 'unauthenticated']);
      assert.equal(answer.headers['www-authenticate'], 'Bearer realm="outband"');
    }
  const wrong = await ask(HEALTH, { token: 'wrong' });
  assert.equal(wrong.headers['www-authenticate'], 'Bearer realm="outband", error="invalid_token"');
  assert.equal((await ask(HEALTH, { token: null, headers: { authorization: `bEaReR ${TOKEN}` } })).status, 200);
  assert.equal(problemOf(await ask('/nope')), 'not_found');
});

test('a session: logged in with a token, kept in a cookie, bound to its page, over when idle', async (t) => {
  const { ask, origin, clock } = await apiScene(t, { allow_actions: true });
  const logIn = await ask('/api/login', { method: 'POST', token: null, body: JSON.stringify({ token: TOKEN }) });
  assert.equal(logIn.status, 204);
  const set = String(logIn.headers['set-cookie']);
  assert.match(set, /^outband_session=[\w-]{43}; HttpOnly; SameSite=Strict; Path=\/$/);
  const cookie = set.split(';')[0]!;
  const withCookie = (path: string, more: object = {}, headers = {}) =>
    ask(path, { token: null, headers: { cookie, ...headers }, ...more });
  assert.equal((await withCookie(HEALTH)).status, 200);
  const redrive = '/api/monitoring/scheduler/dead-letters/redrive';
  assert.equal(problemOf(await withCookie(redrive, { method: 'POST' })), 'origin_refused');
  assert.equal(
    problemOf(await withCookie(redrive, { method: 'POST' }, { origin: 'https://evil.example' })),
    'origin_refused',
  );
  assert.equal((await withCookie(redrive, { method: 'POST' }, { origin })).status, 202);
  await clock.advance(59 * MINUTE);
  assert.equal((await withCookie(HEALTH)).status, 200, 'used within its hour');
  await clock.advance(60 * MINUTE);
  assert.equal((await withCookie(HEALTH)).status, 401);
  for (const body of ['', '{', '[]', '{"token": 7}'])
    assert.equal(problemOf(await ask('/api/login', { method: 'POST', token: null, body })), 'bad_request');
  const again = await ask('/api/login', { method: 'POST', token: null, body: JSON.stringify({ token: TOKEN }) });
  const second = String(again.headers['set-cookie']).split(';')[0]!;
  const out = await ask('/api/logout', { method: 'POST', token: null, headers: { cookie: second, origin } });
  assert.match(String(out.headers['set-cookie']), /Max-Age=0/);
  assert.equal((await ask(HEALTH, { token: null, headers: { cookie: second } })).status, 401);
});

test('the rate limit is exact, told on every answer, and not lengthened by what it refuses', async (t) => {
  const { ask, clock } = await apiScene(t, { rate_limit: { requests_per_minute: 5 } });
  const left: (string | undefined)[] = [];
  for (const options of [{}, { token: null }, { method: 'PUT' as const }, { headers: { 'if-none-match': '*' } }, {}])
    left.push((await ask(HEALTH, options)).headers['x-ratelimit-remaining']);
  assert.deepEqual(left, ['4', '3', '2', '1', '0']);
  await clock.advance(30_500);
  const refused = await ask(HEALTH);
  assert.deepEqual([refused.status, problemOf(refused), refused.headers['retry-after']], [429, 'rate_limited', '30']);
  const reset = Number(refused.headers['x-ratelimit-reset']);
  assert.equal(reset, Math.ceil((Number(clock.now() / 1_000_000n) + 29_500) / 1_000));
  await clock.advance(29_500);
  assert.equal((await ask(HEALTH)).status, 200);
});

test('wrong tokens have a window of their own; who has a right one still passes', async (t) => {
  const { ask, host, clock } = await apiScene(t);
  for (let n = 0; n < 10; n++) assert.equal((await ask(HEALTH, { token: `guess-${n}` })).status, 401);
  const tooMany = await ask(HEALTH, { token: 'guess' });
  assert.deepEqual([tooMany.status, problemOf(tooMany)], [429, 'too_many_failed_logins']);
  assert.ok(Number(tooMany.headers['retry-after']) <= 60);
  const logIn = { method: 'POST', token: null, body: JSON.stringify({ token: TOKEN }) } as const;
  assert.equal(problemOf(await ask('/api/login', logIn)), 'too_many_failed_logins');
  assert.equal((await ask(HEALTH)).status, 200);
  assert.equal(host.lines.filter(({ level }) => level === 'warn').length, 1, 'one line per window');
  await clock.advance(MINUTE);
  assert.equal((await ask('/api/login', logIn)).status, 204);
});

test('a forged X-Forwarded-For changes nothing; one from a trusted proxy counts', async (t) => {
  const limited = { rate_limit: { requests_per_minute: 3 } };
  const forged = await apiScene(t, limited);
  const from = (address: string) => ({ headers: { 'x-forwarded-for': address } });
  for (let n = 0; n < 3; n++) assert.equal((await forged.ask(HEALTH, from(`10.0.0.${n}`))).status, 200);
  assert.equal((await forged.ask(HEALTH, from('10.0.0.9'))).status, 429);
  const proxied = await apiScene(t, { ...limited, trusted_proxies: ['127.0.0.0/8', '10.9.0.0/16'] });
  for (const client of ['10.0.0.1', '10.0.0.2, 10.9.1.1'])
    for (let n = 0; n < 3; n++) assert.equal((await proxied.ask(HEALTH, from(`1.2.3.4, ${client}`))).status, 200);
  assert.equal((await proxied.ask(HEALTH, from('6.6.6.6, 10.0.0.1'))).status, 429);
});

test('tokens of a file hold without a restart, and a broken file keeps the old ones', async (t) => {
  const directory = await temporaryDirectory(t);
  const file = join(directory, 'tokens');
  await writeFile(file, `# ours\nfirst: ${TOKEN}-one\n${TOKEN}-two\n`, { mode: 0o600 });
  const { ask, clock, host } = await apiScene(t, { auth: { token_file: file } });
  const status = async (suffix: string) => (await ask(HEALTH, { token: `${TOKEN}-${suffix}` })).status;
  assert.deepEqual([await status('one'), await status('two'), await status('three')], [200, 200, 401]);
  const until = async (isSo: () => Promise<boolean>) => {
    while (!(await isSo())) {
      await clock.advance(5_000);
      await settle();
    }
  };
  await writeFile(file, `${TOKEN}-three\n`);
  await until(async () => (await status('three')) === 200);
  assert.equal(await status('one'), 401);
  await writeFile(file, 'short\n');
  await until(async () => host.lines.some(({ level }) => level === 'error'));
  assert.equal(await status('three'), 200);
  await chmod(file, 0o644);
  await writeFile(file, `${TOKEN}-four\n`);
  await until(async () => host.lines.some(({ message }) => message.includes('can be read by others')));
});

test('a token file that cannot be used is a start error that names it', async (t) => {
  const directory = await temporaryDirectory(t);
  await mkdir(join(directory, 'sub'));
  await assert.rejects(apiScene(t, { auth: { token_file: join(directory, 'none') } }), {
    message: /^extensions::monitoring_api::auth::token_file: cannot read .*none/,
  });
  await writeFile(join(directory, 'short'), 'short');
  await assert.rejects(apiScene(t, { auth: { token_file: join(directory, 'short') } }), {
    message: 'extensions::monitoring_api::auth::token_file: line 1: must have at least 16 characters',
  });
});

test('without tokens the name of the host must be a loopback name', async (t) => {
  const { ask, host } = await apiScene(t, { auth: 'none' });
  assert.equal((await ask(HEALTH, { token: null })).status, 200);
  for (const name of ['evil.example', '10.0.0.1:7655', ''])
    assert.equal(problemOf(await ask(HEALTH, { token: null, headers: { host: name } })), 'host_refused');
  for (const name of ['localhost:7655', '127.0.0.1', '[::1]:1'])
    assert.equal((await ask(HEALTH, { token: null, headers: { host: name } })).status, 200);
  assert.ok(host.lines.some(({ message }) => message.includes('every user of this machine')));
});

test('a port that is taken is an error that names address and key', async (t) => {
  const { origin } = await apiScene(t);
  await assert.rejects(apiScene(t, { endpoint: origin.slice('http://'.length) }), {
    message: /^extensions::monitoring_api::endpoint: cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/,
  });
});

/** Speaks to the API without the manners of a client. */
function raw({ origin }: ApiScene): { readonly socket: Socket; readonly closed: Promise<string> } {
  const socket = connect(Number(new URL(origin).port), '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.on('error', () => {});
  return { socket, closed: new Promise((resolve) => socket.on('close', () => resolve(text))) };
}

test('hostile clients get one bounded answer, and change nothing for a good one', async (t) => {
  const scene = await apiScene(t, { read_header_timeout: '1s', max_header_size: '1KiB' });
  const silent = raw(scene);
  const slow = raw(scene);
  slow.socket.write('GET / HTTP/1.1\r\nhost: ');
  const large = raw(scene);
  large.socket.write(`GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(5_000)}\r\n\r\n`);
  const garbage = raw(scene);
  garbage.socket.write('\x16\x03\x01 this is TLS\r\n\r\n');
  const bodied = raw(scene);
  bodied.socket.write(
    `GET ${HEALTH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${TOKEN}\r\ncontent-length: 5\r\n\r\nhello`,
  );
  const chunked = raw(scene);
  chunked.socket.write(
    `POST /api/login HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2000\r\n${'x'.repeat(0x2000)}`,
  );
  assert.equal((await scene.ask(HEALTH)).status, 200);
  const codes = await Promise.all(
    [silent, slow, large, garbage, bodied, chunked].map(async ({ closed }) => {
      const text = await closed;
      const status = Number(text.split(' ')[1]);
      assert.match(text, /x-ratelimit-remaining: \d+/i);
      return [status, JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)).code];
    }),
  );
  assert.deepEqual(codes, [
    [408, 'header_timeout'],
    [408, 'header_timeout'],
    [431, 'headers_too_large'],
    [400, 'bad_request'],
    [413, 'body_refused'],
    [413, 'body_refused'],
  ]);
  assert.equal((await scene.ask(HEALTH)).status, 200);
});

test('connections above the limit are told so, and those within it go on', async (t) => {
  const scene = await apiScene(t, { max_connections: 2 });
  const idle = [raw(scene), raw(scene)];
  await Promise.all(idle.map(({ socket }) => new Promise<void>((resolve) => socket.once('connect', () => resolve()))));
  const ask = (client: ReturnType<typeof raw>) => {
    client.socket.write(
      `GET ${HEALTH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${TOKEN}\r\nconnection: close\r\n\r\n`,
    );
    return client.closed;
  };
  const surplus = await ask(raw(scene));
  assert.match(surplus, /^HTTP\/1\.1 503 .*"code":"too_many_connections"/s);
  assert.match(surplus, /retry-after: 1/i);
  assert.match(await ask(idle[0]!), /^HTTP\/1\.1 200 /);
});

test('a reader that stops reading is cut after write_timeout; other readers are not held up', async (t) => {
  const scene = await apiScene(t, { snapshot_max_age: '10s' });
  const { scheduler, clock } = scene;
  for (let n = 0; n < 20_000; n++)
    scheduler.register(
      { type: 'bmc', name: `node-${n}`, connection: 'x', run: async () => ({}) },
      { interval: MINUTE },
    );
  const stuck = raw(scene);
  stuck.socket.pause();
  stuck.socket.write(`GET ${HEALTH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${TOKEN}\r\n\r\n`);
  const good = await scene.ask(HEALTH);
  assert.equal(healthOf(good.text).instances.length, 20_000);
  let isClosed = false;
  void stuck.closed.then(() => {
    isClosed = true;
  });
  // Its write_timeout begins when the socket takes no more.
  while (clock.sleeping < 2) await settle();
  await clock.advance(30_000);
  stuck.socket.resume();
  while (!isClosed) await settle();
});

test('a stop lets an answer under way end, and cuts the rest when its time is over', async (t) => {
  const scene = await apiScene(t);
  const idle = raw(scene);
  await new Promise<void>((resolve) => idle.socket.once('connect', () => resolve()));
  const cut = new AbortController();
  const stopping = scene.api.shutdown(cut.signal);
  cut.abort();
  await stopping;
  await idle.closed;
});

test('a client that asks in an odd way is answered like any other', async (t) => {
  const scene = await apiScene(t);
  const say = async (lines: readonly string[]) => {
    const client = raw(scene);
    client.socket.write(`${lines.join('\r\n')}\r\nauthorization: Bearer ${TOKEN}\r\nconnection: close\r\n\r\n`);
    return client.closed;
  };
  const first = `GET ${HEALTH} HTTP/1.1`;
  for (const lines of [
    [first, 'host: a', 'upgrade: h2c'],
    [first, 'host: a', 'expect: something'],
    [first, 'host: a', 'expect: 100-continue'],
    [`GET http://elsewhere:1${HEALTH} HTTP/1.1`, 'host: a'],
    [`GET ${HEALTH} HTTP/1.0`],
  ])
    assert.match(await say(lines), /HTTP\/1\.1 200 [\s\S]*x-ratelimit-remaining: \d+/i, lines.join(' '));
  assert.match(await say([first]), /^HTTP\/1\.1 400 [\s\S]*"code":"bad_request"/, 'no host');
  const began = performance.now();
  await say([first, 'host: a', `accept-encoding: gzip${' '.repeat(14_000)}x`]);
  assert.ok(performance.now() - began < 5_000);
});

test('gzip that is refused by name is not used, whatever stands beside it', async (t) => {
  const { ask } = await apiScene(t);
  const encoding = async (accepted: string) =>
    (await ask(HEALTH, { headers: { 'accept-encoding': accepted } })).headers['content-encoding'];
  assert.deepEqual([await encoding('gzip;q=0, *'), await encoding('identity;q=1, *;q=0')], [undefined, undefined]);
});

test('garbage behind a request does not take the place of its answer', async (t) => {
  const scene = await apiScene(t);
  const client = raw(scene);
  client.socket.write(`GET ${HEALTH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${TOKEN}\r\n\r\nGARBAGE\r\n\r\n`);
  const text = await client.closed;
  assert.ok(!text.includes('bad_request') || text.startsWith('HTTP/1.1 200'), text.slice(0, 100));
  assert.equal((await scene.ask(HEALTH)).status, 200);
});

test('pages of others can neither log in nor use a host name that is not ours', async (t) => {
  const tokens = await apiScene(t);
  const evil = { origin: 'https://evil.example' };
  const logIn = { method: 'POST', token: null, body: JSON.stringify({ token: 'wrong' }) } as const;
  for (let n = 0; n < 12; n++)
    assert.equal(problemOf(await tokens.ask('/api/login', { ...logIn, headers: evil })), 'origin_refused');
  const right = { ...logIn, body: JSON.stringify({ token: TOKEN }) };
  assert.equal((await tokens.ask('/api/login', right)).status, 204, 'they have locked nobody out');
  const open = await apiScene(t, { auth: 'none' });
  for (const path of ['/api/login', '/api/logout'])
    assert.equal(problemOf(await open.ask(path, { ...logIn, headers: { host: 'evil.example' } })), 'host_refused');
  assert.equal((await open.ask(HEALTH, { token: null, headers: { host: 'LOCALHOST:1' } })).status, 200);
});

test('over TLS: limits hold, silent peers leave nothing behind, a new certificate is used, a broken one is not', async (t) => {
  const directory = await temporaryDirectory(t);
  const [cert_file, key_file] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  const install = async () => {
    const { cert, key } = await makeCertificates();
    await writeFile(cert_file, cert);
    await writeFile(key_file, key);
    return new X509Certificate(cert).fingerprint256;
  };
  const first = await install();
  const scene = await apiScene(t, { tls: { cert_file, key_file }, read_header_timeout: '1s', max_connections: 4 });
  assert.equal((await scene.ask(HEALTH)).status, 200);
  const silent = Array.from({ length: 3 }, () => raw(scene));
  await Promise.all(silent.map(({ closed }) => closed));
  assert.equal((await scene.ask(HEALTH)).status, 200);
  const shown = async () => {
    const socket = tlsConnect({ port: Number(new URL(scene.origin).port), rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    await once(socket, 'close');
    return fingerprint256;
  };
  assert.equal(await shown(), first);
  const second = await install();
  const look = async () => {
    await scene.clock.advance(5_000);
    for (let n = 0; n < 20; n++) await settle();
  };
  while ((await shown()) !== second) await look();
  await writeFile(key_file, 'no key');
  while (!scene.host.lines.some(({ message }) => message.includes('certificate stays'))) await look();
  assert.equal(await shown(), second);
});

test('a login that waits for 100-continue is served, and half a body is told of in time', async (t) => {
  const scene = await apiScene(t, { read_header_timeout: '1s' });
  const head = 'POST /api/login HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n';
  const body = JSON.stringify({ token: TOKEN });
  const patient = raw(scene);
  patient.socket.write(`${head}expect: 100-continue\r\ncontent-length: ${body.length}\r\n\r\n`);
  const [interim] = await once(patient.socket, 'data');
  assert.match(String(interim), /^HTTP\/1\.1 100 /);
  patient.socket.write(body);
  assert.match(await patient.closed, /HTTP\/1\.1 204 /);
  const half = raw(scene);
  half.socket.write(`${head}content-length: 50\r\n\r\n{"tok`);
  assert.match(await half.closed, /^HTTP\/1\.1 408 [\s\S]*"code":"header_timeout"/);
});

test('a stop waits for the answer under way and not for its connection', async (t) => {
  const scene = await apiScene(t);
  let finish = () => {};
  const reached = new Promise<void>((resolve) => {
    scene.api.serve({
      ...{ method: 'GET', path: '/api/slow' },
      handle: () => {
        resolve();
        return new Promise((answer) => {
          finish = () => answer({ status: 200, body: { done: true } });
        });
      },
    });
  });
  const client = raw(scene);
  client.socket.write(`GET /api/slow HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${TOKEN}\r\n\r\n`);
  await reached;
  const stopping = scene.api.shutdown(new AbortController().signal);
  finish();
  assert.match(await client.closed, /\{"done":true\}$/);
  await stopping;
});

test('a body that cannot be made to its end is cut, zipped or not', async () => {
  const broken = async function* () {
    yield Buffer.from('{');
    throw new Error('broken');
  };
  const read = async (body: SharedBody) => {
    for await (const piece of body.read()) void piece;
  };
  await assert.rejects(read(new SharedBody(broken())), { message: 'broken' });
  await assert.rejects(read(new SharedBody(gzipped(new SharedBody(broken())))));
});
