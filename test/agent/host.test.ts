import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostMaker } from '../../src/agent/host.ts';
import { createOwnLogs } from '../../src/platform/own-logs.ts';
import { createOwnMetrics } from '../../src/platform/own-metrics.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

test('a component that is gone has no status, whatever it still reports', () => {
  const clock = new FakeClock();
  const logs = createOwnLogs({ level: 'error', encoding: 'console', clock, write: () => {} });
  const metrics = createOwnMetrics({ version: '0.0.0' });
  const surroundings = { clock, random: () => 0, logs, metrics, configDirectory: '/', pipelines: [], about: undefined };
  const hosts = new HostMaker(surroundings, new Map(), () => {});
  const [old, onlooker] = [hosts.make('receiver', 'mine'), hosts.make('extension', 'look')];
  const ids = () => onlooker.statuses().map(({ id, status }) => `${id} ${status}`);
  old.report({ status: 'ok' });
  assert.deepEqual(ids(), ['mine ok']);
  old.gone();
  old.report({ status: 'recoverable', error: new Error('late') });
  assert.deepEqual(ids(), []);
});
