import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogsConsumer } from '../../src/component/consumer.ts';
import { PermanentError, RetryableError } from '../../src/component/errors.ts';
import { fanOutLogs as fanOut } from '../../src/delivery/fan-out.ts';
import { batch } from '../../src/testing/records.ts';

const context = { signal: new AbortController().signal };

/** A consumer that answers as told, in turn, and then accepts. */
function consumer(...answers: (Error | undefined)[]): LogsConsumer & { calls: number } {
  return {
    calls: 0,
    async consumeLogs() {
      const error = answers[this.calls++];
      if (error) throw error;
    },
  };
}
const later = () => new RetryableError('queue_full', 'later');
const never = () => new PermanentError('export_rejected', 'never');

test('a batch that one consumer refused is offered again to that one only', async () => {
  const good = consumer();
  const slow = consumer(later());
  const both = fanOut([good, slow]);
  const data = batch('a');
  await assert.rejects(both.consumeLogs(data, context), RetryableError);
  await both.consumeLogs(data, context);
  assert.deepEqual([good.calls, slow.calls], [1, 2]);
});

test('all consumers are waited for before a refusal is told', async () => {
  const answered: string[] = [];
  const slow: LogsConsumer = {
    async consumeLogs() {
      await new Promise((resolve) => setImmediate(resolve));
      answered.push('slow');
    },
  };
  await assert.rejects(fanOut([consumer(later()), slow]).consumeLogs(batch('a'), context));
  assert.deepEqual(answered, ['slow']);
});

test('the refusal is permanent only if all are', async () => {
  await assert.rejects(fanOut([consumer(never()), consumer(never())]).consumeLogs(batch('a'), context), PermanentError);
  await assert.rejects(fanOut([consumer(never()), consumer(later())]).consumeLogs(batch('a'), context), RetryableError);
});

test('who refused for good is not asked again', async () => {
  const done = consumer(never());
  const slow = consumer(later());
  const both = fanOut([done, slow]);
  const data = batch('a');
  await assert.rejects(both.consumeLogs(data, context), RetryableError);
  await both.consumeLogs(data, context);
  assert.deepEqual([done.calls, slow.calls], [1, 2]);
});
