import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DebugSender } from '../../exporters/debug/exporter.ts';
import debug, { type DebugConfig } from '../../exporters/debug/index.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { record } from '../../src/testing/records.ts';

function senderOf(settings: object) {
  const lines: string[] = [];
  const clock = new FakeClock();
  return {
    lines,
    clock,
    sender: new DebugSender(debug.schema.parse(settings) as DebugConfig, clock, (line) => lines.push(line)),
  };
}

test('basic: one line per batch; normal: one per record; detailed: every field', async () => {
  for (const [verbosity, lines] of [
    ['basic', 1],
    ['normal', 2],
    ['detailed', 2],
  ] as const) {
    const one = senderOf({ verbosity });
    await one.sender.sendLogs([record('a'), record('b')]);
    assert.equal(one.lines.length, lines);
  }
});

test('of each second the first batches are printed, then one of so many', async () => {
  const { lines, clock, sender } = senderOf({ sampling_initial: 2, sampling_thereafter: 3 });
  for (let n = 0; n < 8; n++) await sender.sendLogs([record('a')]);
  assert.equal(lines.length, 4);
  await clock.advance(1_000);
  await sender.sendLogs([record('a')]);
  assert.equal(lines.length, 5);
});

test('what JSON cannot say is printed all the same', async () => {
  const { lines, sender } = senderOf({ verbosity: 'detailed' });
  const odd = { ...record('a'), body: { big: (2n ** 60n) as never }, hrTime: [1e15, 0] as [number, number] };
  assert.deepEqual(await sender.sendLogs([odd]), { kind: 'accepted' });
  assert.ok(lines[0]!.includes('1152921504606846976'));
});

test('remote text commands no terminal, and a line has an end', async () => {
  const { lines, sender } = senderOf({ verbosity: 'detailed' });
  await sender.sendLogs([record(`\u001b[31m\u202e${'x'.repeat(20_000)}`)]);
  assert.ok(!/[\u001b\u202e]/.test(lines[0]!));
  assert.ok(lines[0]!.length <= 8_192);
});
