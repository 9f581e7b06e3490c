// One record in ten is poison: the backend answers 400 to every request that holds one. The rest arrives, exactly the
// poison is set aside, and an operator looks at it, drops some and sends the rest again - beside the running agent.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBmcFleet } from '../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { durableConfig } from '../support/bmc-config.ts';
import { cli } from '../support/cli.ts';
import { agentOf } from '../support/run-agent.ts';
import { temporaryDirectory } from '../support/storage.ts';

const ENTRIES = 300;
const isPoison = (body: unknown) => /#\d*0\b/.test(String(body));

test('the good arrive, the poison is set aside, and an operator decides about it beside the running agent', async (t) => {
  const directory = await temporaryDirectory(t);
  const fleet = await startBmcFleet({ count: 2, profiles: ['openbmc'] });
  const sink = await startOtlpSink();
  sink.judge = (records) =>
    records.some(({ body }) => isPoison(body)) ? { status: 400, body: 'field \u001b[31m too red' } : undefined;
  const yaml = durableConfig({ fleet, sink, directory });
  const config = join(directory, 'config.yaml');
  await writeFile(config, yaml);
  const dlq = async (...args: string[]) => {
    const { code, stdout, stderr } = await cli(['dlq', ...args, '--config', config]);
    return { code, stdout, stderr, json: () => JSON.parse(stdout || stderr) };
  };
  const agent = agentOf(yaml);
  t.after(async () => {
    await agent.stop();
    await Promise.all([fleet.close(), sink.close()]);
  });
  await agent.start();
  for (let n = 0; n < ENTRIES; n++) fleet.bmc(n % 2).append();
  const settled = async (sent: number, aside: number) => {
    await sink.waitFor(() => sink.unique >= sent);
    for (;;) {
      const books = await agent.books('otlp_http');
      if (books.deadLettered === aside && books.queued + books.inFlight === 0) return books;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const { accepted, sent, dropped } = await settled(270, 30);
  assert.deepEqual([accepted, sent, dropped], [ENTRIES, 270, 0]);
  assert.ok(sink.records.every(({ body }) => !isPoison(body)));

  const { totals, records } = (await dlq('list', '--json')).json();
  assert.equal(totals[0].records, 30);
  assert.equal(records.length, 30);
  assert.ok(records.every((one: Record<string, unknown>) => one.reason === 'rejected' && one.status === 400));
  const plain = await dlq('list', '--limit', '1');
  assert.ok(plain.stdout.includes('30 records') && !plain.stdout.includes('\u001b'), plain.stdout);

  const shown = (await dlq('show', String(records[0].id))).stdout.split('\n');
  const { body, attributes } = JSON.parse(shown[1]!).resourceLogs[0].scopeLogs[0].logRecords[0];
  assert.ok(isPoison(body.stringValue));
  const uid = attributes.find(({ key }: { key: string }) => key === 'log.record.uid').value.stringValue;

  const whole = (await dlq('show', String(records[0].id), '--json')).json();
  assert.deepEqual([whole.version, whole.id, whole.record], [1, records[0].id, JSON.parse(shown[1]!)]);

  assert.equal((await dlq('drop', String(records[1].id))).stdout, '1 dropped\n');
  assert.equal((await dlq('redrive', '--reason', 'timeout', '--yes')).stdout, '0 matched\n');
  sink.judge = undefined;
  assert.equal((await dlq('redrive', '--exporter', 'otlp_http', '--yes')).stdout, '29 put back into the queue\n');
  const end = await settled(299, 0);
  assert.deepEqual([end.sent, end.dropped], [299, 1]);
  assert.equal(await agent.metric('otelcol_exporter_dropped_log_records', { reason: 'operator' }), 1);
  assert.ok(
    sink.records.some(({ attributes: sentWith }) => sentWith['log.record.uid'] === uid),
    'the same uid',
  );
  assert.equal(sink.records.length, 299);

  await agent.stop();
  assert.equal((await dlq('list')).stdout, 'no dead letters\n');
  assert.equal((await dlq('drop', '--reason', 'rejected', '--yes')).stdout, '0 matched\n');
});

test('wrong usage says what is right, and exits with 2', async (t) => {
  const directory = await temporaryDirectory(t);
  const config = join(directory, 'config.yaml');
  const fleet = await startBmcFleet({ count: 1 });
  t.after(() => fleet.close());
  await writeFile(config, durableConfig({ fleet, sink: { url: 'http://127.0.0.1:1' }, directory }));
  for (const [args, message] of [
    [['redrive', '--config', config], 'redrive needs ids, or a filter and --yes'],
    [['drop', '--reason', 'rejected', '--config', config], 'drop needs ids, or a filter and --yes'],
    [['lst', '--config', config], 'unknown action "lst" (did you mean "list"?); see outband dlq --help'],
    [
      ['list', '--exportr', 'x', '--config', config],
      'unknown flag --exportr (did you mean "--exporter"?); see outband dlq --help',
    ],
    [['list'], 'no configuration: outband dlq list --config otel-config.yaml'],
    [['list', '--reason', 'rejectd', '--config', config], 'unknown reason "rejectd" (did you mean "rejected"?)'],
    [
      ['drop', '--queued', '--exporter', 'otlp_http', '--yes', '--config', config],
      '--queued: exporter "otlp_http" is configured and sends what is queued; it is for one that is not',
    ],
    [
      ['drop', '--queued', '--exporter', 'old', '--since', '1h', '--yes', '--config', config],
      '--queued goes with drop --exporter ID --yes, and with nothing else: it drops all that is queued',
    ],
    [['show', 'x', '--config', config], 'ids are numbers; see outband dlq list'],
  ] as const) {
    const { code, stderr } = await cli(['dlq', ...args]);
    assert.deepEqual([stderr.trim(), code], [message, 2]);
  }
  const { code, stderr } = await cli(['dlq', 'list', '--config', config]);
  assert.deepEqual(
    [code, stderr.trim()],
    [1, `storage_io  there is no store in ${directory}/state; it is made when the agent first runs`],
  );
});
