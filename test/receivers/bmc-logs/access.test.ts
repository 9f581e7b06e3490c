import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAccount } from '../../../receivers/bmc-logs/client/account.ts';
import { Credentials } from '../../../receivers/bmc-logs/client/credentials.ts';
import { EndpointState } from '../../../receivers/bmc-logs/endpoint-state.ts';
import { FakeClock } from '../../../src/testing/fake-clock.ts';
import { testHost } from '../../../src/testing/host.ts';
import { scene } from '../../support/scene.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const ACCOUNT = { username: 'ro', password: 'p$${w}ord' };
const auth = (password: string) => `
mode: periodic
initial_history: all
periodic: { logs_collection_interval: 100ms }
auth: { username: ro, password: '${password}' }`;

test('a BMC that asks for credentials gets them', async (t) => {
  const { fleet, allDelivered } = await scene(t, {
    account: { ...ACCOUNT, password: 'plain' },
    receiver: auth('plain'),
    before: (all) => void all.bmc(0).append(),
  });
  await allDelivered();
  const closed = fleet.bmc(0).journal.filter(({ path }) => path !== '/redfish/v1/');
  assert.ok(closed.length > 0 && closed.every(({ authorized }) => authorized));
});

test('a wrong password is told as such, with the code that names the remedy', async (t) => {
  const { agent } = await scene(t, { account: ACCOUNT, receiver: auth('wrong') });
  const line = await agent.line(({ msg }) => String(msg).includes('logs cannot be read'));
  assert.equal(line['error.code'], 'auth_rejected');
  assert.ok(!JSON.stringify(agent.lines).includes('wrong'));
});

test('with the authority in a file a BMC is read over TLS, by stream and by poll', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'outband-ca-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'ca.pem');
  const { fleet, allDelivered } = await scene(t, {
    tls: true,
    receiver: `initial_history: all\ntls: { ca_file: ${file} }`,
    before: async (all) => {
      await writeFile(file, all.ca!);
      all.bmc(0).append();
    },
  });
  await fleet.waitFor(() => fleet.bmc(0).openStreams === 1);
  fleet.bmc(0).append();
  await allDelivered();
});

test('an authority that is not trusted means no byte of HTTP, and says so', async (t) => {
  const { fleet, agent } = await scene(t, {
    tls: true,
    receiver: 'sse: { initial_backoff: 10ms, max_backoff: 20ms }',
  });
  const line = await agent.line(({ msg }) => msg === 'the logs cannot be read');
  assert.equal(line['error.code'], 'certificate_mismatch');
  assert.deepEqual(fleet.bmc(0).journal, []);
});

test('a CA file that cannot be read is a start error, not a BMC that is away', async (t) => {
  const file = join(await temporaryDirectory(t), 'ca.pem');
  for (const [content, message] of [
    [undefined, /cannot read/],
    ['no PEM', /holds no certificate in PEM form/],
    ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', /holds a certificate that cannot be read/],
  ] as const) {
    if (content !== undefined) await writeFile(file, content);
    await assert.rejects(scene(t, { tls: true, receiver: `tls: { ca_file: ${file} }` }), {
      code: 'config_source',
      message,
    });
  }
});

test('a password file that is empty, or gone, sends nothing: whoever rewrites it in place empties it first', async (t) => {
  const file = join(await temporaryDirectory(t), 'password');
  const credentials = new Credentials({
    ...{ endpoint: 'r1', clock: new FakeClock(), state: new EndpointState({}, () => {}) },
    auth: { mode: 'basic', username: 'ro', password_file: file },
    account: () => readAccount({ mode: 'basic', username: 'ro', password_file: file }, testHost()),
    login: () => assert.fail('no login'),
    logout: () => assert.fail('no logout'),
    onHold: () => {},
    onLifted: () => {},
  });
  const sent: unknown[] = [];
  const ask = () =>
    credentials.prove(new AbortController().signal, async (headers) => {
      sent.push(headers.authorization);
      return { status: 200 };
    });
  await assert.rejects(ask(), { code: 'config_source', message: /cannot read/ });
  for (const content of ['', '\n']) {
    await writeFile(file, content);
    await assert.rejects(ask(), { code: 'config_source', message: /is empty/ });
  }
  assert.deepEqual(sent, []);
  await writeFile(file, 'new\n');
  await ask();
  assert.deepEqual(sent, [`Basic ${Buffer.from('ro:new').toString('base64')}`]);
});
