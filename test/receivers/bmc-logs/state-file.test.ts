import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { StateFile } from '../../../receivers/bmc-logs/logs/state-file.ts';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { durableConfig } from '../../support/bmc-config.ts';
import { agentOf } from '../../support/run-agent.ts';
import { countLines, type Scene, scene } from '../../support/scene.ts';
import { temporaryDirectory } from '../../support/storage.ts';

const SERVICE = '/redfish/v1/Systems/system/LogServices/EventLog';
const fileOf = (directory: string) => join(directory, 'bmc-0.json');
const read = async (file: string) => JSON.parse(await readFile(file, 'utf8')) as unknown;

const receiverWith = (directory: string, history = 'all') => `
mode: periodic
initial_history: ${history}
periodic: { logs_collection_interval: 20ms, logs_state_file: "${directory}/{machine_id}.json" }`;

const idsOf = ({ sink }: Pick<Scene, 'sink'>) => sink.records.map(({ attributes }) => attributes['redfish.entry.id']);

/** Resolves when two reads have ended that began after this call. */
async function twoReads({ agent }: Pick<Scene, 'agent'>): Promise<void> {
  const reads = countLines(agent, 'logs read');
  await agent.line(() => countLines(agent, 'logs read') >= reads + 3);
}

/** A BMC with ten entries, and an agent that finds this file of another tool. */
async function importing(t: Parameters<typeof scene>[0], content: string, history = 'all', setUp?: 'text ids') {
  const directory = await temporaryDirectory(t);
  await writeFile(fileOf(directory), content);
  const one = await scene(t, {
    profiles: ['openbmc'],
    receiver: receiverWith(directory, history),
    before: (all) => {
      if (setUp === 'text ids') all.bmc(0).log().ids = 'text';
      all.bmc(0).appendMany(10, { createdMs: Date.now() - 600_000, stepMs: 1_000 });
    },
  });
  await twoReads(one);
  return { ...one, directory };
}

const lastSeen = (ids: object) => JSON.stringify({ last_seen_ids: ids });
const all = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10'];

const IMPORTS: readonly (readonly [string, object, string, readonly string[]])[] = [
  ['the last Id that was seen: what is behind it comes', { [SERVICE]: 7 }, 'all', ['8', '9', '10']],
  ['a path with a slash at its end', { [`${SERVICE}/`]: 7 }, 'all', ['8', '9', '10']],
  ['the newest Id: nothing comes', { [SERVICE]: 10 }, 'all', []],
  ['an Id beyond the newest, as the log was cleared since: all is new', { [SERVICE]: 4_000 }, 'none', all],
  ['another log: its own history decides, none', { '/redfish/v1/Systems/other': 7 }, 'none', []],
  ['another log: its own history decides, all', { '/redfish/v1/Systems/other': 7 }, 'all', all],
  ['an Id, whatever the history says', { [SERVICE]: 7 }, 'none', ['8', '9', '10']],
  ['something that is no number beside it', { [SERVICE]: 7, x: 'y', z: null }, 'all', ['8', '9', '10']],
];

for (const [what, ids, history, told] of IMPORTS)
  test(`the state file of another tool names ${what}`, async (t) => {
    const one = await importing(t, lastSeen(ids), history);
    assert.deepEqual(idsOf(one), told);
    assert.equal(countLines(one.agent, 'logs_state_file cannot be read; the logs are read as if there were none'), 0);
  });

test('Ids that are texts follow the rule for history, whatever the state file says', async (t) => {
  const one = await importing(t, lastSeen({ [SERVICE]: 7 }), 'all', 'text ids');
  assert.equal(one.sink.records.length, 10);
});

for (const content of ['', '{', 'null', '[]', '{"last_seen_ids": []}', '{"last_seen_ids": null}', '{"ids": {}}'])
  test(`a state file that holds ${JSON.stringify(content)} is as if there were none, and told once`, async (t) => {
    const one = await importing(t, content);
    assert.deepEqual(idsOf(one), all);
    const message = 'logs_state_file cannot be read; the logs are read as if there were none';
    assert.equal(countLines(one.agent, message), 1);
    assert.equal((await one.agent.line(({ msg }) => msg === message)).level, 'warn');
  });

test('no state file: no word about it, and one is made that only its owner may read', async (t) => {
  const directory = await temporaryDirectory(t);
  const one = await scene(t, {
    profiles: ['openbmc'],
    receiver: receiverWith(directory),
    before: (fleet) => void fleet.bmc(0).appendMany(3, { createdMs: Date.now() - 60_000, stepMs: 1_000 }),
  });
  await one.allSettled();
  one.fleet.bmc(0).append();
  await one.allSettled();
  await one.agent.stop();
  assert.deepEqual(await read(fileOf(directory)), { last_seen_ids: { [SERVICE]: 4 } });
  assert.equal((await stat(fileOf(directory))).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(directory), ['bmc-0.json'], 'nothing is left beside it');
  assert.equal(one.agent.lines.filter(({ msg }) => String(msg).includes('logs_state_file')).length, 0);
});

test('a log that was cleared sets the state file back to its new Ids', async (t) => {
  const directory = await temporaryDirectory(t);
  const one = await scene(t, {
    profiles: ['openbmc'],
    receiver: receiverWith(directory),
    before: (fleet) => void fleet.bmc(0).appendMany(9, { createdMs: Date.now() - 60_000, stepMs: 1_000 }),
  });
  await one.allSettled();
  one.fleet.bmc(0).log().clear();
  one.fleet.bmc(0).append();
  await one.allSettled();
  await one.agent.stop();
  assert.deepEqual(await read(fileOf(directory)), { last_seen_ids: { [SERVICE]: 1 } });
});

for (const [what, ids] of [
  ['Ids beyond 31 bits', 'microseconds'],
  ['Ids that are texts', 'text'],
] as const)
  test(`${what} are not written to the state file: its other readers would take them amiss`, async (t) => {
    const directory = await temporaryDirectory(t);
    const one = await scene(t, {
      profiles: ['openbmc'],
      receiver: receiverWith(directory),
      before: (fleet) => {
        fleet.bmc(0).log().ids = ids;
        fleet.bmc(0).appendMany(3, { createdMs: Date.now() - 60_000, stepMs: 1_000 });
      },
    });
    await one.allSettled();
    await one.agent.stop();
    assert.deepEqual(await read(fileOf(directory)), { last_seen_ids: {} });
  });

test('a state file is not read where there is a position of its own, whatever another tool has put there', async (t) => {
  const directory = await temporaryDirectory(t);
  const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'] });
  const sink = await startOtlpSink();
  t.after(() => Promise.all([fleet.close(), sink.close()]));
  const bmc = fleet.bmc(0);
  bmc.appendMany(5, { createdMs: Date.now() - 600_000, stepMs: 1_000 });
  const yaml = durableConfig({ fleet, sink, directory, receiver: receiverWith(directory) });
  const first = agentOf(yaml);
  t.after(() => first.stop());
  await first.start();
  await sink.waitFor(({ records }) => records.length === 5);
  await twoReads({ agent: first });
  await first.stop();
  // Were it read, all would be seen; were it of a cleared log, all would be new.
  await writeFile(fileOf(directory), lastSeen({ [SERVICE]: 7 }));
  bmc.appendMany(2, { createdMs: Date.now() - 60_000, stepMs: 1_000 });
  const second = agentOf(yaml);
  t.after(() => second.stop());
  await second.start();
  await twoReads({ agent: second });
  assert.deepEqual(idsOf({ sink }), ['1', '2', '3', '4', '5', '6', '7']);
});

test('a state file that cannot be written is told once and stops nothing; it is written when that is over', async (t) => {
  const directory = await temporaryDirectory(t);
  const away = join(directory, 'away');
  const one = await scene(t, {
    profiles: ['openbmc'],
    receiver: receiverWith(away),
    before: (fleet) => void fleet.bmc(0).append(),
  });
  await one.allSettled();
  one.fleet.bmc(0).append();
  await one.allSettled();
  assert.equal(countLines(one.agent, 'logs_state_file cannot be written'), 1);
  assert.equal(one.sink.records.length, 2);
  await mkdir(away);
  one.fleet.bmc(0).append();
  await one.allSettled();
  await one.agent.stop();
  assert.deepEqual(await read(fileOf(away)), { last_seen_ids: { [SERVICE]: 3 } });
});

test('whatever a machine calls itself, its state file stays in its directory and is its own', async (t) => {
  const directory = await temporaryDirectory(t);
  const names = ['../../etc/passwd', '..', '.hidden', 'a/b', 'a\\b', 'ü ', 'a~002Fb', 'a\0b', '💥', 'x'.repeat(100)];
  for (const [index, name] of names.entries()) {
    const file = new StateFile(join(directory, '{machine_id}.json'), name, () => {});
    file.write(new Map([['/s', BigInt(index)]]));
    await file.close();
  }
  const files = await readdir(directory);
  assert.equal(files.length, names.length);
  for (const file of files) assert.match(file, /^[A-Za-z0-9_:~-][A-Za-z0-9._:~-]*\.json$/);
});

test('a half-written file of a crash is in nobody’s way', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = fileOf(directory);
  await writeFile(`${path}.tmp`, '{"last_seen_ids": {"/s"');
  const file = new StateFile(join(directory, '{machine_id}.json'), 'bmc-0', () => {});
  file.write(new Map([['/s', 5n]]));
  await file.close();
  assert.deepEqual(await read(path), { last_seen_ids: { '/s': 5 } });
});
