import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PermanentError } from '../../src/component/errors.ts';
import type { Sender, SendResult } from '../../src/component/exporter.ts';
import { ExporterPipeline } from '../../src/delivery/exporter-pipeline.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';
import { testHost } from '../support/host.ts';
import { batch } from '../support/records.ts';

const SETTINGS = {
  timeout: 30_000,
  sending_queue: {
    num_consumers: 2,
    queue_size: 100,
    max_memory_mib: 16,
    batch: { flush_timeout: 200, max_size: 10 },
  },
  retry_on_failure: {
    initial_interval: 5_000,
    max_interval: 30_000,
    multiplier: 1.5,
    randomization_factor: 0,
    max_retry_after: 300_000,
  },
};
const RETRY: SendResult = { kind: 'retry', reason: 'HTTP 503' };
const context = () => ({ signal: new AbortController().signal });

/** A pipeline around a sender that answers as told, in turn, and then accepts. */
async function pipeline(...answers: (SendResult | 'hang' | Error)[]) {
  const clock = new FakeClock();
  const host = testHost({ clock });
  const requests: string[][] = [];
  const sender: Sender = {
    async sendLogs(records, { signal }) {
      requests.push(records.map(({ body }) => String(body)));
      const answer = answers.shift() ?? { kind: 'accepted' };
      if (answer instanceof Error) throw answer;
      if (answer !== 'hang') return answer;
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    },
  };
  const exporter = new ExporterPipeline({ exporter: 'test', sender, settings: SETTINGS, host });
  await exporter.start();
  return { clock, host, requests, exporter };
}

test('small batches travel together, after the flush timeout', async () => {
  const { clock, requests, exporter } = await pipeline();
  const sent = Promise.all([
    exporter.consumeLogs(batch('a'), context()),
    exporter.consumeLogs(batch('b', 'c'), context()),
  ]);
  await clock.advance(199);
  assert.deepEqual(requests, []);
  await clock.advance(1);
  await sent;
  assert.deepEqual(requests, [['a', 'b', 'c']]);
});

test('a full request does not wait', async () => {
  const { requests, exporter } = await pipeline();
  await exporter.consumeLogs(batch(...'abcdefghij'), context());
  assert.deepEqual(requests, [[...'abcdefghij']]);
});

test('a batch larger than a request is split, and acknowledged as one', async () => {
  const { clock, requests, exporter } = await pipeline();
  const sent = exporter.consumeLogs(batch(...'abcdefghijklm'), context());
  await clock.advance(200);
  await sent;
  assert.deepEqual(requests.flat().sort(), [...'abcdefghijklm']);
});

test('the promise waits for the 2xx through any number of retries', async () => {
  const { clock, requests, exporter } = await pipeline(RETRY, RETRY, RETRY);
  let done = false;
  const sent = exporter.consumeLogs(batch('a'), context()).then(() => {
    done = true;
  });
  await clock.advance(200 + 5_000 + 7_500);
  assert.equal(requests.length, 3);
  assert.equal(done, false);
  await clock.advance(11_250);
  await sent;
  assert.equal(requests.length, 4);
});

test('the server decides how long to wait', async () => {
  const { clock, requests, exporter } = await pipeline({ ...RETRY, afterMs: 60_000 });
  const sent = exporter.consumeLogs(batch('a'), context());
  await clock.advance(200 + 59_999);
  assert.equal(requests.length, 1);
  await clock.advance(1);
  await sent;
});

test('an attempt without answer ends at the timeout and is repeated', async () => {
  const { clock, requests, exporter } = await pipeline('hang');
  const sent = exporter.consumeLogs(batch('a'), context());
  await clock.advance(200 + 30_000 + 5_000);
  await sent;
  assert.equal(requests.length, 2);
});

test('a sender that throws loses nothing', async () => {
  const { clock, requests, exporter } = await pipeline(new Error('ECONNREFUSED'));
  const sent = exporter.consumeLogs(batch('a'), context());
  await clock.advance(200 + 5_000);
  await sent;
  assert.equal(requests.length, 2);
});

test('a rejected request is taken apart by its callers: one poison does not take the others with it', async () => {
  const reject: SendResult = { kind: 'reject', reason: 'HTTP 400', status: 400 };
  const { clock, requests, exporter } = await pipeline(reject, { kind: 'accepted' }, reject);
  const good = exporter.consumeLogs(batch('good'), context());
  const bad = exporter.consumeLogs(batch('bad'), context());
  const refused = assert.rejects(bad, PermanentError);
  await clock.advance(200);
  await good;
  await refused;
  assert.deepEqual(requests, [['good', 'bad'], ['good'], ['bad']]);
});

test('an outage is one log line in ten seconds, not one per request', async () => {
  const { clock, host, exporter } = await pipeline(...Array.from({ length: 50 }, () => RETRY));
  for (let n = 0; n < 5; n++) void exporter.consumeLogs(batch(...'abcdefghij'), context()).catch(() => {});
  await clock.advance(60_000);
  const lines = host.lines.filter(({ message }) => message.startsWith('Exporting failed'));
  assert.ok(lines.length >= 2 && lines.length <= 7, `${lines.length} lines in 60 s`);
  await exporter.shutdown(new AbortController().signal);
});

test('a caller that gives up gets its records back, and they are not sent later', async () => {
  const { clock, requests, exporter } = await pipeline(RETRY, RETRY);
  const caller = new AbortController();
  const sent = exporter.consumeLogs(batch('a'), { signal: caller.signal });
  const refused = assert.rejects(sent, { code: 'queue_full' });
  await clock.advance(200);
  caller.abort();
  await refused;
  await clock.advance(60_000);
  assert.equal(requests.length, 1);
});

test('a stop ends all waiting; safe twice and without start', async () => {
  const { clock, exporter } = await pipeline(RETRY);
  const refused = assert.rejects(exporter.consumeLogs(batch('a'), context()), { code: 'shutting_down' });
  await clock.advance(200);
  await exporter.shutdown(new AbortController().signal);
  await refused;
  await exporter.shutdown(new AbortController().signal);
  assert.equal(clock.sleeping, 0);
  const unstarted = new ExporterPipeline({ exporter: 'x', sender: {}, settings: SETTINGS, host: testHost() });
  await unstarted.shutdown(new AbortController().signal);
});

test('what a backend refuses by partial success is told and not sent again', async () => {
  const { clock, host, requests, exporter } = await pipeline({ kind: 'accepted', rejected: 1, message: 'too old' });
  const sent = exporter.consumeLogs(batch('a', 'b'), context());
  await clock.advance(200);
  await sent;
  await settle();
  assert.equal(requests.length, 1);
  assert.deepEqual(host.lines.at(-1)?.fields, { rejected: 1, of: 2, message: 'too old' });
});
