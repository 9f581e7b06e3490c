import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalPath, resolveLink } from '../../../receivers/bmc-logs/client/links.ts';

const BMC = new URL('https://10.0.0.1/');

for (const link of [
  '/redfish/v1/Systems/1',
  'https://10.0.0.1/redfish/v1/',
  'https://10.0.0.1:443/redfish/v1/',
  '/redfish/v1/Logs?$skip=50&$top=50',
])
  test(`${link} stays at home`, () => assert.equal(resolveLink(BMC, link).origin, BMC.origin));

for (const link of [
  'https://evil.example/redfish/v1/',
  '//evil.example/redfish/v1/',
  '\\\\evil.example/redfish/v1/',
  'http://10.0.0.1/redfish/v1/',
  'https://10.0.0.1:8443/redfish/v1/',
  'https://user@10.0.0.1/redfish/v1/',
  '/redfish/../admin',
  '/redfish/v1/%2e%2e/%2e%2e/admin',
  '/admin',
  'javascript:alert(1)',
  'https://[bad',
  '',
  null,
  7,
  {},
])
  test(`${JSON.stringify(link)} is refused`, () => {
    assert.throws(() => resolveLink(BMC, link), { code: 'bmc_link_refused' });
  });

test('a page of a log may link relative to itself', () => {
  const page = new URL('https://10.0.0.1/redfish/v1/Logs/Entries');
  assert.equal(resolveLink(page, '?$skip=50').pathname, '/redfish/v1/Logs/Entries');
});

test('a trailing slash names the same resource', () => {
  assert.equal(canonicalPath(new URL('https://x/redfish/v1/Logs/')), '/redfish/v1/Logs');
});
