import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { builtins } from '../../../src/builtins.ts';
import { defineExporter } from '../../../src/component/factory.ts';
import { FakeClock, settle } from '../../../src/testing/fake-clock.ts';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { agentOf } from '../../support/run-agent.ts';

test('a pipeline that takes nothing for minutes defers the poll: no fault of the BMC, no second read, and all out after', async (t) => {
  const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'] });
  const clock = new FakeClock(new Date().toISOString());
  const received: unknown[] = [];
  let isOpen = false;
  const exporter = defineExporter({
    type: 'gate',
    summary: 'takes nothing until it is opened',
    stability: { logs: 'development' },
    schema: z.strictObject({}),
    create: () => ({
      async sendLogs(records) {
        if (!isOpen) return { kind: 'retry', reason: 'closed' };
        received.push(...records.map(({ body }) => body));
        return { kind: 'accepted' };
      },
    }),
  });
  const agent = agentOf(
    `
receivers:
  bmc_logs:
    mode: periodic
    endpoints: [{ name: bmc-0, address: "${fleet.bmc(0).address}", tls: { insecure: true } }]
    initial_history: all
    periodic: { logs_collection_interval: 1m }
exporters: { gate: }
extensions: { scheduler: { adaptive_polling: { enabled: false } } }
service:
  extensions: [scheduler]
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [bmc_logs], exporters: [gate] } }
`,
    { clock, factories: [...builtins, exporter] },
  );
  t.after(async () => {
    isOpen = true;
    const stopped = agent.stop();
    await clock.advance(10_000);
    await stopped;
    await fleet.close();
  });
  const entriesRead = () => fleet.bmc(0).journal.filter(({ path }) => path.endsWith('/Entries')).length;
  const until = async (condition: () => boolean) => {
    while (!condition()) await settle();
  };
  for (let n = 0; n < 3; n++) fleet.bmc(0).append();
  await agent.start();
  await clock.advance(0);
  await until(() => entriesRead() === 1);
  for (let minute = 0; minute < 10; minute++) await clock.advance(60_000);
  assert.equal(entriesRead(), 1);
  assert.deepEqual(
    agent.lines.filter(({ msg }) => String(msg).includes('cannot be read')),
    [],
  );
  assert.deepEqual(
    agent.lines.filter(({ msg }) => msg === 'run failed'),
    [],
  );

  isOpen = true;
  while (received.length < 3) await clock.advance(1_000);
  fleet.bmc(0).append();
  for (const read = entriesRead(); received.length < 4; ) {
    await clock.advance(60_000);
    await until(() => entriesRead() > read);
    await settle();
  }
  assert.equal(new Set(received).size, 4);
});
