import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import fc from 'fast-check';
import otlpHttp from '../../exporters/otlp-http/index.ts';
import type { Sender, SendResult } from '../../src/component/exporter.ts';
import { testHost } from '../../src/testing/host.ts';
import { record } from '../../src/testing/records.ts';
import { type OtlpSink, startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { forAll } from '../support/property.ts';

let sink: OtlpSink;
before(async () => {
  sink = await startOtlpSink();
});
after(() => sink.close());

const settings = (extra: object = {}) =>
  otlpHttp.schema.parse({ endpoint: sink.url, tls: { insecure: true }, ...extra });

/** Sends with a sender of its own; the sink's last records are what arrived. */
async function send(
  records: readonly ReadableLogRecord[],
  extra: object = {},
  signal = AbortSignal.timeout(5_000),
): Promise<SendResult> {
  const sender: Sender = otlpHttp.create({
    id: { type: 'otlp_http', name: '' },
    config: settings(extra),
    host: testHost(),
  });
  await sender.start!(testHost());
  try {
    return await sender.sendLogs!(records, { signal });
  } finally {
    await sender.shutdown!(signal);
  }
}

for (const encoding of ['proto', 'json'])
  for (const compression of ['gzip', 'none'])
    test(`${encoding} with compression ${compression} arrives field for field`, async () => {
      assert.deepEqual(await send([record('hello')], { encoding, compression }), { kind: 'accepted' });
      const type = encoding === 'json' ? 'application/json' : 'application/x-protobuf';
      assert.ok(sink.encodings.has(`${type} ${compression === 'gzip' ? 'gzip' : 'identity'}`));
      assert.deepEqual(sink.records.at(-1), {
        timeUnixNano: 1_700_000_000_000_000_005n,
        observedTimeUnixNano: 1_700_000_001_000_000_000n,
        severityNumber: 9,
        severityText: 'OK',
        eventName: 'test.event',
        body: 'hello',
        attributes: { 'log.record.uid': 'hello', list: ['a', 'b'], count: 3, ratio: 0.5, yes: true },
        resource: { 'redfish.endpoint': 'test' },
        scope: 'test',
      });
    });

test('any text and any attributes arrive equal, as an independent decoder reads them', () =>
  forAll(
    fc.record({
      body: fc.string({ unit: 'binary' }),
      attributes: fc.dictionary(
        fc.string({ minLength: 1, unit: 'grapheme' }).filter((key) => key !== '__proto__'),
        fc.oneof(fc.string({ unit: 'grapheme' }), fc.boolean(), fc.integer(), fc.array(fc.string(), { minLength: 1 })),
        { maxKeys: 5 },
      ),
      encoding: fc.constantFrom('proto', 'json'),
    }),
    async ({ body, attributes, encoding }) => {
      await send([{ ...record(body), attributes }], { encoding, compression: 'none' });
      assert.equal(sink.records.at(-1)?.body, body);
      assert.deepEqual({ ...sink.records.at(-1)?.attributes }, { ...attributes });
    },
  ));

test('an unset time is written as unknown', async () => {
  await send([{ ...record('no time'), hrTime: [0, 0] }]);
  assert.equal(sink.records.at(-1)?.timeUnixNano, 0n);
});

test('a partial success is read from protobuf and from JSON, and a nonsense count is clamped', async () => {
  // partial_success { rejected_log_records: 2, error_message: "old" }
  sink.reply = { body: '\x0a\x07\x08\x02\x12\x03old', contentType: 'application/x-protobuf' };
  assert.deepEqual(await send([record('a'), record('b'), record('c')]), {
    kind: 'accepted',
    rejected: 2,
    message: 'old',
  });
  sink.reply = { body: '{"partialSuccess":{"rejectedLogRecords":"99"}}', contentType: 'application/json' };
  assert.deepEqual(await send([record('a')], { encoding: 'json' }), {
    kind: 'accepted',
    rejected: 1,
    message: '(the reply says "99" of 1)',
  });
  for (const [body, contentType] of [
    ['<html>', 'text/html'],
    ['{"partialSuccess"', 'application/json'],
    ['\x0a\xff', 'application/x-protobuf'],
  ] as const) {
    sink.reply = { body, contentType };
    assert.equal((await send([record('a')])).kind, 'unknown', contentType);
  }
  sink.reply = undefined;
});

test('a status and its message come back as they were', async () => {
  sink.fault = { status: 503, headers: { 'retry-after': '7' }, body: '{"message": "maintenance"}' };
  const result = await send([record('a')]);
  assert.deepEqual(result, { kind: 'retry', reason: 'HTTP 503: maintenance', status: 503, afterMs: 7_000 });
  sink.fault = undefined;
});

test('a redirect is not followed', async () => {
  sink.fault = { status: 302, headers: { location: 'http://127.0.0.1:1/v1/logs' } };
  assert.equal((await send([record('a')])).kind, 'hold');
  sink.fault = undefined;
});

test('a backend that is not there is a network fault, told by name', async () => {
  const result = await send([record('a')], { endpoint: 'http://127.0.0.1:1' });
  assert.ok(result.kind === 'retry' && result.reason.includes('ECONNREFUSED'), JSON.stringify(result));
});

test('headers are sent and never printed', async () => {
  const config = settings({ headers: { authorization: 'Bearer canary' } });
  assert.ok(!JSON.stringify(config).includes('canary'));
});
