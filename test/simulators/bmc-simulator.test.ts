import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { Agent, Pool, request } from 'undici';
import { parse } from 'yaml';
import type { SimulatedBmc } from './bmc/bmc.ts';
import { commandBmc } from './bmc/control.ts';
import { fleetTargets, startDiscovery, writeEndpointsFile } from './bmc/discovery.ts';
import { type BmcFleet, type FleetOptions, startBmcFleet } from './bmc/fleet.ts';
import { SSE_PATH } from './bmc/machine.ts';
import { startTrap } from './bmc/trap.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into at any depth
type Json = Record<string, any>;

async function oneBmc(t: TestContext, options: Partial<FleetOptions> = {}): Promise<[SimulatedBmc, BmcFleet]> {
  const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'], ...options });
  t.after(() => fleet.close());
  return [fleet.bmc(0), fleet];
}

async function get(
  bmc: SimulatedBmc,
  path: string,
  headers: Record<string, string> = {},
  method: 'GET' | 'POST' | 'DELETE' = 'GET',
  body?: object,
): Promise<{ status: number; headers: IncomingHttpHeaders; json: Json }> {
  const url = new URL(path, bmc.address);
  const answer = await request(url, { method, headers, ...(body && { body: JSON.stringify(body) }), reset: true });
  const text = await answer.body.text();
  return { status: answer.statusCode, headers: answer.headers, json: text === '' ? {} : JSON.parse(text) };
}

/** Reads a log to its end. */
async function readAll(bmc: SimulatedBmc, query = ''): Promise<Json[]> {
  const members: Json[] = [];
  let next: string | undefined = `${bmc.log().path}/Entries${query}`;
  while (next) {
    const { json }: { json: Json } = await get(bmc, next);
    members.push(...json.Members);
    next = json['Members@odata.nextLink'];
  }
  return members;
}

const ids = (members: readonly Json[]) => members.map(({ Id }) => Number(Id));

/** An open stream, read up to a text. */
async function openStream(t: TestContext, bmc: SimulatedBmc, lastEventId?: string) {
  const outgoing = httpRequest(new URL(SSE_PATH, bmc.address), {
    agent: false,
    headers: lastEventId === undefined ? {} : { 'last-event-id': lastEventId },
  });
  outgoing.on('error', () => {});
  t.after(() => outgoing.destroy());
  outgoing.end();
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  let text = '';
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    text += chunk;
  });
  response.on('error', () => {});
  return {
    status: response.statusCode,
    upTo: async (end: string) => {
      while (!text.includes(end)) await once(response, 'data');
      return text;
    },
    end: () => once(response, 'end'),
  };
}

test('a log is shown in any order, and each order comes to all entries', async (t) => {
  const [bmc] = await oneBmc(t);
  const log = bmc.log();
  bmc.appendMany(25);
  log.pageSize = 4;
  const rising = Array.from({ length: 25 }, (_, index) => index + 1);
  assert.deepEqual(ids(await readAll(bmc)), rising);
  log.order = 'desc';
  assert.deepEqual(ids(await readAll(bmc)), rising.toReversed());
  log.order = 'shuffle';
  const mixed = ids(await readAll(bmc));
  assert.notDeepEqual(mixed, rising);
  assert.deepEqual(
    mixed.toSorted((a, b) => a - b),
    rising,
  );
  for (const skip of ['ignored', 'wrong', 400, 501] as const) {
    log.skip = skip;
    assert.deepEqual(ids(await readAll(bmc)), mixed, `a link of its own works with $skip ${skip}`);
  }
});

test('query options are honoured, ignored, refused or done wrong', async (t) => {
  const [bmc] = await oneBmc(t);
  const log = bmc.log();
  const start = Date.parse('2026-01-01T00:00:00Z');
  bmc.appendMany(10, { createdMs: start, stepMs: 60_000 });
  log.pageSize = 4;
  const since = `?$filter=${encodeURIComponent("Created ge '2026-01-01T02:05:00+02:00'")}`;
  assert.equal((await readAll(bmc, since)).length, 10);
  log.filter = 'honoured';
  assert.deepEqual(ids(await readAll(bmc, since)), [6, 7, 8, 9, 10]);
  log.filter = 'wrong';
  assert.deepEqual(ids(await readAll(bmc, since)), [7, 9]);
  const entries = `${log.path}/Entries`;
  for (const status of [400, 501] as const) {
    log.filter = status;
    assert.equal((await get(bmc, entries + since)).status, status);
  }
  assert.deepEqual(ids((await get(bmc, `${entries}?%24skip=7`)).json.Members), [8, 9, 10]);
  log.skip = 'ignored';
  assert.deepEqual(ids((await get(bmc, `${entries}?$skip=7`)).json.Members), [1, 2, 3, 4]);
  log.top = 'honoured';
  assert.deepEqual(ids((await get(bmc, `${entries}?$top=2`)).json.Members), [1, 2]);
  log.top = 'wrong';
  assert.deepEqual(ids(await readAll(bmc, '?$top=2')), [1, 3, 5, 7, 9]);
});

test('entries change in place, are renumbered, and show what a test adds', async (t) => {
  const [bmc, fleet] = await oneBmc(t);
  const log = bmc.log();
  const [, , third] = bmc.appendMany(3);
  log.maxEntries = 2;
  bmc.append();
  assert.deepEqual(ids(await readAll(bmc)), [3, 4]);
  log.renumber();
  log.change(third!, { count: 5, resolved: true, severity: 'Critical' });
  log.extra = ({ sequence }) => ({ Modified: `m${sequence}` });
  const [first] = await readAll(bmc);
  assert.deepEqual(
    [first!.Id, first!.Oem, first!.Resolved, first!.Severity, first!.Modified],
    ['1', { OpenBMC: { Count: 5 } }, true, 'Critical', 'm3'],
  );
  log.ids = 'microseconds';
  assert.equal((await readAll(bmc))[0]!.Id, String(third!.createdMs * 1_000 + 3));
  log.clockOffsetMs = -365 * 86_400_000;
  assert.ok(bmc.append().createdMs < Date.now() - 364 * 86_400_000);
  assert.equal(fleet.truth.offered.filter(({ to }) => to !== undefined).length, 3, 'three left the log');
});

test('an honest ETag changes with the content, a stuck one never', async (t) => {
  const [bmc] = await oneBmc(t);
  const log = bmc.log();
  const entry = bmc.append();
  const read = (etag = '') => get(bmc, `${log.path}/Entries`, { 'if-none-match': etag });
  assert.equal((await read()).headers.etag, undefined);
  log.etag = 'honest';
  const first = String((await read()).headers.etag);
  assert.equal((await read(first)).status, 304);
  log.change(entry, { count: 2 });
  const second = await read(first);
  assert.equal(second.status, 200);
  assert.notEqual(second.headers.etag, first);
  log.etag = 'stuck';
  const stuck = String((await read()).headers.etag);
  bmc.append();
  assert.equal((await read(stuck)).status, 304);
  assert.equal(bmc.journal.at(-1)!.ifNoneMatch, stuck);
});

test('sessions have slots, end, and are told in the root', async (t) => {
  const [bmc] = await oneBmc(t, { account: { username: 'ro', password: 'secret' } });
  const root = async () => (await get(bmc, '/redfish/v1/')).json;
  assert.equal((await root()).Links, undefined);
  assert.deepEqual((await root()).ProtocolFeaturesSupported, { FilterQuery: false, TopSkipQuery: false });
  bmc.protocol.filterQuery = true;
  bmc.auth = { username: 'ro', password: 'secret', basic: false, sessions: { slots: 1, location: 'absolute' } };
  const sessions = (await root()).Links.Sessions['@odata.id'];
  assert.equal((await root()).ProtocolFeaturesSupported.FilterQuery, true);
  const login = (Password: string) => get(bmc, sessions, {}, 'POST', { UserName: 'ro', Password });
  assert.equal((await login('wrong')).status, 401);
  const session = await login('secret');
  assert.equal(session.status, 201);
  const token = { 'x-auth-token': String(session.headers['x-auth-token']) };
  assert.ok(session.headers.location?.startsWith(bmc.address));
  assert.equal((await get(bmc, '/redfish/v1/Systems', token)).status, 200);
  assert.equal((await login('secret')).status, 503);
  assert.equal((await get(bmc, session.headers.location!, token, 'DELETE')).status, 204);
  assert.equal((await get(bmc, '/redfish/v1/Systems', token)).status, 401);
  assert.deepEqual([bmc.logins, bmc.rejectedLogins, bmc.liveSessions, bmc.sessionsDeleted], [1, 1, 0, 1]);

  bmc.auth.sessions = { slots: 1, status: 204 };
  const second = await login('secret');
  assert.deepEqual([second.status, second.json], [204, {}]);
  bmc.dropSessions();
  const dropped = { 'x-auth-token': String(second.headers['x-auth-token']) };
  assert.equal((await get(bmc, '/redfish/v1/Systems', dropped)).status, 401);
  bmc.auth.sessions.refuse = 405;
  assert.equal((await login('secret')).status, 405);
  assert.deepEqual(
    bmc.journal.slice(-2).map(({ authKind, method, status }) => [authKind, method, status]),
    [
      ['token', 'GET', 401],
      ['none', 'POST', 405],
    ],
  );
});

test('bad logins lock the account, and the stream may need a right of its own', async (t) => {
  const [bmc] = await oneBmc(t, { account: { username: 'ro', password: 'secret' } });
  const basic = (password: string) => ({ authorization: `Basic ${btoa(`ro:${password}`)}` });
  const systems = async (password: string) => (await get(bmc, '/redfish/v1/Systems', basic(password))).status;
  bmc.auth!.lockoutAfter = 2;
  bmc.auth!.sseForbidden = true;
  assert.equal((await get(bmc, SSE_PATH, basic('secret'))).status, 403);
  assert.equal(await systems('wrong'), 401);
  assert.equal(await systems('secret'), 200, 'which begins the count again');
  assert.equal(await systems('wrong'), 401);
  assert.equal(bmc.lockedOut, false);
  assert.equal(await systems('wrong'), 401);
  assert.equal(bmc.lockedOut, true);
  assert.equal(await systems('secret'), 401);
  assert.equal((await get(bmc, '/redfish/v1/', basic('secret'))).status, 401);
  assert.equal((await get(bmc, '/redfish/v1/')).status, 200);
});

test('a ring gives back what came after an id, or all of it with a warning', async (t) => {
  const [bmc] = await oneBmc(t, { profiles: ['xcc'] });
  bmc.stream = { kind: 'live', ring: 3, maxStreams: 2, beyondMax: 503 };
  bmc.appendMany(5);
  const known = await (await openStream(t, bmc, '4')).upTo('#5');
  assert.ok(!known.includes('#4') && !known.includes('EventBufferExceeded'));
  const unknown = await (await openStream(t, bmc, '1')).upTo('#5');
  assert.match(unknown, /EventService\.1\.0\.EventBufferExceeded[\s\S]*#3[\s\S]*#4[\s\S]*#5/);
  assert.ok(!unknown.includes('#2'));
  assert.equal((await openStream(t, bmc)).status, 503);
});

test('a stream covers what it is told to, carries events without entries, and ends after its time', async (t) => {
  const [bmc, fleet] = await oneBmc(t, { profiles: ['idrac'] });
  bmc.stream = { kind: 'live', keepAliveMs: 5 };
  const stream = await openStream(t, bmc);
  bmc.covers = new Set([1]);
  bmc.append({ log: 0 });
  bmc.append({ log: 1 });
  const number = fleet.truth.offerEvent(bmc.name);
  bmc.event({ Message: `Only an event #${number}`, MessageId: 'Sim.1.0.Only' });
  bmc.report({ '@odata.type': '#MetricReport.v1_0_0.MetricReport', Id: 'power' });
  const text = await stream.upTo('"power"');
  assert.ok(!text.includes('#1"') && text.includes('#2"') && text.includes('#3"'));
  await stream.upTo(': keep-alive');
  assert.deepEqual(
    fleet.truth.offered.map((one) => [one.stream, one.log]),
    [
      [false, true],
      [true, true],
      [true, false],
    ],
  );
  bmc.stream = { kind: 'live', lifetimeMs: 5 };
  await (await openStream(t, bmc)).end();
});

test('faults spoil what they are meant for', async (t) => {
  const [bmc] = await oneBmc(t);
  const pool = new Pool(bmc.address, { connections: 1 });
  t.after(() => pool.destroy());
  const read = async () => (await pool.request({ method: 'GET', path: '/redfish/v1' })).body.text();
  const normal = await read();
  bmc.faults.push({ kind: 'close_reused', count: 1 });
  await assert.rejects(read());
  assert.equal(bmc.faults.length, 0);
  assert.equal(await read(), normal);
  bmc.faults.push({ kind: 'close_reused' });
  await assert.rejects(read());
  assert.equal(await read(), normal, 'a fresh connection is served');
  bmc.faults.length = 0;
  for (const kind of ['wrong_length', 'bad_chunk'] as const) {
    bmc.faults.push({ kind, count: 1 });
    await assert.rejects(read(), kind);
  }
  bmc.faults.push({ kind: 'drip', bytesPerSecond: 100_000, count: 1 }, { kind: 'delay', ms: 1, count: 1 });
  assert.equal(await read(), normal);
  assert.equal(await read(), normal);
  bmc.faults.push({ kind: 'status', status: 500, untilMs: performance.now() - 1 }, { kind: 'deep_json', count: 1 });
  assert.ok((await read()).startsWith('{"a":{"a":'));
  bmc.faults.push({ kind: 'gzip_bomb', count: 1 });
  const bomb = await pool.request({ method: 'GET', path: '/redfish/v1' });
  assert.equal(bomb.headers['content-encoding'], 'gzip');
  assert.ok((await bomb.body.bytes()).length < 2 * 2 ** 20);
  assert.ok(new Set(bmc.journal.map(({ socketId }) => socketId)).size > 2);
});

test('headers drip, and connections hang', async (t) => {
  const [bmc] = await oneBmc(t);
  const port = Number(new URL(bmc.address).port);
  bmc.stream = { kind: 'drip_headers', everyMs: 1 };
  const dripping = connectTcp(port, '127.0.0.1');
  t.after(() => dripping.destroy());
  dripping.write(`GET ${SSE_PATH} HTTP/1.1\r\nhost: x\r\n\r\n`);
  for (let chunks = 0; chunks < 3; chunks++) assert.ok(((await once(dripping, 'data')) as [Buffer])[0].length < 20);
  bmc.hangConnections = true;
  const before = bmc.journal.length;
  const hanging = connectTcp(port, '127.0.0.1');
  // Nobody read what was sent, so that the end is a reset.
  hanging.on('error', () => {});
  hanging.write('GET /redfish/v1 HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(hanging, 'connect');
  await bmc.down();
  if (!hanging.closed) await new Promise((resolve) => hanging.once('close', resolve));
  assert.equal(bmc.journal.length, before);
});

test('a reboot forgets sessions, events and streams, and may bring other firmware', async (t) => {
  const [bmc, fleet] = await oneBmc(t);
  bmc.auth = { username: 'ro', password: 'secret', sessions: { slots: 4 } };
  await get(bmc, '/redfish/v1/SessionService/Sessions', {}, 'POST', { UserName: 'ro', Password: 'secret' });
  assert.equal(bmc.liveSessions, 1);
  bmc.auth = undefined;
  bmc.stream = { kind: 'live', ring: 10 };
  bmc.append();
  await openStream(t, bmc);
  assert.equal(bmc.openStreams, 1);
  const { address } = bmc;
  await bmc.reboot({ firmware: '2.0.0' });
  await fleet.waitFor(() => bmc.openStreams === 0);
  assert.deepEqual([bmc.address, bmc.liveSessions], [address, 0]);
  assert.equal((await get(bmc, '/redfish/v1/Managers/bmc')).json.FirmwareVersion, '2.0.0');
  bmc.append();
  const text = await (await openStream(t, bmc, 'older')).upTo('#2');
  assert.ok(text.includes('id: 1\n') && !text.includes('#1"'));
});

test('overlays change the JSON of one BMC, for as many answers as they are told', async (t) => {
  const [bmc] = await oneBmc(t);
  bmc.overlay.push(
    { path: '/redfish/v1', merge: { Vendor: 'Other', Systems: { extra: null } }, count: 1 },
    { path: '/redfish/v1/Sys*', status: 500, count: 1 },
    { path: '/redfish/v1/Nothing', replace: { Id: 'new' } },
    { path: '/redfish/v1/Chassis', remove: true },
  );
  const root = await get(bmc, '/redfish/v1/');
  assert.deepEqual(
    [root.json.Vendor, root.json.Systems],
    ['Other', { '@odata.id': '/redfish/v1/Systems', extra: null }],
  );
  assert.equal((await get(bmc, '/redfish/v1')).json.Vendor, 'OpenBMC');
  assert.equal((await get(bmc, '/redfish/v1/Systems')).status, 500);
  assert.equal((await get(bmc, '/redfish/v1/Systems')).status, 200);
  assert.deepEqual((await get(bmc, '/redfish/v1/Nothing')).json, { Id: 'new' });
  assert.equal((await get(bmc, '/redfish/v1/Chassis')).status, 404);
});

test('certificates are wrong as wanted, keys change, and TLS may be old', async (t) => {
  const handshake = (bmc: SimulatedBmc, ca: string, minVersion?: 'TLSv1') =>
    new Promise<string>((resolve) => {
      const port = Number(new URL(bmc.address).port);
      const ciphers = minVersion && { ciphers: 'DEFAULT:@SECLEVEL=0' };
      const socket = connectTls({ host: '127.0.0.1', port, ca, ...(minVersion && { minVersion }), ...ciphers });
      socket.on('secureConnect', () => resolve(socket.getProtocol() ?? ''));
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      t.after(() => socket.destroy());
    });
  for (const [certificate, outcome] of [
    ['good', 'TLSv1.3'],
    ['self_signed', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['expired', 'CERT_HAS_EXPIRED'],
    ['not_yet_valid', 'CERT_NOT_YET_VALID'],
    ['wrong_name', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ] as const) {
    const [bmc, fleet] = await oneBmc(t, { tls: true, certificate });
    assert.equal(await handshake(bmc, fleet.ca!), outcome);
  }
  const [old, oldFleet] = await oneBmc(t, { tls: true, maxTlsVersion: 'TLSv1.1' });
  assert.match(await handshake(old, oldFleet.ca!), /VERSION/);
  assert.equal(await handshake(old, oldFleet.ca!, 'TLSv1'), 'TLSv1.1');

  const [bmc, fleet] = await oneBmc(t, { tls: true });
  const { address } = bmc;
  assert.equal(bmc.spkiSha256, fleet.spkiSha256);
  await bmc.rotateKey();
  assert.notEqual(bmc.spkiSha256, fleet.spkiSha256);
  const dispatcher = new Agent({ connect: { ca: fleet.ca! } });
  t.after(() => dispatcher.destroy());
  const answer = await request(`${address}/redfish/v1`, { dispatcher });
  await answer.body.dump();
  assert.equal(answer.statusCode, 200);
});

test('the journal tells what a client sent, and how many requests it had in flight', async (t) => {
  const [bmc, fleet] = await oneBmc(t);
  bmc.faults.push({ kind: 'hang', path: '/redfish/v1/Systems' });
  const hanging = new AbortController();
  const both = [1, 2].map(() =>
    request(`${bmc.address}/redfish/v1/Systems`, { signal: hanging.signal }).catch((error: Error) => error.name),
  );
  await fleet.waitFor(() => bmc.journal.length === 2);
  hanging.abort();
  assert.deepEqual(await Promise.all(both), ['AbortError', 'AbortError']);
  const headers = { 'user-agent': 'test', 'odata-version': '4.0', forwarded: 'host=x', accept: 'application/json' };
  await get(bmc, '/redfish/v1?a=%20b', { ...headers, cookie: 'no' });
  const { query, accept, status, headers: kept } = bmc.journal.at(-1)!;
  assert.deepEqual([query, accept, status, kept], ['a=%20b', 'application/json', 200, headers]);
  assert.equal(bmc.peakRequests, 2);
});

test('the truth knows what was altered on its way', async (t) => {
  const [bmc, fleet] = await oneBmc(t);
  const entry = bmc.append();
  const record = (body: string) => ({ body, endpoint: bmc.name });
  const before = record(entry.message);
  bmc.log().change(entry, { message: 'Changed #1' });
  const verdict = fleet.truth.compare([before, record('Changed #1'), record('Forged #1')]);
  assert.deepEqual(verdict.altered, [{ number: 1, body: 'Forged #1' }]);
  assert.deepEqual([verdict.lost, verdict.strange, verdict.doubled[0]!.times], [[], 0, 3]);
});

test('a fleet is told by discovery and by a file, and a trap counts who comes', async (t) => {
  const [bmc, fleet] = await oneBmc(t);
  const [discovery, trap] = [await startDiscovery(), await startTrap()];
  t.after(() => Promise.all([discovery.close(), trap.close()]));
  const ask = async () => {
    const answer = await request(discovery.url, { reset: true });
    return [answer.statusCode, await answer.body.text()];
  };
  assert.deepEqual(await ask(), [200, '[]']);
  discovery.answer(500);
  assert.equal((await ask())[0], 500);
  discovery.answer({ status: 200, body: '[{' });
  assert.deepEqual(await ask(), [200, '[{']);
  discovery.answer(fleetTargets(fleet));
  const host = bmc.address.slice('http://'.length);
  const list = [{ targets: [host], labels: { __name: 'bmc-0', __scheme: 'http' } }];
  assert.deepEqual(JSON.parse(String((await ask())[1])), list);
  assert.equal(discovery.requests, 4);

  const folder = await mkdtemp(join(tmpdir(), 'outband-endpoints-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'endpoints.yaml');
  await writeEndpointsFile(file, fleet, { fields: () => ({ labels: { rack: 'r1' } }) });
  assert.deepEqual(parse(await readFile(file, 'utf8')), [
    { name: 'bmc-0', address: bmc.address, tls: { insecure: true }, labels: { rack: 'r1' } },
  ]);

  assert.equal(trap.requests, 0);
  await (await request(`${trap.origin}/any`, { reset: true })).body.dump();
  assert.equal(trap.requests, 1);
});

test('commands do what the properties do', async (t) => {
  const [bmc] = await oneBmc(t);
  await commandBmc(bmc, 'logs', { op: 'append', n: 3 });
  await commandBmc(bmc, 'logs', { op: 'wrap', max: 2 });
  await commandBmc(bmc, 'logs', { op: 'append' });
  await commandBmc(bmc, 'logs', { op: 'renumber' });
  await commandBmc(bmc, 'logs', { op: 'change', place: 0, patch: { resolved: true } });
  await commandBmc(bmc, 'logs', { op: 'set', settings: { order: 'desc' } });
  assert.deepEqual(
    (await readAll(bmc)).map(({ Id, Resolved }) => [Id, Resolved]),
    [
      ['2', undefined],
      ['1', true],
    ],
  );
  await commandBmc(bmc, 'faults', { kind: 'status', status: 503, count: 1 });
  assert.equal(bmc.faults.length, 1);
  await commandBmc(bmc, 'sse', { kind: 'status', status: 501, eventService: 'null_uri' });
  assert.deepEqual([bmc.stream, bmc.eventService], [{ kind: 'status', status: 501 }, 'null_uri']);
  await commandBmc(bmc, 'reboot', { firmware: '3' });
  assert.equal(bmc.machine.facts.firmware, '3');
  assert.equal(await commandBmc(bmc, 'nothing', {}), false);
});

test('a fleet that is closed stays closed, though one of its BMCs was rebooting', async () => {
  const fleet = await startBmcFleet({ count: 1 });
  const { address } = fleet.bmc(0);
  const rebooting = fleet.bmc(0).reboot({ downMs: 20 });
  await fleet.close();
  await rebooting;
  await assert.rejects(fetch(`${address}/redfish/v1/`));
});
