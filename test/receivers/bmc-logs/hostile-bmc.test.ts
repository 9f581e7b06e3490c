import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { Fault } from '../../simulators/bmc/faults.ts';
import { countLines, scene } from '../../support/scene.ts';

const POLLED = `
mode: periodic
initial_history: all
request_timeout: 500ms
body_idle_timeout: 200ms
periodic: { logs_collection_interval: 100ms }`;

/** Each fault spoils every log of bmc-0 until it is lifted. */
const FAULTS: readonly (readonly [string, Fault, RegExp])[] = [
  ['HTML', { kind: 'html' }, /bmc_bad_body/],
  ['JSON that is cut', { kind: 'truncated' }, /bmc_unreachable/],
  ['invalid JSON', { kind: 'bad_json' }, /bmc_bad_body/],
  ['a JSON list', { kind: 'raw_body', body: '[]' }, /bmc_bad_body/],
  ['JSON of absurd depth', { kind: 'raw_body', body: `{"Members":${'['.repeat(100_000)}` }, /bmc_bad_body/],
  ['nothing at all', { kind: 'hang' }, /deadline_exceeded/],
  ['a reset', { kind: 'reset' }, /bmc_unreachable/],
  ['a body without end', { kind: 'endless_body' }, /bmc_body_too_large|deadline_exceeded/],
  ['a body that stops', { kind: 'stalled_body' }, /deadline_exceeded/],
  ['500', { kind: 'status', status: 500 }, /bmc_http_status/],
  ['401', { kind: 'status', status: 401 }, /auth_rejected/],
];

for (const [what, fault, code] of FAULTS)
  test(`a BMC that answers ${what} harms only itself, is counted, and loses nothing that it holds`, async (t) => {
    const { fleet, agent, allDelivered, sink, verdict } = await scene(t, {
      count: 2,
      receiver: POLLED,
      before: (all) => {
        for (const bmc of all.bmcs) bmc.append();
        // The log itself, and everything else of its owner's branch.
        all.bmc(0).faults.push({ ...fault, path: `${all.bmc(0).log(0).path}/Entries` });
        all.bmc(0).faults.push({ ...fault, path: '/redfish/v1/Managers' });
      },
    });
    await sink.waitFor(() => sink.records.some(({ resource }) => resource['redfish.endpoint'] === 'bmc-1'));
    const line = await agent.line(
      ({ msg }) => msg === 'a part of the logs cannot be read' || msg === 'the logs cannot be read',
    );
    assert.equal(line.endpoint, 'bmc-0');
    assert.match(String(line['error.code']), code);
    fleet.bmc(0).faults.length = 0;
    for (const bmc of fleet.bmcs) bmc.append();
    await allDelivered();
    await agent.line(({ msg }) => msg === 'logs are read again');
    assert.deepEqual(verdict().doubled, []);
    const failed =
      (await agent.metric('outband.bmc.polls', { outcome: 'partial' })) +
      (await agent.metric('outband.bmc.polls', { outcome: 'failure' }));
    assert.ok(failed > 0);
    assert.equal(countLines(agent, 'a part of the logs cannot be read', 'bmc-1'), 0);
  });

test('one log service that fails does not keep the others from being read', async (t) => {
  const { fleet, agent, allDelivered } = await scene(t, {
    profiles: ['idrac'],
    receiver: POLLED,
    before: (all) => {
      all.bmc(0).faults.push({ kind: 'status', status: 500, path: `${all.bmc(0).log(0).path}/Entries` });
      all.bmc(0).append({ log: 1 });
    },
  });
  await allDelivered();
  const line = await agent.line(({ msg }) => msg === 'a part of the logs cannot be read');
  assert.match(String(line.error), /Lclog\/Entries answered 500/);
  fleet.bmc(0).append({ log: 0 });
  fleet.bmc(0).faults.length = 0;
  await allDelivered();
});

test('redirects, links and a stream URI to another host are refused; the other host sees no request', async (t) => {
  let requests = 0;
  const trap = createServer((_, response) => {
    requests++;
    response.end('{}');
  });
  await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve));
  t.after(() => trap.close());
  const evil = `http://127.0.0.1:${(trap.address() as AddressInfo).port}/redfish/v1/x`;
  const { agent, allDelivered } = await scene(t, {
    count: 2,
    profiles: ['idrac'],
    before: (all) => {
      const [first, second] = all.bmcs;
      first!.append({ log: 1 });
      second!.append();
      first!.faults.push({ kind: 'redirect', location: evil, path: `${first!.log(0).path}/Entries` });
      const service = JSON.stringify({ ServiceEnabled: true, ServerSentEventUri: evil });
      first!.faults.push({ kind: 'raw_body', body: service, path: '/redfish/v1/EventService' });
      const members = JSON.stringify({ Members: [{ '@odata.id': evil }], 'Members@odata.nextLink': evil });
      first!.faults.push({ kind: 'raw_body', body: members, path: '/redfish/v1/Chassis' });
    },
  });
  await allDelivered();
  await agent.line(({ msg, endpoint }) => msg === 'log stream downgraded to polling' && endpoint === 'bmc-0');
  const line = await agent.line(({ msg }) => msg === 'a link of the BMC was not followed');
  assert.equal(line['error.code'], 'bmc_link_refused');
  assert.ok((await agent.metric('outband.bmc.refused_links')) >= 3);
  assert.equal(requests, 0);
});

test('a redirect within the BMC is followed', async (t) => {
  const { allDelivered } = await scene(t, {
    receiver: POLLED,
    before: (all) => {
      const { path } = all.bmc(0).log(0);
      all.bmc(0).append();
      all
        .bmc(0)
        .faults.push({ kind: 'redirect', location: `${path}/Entries/?moved=1`, path: `${path}/Entries`, count: 1 });
    },
  });
  await allDelivered();
});

test('a redirect that never ends is given up', async (t) => {
  const { agent } = await scene(t, {
    receiver: POLLED,
    before: (all) => {
      const { path } = all.bmc(0).log(0);
      all.bmc(0).faults.push({ kind: 'redirect', location: `${path}/Entries`, path: `${path}/Entries` });
    },
  });
  const line = await agent.line(({ msg }) => msg === 'the logs cannot be read');
  assert.match(String(line.error), /answered 302/);
});

test('a next page that is the same page ends the read, and what was on it is sent once', async (t) => {
  const { agent, sink } = await scene(t, {
    receiver: POLLED,
    before: (all) => {
      const { path } = all.bmc(0).log(0);
      const page = {
        Members: [{ '@odata.id': `${path}/Entries/1`, Id: '1', Created: '2024-01-01T00:00:00Z', Message: 'once' }],
        'Members@odata.nextLink': `${path}/Entries`,
      };
      all.bmc(0).faults.push({ kind: 'raw_body', body: JSON.stringify(page), path: `${path}/Entries` });
    },
  });
  await agent.line(({ msg, limit }) => msg === 'a limit was reached while reading a log' && limit === 'page_loop');
  await agent.line(() => agent.lines.filter(({ msg }) => msg === 'logs read').length >= 3);
  assert.equal(sink.records.length, 1);
});

test('an event of 100 MiB closes the stream at 1 MiB with flat memory, and the log brings what it hid', async (t) => {
  const { fleet, agent, sink, allDelivered, verdict } = await scene(t, {
    profiles: ['openbmc'],
    receiver:
      'initial_history: all\nsse: { initial_backoff: 10ms, max_backoff: 20ms, min_stream_lifetime: 50ms }\nperiodic: { logs_collection_interval: 200ms }',
  });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  bmc.append();
  await allDelivered();
  bmc.mute = true;
  bmc.append();
  const before = process.memoryUsage().rss;
  bmc.write('data: ');
  const piece = 'x'.repeat(1024 * 1024);
  for (let mib = 0; mib < 100 && bmc.openStreams > 0; mib++) {
    bmc.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const ended = await agent.line(({ msg }) => msg === 'log stream ended');
  assert.equal(ended.cause, 'size');
  await allDelivered();
  assert.equal(sink.records.length, 2);
  assert.deepEqual(verdict().doubled, []);
  assert.equal(await agent.metric('outband.bmc.limits_hit', { limit: 'sse_event' }), 1);
  // Sender and receiver share this process: the bound leaves room for what the simulator buffers.
  assert.ok(process.memoryUsage().rss - before < 120 * 1024 * 1024);
});

test('an event that nobody can read becomes one raw record, and the stream goes on', async (t) => {
  const { fleet, sink, agent, allDelivered } = await scene(t, { profiles: ['openbmc'] });
  const bmc = fleet.bmc(0);
  await fleet.waitFor(() => bmc.openStreams === 1);
  bmc.append();
  bmc.write('id: 77\ndata: {"Events": [{"Message": \n\n');
  bmc.append();
  await allDelivered();
  const raw = sink.records.filter(({ attributes }) => attributes['redfish.parse_error'] !== undefined);
  assert.equal(raw.length, 1);
  assert.equal(raw[0]!.body, '{"Events": [{"Message": ');
  assert.equal(bmc.openStreams, 1);
  assert.equal(await agent.metric('outband.bmc.decode_errors', { stage: 'event' }), 1);
});

test('control characters in a message arrive as they are', async (t) => {
  const text = 'bell \u0007 escape \u001b[31m and a\nline #1';
  const { sink } = await scene(t, { receiver: POLLED, before: (all) => void all.bmc(0).append({ text }) });
  await sink.waitFor(() => sink.records.length === 1);
  assert.equal(sink.records[0]!.body, text);
});

test('a branch that cannot be read keeps its services, and what they hold is not sent again', async (t) => {
  const { fleet, agent, allSettled, verdict } = await scene(t, {
    profiles: ['idrac'],
    receiver: 'initial_history: all\nsse: { reconcile_interval: 100ms }\nperiodic: { state_refresh_interval: 100ms }',
    before: (all) => void all.bmc(0).append(),
  });
  const bmc = fleet.bmc(0);
  await allSettled();
  bmc.faults.push({ kind: 'status', status: 503, path: '/redfish/v1/Managers/Embedded.1', count: 10 });
  bmc.append();
  await agent.line(({ msg }) => String(msg).includes('cannot be read'));
  for (let n = 0; n < 5; n++) bmc.append();
  await allSettled();
  const { published, received, doubled } = verdict();
  assert.deepEqual([published, received, doubled], [7, 7, []]);
});

test('systems and services over several pages are all found', async (t) => {
  const { allDelivered } = await scene(t, {
    profiles: ['idrac'],
    receiver: POLLED,
    before: (all) => {
      const bmc = all.bmc(0);
      const services = '/redfish/v1/Managers/Embedded.1/LogServices';
      const page = (path: string, next?: string) =>
        JSON.stringify({ Members: [{ '@odata.id': path }], ...(next && { '@odata.nextLink': next }) });
      bmc.faults.push({ kind: 'raw_body', path: `${services}/Page2`, body: page(bmc.log(1).path) });
      bmc.faults.push({ kind: 'raw_body', exact: services, body: page(bmc.log(0).path, `${services}/Page2`) });
      bmc.append({ log: 0 });
      bmc.append({ log: 1 });
    },
  });
  await allDelivered();
});

test('an entry of absurd depth hides no other entry, and comes without what is too deep', async (t) => {
  const { fleet, sink, allDelivered } = await scene(t, {
    profiles: ['openbmc'],
    receiver: POLLED,
    before: (all) => {
      const bmc = all.bmc(0);
      let deep: object = {};
      for (let n = 0; n < 200; n++) deep = { a: deep };
      bmc.log().extra = ({ sequence }) => (sequence === 2 ? { Oem: { Deep: deep } } : {});
      for (let n = 0; n < 3; n++) bmc.append();
    },
  });
  await allDelivered();
  assert.equal(sink.records.length, 3);
  assert.equal(fleet.truth.published, 3);
});
