import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MetricData, ResourceMetrics } from '@opentelemetry/sdk-metrics';
import fc from 'fast-check';
import schedulerHealth, { type SchedulerHealthConfig } from '../../receivers/scheduler-health/index.ts';
import { SchedulerHealthReceiver } from '../../receivers/scheduler-health/receiver.ts';
import type { NextConsumers } from '../../src/component/consumer.ts';
import { OutbandError, PermanentError, RetryableError } from '../../src/component/errors.ts';
import { observe } from '../../src/component/scheduler-metrics.ts';
import { healthJson } from '../../src/extensions/monitoring-api/health-json.ts';
import { parseTargetQuery } from '../../src/extensions/monitoring-api/target-query.ts';
import type { LogBatch } from '../../src/telemetry/log-batch.ts';
import { settle } from '../../src/testing/fake-clock.ts';
import { testHost } from '../../src/testing/host.ts';
import { testMetrics } from '../../src/testing/metrics.ts';
import { virtualScheduler } from '../../src/testing/scheduler.ts';
import { healthOf } from '../support/health-schema.ts';
import { forAll } from '../support/property.ts';

const MINUTE = 60_000;
const never = new AbortController().signal;

/** A scheduler with targets of two types, and the receiver on it. `refuse` is what the pipeline throws. */
async function scene(options: { settings?: object; signals?: ('logs' | 'metrics')[] } = {}) {
  const metrics = testMetrics();
  const made = await virtualScheduler({ meter: metrics.provider.getMeter('outband.extension.scheduler') });
  const { clock, extension } = made;
  const received: ResourceMetrics[] = [];
  const batches: LogBatch[] = [];
  const pipeline = { refuse: undefined as Error | undefined };
  const take = async <T>(list: T[], what: T) => {
    if (pipeline.refuse) throw pipeline.refuse;
    list.push(what);
  };
  const { signals = ['logs', 'metrics'] } = options;
  const next: NextConsumers = {
    ...(signals.includes('logs') && { logs: { consumeLogs: (batch) => take(batches, batch) } }),
    ...(signals.includes('metrics') && { metrics: { consumeMetrics: (each) => take(received, each) } }),
  };
  const host = testHost({ clock, scheduler: extension, meter: metrics.provider.getMeter('test') });
  const config = schedulerHealth.schema.parse(options.settings ?? {}) as SchedulerHealthConfig;
  const receiver = new SchedulerHealthReceiver({ type: 'scheduler_health', name: '' }, config, host, next);
  await receiver.start();
  const register = (type: string, name: string, run: () => Promise<object>, interval = MINUTE) =>
    extension.register({ type, name, connection: 'x', run }, { interval, firstRun: 'now' });
  return { ...made, host, metrics, receiver, received, batches, pipeline, register };
}

const locked = () => Promise.reject(new OutbandError('auth_rejected', 'no'));
const away = () => Promise.reject(new OutbandError('bmc_unreachable', 'away'));

function metricOf(list: readonly ResourceMetrics[], name: string): MetricData[] {
  return list
    .flatMap(({ scopeMetrics }) => scopeMetrics)
    .flatMap((scope) => scope.metrics)
    .filter(({ descriptor }) => descriptor.name === name);
}

function pointsOf({ dataPoints }: MetricData): readonly { readonly attributes: Readonly<Record<string, unknown>> }[] {
  return dataPoints;
}

test('metrics and JSON of one snapshot agree row by row, for any fleet', () =>
  forAll(
    fc.array(
      fc.record({
        type: fc.constantFrom('bmc', 'attestation'),
        mode: fc.constantFrom('poll', 'stream'),
        mood: fc.constantFrom('well', 'away', 'locked', 'hung'),
        interval: fc.integer({ min: 1_000, max: 600_000 }),
      }),
      { maxLength: 15 },
    ),
    async (members) => {
      const { clock, extension } = await virtualScheduler({});
      for (const [n, { type, mode, mood, interval }] of members.entries())
        extension.register(
          {
            ...{ type, name: `node-${n}`, connection: 'x' },
            run: async (signal) => {
              if (mood === 'away') return away();
              if (mood === 'locked') return locked();
              if (mood === 'hung') await clock.sleep(1e9, signal);
              return {};
            },
          },
          { interval, mode, firstRun: n % 2 ? 'now' : 'grid' },
        );
      await clock.advance(400_000);
      const snapshot = extension.snapshot();
      const { instances, queue, deadLetter, summary, updatedAt } = healthOf(
        [...healthJson(snapshot, parseTargetQuery(new URLSearchParams()))].join(''),
      );
      const { numbers, distributions } = observe(snapshot);
      const value = (name: string, attributes: Record<string, string>) =>
        numbers
          .find(({ doc }) => doc.name === `outband.scheduler.${name}`)!
          .points.filter(({ attributes: own }) => Object.entries(attributes).every(([key, each]) => own[key] === each))
          .reduce((sum, point) => sum + point.value, 0);
      for (const type of new Set(members.map((member) => member.type))) {
        const own = instances.filter((each) => each.type === type);
        const T = { 'outband.target.type': type };
        for (const mode of ['poll', 'stream'])
          assert.equal(
            value('target.count', { ...T, 'outband.target.mode': mode }),
            own.filter((each) => each.mode === mode).length,
          );
        for (const state of ['closed', 'open', 'half_open', 'unknown'])
          assert.equal(
            value('breaker.count', { ...T, 'outband.breaker.state': state }),
            own.filter(({ breaker }) => breaker.state === state).length,
          );
        assert.equal(value('dead_letter.count', T), own.filter((each) => each.deadLetter.present).length);
        assert.equal(value('queue.size', T), queue.perType[type] ?? 0);
        assert.equal(value('run.active', T), own.filter(({ pollStatus }) => pollStatus.inFlight).length);
        assert.equal(value('target.flapping', T), own.filter(({ breaker }) => breaker.flapping).length);
        const edges = own.flatMap(({ breaker }) => breaker.transitions as { from: string; to: string }[]);
        if (edges.length < 16) assert.equal(value('breaker.transitions', T), edges.length);
        const ages = own.flatMap(({ pollStatus }) =>
          pollStatus.lastSuccess === null ? [] : [Date.parse(updatedAt) - Date.parse(String(pollStatus.lastSuccess))],
        );
        if (ages.length > 0) assert.equal(value('target.age', T), Math.max(...ages) / 1_000);
      }
      assert.equal(value('queue.due', {}), queue.dueWithinSeconds);
      assert.equal(value('target.late', {}), summary.late);
      assert.equal(value('dead_letter.count', {}), deadLetter.count);
      assert.equal(value('dead_letter.count', {}), summary.parked);
      const lags = distributions.find(({ doc }) => doc.name === 'outband.scheduler.run.lag')!;
      assert.equal(
        lags.points.length === 0,
        instances.every(({ pollStatus }) => pollStatus.lag === null),
      );
      await extension.shutdown(AbortSignal.abort());
    },
  ));

test('the agent’s own page and a pipeline show the same numbers', async () => {
  const { clock, register, received, metrics } = await scene();
  register('bmc', 'a', async () => ({}));
  register('bmc', 'b', locked);
  register('bmc', 'c', away);
  await clock.advance(10 * MINUTE);
  const { resourceMetrics } = await metrics.reader.collect();
  await clock.advance(1);
  const page = resourceMetrics.scopeMetrics
    .flatMap((each) => each.metrics)
    .filter(({ descriptor }) => descriptor.name.startsWith('outband.scheduler.'));
  // The last collection was at the same instant of the grid, or close before it.
  const last = received.filter((each) => metricOf([each], 'outband.scheduler.target.count').length > 0).at(-1)!;
  for (const name of [
    'target.count',
    'breaker.count',
    'breaker.transitions',
    'dead_letter.count',
    'dead_letter.moves',
    'run.limit',
  ]) {
    const points = (list: readonly MetricData[]) =>
      list
        .flatMap(({ dataPoints }) => dataPoints as { attributes: object; value: unknown }[])
        .map(({ attributes, value }) => JSON.stringify([Object.entries(attributes).sort(), value]))
        .sort();
    const full = `outband.scheduler.${name}`;
    const shown = points(page.filter(({ descriptor }) => descriptor.name === full));
    assert.ok(shown.length > 0, full);
    assert.deepEqual(points(metricOf([last], full)), shown, full);
  }
  const histogram = page.find(({ descriptor }) => descriptor.name === 'outband.scheduler.run.duration')!;
  const count = (histogram.dataPoints as { value: { count: number } }[]).reduce(
    (sum, { value }) => sum + value.count,
    0,
  );
  const own = metricOf([last], 'outband.scheduler.run.duration')[0]!.dataPoints as { value: { count: number } }[];
  assert.ok(count - own.reduce((sum, { value }) => sum + value.count, 0) <= 2);
});

test('ten thousand targets: bounded series on the page, one point per target and metric in the pipeline', async () => {
  const { clock, extension, received, metrics, host } = await scene({
    settings: { per_target: 'all', per_target_limit: 9_000 },
  });
  for (let n = 0; n < 10_000; n++)
    extension.register(
      { type: 'bmc', name: `node-${n}`, connection: 'x', run: async () => ({}) },
      { interval: MINUTE },
    );
  await clock.advance(2 * MINUTE);
  received.length = 0;
  await clock.advance(30_000);
  const points = metricOf(received, 'outband.target.interval').flatMap(pointsOf);
  assert.equal(points.length, 9_000);
  assert.equal(new Set(points.map(({ attributes }) => attributes['outband.target.name'])).size, 9_000);
  assert.equal(host.lines.filter(({ message }) => message.includes('per_target_limit')).length, 1);
  const { resourceMetrics } = await metrics.reader.collect();
  const series = resourceMetrics.scopeMetrics.flatMap((each) => each.metrics).flatMap(pointsOf);
  assert.ok(series.length < 500, `${series.length}`);
});

test('not_at_rest tells of those that are away only, and a target that is gone has no point', async () => {
  const { clock, register, received } = await scene({ settings: { per_target: 'not_at_rest' } });
  register('bmc', 'well', async () => ({}));
  const gone = register('attestation', 'sick', away);
  await clock.advance(MINUTE);
  const names = () =>
    metricOf(received, 'outband.target.breaker.failures').flatMap(({ dataPoints }) =>
      dataPoints.map(({ attributes }) => attributes['outband.target.name']),
    );
  assert.deepEqual([...new Set(names())], ['sick']);
  await gone.unregister();
  await clock.advance(30_000);
  received.length = 0;
  await clock.advance(30_000);
  assert.deepEqual(names(), []);
  const types = metricOf(received, 'outband.scheduler.breaker.count').flatMap(({ dataPoints }) =>
    dataPoints.map(({ attributes }) => attributes['outband.target.type']),
  );
  assert.deepEqual([...new Set(types)], ['bmc']);
});

test('a pipeline that refuses metrics gets the next collection; nothing is sent twice', async () => {
  const { clock, register, received, pipeline } = await scene();
  register('bmc', 'a', async () => ({}));
  await clock.advance(MINUTE);
  pipeline.refuse = new RetryableError('queue_full', 'full');
  const before = received.length;
  await clock.advance(5 * MINUTE);
  assert.equal(received.length, before);
  pipeline.refuse = undefined;
  await clock.advance(MINUTE);
  assert.equal(received.length, before + 2);
});

test('each edge is one record, with its severity, its sentence and a name that does not change', async () => {
  const { clock, register, batches } = await scene();
  let run: () => Promise<object> = locked;
  register('bmc', 'a', () => run());
  await clock.advance(1_000);
  run = async () => ({});
  await clock.advance(40 * MINUTE);
  const records = batches.flatMap((batch) => batch.records);
  assert.deepEqual(
    records.map(({ eventName, severityText, severityNumber }) => [eventName, severityText, severityNumber]),
    [
      ['outband.scheduler.transition', 'WARN', 13],
      ['outband.scheduler.parked', 'ERROR', 17],
      ['outband.scheduler.transition', 'DEBUG', 5],
      ['outband.scheduler.transition', 'INFO', 9],
      ['outband.scheduler.released', 'INFO', 9],
    ],
  );
  const { attributes, body } = records[0]!;
  assert.match(
    String(body),
    /^breaker of bmc::a went from unknown to open \(permanent_failure\), next attempt at .*: no$/,
  );
  assert.deepEqual(
    { ...attributes, 'log.record.uid': '', 'outband.retry_at': '' },
    {
      ...{ 'log.record.uid': '', 'outband.retry_at': '', 'outband.cause': 'permanent_failure' },
      ...{ 'outband.target.type': 'bmc', 'outband.target.name': 'a', 'error.type': 'auth_rejected' },
      ...{ 'outband.breaker.from': 'unknown', 'outband.breaker.to': 'open' },
    },
  );
  assert.equal(new Set(records.map((record) => record.attributes['log.record.uid'])).size, records.length);
});

test('events that a pipeline refuses wait, in order and bounded; a slow pipeline delays no run', async () => {
  const { clock, register, batches, pipeline, metrics, receiver } = await scene({
    settings: { max_pending_events: 3 },
  });
  pipeline.refuse = new RetryableError('queue_full', 'full');
  for (const name of ['a', 'b', 'c', 'd']) register('bmc', name, locked);
  await clock.advance(MINUTE);
  assert.equal(await metrics.value('outband.scheduler_health.dropped', { reason: 'overflow' }), 5);
  pipeline.refuse = undefined;
  await clock.advance(MINUTE);
  const told = batches
    .flatMap((batch) => batch.records)
    .map(({ eventName, attributes }) => [eventName, attributes['outband.target.name']]);
  assert.deepEqual(told, [
    ['outband.scheduler.parked', 'c'],
    ['outband.scheduler.transition', 'd'],
    ['outband.scheduler.parked', 'd'],
  ]);
  pipeline.refuse = new PermanentError('export_rejected', 'never');
  register('bmc', 'e', locked);
  await clock.advance(MINUTE);
  assert.equal(await metrics.value('outband.scheduler_health.dropped', { reason: 'refused' }), 2);
  await receiver.shutdown(never);
  await settle();
});

test('what waits at a stop is offered once more', async () => {
  const { clock, register, batches, pipeline, receiver } = await scene();
  pipeline.refuse = new RetryableError('queue_full', 'full');
  register('bmc', 'a', locked);
  await clock.advance(100);
  pipeline.refuse = undefined;
  await receiver.shutdown(never);
  assert.equal(batches.flatMap((batch) => batch.records).length, 2);
});

test('in a metrics pipeline only it keeps no events, in a logs pipeline only it collects nothing', async () => {
  const logs = await scene({ signals: ['logs'] });
  logs.register('bmc', 'a', locked);
  await logs.clock.advance(MINUTE);
  assert.deepEqual([logs.received.length, logs.batches.length > 0], [0, true]);
  const metrics = await scene({ signals: ['metrics'] });
  metrics.register('bmc', 'a', locked);
  await metrics.clock.advance(MINUTE);
  assert.deepEqual([metrics.received.length > 0, metrics.batches.length], [true, 0]);
});
