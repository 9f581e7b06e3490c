import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ExportResultCode } from '@opentelemetry/core';
import { JsExporterSender, outcomeOf } from '../../exporters/js-exporter/exporter.ts';
import jsExporter, { type JsExporterConfig } from '../../exporters/js-exporter/index.ts';
import { testHost } from '../../src/testing/host.ts';
import { record } from '../../src/testing/records.ts';
import { startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { temporaryDirectory } from '../support/storage.ts';

const context = () => ({ signal: AbortSignal.timeout(5_000) });
const never = new AbortController().signal;

async function senderOf(t: TestContext, settings: object) {
  const host = testHost();
  const config = jsExporter.schema.parse(settings) as JsExporterConfig;
  const sender = new JsExporterSender('js_exporter/x', config, host);
  await sender.start();
  t.after(() => sender.shutdown(never));
  return { sender, host };
}

/** A module of an operator's own. */
async function moduleOf(t: TestContext, code: string): Promise<string> {
  const file = join(await temporaryDirectory(t), 'own.mjs');
  await writeFile(file, code);
  return file;
}

test("OpenTelemetry's own OTLP exporter ends a pipeline", async (t) => {
  const sink = await startOtlpSink();
  t.after(() => sink.close());
  const { sender, host } = await senderOf(t, {
    module: '@opentelemetry/exporter-logs-otlp-http',
    export: 'OTLPLogExporter',
    options: { url: `${sink.url}/v1/logs` },
  });
  assert.deepEqual(await sender.sendLogs([record('a'), record('b')], context()), { kind: 'accepted' });
  assert.deepEqual(
    sink.records.map(({ body }) => body),
    ['a', 'b'],
  );
  assert.ok(host.lines.some(({ message }) => message === 'loaded code for an exporter'));
});

test('the console exporter and the one in memory, too', async (t) => {
  const { sender } = await senderOf(t, { module: '@opentelemetry/sdk-logs', export: 'InMemoryLogRecordExporter' });
  assert.deepEqual(await sender.sendLogs([record('a')], context()), { kind: 'accepted' });
  const write = t.mock.method(console, 'dir', () => {});
  const other = await senderOf(t, { module: '@opentelemetry/sdk-logs', export: 'ConsoleLogRecordExporter' });
  assert.deepEqual(await other.sender.sendLogs([record('a')], context()), { kind: 'accepted' });
  assert.equal(write.mock.callCount(), 1);
});

test('what an exporter reports: statuses mean what they mean over our own transport, anything else may heal', () => {
  const failed = (code?: number) =>
    outcomeOf({ code: ExportResultCode.FAILED, error: Object.assign(new Error('no'), { code }) });
  for (const [status, kind] of [
    [400, 'reject'],
    [413, 'too_large'],
    [401, 'hold'],
    [302, 'hold'],
    [429, 'retry'],
    [503, 'retry'],
    [500, 'suspect'],
    [undefined, 'retry'],
  ] as const)
    assert.equal(failed(status).kind, kind, String(status));
  assert.deepEqual(outcomeOf({ code: ExportResultCode.SUCCESS }), { kind: 'accepted' });
});

test('an exporter that throws, answers twice, or never', async (t) => {
  const module = await moduleOf(
    t,
    `let n = 0;
     export default () => ({
       export(records, done) {
         n++;
         if (n === 1) throw new Error('broken');
         if (n === 4) return Promise.reject(new Error('broken later'));
         if (n === 2) { done({ code: 0 }); done({ code: 1 }); }
       },
       async shutdown() { throw new Error('no end'); },
     });`,
  );
  const { sender, host } = await senderOf(t, { module });
  const first = await sender.sendLogs([record('a')], context());
  assert.ok(first.kind === 'retry' && first.reason.includes('broken'));
  assert.deepEqual(await sender.sendLogs([record('a')], context()), { kind: 'accepted' });
  const late = new AbortController();
  const third = assert.rejects(sender.sendLogs([record('a')], { signal: late.signal }));
  late.abort(new Error('time is over'));
  await third;
  const fourth = await sender.sendLogs([record('a')], context());
  assert.ok(fourth.kind === 'retry' && fourth.reason.includes('broken later'));
  await sender.shutdown(never);
  const lines = host.lines.map(({ message }) => message);
  assert.ok(
    lines.includes('the exporter did not stop cleanly') && lines.includes('the exporter answered twice or too late'),
  );
});

test('what cannot be loaded or is no exporter is a start error that names it; a URL is a mistake', async (t) => {
  await assert.rejects(senderOf(t, { module: 'no-such-package' }), /js_exporter\/x: cannot load "no-such-package"/);
  const module = await moduleOf(t, 'export class Foo {}');
  await assert.rejects(
    senderOf(t, { module, export: 'Foo' }),
    /js_exporter\/x: "Foo" from ".*own\.mjs" is not a LogRecordExporter or PushMetricExporter/,
  );
  for (const url of ['https://example.com/x.mjs', 'data:text/javascript,1', 'file:///x.mjs'])
    assert.match(jsExporter.schema.safeParse({ module: url }).error!.issues[0]!.message, /not a URL/);
});
