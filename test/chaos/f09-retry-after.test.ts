// 429 and 503 with every form of Retry-After: never earlier than told, never later than the cap.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import otlpHttp from '../../exporters/otlp-http/index.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { testHost } from '../../src/testing/host.ts';
import { batch } from '../../src/testing/records.ts';
import { startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { pipelineOf } from '../support/delivery.ts';

/** Seconds until the next attempt; the backoff alone is 5 s, the cap 5 min. */
const FORMS: readonly [header: string | undefined, seconds: number][] = [
  [undefined, 5],
  ['7', 7],
  ['0', 5],
  ['-1', 5],
  ['soon', 5],
  ['1000000000', 300],
  ['Wed, 25 Nov 2026 12:01:00 GMT', 60],
  ['Wed, 25 Nov 2020 12:01:00 GMT', 5],
  ['Fri, 25 Nov 2099 12:01:00 GMT', 300],
];

for (const status of [429, 503])
  for (const [header, seconds] of FORMS)
    test(`${status} with Retry-After ${header ?? 'absent'}: the next attempt comes after ${seconds} s`, async (t) => {
      const sink = await startOtlpSink();
      t.after(() => sink.close());
      const clock = new FakeClock();
      const host = testHost({ clock });
      const config = otlpHttp.schema.parse({ endpoint: sink.url, tls: { insecure: true } });
      const sender = otlpHttp.create({ id: { type: 'otlp_http', name: '' }, config, host });
      const exporter = await pipelineOf(sender, host);
      t.after(() => exporter.shutdown(AbortSignal.timeout(100)));
      sink.fault = { status, headers: header === undefined ? {} : { 'retry-after': header } };
      await exporter.consumeLogs(batch('a'), { signal: new AbortController().signal });
      await clock.advance(200);
      await sink.waitFor(({ requests }) => requests === 1);
      while (!host.lines.some(({ message }) => message.startsWith('Exporting failed'))) await new Promise(setImmediate);
      await clock.advance(seconds * 1_000 - 1_000);
      assert.equal(sink.requests, 1, 'not earlier');
      sink.fault = undefined;
      await clock.advance(1_000);
      await sink.waitFor(({ records }) => records.length === 1);
    });
