import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { emptyResource } from '@opentelemetry/resources';
import type { JsonObject } from '../../../receivers/bmc-logs/json.ts';
import { readMetricReport } from '../../../receivers/bmc-logs/metric-report.ts';
import { settle } from '../../../src/testing/fake-clock.ts';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { agentOf } from '../../support/run-agent.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const NOW = BigInt(Date.parse('2026-11-25T12:00:00Z')) * 1_000_000n;
const read = (MetricValues: object[], names = new Set<string>(), more: JsonObject = {}) =>
  readMetricReport({ Id: 'Fans', Timestamp: '2026-11-25T11:00:00Z', MetricValues, ...more } as unknown as JsonObject, {
    ...{ nowNanos: NOW, offsetMinutes: 0, resource: emptyResource(), names },
  });
const pointsOf = ({ metrics }: ReturnType<typeof read>) =>
  metrics.scopeMetrics[0]!.metrics.flatMap(({ descriptor, dataPoints }) =>
    dataPoints.map(({ value, attributes, endTime }) => [descriptor.name, value, attributes, endTime[0]] as const),
  );
const seconds = (text: string) => Date.parse(text) / 1_000;

test('each value with a finite number becomes a point, at its own time or that of the report', () => {
  const result = read([
    { MetricId: 'Fan Speed/1', MetricValue: '4200', MetricProperty: '/redfish/v1/Chassis/1#/Fans/0' },
    { MetricId: 'Fan Speed/1', MetricValue: 4300.5, Timestamp: '2026-11-25T11:30:00Z' },
  ]);
  assert.deepEqual(pointsOf(result), [
    [
      'redfish.Fan_Speed_1',
      4_200,
      { 'redfish.metric.property': '/redfish/v1/Chassis/1#/Fans/0', 'redfish.metric_report.id': 'Fans' },
      seconds('2026-11-25T11:00:00Z'),
    ],
    ['redfish.Fan_Speed_1', 4_300.5, { 'redfish.metric_report.id': 'Fans' }, seconds('2026-11-25T11:30:00Z')],
  ]);
  assert.deepEqual([result.points, result.skipped], [2, 0]);
});

test('what is no number, has no name or lies beyond a limit is skipped and counted', () => {
  const odd = [
    { MetricId: 'A', MetricValue: 'on' },
    { MetricId: 'A', MetricValue: '' },
    { MetricId: 'A', MetricValue: null },
    { MetricId: 'A', MetricValue: 'Infinity' },
    { MetricValue: 1 },
  ];
  assert.deepEqual([read(odd).points, read(odd).skipped], [0, 5]);
  const many = Array.from({ length: 2_500 }, () => ({ MetricId: 'A', MetricValue: 1 }));
  assert.deepEqual([read(many).points, read(many).skipped], [2_000, 500]);
  const names = new Set<string>();
  const named = Array.from({ length: 600 }, (_, n) => ({ MetricId: `M${n}`, MetricValue: 1 }));
  assert.deepEqual([read(named, names).points, names.size], [500, 500]);
});

test('a report in the stream goes down the metrics pipeline, over the one stream that the logs come by, too', async (t) => {
  const directory = await temporaryDirectory(t);
  const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'] });
  t.after(() => fleet.close());
  const bmc = fleet.bmc(0);
  const agent = agentOf(`
receivers:
  bmc_logs: { endpoints: [{ name: bmc-0, address: "${bmc.address}", tls: { insecure: true } }] }
exporters:
  file: { path: ${join(directory, 'out.jsonl')} }
extensions: { scheduler: {} }
service:
  extensions: [scheduler]
  telemetry: { metrics: { level: none } }
  pipelines:
    logs: { receivers: [bmc_logs], exporters: [file] }
    metrics: { receivers: [bmc_logs], exporters: [file] }
`);
  t.after(() => agent.stop());
  await agent.start();
  await fleet.waitFor(() => bmc.openStreams === 1);
  bmc.append();
  bmc.report({
    '@odata.type': '#MetricReport.v1_4_2.MetricReport',
    Id: 'Power',
    MetricValues: [
      { MetricId: 'Watts', MetricValue: '312' },
      { MetricId: 'Watts', MetricValue: 'n/a' },
    ],
  });
  while ((await agent.metric('otelcol_receiver_accepted_metric_points')) < 1) await settle();
  while ((await agent.metric('otelcol_receiver_accepted_log_records')) < 1) await settle();
  assert.equal(await agent.metric('outband.bmc.entries', { result: 'skipped', reason: 'metric_report' }), 1);
  await agent.stop();
  const text = await readFile(join(directory, 'out.jsonl'), 'utf8');
  assert.match(text, /"name":"redfish\.Watts"/);
  assert.match(text, /"asDouble":312|"asInt":"?312/);
  assert.match(text, /"redfish\.endpoint"/);
  assert.match(text, /Sensor reading/);
  assert.equal(bmc.streamRequests, 1);
});
