// The agent is killed in the middle of everything, again and again, on one directory. Nothing is lost, and what is sent
// twice carries the same uid.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBmcFleet } from '../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { startAgentProcess } from '../support/agent-process.ts';
import { durableConfig } from '../support/bmc-config.ts';
import { temporaryDirectory } from '../support/storage.ts';

/** `KILLS=200` looks longer. */
const KILLS = Number(process.env.KILLS ?? 5);
/** Entries that are written with each request that arrives, and between two lives. */
const PER_REQUEST = 8;
const WHILE_AWAY = 100;
/** Requests that may be out or answered and not noted at the moment of a kill, with what one holds at this rate. */
const MOST_DUPLICATES_PER_KILL = 2 * 10 * 512;

test(`${KILLS} kills under load: nothing lost, and duplicates carry equal uids`, async (t) => {
  const directory = await temporaryDirectory(t);
  // Events that name their entry have its uid; others cannot, and a kill between event and entry shows both.
  const fleet = await startBmcFleet({ count: 4, profiles: ['openbmc'] });
  const sink = await startOtlpSink();
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const yaml = durableConfig({ fleet, sink, directory });
  const verdict = () =>
    fleet.truth.compare(sink.records.map(({ body, resource }) => ({ body, endpoint: resource['redfish.endpoint'] })));

  const write = (entries: number) => {
    for (let n = 0; n < entries; n++) fleet.bmc(n % 4).append();
  };
  let seed = Number(process.env.SEED ?? Date.now() % 1e6);
  t.diagnostic(`SEED=${seed}`);
  const random = () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed / 2 ** 31;
  };

  for (let kill = 0; kill < KILLS; kill++) {
    const agent = await startAgentProcess(directory, yaml);
    await agent.line('Everything is ready');
    // By what has come for the first time: what was unsettled at the last kill comes again at once.
    // Each request of the agent brings new entries, so the kill comes in the middle of reading, storing and sending.
    const until = sink.unique + 50 + random() * 400;
    while (sink.unique < until) {
      write(PER_REQUEST);
      const seen = sink.requests;
      await sink.waitFor(({ requests }) => requests > seen);
    }
    write(PER_REQUEST);
    await agent.kill();
    write(WHILE_AWAY);
  }
  const agent = await startAgentProcess(directory, yaml);
  await sink.waitFor(() => verdict().lost.length === 0);
  assert.equal(await agent.stop(), 0, agent.log());
  const { published, received, doubled, strange } = verdict();
  t.diagnostic(`published ${published} received ${received} kills ${KILLS}`);
  assert.equal(strange, 0);
  assert.ok(received - published <= KILLS * MOST_DUPLICATES_PER_KILL, `${received - published} duplicates`);
  // One uid per number: whatever was sent twice can be removed by it.
  assert.equal(sink.unique, published, `${doubled.length} numbers came more than once`);
});
