import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox, type OutboxAnswer, type OutboxDrop } from '../../src/resilience/outbox.ts';
import { FakeClock, settle } from '../../src/testing/fake-clock.ts';

function scene(most: number) {
  const clock = new FakeClock();
  const offered: number[][] = [];
  const taken: number[] = [];
  const dropped: [number, OutboxDrop][] = [];
  let answer: OutboxAnswer = 'taken';
  const outbox = new Outbox<number>({
    most,
    offer: async (items) => {
      offered.push([...items]);
      return answer;
    },
    sleep: (ms, signal) => clock.sleep(ms, signal),
    onTaken: (items) => taken.push(...items),
    onDropped: (count, why) => dropped.push([count, why]),
  });
  outbox.start();
  const say = (next: OutboxAnswer) => {
    answer = next;
  };
  return { clock, offered, taken, dropped, outbox, say };
}

test('what is refused is offered again, in order, with waits that grow', async () => {
  const { clock, offered, taken, outbox, say } = scene(10);
  say('refused');
  outbox.add(1);
  await settle();
  outbox.add(2);
  await clock.advance(1_000);
  await clock.advance(2_000);
  assert.deepEqual(offered, [[1], [1, 2], [1, 2]]);
  say('taken');
  await clock.advance(4_000);
  assert.deepEqual(taken, [1, 2]);
});

test('a bounded number waits; the oldest go, and are counted', async () => {
  const { clock, taken, dropped, outbox, say } = scene(3);
  say('refused');
  outbox.add(0);
  await settle();
  for (let item = 1; item <= 5; item++) outbox.add(item);
  await settle();
  assert.deepEqual(
    dropped.reduce((sum, [count]) => sum + count, 0),
    3,
  );
  assert.ok(dropped.every(([, why]) => why === 'overflow'));
  say('taken');
  await clock.advance(1_000);
  assert.deepEqual(taken, [3, 4, 5]);
});

test('what is rejected for good is counted, and what comes after it goes out', async () => {
  const { taken, dropped, outbox, say } = scene(3);
  say('rejected');
  outbox.add(1);
  await settle();
  say('taken');
  outbox.add(2);
  await settle();
  assert.deepEqual([dropped, taken], [[[1, 'refused']], [2]]);
});

test('a stop makes one last attempt, and counts what is left', async () => {
  const kept = scene(3);
  kept.say('refused');
  kept.outbox.add(1);
  await settle();
  kept.say('taken');
  await kept.outbox.stop(new Error('stop'), new AbortController().signal);
  assert.deepEqual(kept.taken, [1]);
  const lost = scene(3);
  lost.say('refused');
  lost.outbox.add(1);
  await settle();
  await lost.outbox.stop(new Error('stop'), new AbortController().signal);
  assert.deepEqual(lost.dropped, [[1, 'shutdown']]);
});
