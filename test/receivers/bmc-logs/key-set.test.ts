import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { digest } from '../../../receivers/bmc-logs/digest.ts';
import { KeySet } from '../../../receivers/bmc-logs/logs/key-set.ts';
import { forAll } from '../../support/property.ts';

interface Row {
  stamp: number;
  seconds: number;
  value: number;
}

const small = fc.nat(9);
const step = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('put' as const),
      key: fc.nat(60),
      stamp: small,
      seconds: small,
      value: small,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('touch' as const), key: fc.nat(60), stamp: small }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drop' as const), count: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drop_before' as const), seconds: small }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('expire' as const), stamp: small, least: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('store' as const) }) },
);

test('it holds what a Map would hold, whatever is put, touched, dropped, expired and stored', () =>
  forAll(fc.array(step, { maxLength: 200 }), (steps) => {
    let keys = new KeySet();
    let model = new Map<string, Row>();
    const keep = (wanted: (row: Row, index: number) => boolean) => {
      model = new Map([...model].filter(([, row], index) => wanted(row, index)));
    };
    for (const one of steps) {
      if (one.do === 'put') {
        const { stamp, seconds, value } = one;
        const key = digest(one.key);
        const before = model.get(key);
        const isOther = before === undefined || before.seconds !== seconds || before.value !== value;
        assert.equal(keys.put(key, stamp, seconds, value), isOther);
        model.set(key, { stamp, seconds, value });
      } else if (one.do === 'touch') {
        const row = model.get(digest(one.key));
        assert.equal(keys.touch(digest(one.key), one.stamp), row !== undefined);
        if (row) row.stamp = one.stamp;
      } else if (one.do === 'drop') {
        keys.dropOldest(one.count);
        keep((_, index) => index >= one.count);
      } else if (one.do === 'drop_before') {
        keys.dropBefore(one.seconds);
        keep(({ seconds }) => seconds === 0 || seconds >= one.seconds);
      } else if (one.do === 'expire') {
        keys.expire(one.stamp, one.least);
        let spare = model.size - one.least;
        keep(({ stamp }) => stamp >= one.stamp || spare-- <= 0);
      } else {
        keys = KeySet.unpack(keys.pack());
        for (const row of model.values()) row.stamp = 0;
      }
      assert.equal(keys.size, model.size);
      for (let n = 0; n <= 60; n++) assert.equal(keys.valueOf(digest(n)), model.get(digest(n))?.value);
      const times = [...model.values()].map(({ seconds }) => seconds).filter((seconds) => seconds > 0);
      times.sort((a, b) => b - a);
      for (const count of [1, 5]) assert.equal(keys.timeOfNewest(count), times[count - 1] ?? 0);
    }
  }));
