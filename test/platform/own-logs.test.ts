import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutbandError } from '../../src/component/errors.ts';
import { Secret } from '../../src/component/secret.ts';
import { createOwnLogs } from '../../src/platform/own-logs.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

function logged(
  encoding: 'console' | 'json',
  fields: Record<string, unknown>,
  level: 'debug' | 'warn' = 'warn',
): string {
  let text = '';
  const logs = createOwnLogs({
    level: 'info',
    encoding,
    clock: new FakeClock('2026-11-25T12:00:00Z'),
    write: (line) => {
      text += line;
    },
  });
  logs.logger({ component: 'x' })[level]('something happened', fields);
  return text;
}

test('a console line is time, level, message and fields, with tabs between', () => {
  assert.equal(
    logged('console', { endpoint: 'r1' }),
    '2026-11-25T12:00:00.000Z\twarn\tsomething happened\t{"component":"x","endpoint":"r1"}\n',
  );
});

test('a json line is one object', () => {
  assert.deepEqual(JSON.parse(logged('json', { n: 1 })), {
    ts: '2026-11-25T12:00:00.000Z',
    level: 'warn',
    msg: 'something happened',
    component: 'x',
    n: 1,
  });
});

test('fields do not take the place of the frame, and what cannot be JSON is told all the same', () => {
  const circle: Record<string, unknown> = { n: 1n };
  circle.self = circle;
  const line = JSON.parse(logged('json', { ts: 'Z', level: 'X', msg: 'Y', circle, nothing: null }));
  assert.deepEqual([line.ts, line.level, line.msg], ['2026-11-25T12:00:00.000Z', 'warn', 'something happened']);
  assert.match(line.circle, /n: 1n, self: \[Circular/);
  assert.equal(line.nothing, 'null');
  assert.deepEqual([line['field.ts'], line['field.level'], line['field.msg']], ['Z', 'X', 'Y']);
  const evil = {
    toJSON: () => {
      throw new Error('no');
    },
    [Symbol.for('nodejs.util.inspect.custom')]: () => {
      throw new Error('no');
    },
  };
  assert.equal(JSON.parse(logged('json', { evil })).evil, 'cannot be printed');
});

test('a level below the configured one writes nothing', () => assert.equal(logged('json', {}, 'debug'), ''));

test('remote text can neither command a terminal nor end a line', () => {
  const text = 'red \u001b[31m bell \u0007 line \n next \u2028 turn \u202e del \u007f c1 \u009b';
  for (const encoding of ['console', 'json'] as const) {
    const line = logged(encoding, { text });
    assert.doesNotMatch(
      line.slice(0, -1).replaceAll('\t', ''),
      /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/,
    );
  }
});

test('an error carries its code and what to do', () => {
  const line = JSON.parse(logged('json', { error: new OutbandError('certificate_mismatch', 'handshake failed') }));
  assert.deepEqual([line.error, line['error.code']], ['handshake failed', 'certificate_mismatch']);
  assert.match(line.hint, /ca_file/);
});

test('a secret is masked wherever it stands', () => {
  const secret = new Secret('canary');
  for (const fields of [{ secret }, { deep: { secret } }, { list: [secret] }, { text: `${secret}` }])
    assert.ok(!logged('json', fields).includes('canary'));
});

test('a long field is cut, with its length', () => {
  assert.match(logged('json', { text: 'x'.repeat(10_000) }), /x\.\.\. \(10000 characters\)/);
});
