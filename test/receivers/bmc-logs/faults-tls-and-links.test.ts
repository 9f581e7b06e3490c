import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SESSIONS_PATH } from '../../simulators/bmc/access.ts';
import type { CertificateKind } from '../../simulators/bmc/certificates.ts';
import type { BmcFleet } from '../../simulators/bmc/fleet.ts';
import { SSE_PATH } from '../../simulators/bmc/machine.ts';
import { startTrap, type Trap } from '../../simulators/bmc/trap.ts';
import { countLines, type Scene, type SceneOptions, scene } from '../../support/scene.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const FAST = `
initial_history: all
periodic: { logs_collection_interval: 100ms }
sse: { initial_backoff: 5ms, max_backoff: 10ms, min_stream_lifetime: 100ms, reconcile_interval: 1s }
auto: { trial_lifetime: 100ms }`;
const REFUSED = 'a link of the BMC was not followed';

interface SecuredOptions extends Omit<SceneOptions, 'receiver'> {
  /** Content of `tls`, without braces; `CA` and `PIN` stand for the file of the authority and the hash of the key. */
  readonly tlsSettings: string;
}

/** A fleet that speaks TLS, and an agent that judges it as told. */
async function secured(t: TestContext, { tlsSettings, before, ...options }: SecuredOptions): Promise<Scene> {
  const file = join(await temporaryDirectory(t), 'ca.pem');
  const place = { CA: file, PIN: '' };
  return scene(t, {
    tls: true,
    profiles: ['openbmc'],
    ...options,
    // Asked for by the scene when the fleet is up.
    get receiver() {
      return `${FAST}\ntls: { ${tlsSettings.replace('CA', place.CA).replace('PIN', place.PIN)} }`;
    },
    before: async (fleet) => {
      place.PIN = fleet.spkiSha256!;
      await writeFile(file, fleet.ca!);
      fleet.bmc(0).append();
      await before?.(fleet);
    },
  });
}

const OTHER_PIN = '00'.repeat(32);
const DISTRUSTED: readonly {
  readonly what: string;
  readonly certificate?: CertificateKind;
  readonly maxTlsVersion?: 'TLSv1.1';
  readonly tlsSettings: string;
  readonly code: string;
  readonly says: RegExp;
}[] = [
  {
    what: 'a self-signed certificate',
    ...{ certificate: 'self_signed', tlsSettings: 'ca_file: CA' },
    ...{ code: 'certificate_mismatch', says: /the certificate is not trusted/ },
  },
  {
    what: 'a certificate of an authority that nobody named',
    tlsSettings: 'min_version: "1.2"',
    ...{ code: 'certificate_mismatch', says: /the certificate is not trusted/ },
  },
  {
    what: 'a certificate for another name',
    ...{ certificate: 'wrong_name', tlsSettings: 'ca_file: CA' },
    ...{ code: 'certificate_mismatch', says: /the certificate is for another name/ },
  },
  {
    what: 'an expired certificate',
    ...{ certificate: 'expired', tlsSettings: 'ca_file: CA' },
    ...{ code: 'certificate_mismatch', says: /the certificate has expired/ },
  },
  {
    what: 'a certificate of tomorrow',
    ...{ certificate: 'not_yet_valid', tlsSettings: 'ca_file: CA' },
    ...{ code: 'certificate_mismatch', says: /the certificate is not valid yet/ },
  },
  {
    what: 'a key that is not pinned',
    tlsSettings: `spki_sha256: ["${OTHER_PIN}"]`,
    ...{ code: 'certificate_mismatch', says: /another key than spki_sha256 names/ },
  },
  {
    what: 'a key that is not pinned, though its authority is trusted',
    tlsSettings: `ca_file: CA, spki_sha256: ["${OTHER_PIN}"]`,
    ...{ code: 'certificate_mismatch', says: /another key than spki_sha256 names/ },
  },
  {
    what: 'a key that is not pinned, with insecure_skip_verify',
    tlsSettings: `insecure_skip_verify: true, spki_sha256: ["${OTHER_PIN}"]`,
    ...{ code: 'certificate_mismatch', says: /another key than spki_sha256 names/ },
  },
  {
    what: 'the pinned key in an expired certificate, where an authority judges too',
    ...{ certificate: 'expired', tlsSettings: 'ca_file: CA, spki_sha256: ["PIN"]' },
    ...{ code: 'certificate_mismatch', says: /the certificate has expired/ },
  },
  {
    what: 'TLS 1.1 at most',
    ...{ maxTlsVersion: 'TLSv1.1', tlsSettings: 'ca_file: CA' },
    ...{ code: 'bmc_tls', says: /offers no TLS version that is allowed/ },
  },
];

for (const { what, tlsSettings, code, says, ...options } of DISTRUSTED)
  test(`a BMC that shows ${what} gets no byte of HTTP, is told as such and spends its budget`, async (t) => {
    const { fleet, agent, sink, downgrade } = await secured(t, { tlsSettings, ...options });
    const line = await downgrade('bmc-0');
    assert.deepEqual([line.reason, line.failures], ['connect_failure_budget', 5]);
    assert.match(String(line.last_error), says);
    const read = await agent.line(({ msg }) => msg === 'the logs cannot be read');
    assert.equal(read['error.code'], code);
    assert.match(String(read.error), says);
    assert.equal(await agent.metric('outband.bmc.stream_connects', { 'error.type': 'tls' }), 5);
    assert.deepEqual(fleet.bmc(0).journal, []);
    assert.equal(sink.records.length, 0);
  });

test('the hint on a certificate of tomorrow is about the own clock', async (t) => {
  const { agent } = await secured(t, { certificate: 'not_yet_valid', tlsSettings: 'ca_file: CA' });
  const line = await agent.line(({ msg }) => msg === 'the logs cannot be read');
  assert.match(JSON.stringify(line), /clock of this machine/);
});

const TRUSTED: readonly {
  readonly what: string;
  readonly certificate?: CertificateKind;
  readonly maxTlsVersion?: 'TLSv1.1';
  readonly tlsSettings: string;
}[] = [
  { what: 'the pinned key, self-signed', certificate: 'self_signed', tlsSettings: 'spki_sha256: ["PIN"]' },
  {
    what: 'one of two pinned keys, expired and for another name',
    ...{ certificate: 'expired', tlsSettings: `spki_sha256: ["${OTHER_PIN}", "PIN"]` },
  },
  {
    what: 'a certificate for server_name',
    certificate: 'wrong_name',
    tlsSettings: 'ca_file: CA, server_name: other.invalid',
  },
  { what: 'TLS 1.1, which is allowed', maxTlsVersion: 'TLSv1.1', tlsSettings: 'ca_file: CA, min_version: "1.0"' },
];

for (const { what, ...options } of TRUSTED)
  test(`a BMC that shows ${what} is read by stream and by poll`, async (t) => {
    const { fleet, allDelivered } = await secured(t, options);
    await fleet.waitFor(() => fleet.bmc(0).openStreams === 1);
    fleet.bmc(0).append();
    await allDelivered();
  });

test('a BMC that changes its pinned key keeps the open stream, and gets no byte of HTTP on a new connection', async (t) => {
  const { fleet, downgrade } = await secured(t, { tlsSettings: 'spki_sha256: ["PIN"]' });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  await bmc.rotateKey();
  assert.equal(bmc.openStreams, 1);
  await bmc.down();
  const asked = bmc.journal.length;
  await bmc.up();
  assert.match(String((await downgrade('bmc-0')).last_error), /another key than spki_sha256 names/);
  assert.equal(bmc.journal.length, asked);
});

test('unverified certificates are told once for the whole fleet, and not at all where pins judge', async (t) => {
  const loose = await secured(t, { count: 3, tlsSettings: 'insecure_skip_verify: true' });
  await loose.allDelivered();
  const warnings = loose.agent.lines.filter(({ msg }) => msg === 'certificates of BMCs are not verified');
  assert.deepEqual(
    warnings.map(({ level, endpoints }) => [level, endpoints]),
    [['warn', 3]],
  );
  const pinned = await secured(t, { tlsSettings: 'insecure_skip_verify: true, spki_sha256: ["PIN"]' });
  await pinned.allDelivered();
  assert.equal(countLines(pinned.agent, 'certificates of BMCs are not verified'), 0);
});

/** Where a BMC may be led to, seen from its own address. */
const EVIL: readonly (readonly [string, (host: string, bmc: string) => string])[] = [
  ['another origin', (host) => `http://${host}/redfish/v1/x`],
  ['//another host', (host) => `//${host}/redfish/v1/x`],
  ['\\\\another host', (host) => `\\\\${host}\\redfish\\v1\\x`],
  ['/\\another host', (host) => `/\\${host}/redfish/v1/x`],
  ['another host behind blanks and a tab', (host) => `  /\t/${host}/redfish/v1/x`],
  ['another host behind its own as user', (host, bmc) => `http://${bmc}@${host}/redfish/v1/x`],
  ['out of /redfish/ by ..', () => '/redfish/v1/../../admin'],
  ['out of /redfish/ by %2e%2e', () => '/redfish/v1/%2e%2e/%2E%2E/admin'],
  ['a path that only begins like /redfish', () => '/redfishy/v1/x'],
  ['a file', () => 'file:///redfish/v1/x'],
];

/** A server that nobody should talk to; gone when the test ends. */
async function trapOf(t: TestContext): Promise<Trap> {
  const trap = await startTrap();
  t.after(() => trap.close());
  return trap;
}

/** Puts a link into every place that an agent follows. */
function leadAway(fleet: BmcFleet, link: string): void {
  const bmc = fleet.bmc(0);
  const { path } = bmc.log(0);
  bmc.overlay.push(
    { path: '/redfish/v1/EventService', merge: { ServerSentEventUri: link } },
    { path: '/redfish/v1/Systems', merge: { '@odata.nextLink': link } },
    { path: '/redfish/v1/Chassis', merge: { Members: [{ '@odata.id': link }], 'Members@odata.nextLink': link } },
    { path: `${path}/Entries`, merge: { 'Members@odata.nextLink': link, '@odata.nextLink': link } },
  );
  bmc.faults.push({ kind: 'redirect', location: link, path: '/redfish/v1/Managers', status: 308 });
}

for (const [what, linkTo] of EVIL)
  test(`links, pages, redirects and a stream URI that lead to ${what} are refused, and nobody else is asked`, async (t) => {
    const trap = await trapOf(t);
    const { fleet, agent, downgrade, sink } = await scene(t, {
      profiles: ['openbmc'],
      account: { username: 'ro', password: 'secret' },
      receiver: `${FAST}\nauth: { username: ro, password: secret }`,
      before: (all) => {
        all.bmc(0).append();
        leadAway(all, linkTo(new URL(trap.origin).host, new URL(all.bmc(0).address).host));
      },
    });
    assert.equal((await downgrade('bmc-0')).reason, 'connect_failure_budget');
    await sink.waitFor(() => sink.records.length > 0);
    const line = await agent.line(({ msg }) => msg === REFUSED);
    assert.equal(line['error.code'], 'bmc_link_refused');
    assert.equal(countLines(agent, REFUSED), 1, 'once per endpoint');
    assert.ok((await agent.metric('outband.bmc.refused_links')) >= 5);
    assert.equal(trap.connections, 0);
    assert.equal(sink.records.length, 1);
    const strange = fleet.bmc(0).journal.filter(({ path }) => !path.startsWith('/redfish/v1'));
    assert.deepEqual(strange, []);
  });

test('links and redirects from https to http are refused, and http is never spoken', async (t) => {
  const trap = await trapOf(t);
  const { agent, downgrade } = await secured(t, {
    tlsSettings: 'ca_file: CA',
    before: (all) => leadAway(all, `http://${new URL(trap.origin).host}/redfish/v1/x`),
  });
  await downgrade('bmc-0');
  assert.ok((await agent.metric('outband.bmc.refused_links')) >= 5);
  assert.equal(trap.connections, 0);
});

test('a stream that redirects to another host takes neither the stream nor the credentials there', async (t) => {
  const trap = await trapOf(t);
  const { agent, downgrade } = await scene(t, {
    account: { username: 'ro', password: 'secret' },
    receiver: `${FAST}\nauth: { username: ro, password: secret }`,
    before: (all) =>
      void all.bmc(0).faults.push({ kind: 'redirect', location: `${trap.origin}${SSE_PATH}`, path: SSE_PATH }),
  });
  assert.equal((await downgrade('bmc-0')).reason, 'connect_failure_budget');
  assert.equal(await agent.metric('outband.bmc.refused_links'), 5);
  assert.equal(trap.connections, 0);
});

const SESSIONS = { username: 'ro', password: 'secret', sessions: { slots: 4 } };

for (const status of [301, 302, 307, 308] as const)
  test(`a login that is redirected with ${status} to another host gives no password away`, async (t) => {
    const trap = await trapOf(t);
    const { fleet, agent } = await scene(t, {
      receiver: `${FAST}\nauth: { username: ro, password: secret }`,
      before: (all) => {
        all.bmc(0).auth = SESSIONS;
        const location = `${trap.origin}${SESSIONS_PATH}`;
        all.bmc(0).faults.push({ kind: 'redirect', location, path: SESSIONS_PATH, status });
      },
    });
    await agent.line(({ msg }) => msg === REFUSED);
    await agent.line(({ msg }) => msg === 'the logs cannot be read');
    assert.equal(trap.connections, 0);
    assert.equal(fleet.bmc(0).logins, 0);
  });

test('a session that lies on another host is not ended there', async (t) => {
  const trap = await trapOf(t);
  const { fleet, agent } = await scene(t, {
    receiver: `${FAST}\nauth: { username: ro, password: secret }`,
    before: (all) => {
      all.bmc(0).auth = SESSIONS;
      const headers = { 'x-auth-token': 'abc', location: `${trap.origin}${SESSIONS_PATH}/1` };
      all.bmc(0).faults.push({ kind: 'status', status: 201, headers, path: SESSIONS_PATH, count: 1 });
    },
  });
  await fleet.waitFor(() => fleet.bmc(0).journal.some(({ authKind }) => authKind === 'token'));
  await agent.stop();
  assert.equal(trap.connections, 0);
  assert.ok(fleet.bmc(0).journal.every(({ method }) => method !== 'DELETE'));
});

test('a password that is rotated in its file is used with the next request, and lifts the hold', async (t) => {
  const file = join(await temporaryDirectory(t), 'password');
  await writeFile(file, 'old\n');
  const { fleet, agent, allDelivered } = await scene(t, {
    receiver: `${FAST}\nauth: { username: ro, password_file: ${file} }`,
    before: (all) => {
      all.bmc(0).auth = { username: 'ro', password: 'new', lockoutAfter: 4 };
      all.bmc(0).append();
    },
  });
  const bmc = fleet.bmc(0);
  await agent.line(({ msg }) => msg === 'logins are rejected; the account is left alone for a while');
  const asked = bmc.rejectedLogins;
  assert.equal(asked, 3);
  await writeFile(file, 'new\n');
  await allDelivered();
  assert.equal(bmc.rejectedLogins, asked);
  assert.equal(bmc.lockedOut, false);
  bmc.auth = { username: 'ro', password: 'newer' };
  await writeFile(file, 'newer\n');
  bmc.append();
  await allDelivered();
  assert.ok(!JSON.stringify(agent.lines).includes(await readFile(file, 'utf8').then((text) => text.trim())));
});

test('a read that takes longer than its interval is never joined by a second one', async (t) => {
  const { fleet, agent, allDelivered } = await scene(t, {
    profiles: ['openbmc'],
    receiver: 'mode: periodic\ninitial_history: all\nperiodic: { logs_collection_interval: 20ms }',
    before: (all) => {
      all.bmc(0).append();
      all.bmc(0).faults.push({ kind: 'delay', ms: 60, path: `${all.bmc(0).log(0).path}/Entries` });
    },
  });
  const reads = () => fleet.bmc(0).journal.filter(({ path }) => path.endsWith('/Entries'));
  await fleet.waitFor(() => reads().length >= 5);
  await allDelivered();
  const times = reads().map(({ at }) => at);
  for (const [index, at] of times.slice(1).entries())
    assert.ok(at - times[index]! >= 55, `${at - times[index]!} ms after the one before`);
  assert.equal(countLines(agent, 'the logs cannot be read'), 0);
});
