import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AggregationTemporality,
  DataPointType,
  type Histogram,
  type MetricData,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import { settle } from '../../../src/testing/fake-clock.ts';
import { attestedScene } from '../../support/attested-scene.ts';

test('the metrics pipeline gets what the receiver counts: cumulative, in seconds, at each interval', async (t) => {
  const batches: ResourceMetrics[] = [];
  const scene = await attestedScene(t, {
    models: [{ strategy: 'index_sni' }],
    config: { metrics_interval: '60s', sampling: { adaptive: false } },
    onMetrics: async (metrics) => void batches.push(metrics),
  });
  await scene.cycle();
  const collected = async (): Promise<Map<string, MetricData>> => {
    const before = batches.length;
    await scene.pass(60_000);
    while (batches.length === before) await settle();
    const metrics = batches.at(-1)!.scopeMetrics.flatMap((scope) => scope.metrics);
    assert.ok(metrics.every(({ descriptor }) => descriptor.name.startsWith('outband.attestation.')));
    return new Map(metrics.map((metric) => [metric.descriptor.name.slice('outband.attestation.'.length), metric]));
  };
  const sumOf = (metrics: ReadonlyMap<string, MetricData>, name: string) =>
    (metrics.get(name)!.dataPoints as { value: number }[]).reduce((sum, { value }) => sum + value, 0);
  const first = await collected();
  assert.equal(sumOf(first, 'discovery.probes'), 5);
  assert.equal(sumOf(first, 'pool.pinned'), 5);
  assert.equal(first.has('pool.estimated'), false, 'no draw, so no point');
  for (let n = 0; n < 4; n++) await scene.pass(60_000);
  await scene.cycle();
  const second = await collected();
  assert.equal(sumOf(second, 'discovery.probes'), 10, 'counters go on');
  for (const { dataPointType, aggregationTemporality, descriptor } of second.values())
    if (dataPointType !== DataPointType.GAUGE)
      assert.equal(aggregationTemporality, AggregationTemporality.CUMULATIVE, descriptor.name);
  for (const name of ['probe.duration', 'cycle.duration', 'verify.duration']) {
    const { descriptor, dataPoints } = second.get(name)!;
    assert.equal(descriptor.unit, 's');
    for (const { value } of dataPoints as { value: Histogram }[]) {
      assert.ok(value.sum! < 60, `${name}: ${value.sum}`);
      const { boundaries } = value.buckets;
      assert.ok(boundaries[0]! <= 0.005 && boundaries.includes(0.1) && boundaries.at(-1)! <= 300, `${boundaries}`);
    }
  }
});
