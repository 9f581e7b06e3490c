import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { bmcLogsConfig } from '../../../receivers/bmc-logs/config.ts';
import { probe } from '../../../receivers/bmc-logs/probe/probe.ts';
import type { Finding, ProbeOptions } from '../../../src/component/factory.ts';
import { Secret } from '../../../src/component/secret.ts';
import { systemClock } from '../../../src/platform/system-clock.ts';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { fastClock } from '../../support/fast-clock.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const RECORDINGS = process.env.REDFISH_RECORDINGS ?? '';
const skip = existsSync(RECORDINGS) ? false : 'REDFISH_RECORDINGS names no folder with recorded BMC answers';
const ACCOUNT = { username: 'root', password: 'calvin' };

async function findings(address: string, options: Partial<ProbeOptions> = {}): Promise<Finding[]> {
  const found: Finding[] = [];
  const all = {
    tls: {},
    withSession: true,
    withStream: true,
    clock: systemClock,
    signal: new AbortController().signal,
  };
  for await (const finding of probe({ address, ...all, ...options })) found.push(finding);
  return found;
}

const account = (password = ACCOUNT.password) => ({ username: ACCOUNT.username, password: new Secret(password) });
const of = (topic: string, found: readonly Finding[]) => found.filter((one) => one.topic === topic);
const verdicts = (found: readonly Finding[]) => found.map(({ topic, verdict }) => `${topic} ${verdict}`);

/** Mode, what the stream is worth, and per log: its entries, their order and by what they are known. */
const MACHINES = {
  'dell-idrac9-r750': {
    mode: 'auto polls: EventService is disabled (sse_not_available)',
    events: 'EventService is disabled, although ServerSentEventUri is /redfish/v1/SSE',
    logs: ['Lclog 5 newest_first Id', 'Sel 5 newest_first Id', 'FaultList 0 - -'],
  },
  'hpe-ilo5-dl325': {
    mode: 'auto polls: no ServerSentEventUri (sse_not_available)',
    events: 'no ServerSentEventUri',
    logs: undefined,
  },
  'hpe-ilo6-dl360gen11': {
    mode: 'auto polls: no ServerSentEventUri (sse_not_available)',
    events: 'no ServerSentEventUri',
    logs: [
      'IML 117 oldest_first number',
      'SL 94 oldest_first number',
      'Event 256 oldest_first Id',
      'IEL 248 oldest_first number',
    ],
  },
  'nvidia-gh200-openbmc': {
    mode: 'auto polls: no ServerSentEventUri (sse_not_available)',
    events: 'no ServerSentEventUri',
    logs: undefined,
  },
  'openbmc-stock-2023': {
    mode: 'auto streams',
    events:
      'streams from /redfish/v1/EventService/SSE; filters: EventFormatType, MessageId, MetricReportDefinition, RegistryPrefix',
    logs: ['EventLog 0 - -', 'HostLogger 0 - -', 'Journal - - -'],
  },
};

function logLine({ details = {} }: Finding): string {
  const { path, entries = '-', order = '-', identity = '-' } = details;
  const known = String(identity)
    .replace(/, time.*/, '')
    .replace(/^the.* /, '');
  return `${String(path).split('/').at(-1)} ${entries} ${order} ${known}`;
}

for (const [machine, expected] of Object.entries(MACHINES))
  test(`${machine}: what it says of its stream, what mode auto makes of it, and its logs`, { skip }, async (t) => {
    const fleet = await startBmcFleet({ count: 1, tree: join(RECORDINGS, machine) });
    t.after(() => fleet.close());
    const found = await findings(fleet.bmc(0).address, { clock: fastClock(20) });
    assert.equal(of('mode', found)[0]!.text, expected.mode);
    assert.equal(of('events', found)[0]!.text, expected.events);
    if (expected.logs) assert.deepEqual(of('logs', found).map(logLine), expected.logs);
    assert.ok(of('logs', found).every(({ verdict }) => verdict === 'ok'));
    assert.equal(fleet.bmc(0).openStreams, 0);
  });

test('a session is made once and ended, and the block to paste is a configuration of the receiver', async (t) => {
  const fleet = await startBmcFleet({ count: 1, tls: true, account: ACCOUNT, profiles: ['idrac'] });
  t.after(() => fleet.close());
  const bmc = fleet.bmc(0);
  bmc.auth = { ...ACCOUNT, sessions: { slots: 4 } };
  bmc.append();
  const ca = join(await temporaryDirectory(t), 'ca.pem');
  await writeFile(ca, fleet.ca!);
  const found = await findings(bmc.address, { account: account(), tls: { ca_file: ca }, clock: fastClock(20) });
  const of1 = (topic: string) => of(topic, found)[0]!;
  assert.match(of1('tls').text, /^trusted; TLSv1\.2, TLSv1\.3; for IP Address:127\.0\.0\.1/);
  assert.equal(of1('tls').details!.spkiSha256, fleet.spkiSha256);
  assert.match(of1('auth').text, /^a session/);
  assert.equal(of1('stream').verdict, 'ok');
  assert.equal(of1('mode').text, 'auto streams');
  assert.deepEqual([bmc.logins, bmc.liveSessions, bmc.openStreams], [1, 0, 0]);
  const { receivers } = parse(of1('config').block!);
  assert.ok(bmcLogsConfig.safeParse(receivers.bmc_logs).success);
  assert.ok(!JSON.stringify(found).includes(ACCOUNT.password));
});

test('a refused account is tried once, and nothing is asked after it', async (t) => {
  const fleet = await startBmcFleet({ count: 1, account: ACCOUNT });
  t.after(() => fleet.close());
  const found = await findings(fleet.bmc(0).address, { account: account('wrong') });
  assert.deepEqual(verdicts(found), [
    ...['tls warn', 'root ok', 'auth fail', 'events warn', 'stream warn', 'mode warn', 'logs warn', 'config warn'],
  ]);
  assert.equal(of('logs', found)[0]!.text, 'not looked at: auth failed');
  assert.equal(fleet.bmc(0).rejectedLogins, 1);
});

test('a certificate that is not trusted gets no byte of HTTP; its key is shown, and pinning it opens the way', async (t) => {
  const fleet = await startBmcFleet({ count: 1, tls: true });
  t.after(() => fleet.close());
  const bmc = fleet.bmc(0);
  const found = await findings(bmc.address);
  assert.deepEqual(verdicts(found), [
    ...['tls fail', 'root warn', 'auth warn', 'events warn', 'stream warn', 'mode warn', 'logs warn', 'config warn'],
  ]);
  assert.ok(found[0]!.text.includes(`--pin ${fleet.spkiSha256}`));
  assert.equal(bmc.journal.length, 0);
  const pinned = await findings(bmc.address, { tls: { spki_sha256: [fleet.spkiSha256] }, withStream: false });
  assert.notEqual(pinned[0]!.verdict, 'fail');
  assert.equal(of('mode', pinned)[0]!.text, 'auto would try to stream from /redfish/v1/EventService/SSE');
});

test('a version of TLS whose hello vanishes costs its time, and not the others', async (t) => {
  const fleet = await startBmcFleet({ count: 1, tls: true });
  t.after(() => fleet.close());
  const { hostname, port } = new URL(fleet.bmc(0).address);
  const proxy = createServer((near) => {
    near
      .on('error', () => {})
      .once('data', (hello: Buffer) => {
        // What a client that speaks nothing newer than TLS 1.1 says: no extension `supported_versions`.
        if (!hello.includes(Buffer.from([0, 43])) && !hello.includes(Buffer.from([3, 3]), 5)) return;
        const far = connect(Number(port), hostname).on('error', () => near.destroy());
        far.write(hello);
        near.pipe(far).pipe(near);
      });
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => proxy.close());
  const address = `https://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const found = await findings(address, {
    tls: { insecure_skip_verify: true },
    clock: fastClock(20),
    withStream: false,
  });
  assert.match(of('tls', found)[0]!.text, /^accepted unseen; TLSv1\.2, TLSv1\.3;/);
  assert.equal(of('root', found)[0]!.verdict, 'ok');
});

test('a server that says nothing holds nobody longer than asked', async (t) => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.after(() => silent.close());
  const limit = new AbortController();
  silent.once('connection', () => limit.abort(new Error('interrupted')));
  const address = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  await assert.rejects(findings(address, { signal: limit.signal }), /interrupted/);
});

test('what fails is told under its topic, and the rest is still looked at', async (t) => {
  const fleet = await startBmcFleet({ count: 1 });
  t.after(() => fleet.close());
  const bmc = fleet.bmc(0);
  bmc.overlay.push({ path: '/redfish/v1/EventService', status: 500 });
  const found = await findings(bmc.address);
  assert.equal(of('events', found)[0]!.verdict, 'warn');
  assert.match(of('mode', found)[0]!.text, /^auto goes on trying to stream.*answered 500/);
  assert.equal(of('logs', found)[0]!.verdict, 'ok');
});

test('settings that the receiver would not take are refused in its words', async () => {
  await assert.rejects(findings('https://10.0.0.1', { tls: { spki_sha256: ['short'] } }), {
    code: 'config_value',
    message: /spki_sha256::0 must be 32 bytes as base64 or hex/,
  });
});
