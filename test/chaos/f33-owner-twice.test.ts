// Two agents on one directory: the second ends with 1 and says who owns it; the first is not disturbed. No lock can be
// left behind by a kill.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBmcFleet } from '../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { startAgentProcess } from '../support/agent-process.ts';
import { durableConfig } from '../support/bmc-config.ts';
import { temporaryDirectory } from '../support/storage.ts';

test('the second agent on a directory ends with 1 and names the first; a kill leaves no lock', async (t) => {
  const directory = await temporaryDirectory(t);
  const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'] });
  const sink = await startOtlpSink();
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const yaml = durableConfig({ fleet, sink, directory });
  const first = await startAgentProcess(directory, yaml);
  await first.line('Everything is ready');
  const second = await startAgentProcess(directory, yaml);
  assert.equal(await second.ended, 1);
  const message = `storage_locked  extension file_storage cannot start: directory "${directory}/state" is in use by pid ${first.process.pid}`;
  assert.ok(second.log().includes(message), second.log());
  fleet.bmc(0).append();
  await sink.waitFor(({ unique }) => unique === 1);
  await first.kill();
  const third = await startAgentProcess(directory, yaml);
  await third.line('Everything is ready');
  assert.equal(await third.stop(), 0);
});
