import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Credentials, type LoginAnswer } from '../../../receivers/bmc-logs/client/credentials.ts';
import { EndpointState } from '../../../receivers/bmc-logs/endpoint-state.ts';
import { Secret } from '../../../src/component/secret.ts';
import { FakeClock, settle } from '../../../src/testing/fake-clock.ts';

function scene() {
  let answer: (given: LoginAnswer) => void = () => {};
  const seen = { logins: 0, ended: [] as string[] };
  const credentials = new Credentials({
    endpoint: 'a',
    auth: { mode: 'session', username: 'root', password: new Secret('x') } as never,
    clock: new FakeClock(),
    state: new EndpointState({}, () => {}),
    account: async () => ({ kind: 'password', username: 'root', password: new Secret('x') }),
    login: (_path, _body, signal) => {
      seen.logins++;
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
  const made: LoginAnswer = { status: 201, token: 't', location: '/Sessions/1', body: '' };
  return { credentials, seen, ask, answer: () => answer(made) };
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
