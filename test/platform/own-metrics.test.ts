import assert from 'node:assert/strict';
import { test } from 'node:test';
import { prometheusPage } from '../../src/platform/own-metrics.ts';
import { testMetrics } from '../../src/testing/metrics.ts';

async function page(options?: Parameters<typeof prometheusPage>[1]): Promise<string> {
  const { provider, reader } = testMetrics();
  const meter = provider.getMeter('scope');
  meter.createCounter('outband.things', { unit: '{thing}' }).add(2, { kind: 'a_total b' });
  meter.createCounter('their.own_total').add(1);
  meter.createHistogram('outband.wait', { unit: 's' }).record(3);
  meter.createCounter('otelcol_process_cpu_seconds', { unit: 's' }).add(4);
  meter.createObservableGauge('outband.size', { unit: 'By' }).addCallback((result) => result.observe(7));
  return prometheusPage((await reader.collect()).resourceMetrics, options);
}

test('names stand as the manual has them', async () => {
  const text = await page();
  assert.match(text, /^# TYPE outband_things counter$/m);
  assert.match(text, /^outband_things\{kind="a_total b"\} 2$/m);
  assert.match(text, /^their_own_total 1$/m);
  assert.match(text, /^outband_wait_sum 3$/m);
  assert.match(text, /^outband_size 7$/m);
  assert.match(text, /^target_info\{.*\} 1$/m);
});

test('suffixes and scopes for whoever wants them', async () => {
  const text = await page({ without_scope_info: false, without_units: false, without_type_suffix: false });
  assert.match(text, /^outband_things_total\{kind="a_total b",otel_scope_name="scope".*\} 2$/m);
  assert.match(text, /^outband_wait_seconds_sum\{/m);
  assert.match(text, /^outband_size_bytes\{/m);
  assert.match(text, /^otelcol_process_cpu_seconds_total\{/m, 'a unit that the name has is not added');
});

test('a gauge that nobody observes any more is gone', async () => {
  const { provider, reader } = testMetrics();
  let values: number[] = [1];
  provider
    .getMeter('scope')
    .createObservableGauge('outband.pool')
    .addCallback((result) => {
      for (const value of values) result.observe(value);
    });
  assert.match(prometheusPage((await reader.collect()).resourceMetrics), /^outband_pool 1$/m);
  values = [];
  assert.doesNotMatch(prometheusPage((await reader.collect()).resourceMetrics), /outband_pool/);
});
