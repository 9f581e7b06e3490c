import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { glob } from '../../src/processors/filter/glob.ts';
import filter, { type FilterConfig } from '../../src/processors/filter/index.ts';
import { FilterProcessor } from '../../src/processors/filter/processor.ts';
import type { LogBatch } from '../../src/telemetry/log-batch.ts';
import { testHost } from '../../src/testing/host.ts';
import { testMetrics } from '../../src/testing/metrics.ts';
import { batch } from '../../src/testing/records.ts';
import { forAll } from '../support/property.ts';

const context = { signal: new AbortController().signal };

function filterOf(logs: object) {
  const seen: LogBatch[] = [];
  const metrics = testMetrics();
  const host = testHost({ meter: metrics.provider.getMeter('test') });
  const next = {
    logs: {
      async consumeLogs(data: LogBatch) {
        seen.push(data);
      },
    },
  };
  const processor = new FilterProcessor('filter', filter.schema.parse({ logs }) as FilterConfig, host, next);
  return {
    seen,
    metrics,
    offer: (data: LogBatch) => processor.logs!.consumeLogs(data, context),
    bodies: () => seen.flatMap(({ records }) => records.map(({ body }) => body)),
  };
}

test('exclude after include, conditions of a block together, values of a condition each', async () => {
  const { offer, bodies, metrics } = filterOf({
    include: { match_type: 'glob', bodies: ['fan*', 'temp*'], event_names: ['test.event'] },
    exclude: { match_type: 'strict', bodies: ['fan 2'] },
  });
  await offer(batch('fan 1', 'fan 2', 'temp 1', 'other'));
  assert.deepEqual(bodies(), ['fan 1', 'temp 1']);
  assert.equal(await metrics.value('otelcol_processor_filter_logs_filtered', { processor: 'filter' }), 2);
});

test('attributes, severity and resource', async () => {
  for (const [block, expected] of [
    [{ record_attributes: [{ key: 'count', value: 3 }] }, ['a']],
    [{ record_attributes: [{ key: 'nothing' }] }, []],
    [{ resource_attributes: [{ key: 'redfish.endpoint', value: 'te*' }] }, ['a']],
    [{ severity_number: { min: 9 } }, ['a']],
    [{ severity_number: { min: 10 } }, []],
    [{ severity_texts: ['OK'] }, ['a']],
  ] as const) {
    const { offer, bodies } = filterOf({ include: { match_type: 'glob', ...block } });
    await offer(batch('a'));
    assert.deepEqual(bodies(), expected, JSON.stringify(block));
  }
});

test('nothing left out: the same object; all left out: acknowledged and not passed on; offered again: counted once', async () => {
  const { offer, seen, metrics } = filterOf({ exclude: { match_type: 'strict', bodies: ['noise'] } });
  const [good, noise] = [batch('good'), batch('noise')];
  await offer(good);
  assert.equal(seen[0], good);
  await offer(noise);
  await offer(noise);
  assert.equal(seen.length, 1);
  assert.equal(await metrics.value('otelcol_processor_filter_logs_filtered'), 1);
});

test('regexp is refused with a hint', () => {
  const result = filter.schema.safeParse({ logs: { include: { match_type: 'regexp' } } });
  assert.match(result.error!.issues[0]!.message, /use glob/);
});

test('a glob says what a regular expression says', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 8 });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 8 });
  return forAll(fc.tuple(pattern, letters), ([wanted, text]) => {
    const source = wanted.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.');
    assert.equal(glob(wanted)(text), new RegExp(`^${source}$`, 's').test(text), `${wanted} on ${text}`);
  });
});

test('a pattern and a text made to take long take no longer than others', () => {
  const matches = glob(`${'a*'.repeat(50)}b`);
  assert.equal(matches('a'.repeat(100_000)), false);
});
