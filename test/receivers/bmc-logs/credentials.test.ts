import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Credentials, type LoginAnswer } from '../../../receivers/bmc-logs/client/credentials.ts';
import { EndpointState } from '../../../receivers/bmc-logs/endpoint-state.ts';
import { Secret } from '../../../src/component/secret.ts';
import { FakeClock, settle } from '../../../src/testing/fake-clock.ts';

function scene() {
  let password = 'x';
  const state = new EndpointState({}, () => {});
  let answer: (given: LoginAnswer) => void = () => {};
  const seen = { logins: 0, bodies: [] as string[], ended: [] as string[] };
  const credentials = new Credentials({
    endpoint: 'a',
    auth: { mode: 'session', username: 'root', password: new Secret('x') } as never,
    clock: new FakeClock(),
    state,
    account: async () => ({ kind: 'password', username: 'root', password: new Secret(password) }),
    login: (_path, body, signal) => {
      seen.logins++;
      seen.bodies.push(body);
      return new Promise((resolve, reject) => {
        answer = resolve;
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    },
    logout: async (location) => {
      seen.ended.push(location);
      return { status: 200 };
    },
    onHold: () => {},
    onLifted: () => {},
  });
  credentials.learn('/redfish/v1/SessionService/Sessions');
  const ask = (signal: AbortSignal) => credentials.prove(signal, async () => ({ status: 200 }));
  const refused: LoginAnswer = { status: 401, token: undefined, location: undefined, body: '' };
  const made: LoginAnswer = { status: 201, token: 't', location: '/Sessions/1', body: '' };
  const change = (to: string) => {
    password = to;
  };
  return { credentials, seen, ask, state, change, answer: () => answer(made), refuse: () => answer(refused) };
}

const never = new AbortController().signal;

test('a session that the BMC makes for somebody who has given up is ended with the client', async () => {
  const { credentials, seen, ask, answer } = scene();
  const caller = new AbortController();
  const asked = ask(caller.signal);
  while (seen.logins === 0) await settle();
  caller.abort(new Error('interrupted'));
  await assert.rejects(asked, /interrupted/);
  const closing = credentials.close(never);
  answer();
  await closing;
  assert.deepEqual(seen.ended, ['/Sessions/1']);
});

test('who comes after one that has given up shares the login that is on its way', async () => {
  const { credentials, seen, ask, answer } = scene();
  const caller = new AbortController();
  const first = ask(caller.signal);
  while (seen.logins === 0) await settle();
  caller.abort(new Error('interrupted'));
  await assert.rejects(first, /interrupted/);
  const second = ask(never);
  await settle();
  answer();
  assert.deepEqual(await second, { status: 200 });
  assert.equal(seen.logins, 1);
  await credentials.close(never);
  assert.deepEqual(seen.ended, ['/Sessions/1']);
});

test('a client that has no time to close cuts the login off', async () => {
  const { credentials, seen, ask } = scene();
  const caller = new AbortController();
  const asked = ask(caller.signal);
  while (seen.logins === 0) await settle();
  caller.abort(new Error('interrupted'));
  await assert.rejects(asked, /interrupted/);
  await credentials.close(AbortSignal.abort(new Error('no time')));
  assert.deepEqual(seen.ended, []);
});

test('a login that nobody waited for counts when it is refused, and is no answer to another password', async () => {
  const { seen, ask, state, change, answer, refuse } = scene();
  const caller = new AbortController();
  const first = ask(caller.signal);
  while (seen.logins === 0) await settle();
  caller.abort(new Error('interrupted'));
  await assert.rejects(first, /interrupted/);
  change('y');
  const second = ask(never);
  await settle();
  assert.equal(seen.logins, 1, 'one after the other');
  refuse();
  while (seen.logins === 1) await settle();
  assert.match(seen.bodies[1]!, /"Password":"y"/);
  assert.equal(state.current.hold?.rejected, undefined, 'a changed account begins anew');
  answer();
  assert.deepEqual(await second, { status: 200 });
});

test('three logins that nobody waited for are three', async () => {
  const { seen, ask, state, refuse } = scene();
  for (let n = 1; n <= 3; n++) {
    const caller = new AbortController();
    const asked = ask(caller.signal);
    while (seen.logins < n) await settle();
    caller.abort(new Error('interrupted'));
    await assert.rejects(asked, /interrupted/);
    refuse();
    await settle();
  }
  assert.ok(state.current.hold!.untilMs > 0, JSON.stringify(state.current.hold));
  await assert.rejects(ask(never), { code: 'auth_hold' });
  assert.equal(seen.logins, 3);
});
