import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publicAddress, publicMessage } from '../../src/component/public-message.ts';

const messages: [string, string][] = [
  ['GET https://u:pa@ss@h/redfish/v1/?a=b answered 401', 'GET https://h/redfish/v1/ answered 401'],
  [`connect https://u:"p'w"@10.0.0.1:443 refused`, 'connect https://10.0.0.1:443 refused'],
  ['https:/u:p@h failed', 'https:/h failed'],
  ['login admin:secret@10.0.0.1 refused', 'login 10.0.0.1 refused'],
  ["GET h/p?a='secret' answered 500", 'GET h/p answered 500'],
  ['X-Auth-Token: abc password=x refused', 'X-Auth-Token: [REDACTED] password=[REDACTED] refused'],
  ['Authorization: Basic abc= refused', 'Authorization: [REDACTED] refused'],
  ['Authorization: Digest abc refused', 'Authorization: [REDACTED] refused'],
  ['sent {"password":"hunter 2","a":1}', 'sent {"password":[REDACTED],"a":1}'],
  ['password="hunter two" refused', 'password=[REDACTED] refused'],
  ['what is wrong? nothing', 'what is wrong? nothing'],
  ['one\u2028line', 'one line'],
  ['line one\nline two', 'line one line two'],
  [`https://u:${'p'.repeat(900)}@h/x`, 'https://h/x'],
  ['at 12:30 connect 10.0.0.1:443 failed', 'at 12:30 connect 10.0.0.1:443 failed'],
  [`${'x'.repeat(300)}`, `${'x'.repeat(255)}…`],
];
for (const [message, shown] of messages)
  test(`shown of "${message.slice(0, 40)}"`, () => assert.equal(publicMessage(new Error(message)), shown));

test('an address is shown without user info, query and fragment', () => {
  assert.equal(publicAddress('https://u:p@10.0.0.1:8443/a?b=c#d'), 'https://10.0.0.1:8443/a');
  assert.equal(publicAddress('10.0.0.1/x?token=abc'), '10.0.0.1/x');
  assert.equal(publicAddress('//u:p@h'), '//h');
});

test('hostile text costs little', () => {
  const began = performance.now();
  for (const text of ['a:'.repeat(50_000), 'https://'.repeat(20_000), '@'.repeat(100_000), '?'.repeat(100_000)])
    publicMessage(text);
  assert.ok(performance.now() - began < 2_000);
});
