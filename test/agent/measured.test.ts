import assert from 'node:assert/strict';
import { test } from 'node:test';
import { belowBeta } from '../../src/agent/below-beta.ts';
import { processorEnds } from '../../src/agent/measured-processor.ts';
import { countedReceiver } from '../../src/agent/measured-receiver.ts';
import { builtins } from '../../src/builtins.ts';
import type { LogsConsumer } from '../../src/component/consumer.ts';
import { PermanentError, RetryableError } from '../../src/component/errors.ts';
import { loadConfig } from '../../src/config/load.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { testMetrics } from '../../src/testing/metrics.ts';
import { batch } from '../../src/testing/records.ts';

const never = new AbortController().signal;

test('what a receiver offers is counted by what became of it, and not at all when it gave up itself', async () => {
  const metrics = testMetrics();
  let answer: () => Promise<void> = async () => {};
  const next = countedReceiver(metrics.provider.getMeter('test'), 'mine', {
    logs: { consumeLogs: () => answer() },
  }).logs!;
  const labels = { transport: 'sse' };
  await next.consumeLogs(batch('a', 'b'), { signal: never, labels });
  answer = () => Promise.reject(new RetryableError('queue_full', 'later'));
  await assert.rejects(next.consumeLogs(batch('a'), { signal: never, labels }), { code: 'queue_full' });
  answer = () => Promise.reject(new PermanentError('export_rejected', 'never'));
  await assert.rejects(next.consumeLogs(batch('a', 'b', 'c'), { signal: never, labels }), { code: 'export_rejected' });
  await assert.rejects(next.consumeLogs(batch('a'), { signal: AbortSignal.abort('over'), labels }));
  const of = (how: string) =>
    metrics.value(`otelcol_receiver_${how}_log_records`, { receiver: 'mine', transport: 'sse' });
  assert.deepEqual([await of('accepted'), await of('failed'), await of('refused')], [2, 1, 3]);
  assert.equal(await metrics.value('otelcol_scraper_scraped_log_records'), 0, 'a stream is not fetched');
  await next.consumeLogs(batch('a', 'b'), { signal: never, labels: { transport: 'poll' } }).catch(() => {});
  assert.equal(await metrics.value('otelcol_scraper_scraped_log_records', { receiver: 'mine', scraper: 'poll' }), 2);
  for (const outcome of ['success', 'failure', 'refused'])
    assert.equal(await metrics.value('otelcol_receiver_requests', { ...labels, outcome }), 1);
});

test('the time in a processor is that of the processor, without what comes behind it', async () => {
  const metrics = testMetrics();
  const clock = new FakeClock();
  const ends = processorEnds(metrics.provider.getMeter('test'), clock, 'mine');
  const exporter: LogsConsumer = { consumeLogs: async () => clock.advance(5_000) };
  const behind = ends.outgoing({ logs: exporter }).logs!;
  const processor: LogsConsumer = {
    async consumeLogs(data, context) {
      await clock.advance(20);
      // With a context of its own, as a processor may.
      await behind.consumeLogs(data, { ...context });
    },
  };
  await ends.incoming({ logs: processor }).logs!.consumeLogs(batch('a'), { signal: never });
  const { scopeMetrics } = (await metrics.reader.collect()).resourceMetrics;
  const duration = scopeMetrics[0]!.metrics.find(
    ({ descriptor }) => descriptor.name === 'otelcol_processor_internal_duration',
  )!;
  const { sum, count } = duration.dataPoints[0]!.value as { sum: number; count: number };
  assert.deepEqual([count, Math.round(sum * 1_000)], [1, 20]);
});

const YAML = `
receivers: { scheduler_health: , bmc_logs/unused: { endpoint_files: [x] } }
processors: { filter: }
exporters: { js_exporter: { module: x, options: { empty: "\${env:EMPTY}" } }, debug: }
extensions: { scheduler: , health_check: }
service:
  extensions: [scheduler]
  pipelines: { logs: { receivers: [scheduler_health], exporters: [js_exporter] } }
`;

test('what is not used, and what is set and empty, is told at start; so is what may still change', () => {
  const read = loadConfig('x.yaml', YAML, builtins, { env: () => '', file: () => '' });
  assert.ok('config' in read, JSON.stringify(read));
  assert.deepEqual(read.infos, [
    'x.yaml:4:58  exporters::js_exporter::options::empty: ${env:EMPTY} is set, and empty',
    'x.yaml:2:34  receivers::bmc_logs/unused: is not used by any pipeline',
    'x.yaml:3:15  processors::filter: is not used by any pipeline',
    'x.yaml:4:78  exporters::debug: is not used by any pipeline',
    'x.yaml:5:28  extensions::health_check: is not used by service::extensions',
  ]);
  assert.deepEqual(belowBeta(read.config), [{ id: 'js_exporter', line: 'Alpha component. May change in the future.' }]);
});
