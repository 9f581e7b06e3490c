import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Coverage } from '../../../receivers/bmc-logs/stream/coverage.ts';

const missed = (...services: string[]) => new Set(services);

test('a stream that never told anything is silent at the second reconcile that finds something', () => {
  const coverage = new Coverage();
  assert.equal(coverage.reconciled(missed('SEL')), false);
  assert.equal(coverage.reconciled(missed('EventLog')), true);
});

test('a reconcile that misses nothing proves nothing', () => {
  const coverage = new Coverage();
  for (let n = 0; n < 10; n++) assert.equal(coverage.reconciled(missed()), false);
});

test('an event between two reconciles, or a new stream, begins the count anew', () => {
  for (const happens of ['event', 'opened'] as const) {
    const coverage = new Coverage();
    coverage.reconciled(missed('SEL'));
    coverage[happens]();
    assert.equal(coverage.reconciled(missed('SEL')), false);
    assert.equal(coverage.reconciled(missed('SEL')), true);
  }
});

test('a log that the stream never tells, while it tells another, is polled and speaks against nobody', () => {
  const coverage = new Coverage();
  assert.equal(coverage.tells('EventLog'), true);
  assert.equal(coverage.tells('EventLog'), false);
  for (let n = 0; n < 5; n++) assert.equal(coverage.reconciled(missed('SEL')), false);
  assert.deepEqual([...coverage.uncovered], ['SEL']);
  assert.equal(coverage.reconciled(missed('SEL', 'EventLog')), false);
  assert.equal(coverage.reconciled(missed('EventLog')), true);
});

test('what was covered before a restart is covered after it; a log that comes by stream after all is polled no more', () => {
  const coverage = new Coverage(['EventLog']);
  coverage.reconciled(missed('SEL'));
  assert.equal(coverage.uncovered.size, 1);
  coverage.tells('SEL');
  assert.equal(coverage.uncovered.size, 0);
  assert.deepEqual(coverage.covered, ['EventLog', 'SEL']);
});
