import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PermanentError } from '../../src/component/errors.ts';
import type { SendResult } from '../../src/component/exporter.ts';
import type { DeadLetterChange, Storage } from '../../src/component/storage.ts';
import { FakeClock, settle } from '../../src/testing/fake-clock.ts';
import { testHost } from '../../src/testing/host.ts';
import { balancedBooks, testMetrics } from '../../src/testing/metrics.ts';
import { batch } from '../../src/testing/records.ts';
import { type Answer, pipelineOf, scripted } from '../support/delivery.ts';
import { forAll } from '../support/property.ts';

const RETRY: SendResult = { kind: 'retry', reason: 'HTTP 503', status: 503 };
const REJECT: SendResult = { kind: 'reject', reason: 'HTTP 400', status: 400 };
const HOLD: SendResult = { kind: 'hold', reason: 'HTTP 401', status: 401 };
const SERVER: SendResult = { kind: 'suspect', cause: 'server_error', reason: 'HTTP 500', status: 500 };
const OK: SendResult = { kind: 'accepted' };

const context = () => ({ signal: new AbortController().signal });
const never = new AbortController().signal;

/** An exporter whose sender answers as told, in turn, and then accepts. Callers wait for the result. */
async function exporterOf(
  answers: readonly Answer[] | ((bodies: string[], request: number) => Answer),
  settings: object = { sending_queue: { num_consumers: 2, wait_for_result: true } },
  probe?: () => SendResult,
) {
  const clock = new FakeClock();
  const metrics = testMetrics();
  const host = testHost({ clock, meter: metrics.provider.getMeter('test') });
  const script = typeof answers === 'function' ? answers : (_: string[], n: number) => answers[n - 1] ?? OK;
  const sender = scripted(script);
  const exporter = await pipelineOf(probe ? { ...sender, probe: async () => probe() } : sender, host, settings);
  const offer = (...bodies: string[]) => exporter.consumeLogs(batch(...bodies), context());
  return {
    clock,
    host,
    requests: sender.requests,
    exporter,
    offer,
    metrics,
    books: () => balancedBooks(metrics, 'test'),
  };
}

test('small batches travel together, after the flush timeout', async () => {
  const { clock, requests, offer } = await exporterOf([]);
  const sent = Promise.all([offer('a'), offer('b', 'c')]);
  await clock.advance(199);
  assert.deepEqual(requests, []);
  await clock.advance(1);
  await sent;
  assert.deepEqual(requests, [['a', 'b', 'c']]);
});

test('a full request does not wait, and a batch larger than a request is split and acknowledged as one', async () => {
  const { clock, requests, offer } = await exporterOf([]);
  await offer(...'abcdefghij');
  assert.deepEqual(requests, [[...'abcdefghij']]);
  const sent = offer(...'abcdefghijklm');
  await clock.advance(200);
  await sent;
  assert.deepEqual(requests.slice(1).flat().sort(), [...'abcdefghijklm']);
});

test('waiting for the result, the promise waits for the 2xx through any number of retries', async () => {
  const { clock, requests, offer, books } = await exporterOf([RETRY, RETRY, RETRY]);
  let done = false;
  const sent = offer('a').then(() => {
    done = true;
  });
  await clock.advance(200 + 5_000 + 7_500);
  assert.equal(requests.length, 3);
  assert.equal(done, false);
  await clock.advance(11_250);
  await sent;
  assert.equal(requests.length, 4);
  assert.deepEqual((await books()).sent, 1);
});

test('by default the promise waits for the queue only, and the start log says what that may cost', async () => {
  const { host, requests, offer, books } = await exporterOf(['hang'], {});
  await offer('a');
  assert.equal(requests.length, 0);
  assert.equal((await books()).queued, 1);
  const line = 'queue is in memory: at most 1000 requests are lost if this process dies';
  assert.ok(host.lines.some(({ message }) => message === line));
});

test('the server decides how long to wait, up to the cap', async () => {
  const { clock, requests, offer } = await exporterOf([
    { ...RETRY, afterMs: 60_000 },
    { ...RETRY, afterMs: 1e9 },
  ]);
  const sent = offer('a');
  await clock.advance(200 + 59_999);
  assert.equal(requests.length, 1);
  await clock.advance(1);
  assert.equal(requests.length, 2);
  await clock.advance(300_000);
  await sent;
});

test('an attempt without answer ends at the timeout and is repeated; a sender that throws loses nothing', async () => {
  const { clock, requests, offer, metrics } = await exporterOf(['hang', new Error('ECONNREFUSED')]);
  const sent = offer('a');
  await clock.advance(200 + 30_000 + 5_000 + 7_500);
  await sent;
  assert.equal(requests.length, 3);
  const types = await metrics.labelsOf('otelcol_exporter_send_failed_log_records', 'error.type');
  assert.deepEqual(types, ['timeout', 'connection']);
});

test('one poison record does not take the others with it, and its caller alone hears of it', async () => {
  const { clock, requests, offer, books } = await exporterOf((bodies) => (bodies.includes('bad') ? REJECT : OK));
  const good = offer('good');
  const refused = assert.rejects(offer('bad'), PermanentError);
  await clock.advance(200);
  await good;
  await refused;
  assert.deepEqual(requests, [['good', 'bad'], ['good'], ['bad']]);
  assert.deepEqual(await books(), {
    recovered: 0,
    accepted: 2,
    sent: 1,
    queued: 0,
    inFlight: 0,
    deadLettered: 0,
    dropped: 1,
  });
});

test('for any bad subset: every good record is delivered once, exactly the bad are isolated, within 2k log n + 1 requests', () =>
  forAll(fc.uniqueArray(fc.integer({ min: 0, max: 63 }), { maxLength: 20 }), async (bad) => {
    const names = Array.from({ length: 64 }, (_, n) => String(n));
    const delivered: string[] = [];
    const isBad = (body: string) => bad.includes(Number(body));
    const batchSettings = { min_size: 64, max_size: 64 };
    const { requests, offer, books } = await exporterOf(
      (bodies) => {
        if (bodies.some(isBad)) return REJECT;
        delivered.push(...bodies);
        return OK;
      },
      { sending_queue: { wait_for_result: true, batch: batchSettings } },
    );
    await offer(...names);
    const byNumber = (a: string, b: string) => Number(a) - Number(b);
    assert.deepEqual(
      delivered.toSorted(byNumber),
      names.filter((name) => !isBad(name)),
    );
    assert.equal((await books()).dropped, bad.length);
    assert.ok(requests.length <= 2 * bad.length * 6 + 1, `${requests.length} requests for ${bad.length} bad records`);
  }));

test('a request that is too large is halved, and the next ones are smaller from the start', async () => {
  const { requests, offer } = await exporterOf((bodies) =>
    bodies.length > 3 ? { kind: 'too_large', reason: 'HTTP 413' } : OK,
  );
  await offer(...'abcdefghij');
  assert.deepEqual(
    requests.map(({ length }) => length),
    [10, 5, 2, 3, 5, 2, 3],
  );
  const before = requests.length;
  await offer(...'abcdefghij');
  assert.ok(
    requests.slice(before).every(({ length }) => length <= 3),
    JSON.stringify(requests.slice(before)),
  );
});

test('before data is blamed by a backend that has taken nothing for a minute, an empty request proves it', async () => {
  const verdicts: SendResult[] = [HOLD, RETRY, OK];
  const { clock, requests, offer, host } = await exporterOf(
    (bodies) => (bodies.includes('bad') ? REJECT : OK),
    { sending_queue: { wait_for_result: true } },
    () => verdicts.shift()!,
  );
  const refused = assert.rejects(offer('bad'), PermanentError);
  await clock.advance(200);
  assert.deepEqual(requests.length, 1, 'the set-up was at fault: held');
  await clock.advance(60_000);
  assert.deepEqual(requests.length, 2, 'an outage: retried');
  await clock.advance(60_000);
  await refused;
  assert.deepEqual(requests.length, 3, 'the data is at fault');
  assert.ok(host.reported.some((status) => status.status === 'recoverable' && status.error.message.includes('401')));
});

test('held: one request per minute, nothing lost, and the status names reason and HTTP status', async () => {
  let token = 'wrong';
  const { clock, requests, offer, host, books, metrics } = await exporterOf(() => (token === 'right' ? OK : HOLD), {});
  for (let n = 0; n < 50; n++) await offer(...'abcdefghij');
  await clock.advance(200);
  const first = requests.length;
  await clock.advance(5 * 60_000);
  assert.ok(requests.length - first <= 5, `${requests.length - first} requests in 5 minutes`);
  assert.equal(await metrics.value('otelcol_exporter_held'), 1);
  assert.equal((await books()).dropped, 0);
  token = 'right';
  await clock.advance(60_000);
  await clock.advance(1_000);
  assert.deepEqual(await books(), {
    recovered: 0,
    accepted: 500,
    sent: 500,
    queued: 0,
    inFlight: 0,
    deadLettered: 0,
    dropped: 0,
  });
  assert.equal(await metrics.value('otelcol_exporter_held'), 0);
  assert.deepEqual(host.reported.at(-1), { status: 'ok' });
});

test('a backend that rejects everything is not believed for ever: after three batches the exporter holds', async () => {
  let heals = false;
  const { clock, requests, offer, books, metrics } = await exporterOf(() => (heals ? OK : REJECT), {
    sending_queue: { num_consumers: 1, batch: { min_size: 1, max_size: 1 } },
  });
  for (let n = 0; n < 20; n++) await offer(`record ${n}`);
  await clock.advance(0);
  assert.equal(await metrics.value('otelcol_exporter_held', { reason: 'rejecting_everything' }), 1);
  const { dropped } = await books();
  assert.equal(dropped, 3);
  await clock.advance(5 * 60_000);
  assert.ok(new Set(requests.slice(3).flat()).size >= 5, 'another batch each time');
  heals = true;
  await clock.advance(60_000);
  await clock.advance(1_000);
  assert.deepEqual((await books()).sent, 17);
});

test('500 for one record only: it is isolated; 500 for everybody: nothing is blamed, however long', async () => {
  const all = await exporterOf(
    () => SERVER,
    { retry_on_failure: { max_elapsed_time: '0' } },
    () => SERVER,
  );
  await all.offer('a', 'b');
  await all.clock.advance(3_600_000);
  assert.deepEqual((await all.books()).dropped, 0);

  const one = await exporterOf(
    (bodies) => (bodies.includes('bad') ? SERVER : OK),
    {},
    () => OK,
  );
  await one.offer('good', 'bad');
  await one.clock.advance(600_000);
  assert.deepEqual(await one.books(), {
    recovered: 0,
    accepted: 2,
    sent: 1,
    queued: 0,
    inFlight: 0,
    deadLettered: 0,
    dropped: 1,
  });
});

test('a sink that hangs for everybody gets nothing blamed; one record that hangs is isolated', async () => {
  const forever = { retry_on_failure: { max_elapsed_time: '0' } };
  const all = await exporterOf(() => 'hang', forever);
  await all.offer('a', 'b');
  await all.clock.advance(3_600_000);
  assert.equal((await all.books()).dropped, 0);

  const one = await exporterOf(
    (bodies) => (bodies.includes('bad') ? 'hang' : OK),
    forever,
    () => OK,
  );
  await one.offer('good', 'bad');
  await one.clock.advance(3_600_000);
  const { sent, dropped } = await one.books();
  assert.deepEqual([sent, dropped], [1, 1]);
});

test('given up after max_elapsed_time, or at once with retries off: counted and told, never silent', async () => {
  const late = await exporterOf(() => RETRY, { retry_on_failure: { max_elapsed_time: '60s' } });
  await late.offer('a');
  await late.clock.advance(50_000);
  assert.equal((await late.books()).dropped, 0);
  await late.clock.advance(60_000);
  assert.equal(await late.metrics.value('otelcol_exporter_dropped_log_records', { reason: 'retries_exhausted' }), 1);

  const once = await exporterOf([RETRY], { retry_on_failure: { enabled: false } });
  await once.offer('a');
  await once.clock.advance(200);
  assert.equal((await once.books()).dropped, 1);
  assert.ok(once.host.lines.some(({ level }) => level === 'error'));
});

test('an outage is one log line in ten seconds, and one attempt per backoff interval', async () => {
  const { clock, host, requests, offer } = await exporterOf(() => RETRY, { sending_queue: { queue_size: 10_000 } });
  for (let n = 0; n < 30; n++) await offer(...'abcdefghij');
  await clock.advance(1_000);
  const atFirst = requests.length;
  assert.ok(atFirst <= 10, `${atFirst} requests at first`);
  await clock.advance(120_000);
  // 5, 7.5, 11.25, 16.9, 25.3, 30, 30 s.
  assert.ok(requests.length - atFirst <= 7, `${requests.length - atFirst} attempts in two minutes`);
  const lines = host.lines.filter(({ message }) => message.startsWith('Exporting failed'));
  assert.ok(lines.length >= 2 && lines.length <= 13, `${lines.length} lines in 120 s`);
});

test('when the backend takes one signal again, the other tries at once', async () => {
  const clock = new FakeClock();
  const host = testHost({ clock });
  let isDown = true;
  const sent: string[] = [];
  const send = async (what: string): Promise<SendResult> => {
    if (isDown) return RETRY;
    sent.push(`${what} at ${clock.monotonic()}`);
    return OK;
  };
  const sender = { sendLogs: () => send('logs'), sendMetrics: () => send('metrics') };
  const settings = { sending_queue: { num_consumers: 1 } };
  const exporter = await pipelineOf(sender, host, settings, ['logs', 'metrics']);
  const metrics = { resource: batch().resource, scopeMetrics: [] };
  for (let n = 0; n < 5; n++) await exporter.consumeLogs(batch(`${n}`), context());
  // The outage of the logs is the older one: their next attempt is further away.
  await clock.advance(100_000);
  for (let n = 0; n < 5; n++) await exporter.consumeMetrics(metrics, context());
  await clock.advance(8_000);
  isDown = false;
  const healed = clock.monotonic();
  while (sent.length === 0) await clock.advance(100);
  await clock.advance(1_000);
  const [first, second] = sent.map((line) => line.split(' at '));
  assert.deepEqual([first![0], second?.[0]].sort(), ['logs', 'metrics']);
  assert.ok(Number(second![1]) - Number(first![1]) <= 100, `${sent.slice(0, 2)} after ${healed}`);
  await exporter.shutdown(AbortSignal.abort());
});

test('a caller that gives up gets its records back, and they are not sent later', async () => {
  const { clock, requests, exporter } = await exporterOf([RETRY, RETRY]);
  const caller = new AbortController();
  const refused = assert.rejects(exporter.consumeLogs(batch('a'), { signal: caller.signal }), { code: 'queue_full' });
  await clock.advance(200);
  caller.abort();
  await refused;
  await clock.advance(60_000);
  assert.equal(requests.length, 1);
});

test('without a queue each batch is sent as it comes, and its result is the answer', async () => {
  const { requests, offer, clock } = await exporterOf([OK, REJECT], { sending_queue: { enabled: false } });
  const sent = offer('a');
  await clock.advance(1);
  await sent;
  const refused = assert.rejects(offer('b'), PermanentError);
  await clock.advance(1);
  await refused;
  assert.deepEqual(requests, [['a'], ['b']]);
});

test('a stop sends what waits once more without waiting, counts what is left, and leaves no timer', async () => {
  const { clock, requests, exporter, offer, host, books } = await exporterOf(() => RETRY, {});
  await offer('a');
  await clock.advance(200);
  await offer('b');
  await exporter.shutdown(never);
  assert.deepEqual(requests.flat().sort(), ['a', 'a', 'b']);
  assert.equal((await books()).dropped, 2);
  assert.ok(host.lines.some(({ level, message }) => level === 'error' && message.includes('lost')));
  await assert.rejects(offer('c'), { code: 'shutting_down' });
  await exporter.shutdown(never);
  assert.equal(clock.sleeping, 0);
});

test('a stop that hangs is cut at its signal', async () => {
  const { clock, exporter, offer, books } = await exporterOf(() => 'hang', {});
  await offer('a');
  await clock.advance(200);
  const limit = new AbortController();
  const stopping = exporter.shutdown(limit.signal);
  await settle();
  limit.abort();
  await stopping;
  assert.equal((await books()).dropped, 1);
});

test('what a backend refuses by partial success is told, counted and not sent again', async () => {
  const { clock, requests, offer, books } = await exporterOf(
    [{ kind: 'accepted', rejected: 1, message: 'too old' }],
    {},
  );
  await offer('a', 'b');
  await clock.advance(60_000);
  assert.equal(requests.length, 1);
  const { sent, dropped } = await books();
  assert.deepEqual([sent, dropped], [1, 1]);
});

test('a few batches that are all refused do not sleep for ever: the loop hears of what is given back', async () => {
  const { clock, requests, offer } = await exporterOf(() => REJECT, {
    sending_queue: { num_consumers: 1, batch: { min_size: 1, max_size: 1 } },
  });
  for (let n = 0; n < 5; n++) await offer(`record ${n}`);
  await clock.advance(0);
  const before = requests.length;
  await clock.advance(10 * 60_000);
  const after = requests.length - before;
  assert.ok(after >= 9 && after <= 11, `${after} requests in ten minutes`);
});

test('a stop while everything is refused ends at once', async () => {
  const { exporter, offer, requests, clock } = await exporterOf(() => REJECT, {
    sending_queue: { num_consumers: 1, batch: { min_size: 1, max_size: 1 } },
  });
  for (let n = 0; n < 30; n++) await offer(`record ${n}`);
  await clock.advance(0);
  await exporter.shutdown(never);
  assert.ok(requests.length <= 3 + 30 + 2, `${requests.length} requests`);
});

test('a request is given up after max_elapsed_time also when an empty request could prove something', async () => {
  const { clock, offer, metrics } = await exporterOf(
    () => SERVER,
    { retry_on_failure: { max_elapsed_time: '5m' } },
    () => SERVER,
  );
  await offer('a');
  await clock.advance(20 * 60_000);
  assert.equal(await metrics.value('otelcol_exporter_dropped_log_records', { reason: 'retries_exhausted' }), 1);
});

test('a sender that gives no result, or ignores its signal, holds no slot for ever', async () => {
  const clock = new FakeClock();
  const host = testHost({ clock });
  const answers = [() => undefined as never, () => new Promise<never>(() => {}), async () => OK];
  let calls = 0;
  const sender = { sendLogs: () => answers[calls++]!() };
  const exporter = await pipelineOf(sender, host, { sending_queue: { num_consumers: 1, wait_for_result: true } });
  const sent = exporter.consumeLogs(batch('a'), context());
  await clock.advance(200 + 5_000 + 30_000 + 7_500);
  await sent;
  assert.equal(calls, 3);
});

/** A store whose dead letters are full for so many tries. */
function fullStore(tries: number): Storage & { readonly asides: number } {
  const totals = {
    ...{
      queued: 0,
      points: 0,
      bytes: 0,
      appended: 0,
      deadLetters: 0,
      deadLetterBytes: 0,
      oldestDeadLetterMs: undefined,
    },
  };
  let listener: (changes: readonly DeadLetterChange[]) => void = () => {};
  const store = {
    asides: 0,
    keyValue: () => assert.fail('not asked for'),
    async queue() {
      return {
        ...{
          totals,
          lastSeq: 0,
          deadLetterCapacityBytes: 0,
          read: async () => [],
          remove: async () => {},
          redrive: async () => {},
        },
        onChange: (one: typeof listener) => {
          listener = one;
        },
        async append(_: string, bodies: readonly string[]) {
          totals.queued += bodies.length;
          return 1;
        },
        async setAside() {
          store.asides++;
          return store.asides > tries;
        },
      };
    },
  };
  return store as never;
}

test('what was answered while the dead letters are full is not sent again; only the setting aside is tried again', async () => {
  const clock = new FakeClock();
  const storage = fullStore(3);
  const host = testHost({ clock, storage });
  const sender = scripted(() => ({ kind: 'accepted', rejected: 1, message: 'one too old' }));
  const exporter = await pipelineOf(sender, host, { sending_queue: { storage: 'file_storage', num_consumers: 1 } });
  await exporter.consumeLogs(batch('a', 'b'), context());
  await clock.advance(200);
  assert.deepEqual([sender.requests.length, storage.asides], [1, 1]);
  await clock.advance(5 * 60_000);
  assert.deepEqual([sender.requests.length, storage.asides], [1, 4]);
  assert.deepEqual(
    host.reported.map(({ status }) => status),
    ['recoverable', 'ok'],
  );
});
