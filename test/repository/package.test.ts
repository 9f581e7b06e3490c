import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const json = (path: string) => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));

test('every dependency is pinned to one exact version', () => {
  const { dependencies, devDependencies } = json('package.json');
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies }))
    assert.match(String(version), /^\d+\.\d+\.\d+$/, name);
});

test('the tree holds one copy of each OpenTelemetry package', () => {
  const packages = Object.keys(json('package-lock.json').packages).filter((path) => path.includes('@opentelemetry/'));
  const nested = packages.filter((path) => path.split('node_modules/').length > 2);
  assert.deepEqual(nested, []);
});

test('the lock file names no download address', () => {
  assert.ok(!readFileSync(join(ROOT, 'package-lock.json'), 'utf8').includes('"resolved"'));
});

test('scripts run on the pinned Node', () => {
  assert.equal(process.versions.node, json('package.json').devDependencies.node);
});
