import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countLines, scene } from '../support/scene.ts';

/** Changes between streaming and polling, in both directions together. */
const SWITCHES = Number(process.env.SWITCHES ?? 8);
const REBOOT_EVERY = 7;
const CLEAR_EVERY = 5;

const RECEIVER = `
initial_history: all
periodic: { logs_collection_interval: 100ms }
sse: { initial_backoff: 5ms, max_backoff: 10ms, min_stream_lifetime: 20ms, reconcile_interval: 200ms }
auto: { connect_failure_threshold: 3, sse_retry_interval: 50ms, sse_retry_max_interval: 50ms, trial_lifetime: 30ms }`;

for (const profile of ['openbmc', 'idrac', 'ilo'])
  test(`${profile}: streaming and polling take turns, the BMC reboots and its logs are cleared: nothing lost, nothing doubled`, async (t) => {
    const { fleet, agent, allDelivered, allSettled, verdict } = await scene(t, {
      profiles: [profile],
      receiver: RECEIVER,
    });
    const bmc = fleet.bmc(0);
    const append = () => {
      for (let log = 0; log < bmc.machine.logs.length; log++) bmc.append({ log });
    };
    const told = async (msg: string) => {
      const before = countLines(agent, msg);
      await agent.line(() => countLines(agent, msg) > before);
    };
    await fleet.waitFor(() => bmc.openStreams === 1);
    for (let n = 0; n < SWITCHES; n++) {
      append();
      if (n % REBOOT_EVERY === REBOOT_EVERY - 1) await bmc.reboot();
      if (n % CLEAR_EVERY === CLEAR_EVERY - 1) {
        // What nobody has read is lost to everybody.
        await allSettled();
        for (const log of bmc.machine.logs) log.clear();
        append();
      }
      const isDown = n % 2 === 0;
      const change = told(isDown ? 'log stream downgraded to polling' : 'log stream restored');
      bmc.stream = isDown ? { kind: 'status', status: 500 } : { kind: 'live' };
      if (isDown) bmc.cutStreams();
      append();
      await change;
      append();
      await allDelivered();
    }
    await allSettled();
    const { lost, doubled, published, received } = verdict();
    assert.deepEqual({ lost, doubled, received }, { lost: [], doubled: [], received: published });
    assert.equal(countLines(agent, 'log stream downgraded to polling'), SWITCHES / 2);
  });
