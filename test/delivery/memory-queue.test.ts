import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ValueType } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  DataPointType,
  InstrumentType,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import { PermanentError, RetryableError } from '../../src/component/errors.ts';
import { MemoryQueue } from '../../src/delivery/memory-queue.ts';
import { LOGS, METRICS } from '../../src/delivery/signals.ts';
import { batch } from '../../src/testing/records.ts';
import { bodies, LIMITS, queueContract, takeAll } from '../contracts/queue.ts';

queueContract('memory queue', async (_, limits) => new MemoryQueue(LOGS, { ...LIMITS, ...limits }));

const never = new AbortController().signal;
const waiting = (limits = {}) => new MemoryQueue(LOGS, { ...LIMITS, waitForResult: true, ...limits });

test('a batch that is larger than the queue is taken when nothing else is there', async () => {
  const queue = new MemoryQueue(LOGS, { ...LIMITS, queueSize: 2 });
  await queue.put(batch('a', 'b', 'c'), never);
  assert.equal(queue.ready.items, 3);
});

test('the bound in bytes holds whatever the sizer says', async () => {
  const queue = new MemoryQueue(LOGS, { ...LIMITS, sizer: 'requests', maxMemoryBytes: 5_000, blockOnOverflow: false });
  await queue.put(batch('x'.repeat(4_000)), never);
  await assert.rejects(queue.put(batch('y'.repeat(4_000)), never), { code: 'queue_full' });
});

test('sized in requests, a batch counts as one until the last of its records is settled', async () => {
  const queue = new MemoryQueue(LOGS, { ...LIMITS, sizer: 'requests', queueSize: 1, blockOnOverflow: false });
  await queue.put(batch('a', 'b'), never);
  const [a, b] = await takeAll(queue, 2);
  await queue.settle([a!]);
  await assert.rejects(queue.put(batch('c'), never));
  await queue.settle([b!]);
  await queue.put(batch('c'), never);
});

test('waiting for the result, a put resolves with the last of its records', async () => {
  const queue = waiting();
  let done = false;
  const put = queue.put(batch('a', 'b'), never).then(() => {
    done = true;
  });
  const [a, b] = await takeAll(queue, 2);
  await queue.settle([a!]);
  assert.equal(done, false);
  await queue.settle([b!]);
  await put;
});

test('waiting for the result, a caller whose records were all refused hears it; one that lost some does not', async () => {
  const queue = waiting();
  const note = { reason: 'rejected', message: 'no', attempts: 1 } as const;
  const all = assert.rejects(queue.put(batch('a'), never), PermanentError);
  await queue.setAside(await takeAll(queue, 1), note);
  await all;
  const some = queue.put(batch('b', 'c'), never);
  const [b, c] = await takeAll(queue, 2);
  await queue.setAside([b!], note);
  await queue.settle([c!]);
  await some;
});

test('waiting for the result, a caller that gives up has its records back, also from the queue', async () => {
  const queue = waiting();
  const caller = new AbortController();
  const put = assert.rejects(queue.put(batch('a', 'b'), caller.signal), RetryableError);
  const [a] = await takeAll(queue, 1);
  caller.abort();
  await put;
  assert.equal(queue.ready.items, 0);
  assert.equal(a!.abandoned, true);
  queue.fail([a!], new RetryableError('queue_full', 'gone'));
  assert.deepEqual([queue.figures.size, queue.figures.accepted], [0, 0]);
});

function points(resource: ResourceMetrics['resource'], value: number, temporality = AggregationTemporality.CUMULATIVE) {
  const descriptor = {
    name: 'm',
    description: '',
    unit: '1',
    type: InstrumentType.COUNTER,
    valueType: ValueType.INT,
    advice: {},
  };
  const point = { startTime: [0, 0], endTime: [value, 0], attributes: {}, value };
  return {
    resource,
    scopeMetrics: [
      {
        scope: { name: 'test' },
        metrics: [
          {
            descriptor,
            aggregationTemporality: temporality,
            dataPointType: DataPointType.SUM,
            dataPoints: [point],
            isMonotonic: true,
          },
        ],
      },
    ],
  } as unknown as ResourceMetrics;
}

test('a full queue of metrics replaces the oldest export of the same resource, cumulative ones only', async () => {
  const [one, other] = [resourceFromAttributes({ n: 1 }), resourceFromAttributes({ n: 2 })];
  let coalesced = 0;
  const queue = new MemoryQueue(METRICS, { ...LIMITS, queueSize: 2, blockOnOverflow: false }, (count) => {
    coalesced += count;
  });
  await queue.put(points(one, 1), never);
  await queue.put(points(other, 2), never);
  await queue.put(points(one, 3), never);
  assert.equal(coalesced, 1);
  await assert.rejects(queue.put(points(one, 4, AggregationTemporality.DELTA), never), { code: 'queue_full' });
  const values = queue.take(9, 1e9).map(({ value }) => value.scopeMetrics[0]!.metrics[0]!.dataPoints[0]!.value);
  assert.deepEqual(values, [2, 3]);
});

test('logs are never replaced', async () => {
  const queue = new MemoryQueue(LOGS, { ...LIMITS, queueSize: 1, blockOnOverflow: false });
  await queue.put(batch('a'), never);
  await assert.rejects(queue.put(batch('b'), never), { code: 'queue_full' });
  assert.deepEqual(bodies(queue.take(9, 1e9)), ['a']);
});
