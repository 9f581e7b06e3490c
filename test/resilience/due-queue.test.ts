import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DueQueue } from '../../src/resilience/due-queue.ts';
import { forAll } from '../support/property.ts';

/** Takes everything that is due, in order. */
function drain(queue: DueQueue, now = Number.POSITIVE_INFINITY): number[] {
  const items: number[] = [];
  while (queue.nextDue() <= now && queue.first() !== undefined) {
    items.push(queue.first()!);
    queue.delete(items.at(-1)!);
  }
  return items;
}

test('items leave in order of due time, equal times in order of arrival', () => {
  const queue = new DueQueue();
  queue.set(7, 30);
  queue.set(9, 10);
  queue.set(3, 10);
  assert.equal(queue.nextDue(), 10);
  assert.deepEqual(drain(queue), [9, 3, 7]);
  assert.equal(queue.nextDue(), Number.POSITIVE_INFINITY);
});

test('an item that is moved keeps no trace of its old time', () => {
  const queue = new DueQueue();
  queue.set(1, 10);
  queue.set(1, 50);
  assert.deepEqual(drain(queue, 20), []);
  assert.equal(queue.dueOf(1), 50);
  assert.equal(queue.size, 1);
});

test('any sequence of set and delete behaves like a sorted list', () =>
  forAll(
    fc.array(fc.record({ item: fc.nat(40), due: fc.nat(100), remove: fc.boolean() }), { maxLength: 400 }),
    (steps) => {
      const queue = new DueQueue();
      let arrivals = 0;
      const model = new Map<number, { due: number; order: number }>();
      for (const { item, due, remove } of steps) {
        if (remove) {
          queue.delete(item);
          model.delete(item);
        } else {
          queue.set(item, due);
          model.set(item, { due, order: arrivals++ });
        }
        assert.equal(queue.size, model.size);
        assert.equal(queue.nextDue(), Math.min(...[...model.values()].map((entry) => entry.due)));
        assert.equal(queue.dueOf(item), model.get(item)?.due ?? Number.POSITIVE_INFINITY);
      }
      const sorted = [...model].sort(([, a], [, b]) => a.due - b.due || a.order - b.order).map(([item]) => item);
      assert.deepEqual(drain(queue), sorted);
    },
  ));
