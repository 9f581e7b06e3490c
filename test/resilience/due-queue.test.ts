import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DueQueue } from '../../src/resilience/due-queue.ts';
import { forAll } from '../support/property.ts';

test('items leave in order of due time, equal times in order of arrival', () => {
  const queue = new DueQueue<string>();
  queue.set('late', 30);
  queue.set('first', 10);
  queue.set('second', 10);
  assert.equal(queue.nextDue(), 10);
  assert.deepEqual([...queue.due(30)], ['first', 'second', 'late']);
});

test('an item that is moved keeps no trace of its old time', () => {
  const queue = new DueQueue<string>();
  queue.set('a', 10);
  queue.set('a', 50);
  assert.deepEqual([...queue.due(20)], []);
  assert.equal(queue.dueOf('a'), 50);
  assert.equal(queue.size, 1);
});

test('any sequence of set and delete behaves like a sorted list', () =>
  forAll(
    fc.array(fc.record({ item: fc.nat(20), due: fc.nat(100), remove: fc.boolean() }), { maxLength: 200 }),
    (steps) => {
      const queue = new DueQueue<number>();
      const model = new Map<number, number>();
      for (const { item, due, remove } of steps) {
        if (remove) {
          queue.delete(item);
          model.delete(item);
        } else {
          queue.set(item, due);
          model.set(item, due);
        }
        assert.equal(queue.size, model.size);
        assert.equal(queue.nextDue(), model.size === 0 ? undefined : Math.min(...model.values()));
      }
      const dues = [...queue.due(100)].map((item) => model.get(item)!);
      assert.deepEqual(
        dues,
        [...model.values()].sort((a, b) => a - b),
      );
    },
  ));
