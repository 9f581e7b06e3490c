import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { digest } from '../../../receivers/bmc-logs/digest.ts';
import { KeySet } from '../../../receivers/bmc-logs/logs/key-set.ts';
import { forAll } from '../../support/property.ts';

const step = fc.oneof(
  { weight: 10, arbitrary: fc.record({ do: fc.constant('add' as const), key: fc.nat(60), stamp: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drop' as const), count: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('expire' as const), stamp: fc.nat(9), least: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('store' as const) }) },
);

test('it holds what a Map would hold, in the same order, whatever is added, dropped, expired and stored', () =>
  forAll(fc.array(step, { maxLength: 200 }), (steps) => {
    let keys = new KeySet();
    let model = new Map<string, number>();
    for (const one of steps) {
      if (one.do === 'add') {
        const key = digest(one.key);
        assert.equal(keys.add(key, one.stamp), !model.has(key));
        model.set(key, one.stamp);
      } else if (one.do === 'drop') {
        keys.dropOldest(one.count);
        model = new Map([...model].slice(one.count));
      } else if (one.do === 'expire') {
        keys.expire(one.stamp, one.least);
        let spare = model.size - one.least;
        model = new Map([...model].filter(([, stamp]) => stamp >= one.stamp || spare-- <= 0));
      } else {
        keys = KeySet.unpack(keys.pack());
        model = new Map([...model].map(([key]) => [key, 0]));
      }
      assert.equal(keys.size, model.size);
      for (let n = 0; n <= 60; n++) assert.equal(keys.stampOf(digest(n)), model.get(digest(n)));
    }
    assert.equal(keys.pack(), Buffer.from([...model.keys()].join(''), 'latin1').toString('base64'));
  }));
