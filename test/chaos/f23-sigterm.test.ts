// SIGTERM in the middle of the work, with a sink that takes, hangs or refuses: the agent ends with 0 within its time, a
// second signal ends it at once, and what it had acknowledged arrives after the next start.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBmcFleet } from '../simulators/bmc/fleet.ts';
import { type SinkFault, startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { startAgentProcess } from '../support/agent-process.ts';
import { durableConfig } from '../support/bmc-config.ts';
import { temporaryDirectory } from '../support/storage.ts';

const SINKS: Readonly<Record<string, SinkFault | undefined>> = {
  takes: undefined,
  hangs: 'hang',
  refuses: { status: 503 },
};

for (const [what, fault] of Object.entries(SINKS))
  test(`SIGTERM while the sink ${what}: exit 0 in time, nothing lost`, async (t) => {
    const directory = await temporaryDirectory(t);
    const fleet = await startBmcFleet({ count: 2, profiles: ['openbmc'] });
    const sink = await startOtlpSink();
    t.after(() => Promise.all([fleet.close(), sink.close()]));
    const yaml = durableConfig({ fleet, sink, directory });
    const verdict = () =>
      fleet.truth.compare(sink.records.map(({ body, resource }) => ({ body, endpoint: resource['redfish.endpoint'] })));

    const agent = await startAgentProcess(directory, yaml);
    await fleet.waitFor(() => fleet.bmcs.every(({ openStreams }) => openStreams > 0));
    sink.fault = fault;
    for (let n = 0; n < 200; n++) fleet.bmc(n % 2).append();
    await sink.waitFor(({ requests }) => requests > 0);
    const began = performance.now();
    assert.equal(await agent.stop(), 0, agent.log());
    const took = performance.now() - began;
    assert.ok(took < 5_500, `${Math.round(took)} ms of 5 s`);
    t.diagnostic(`the stop took ${Math.round(took)} ms`);
    sink.fault = undefined;
    const next = await startAgentProcess(directory, yaml);
    await next.line('Everything is ready');
    await sink.waitFor(() => verdict().lost.length === 0);
    assert.equal(await next.stop(), 0, next.log());
    assert.equal(sink.unique, fleet.truth.published);
  });

test('a second signal ends the process at once with 1, and nothing is lost by it', async (t) => {
  const directory = await temporaryDirectory(t);
  const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'] });
  const sink = await startOtlpSink();
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const yaml = durableConfig({ fleet, sink, directory });
  const agent = await startAgentProcess(directory, yaml);
  await fleet.waitFor(() => fleet.bmc(0).openStreams > 0);
  sink.fault = 'hang';
  for (let n = 0; n < 50; n++) fleet.bmc(0).append();
  await sink.waitFor(({ requests }) => requests > 0);
  agent.process.kill('SIGTERM');
  await agent.line('Stopping');
  agent.process.kill('SIGTERM');
  assert.equal(await agent.ended, 1);
  sink.fault = undefined;
  const next = await startAgentProcess(directory, yaml);
  await sink.waitFor(({ unique }) => unique === 50);
  assert.equal(await next.stop(), 0);
});
