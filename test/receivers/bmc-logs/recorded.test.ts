import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type BmcFleet, startBmcFleet } from '../../simulators/bmc/fleet.ts';
import type { SinkRecord } from '../../simulators/otlp-sink/decode.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { bmcConfig } from '../../support/bmc-config.ts';
import { agentOf } from '../../support/run-agent.ts';

const RECORDINGS = process.env.REDFISH_RECORDINGS ?? '';
const skip = existsSync(RECORDINGS) ? false : 'REDFISH_RECORDINGS names no folder with recorded BMC answers';

/** Every recorded machine: what is in its folder, counted from the files and not by the reader. */
const MACHINES = [
  'dell-idrac9-r750',
  'hpe-ilo5-dl325',
  'hpe-ilo6-dl360gen11',
  'nvidia-gh200-openbmc',
  'openbmc-stock-2023',
];

/**
 * SHA-256 over all records of a machine. The records themselves are the vendors' words and stay with the recordings.
 * Before a digest was put here its set was gone through by kind: severities, attributes with a value of each, and records of
 * several logs, not each of 1,887 records. `GOLDEN=<folder>` writes the sets there.
 */
const GOLDEN: Readonly<Record<string, string>> = {
  'dell-idrac9-r750': 'dc5a81c9c1b588a178eef71e9314681eb986a5f71ae6e97e23bd5aed20ef3d16',
  'hpe-ilo5-dl325': '9329ef32bae02a0483dea705a4489972d74ba4b3cf6f408c3567d3e168b39554',
  'hpe-ilo6-dl360gen11': '5a79895b778b63ddb7a40af7ff5e522b8e873e697611457d028e9ecf78607fc1',
  'nvidia-gh200-openbmc': '7283a156b02e7294fa842d2e5e9b4119e93d104bd6a1345f0d66af1a26be2407',
  'openbmc-stock-2023': '424a8a4e2a310330a1d3cb4b1dc7b6d95c90581d8d8e1519f2c5489d65bb30b6',
};

type Json = Record<string, unknown>;

/** The entries that a machine's log services hold, by service, straight from the files. */
function entriesOf(machine: string): Map<string, Json[]> {
  const read = (path: string): Json | undefined => {
    const file = join(RECORDINGS, machine, path.replace(/\/+$/, ''), 'index.json');
    return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
  };
  const link = (value: unknown) => (value as { '@odata.id': string } | undefined)?.['@odata.id'];
  const members = (path: string | undefined) =>
    ((path === undefined ? undefined : read(path))?.Members as Json[] | undefined) ?? [];
  const root = read('/redfish/v1')!;
  const services = new Map<string, Json[]>();
  for (const kind of ['Systems', 'Chassis', 'Managers'])
    for (const owner of members(link(root[kind])))
      for (const service of members(link(read(link(owner)!)?.LogServices))) {
        const entries = link(read(link(service)!)?.Entries);
        if (entries !== undefined) services.set(link(service)!, members(entries));
      }
  return services;
}

/** Entries that stand in another log of the machine, too: the same text at the same time. */
function twiceTold(services: ReadonlyMap<string, Json[]>): number {
  const told = new Map<string, Set<string>>();
  let twice = 0;
  for (const [service, entries] of services)
    for (const { EventTimestamp, Created, Message, MessageArgs } of entries) {
      const key = JSON.stringify([EventTimestamp ?? Created, Message, MessageArgs ?? []]);
      const by = told.get(key) ?? new Set();
      if (by.size > 0 && !by.has(service)) twice++;
      told.set(key, by.add(service));
    }
  return twice;
}

async function goldenDigest(machine: string, records: readonly SinkRecord[]): Promise<string> {
  const lines = records
    .map(({ body, attributes, eventName, severityNumber, severityText, timeUnixNano }) =>
      JSON.stringify({
        ...{ time: String(timeUnixNano), severityNumber, severityText, eventName, body },
        attributes: Object.fromEntries(Object.entries(attributes).sort()),
      }),
    )
    .sort();
  const { GOLDEN: folder } = process.env;
  if (folder) await writeFile(join(folder, `${machine}.jsonl`), `${lines.join('\n')}\n`);
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}

async function readTwice(fleet: BmcFleet, settings: string) {
  const sink = await startOtlpSink();
  const agent = agentOf(
    bmcConfig({
      endpoints: [{ name: 'machine', address: fleet.bmc(0).address }],
      sink,
      receiver: `mode: periodic
initial_history: all
exclude_services: []
periodic: { logs_collection_interval: 300ms }
${settings}`,
    }),
  );
  await agent.start();
  const polls = async (count: number) => {
    const done = () => agent.lines.filter(({ msg }) => msg === 'logs read').length >= count;
    await fleet.waitFor(done);
  };
  await polls(3);
  const failures = agent.lines.filter(({ level }) => level === 'warn' || level === 'error');
  await agent.stop();
  await sink.close();
  return { records: sink.records, failures };
}

for (const machine of MACHINES)
  test(`${machine}: each entry arrives once, with its time, severity and uid; a second read sends nothing`, {
    skip,
  }, async () => {
    const expected = entriesOf(machine);
    const total = [...expected.values()].reduce((sum, entries) => sum + entries.length, 0);
    const fleet = await startBmcFleet({ count: 1, tree: join(RECORDINGS, machine) });
    const { records } = await readTwice(fleet, 'dedupe_across_logs: false');
    const again = await readTwice(fleet, 'dedupe_across_logs: false');
    const deduplicated = await readTwice(fleet, '');
    await fleet.close();
    const uids = (all: typeof records) => all.map(({ attributes }) => attributes['log.record.uid']).sort();
    assert.deepEqual(uids(again.records), uids(records), 'another run of the agent gives the same uids');

    assert.equal(deduplicated.records.length, total - twiceTold(expected));
    assert.equal(await goldenDigest(machine, deduplicated.records), GOLDEN[machine]);

    assert.equal(records.length, total, 'the first read sent all of them, the second and third nothing again');
    assert.equal(new Set(records.map(({ attributes }) => attributes['log.record.uid'])).size, total);
    for (const [service, entries] of expected) {
      const got = records.filter(({ attributes }) => attributes['redfish.log_service'] === service);
      const byUri = new Map(got.map((record) => [record.attributes['redfish.entry.uri'], record]));
      assert.equal(got.length, entries.length, service);
      for (const entry of entries) {
        const record = byUri.get(String(entry['@odata.id']).replace(/\/$/, ''));
        assert.ok(record, `${entry['@odata.id']} did not arrive`);
        const text = String(entry.EventTimestamp ?? entry.Created);
        if (Number(text.slice(0, 4)) < 2000) {
          assert.equal(record.timeUnixNano, 0n);
          assert.equal(record.attributes['redfish.time.raw'], text);
        } else assert.equal(record.timeUnixNano / 1_000_000n, BigInt(Date.parse(text)), `${text}`);
        const severity = { OK: 9, Warning: 13, Critical: 17 }[String(entry.Severity)] ?? 0;
        assert.equal(record.severityNumber, severity);
        assert.equal(record.severityText, entry.Severity ?? '');
        assert.equal(record.eventName, 'redfish.log_entry');
        assert.notEqual(record.body, '');
        assert.doesNotMatch(String(record.body), /undefined|null|\[object/);
      }
    }
  });

test('the recordings that this test knows are all there are', { skip }, () => {
  const machines = readdirSync(RECORDINGS).filter((name) => existsSync(join(RECORDINGS, name, 'redfish')));
  assert.deepEqual(machines.sort(), MACHINES);
});
