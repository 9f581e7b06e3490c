import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { builtins } from '../../src/builtins.ts';
import type { Component } from '../../src/component/component.ts';
import { defineExtension, defineProcessor, defineReceiver } from '../../src/component/factory.ts';
import { settle } from '../../src/testing/fake-clock.ts';
import { batch } from '../../src/testing/records.ts';
import { startOtlpSink } from '../simulators/otlp-sink/sink.ts';
import { startAgentProcess } from '../support/agent-process.ts';
import { freePort } from '../support/free-port.ts';
import { agentOf } from '../support/run-agent.ts';
import { temporaryDirectory } from '../support/storage.ts';

/** Components that do what their setting `how` says, and what became of them. */
function actors() {
  const log: string[] = [];
  let resumeStart = () => {};
  const schema = z.strictObject({ how: z.string().prefault('well') });
  const life = (name: string, how: string): Component => ({
    async start() {
      log.push(`start ${name} ${how}`);
      if (how === 'fails') throw new Error('no luck');
      if (how === 'fails the second time' && log.filter((line) => line.endsWith(how)).length > 1)
        throw new Error('no luck');
      if (how === 'hangs') await new Promise(() => {});
      if (how === 'waits') await new Promise<void>((resolve) => (resumeStart = resolve));
    },
    shutdown(): Promise<void> {
      log.push(`stop ${name} ${how}`);
      if (how === 'throws at its stop') throw new Error('not a promise');
      if (how === 'returns nothing') return undefined as never;
      return how === 'never stops' ? new Promise(() => {}) : Promise.resolve();
    },
  });
  let offer: ((text: string) => Promise<void>) | undefined;
  const make = (how: string) => {
    if (how === 'cannot be made') throw new Error('not to be made');
  };
  const receiver = defineReceiver({
    ...{ type: 'actor', summary: '', stability: { logs: 'beta' }, schema },
    create({ config: { how }, next }) {
      make(how);
      const own = life('receiver', how);
      // Not when it is made: a reload makes everything once to see whether it can.
      const start: Component['start'] = (host) => {
        offer = (text) => next.logs!.consumeLogs(batch(text), { signal: AbortSignal.timeout(5_000) });
        return own.start(host);
      };
      return { ...own, start };
    },
  });
  const processor = defineProcessor({
    ...{ type: 'actor', summary: '', stability: { logs: 'beta' }, schema },
    create({ config: { how }, next }) {
      make(how);
      return { ...life('processor', how), logs: next.logs! };
    },
  });
  const extension = defineExtension({
    ...{ type: 'actor', summary: '', stability: 'beta', schema },
    create({ config: { how } }) {
      make(how);
      return { ...life('extension', how), alive: () => (how === 'fails' ? new Promise(() => {}) : Promise.resolve()) };
    },
  });
  return {
    log,
    factories: [...builtins, receiver, processor, extension],
    offer: (text: string) => offer!(text),
    resumeStart: () => resumeStart(),
  };
}

interface How {
  receiver?: string;
  processor?: string;
  extension?: string;
  exporter?: string;
  more?: string;
}

const yaml = ({ receiver = 'well', processor = 'well', extension = 'well', exporter = '{}', more = '' }: How) => `
receivers: { actor: { how: ${receiver} } }
processors: { actor: { how: ${processor} } }
exporters: { debug: , otlp_http: ${exporter === '{}' ? '{ endpoint: "http://127.0.0.1:1", tls: { insecure: true } }' : exporter} }
extensions: { actor: { how: ${extension} } }
service:
  extensions: [actor]
  shutdown_timeout: 300ms
  pipelines:
    logs: { receivers: [actor], processors: [actor], exporters: [${exporter === '{}' ? 'debug' : 'otlp_http'}] }
    ${more}
`;

for (const part of ['receiver', 'processor', 'extension'] as const)
  test(`a ${part} that cannot be made leaves everything as it is`, async (t) => {
    const { log, factories, offer } = actors();
    const agent = agentOf(yaml({}), { factories });
    t.after(() => agent.stop());
    await agent.start();
    const before = log.length;
    await assert.rejects(agent.goOver(yaml({ receiver: 'otherwise', [part]: 'cannot be made' })), /not to be made/);
    assert.equal(log.length, before, 'nothing was stopped');
    await offer('still');
    assert.deepEqual((await agent.goOver(yaml({ receiver: 'otherwise' }))).replaced, ['receiver actor']);
  });

test('a processor that cannot start leaves its pipeline with the old one, and is tried again', async (t) => {
  const { log, factories, offer } = actors();
  const agent = agentOf(yaml({}), { factories });
  t.after(() => agent.stop());
  await agent.start();
  const { kept, down } = await agent.goOver(yaml({ processor: 'fails' }));
  assert.deepEqual([kept.map(({ name }) => name), down], [['processor actor of logs'], []]);
  assert.equal(log.at(-1), 'start processor well');
  await offer('through the old one');
  const again = await agent.goOver(yaml({ processor: 'otherwise' }));
  assert.deepEqual([again.replaced, again.kept], [['pipeline logs'], []]);
});

test('what is new and cannot start is down, and is tried again with the next configuration', async (t) => {
  const { factories } = actors();
  const agent = agentOf(yaml({}), { factories });
  t.after(() => agent.stop());
  await agent.start();
  const more = 'logs/two: { receivers: [actor/new], exporters: [debug] }';
  const withNew = (how: string) => yaml({ more }).replace('receivers: {', `receivers: { actor/new: { how: ${how} },`);
  const first = await agent.goOver(withNew('fails'));
  assert.deepEqual([first.kept, first.down.map(({ name }) => name)], [[], ['receiver actor/new']]);
  const second = await agent.goOver(withNew('fails'));
  assert.deepEqual([second.replaced, second.down.length], [['receiver actor/new'], 1], 'the same again: tried again');
  const third = await agent.goOver(yaml({}));
  assert.deepEqual([third.removed, third.down], [['receiver actor/new', 'pipeline logs/two'], []]);
});

test('a processor that is added and cannot start, or an exporter, leaves the pipeline without it', async (t) => {
  const { log, factories, offer } = actors();
  const agent = agentOf(yaml({}), { factories });
  t.after(() => agent.stop());
  await agent.start();
  const added = yaml({})
    .replace('processors: { actor:', 'processors: { actor/bad: { how: fails }, actor:')
    .replace('processors: [actor]', 'processors: [actor, actor/bad]');
  const first = await agent.goOver(added);
  assert.deepEqual([first.kept.map(({ name }) => name), first.down], [['processor actor/bad of logs'], []]);
  await offer('through the old list');
  const back = await agent.goOver(yaml({}));
  assert.deepEqual([back.kept, back.down], [[], []]);
  await offer('still');
  const bad = `{ endpoint: "http://127.0.0.1:1", tls: { insecure: true, ca_file: /nowhere/ca.pem } }`;
  const withBad = yaml({})
    .replace('debug: , otlp_http:', `otlp_http/bad: ${bad}, file: { path: /proc/nowhere/x }, debug: , otlp_http:`)
    .replace('exporters: [debug]', 'exporters: [debug, file]');
  const second = await agent.goOver(withBad);
  assert.deepEqual([second.kept, second.down.map(({ name }) => name)], [[], ['exporter file']]);
  await offer('to the exporter that runs');
  assert.ok(log.length > 0);
});

test('a new pipeline that cannot start lets nothing through, and holds up nobody', async (t) => {
  const { factories, offer, log } = actors();
  const agent = agentOf(yaml({}), { factories });
  t.after(() => agent.stop());
  await agent.start();
  const more = 'logs/two: { receivers: [actor], processors: [actor/bad], exporters: [debug] }';
  const two = (how: string) =>
    yaml({ more }).replace('processors: { actor:', `processors: { actor/bad: { how: ${how} }, actor:`);
  const first = await agent.goOver(two('fails'));
  assert.deepEqual(
    first.down.map(({ name }) => name),
    ['processor actor/bad of logs/two'],
  );
  await offer('through the other');
  const second = await agent.goOver(two('well'));
  assert.deepEqual([second.kept, second.down], [[], []]);
  assert.ok(second.replaced.includes('receiver actor'), 'it is fed now');
  assert.equal(log.filter((line) => line === 'start processor well').length, 2);
});

test('one processor in two pipelines: going back brings both back', async (t) => {
  const { factories, log } = actors();
  const more = 'logs/two: { receivers: [actor], processors: [actor], exporters: [debug] }';
  const agent = agentOf(yaml({ more }), { factories });
  t.after(() => agent.stop());
  await agent.start();
  const { kept } = await agent.goOver(yaml({ more, processor: 'fails the second time' }));
  assert.deepEqual(
    kept.map(({ name }) => name),
    ['processor actor of logs/two'],
  );
  log.length = 0;
  const back = await agent.goOver(yaml({ more }));
  assert.deepEqual([back.kept, back.down], [[], []]);
  assert.equal(log.filter((line) => line === 'start processor well').length, 2);
});

test('a new extension that cannot start does not make the process look dead', async (t) => {
  const { factories } = actors();
  const health = 'health_check: { endpoint: "127.0.0.1:0" }';
  const base = yaml({}).replace('extensions: { actor:', `extensions: { ${health}, actor/new: { how: fails }, actor:`);
  const agent = agentOf(base.replace('extensions: [actor]', 'extensions: [actor, health_check]'), { factories });
  t.after(() => agent.stop());
  await agent.start();
  const { down } = await agent.goOver(
    base.replace('extensions: [actor]', 'extensions: [actor, health_check, actor/new]'),
  );
  assert.deepEqual(
    down.map(({ name }) => name),
    ['extension actor/new'],
  );
  const { address } = await agent.line(({ msg }) => msg === 'health check is listening');
  assert.equal((await fetch(`${address}/livez`)).status, 200);
});

test('a stop ends a reload whose component does not start', async () => {
  const { log, factories } = actors();
  const agent = agentOf(yaml({}), { factories });
  await agent.start();
  const reload = agent.goOver(yaml({ receiver: 'hangs' }));
  while (!log.includes('start receiver hangs')) await settle();
  assert.deepEqual(await agent.stop(), []);
  assert.ok(log.includes('stop extension well'));
  await reload;
});

test('what does not stop when it is replaced is named by a stop that comes meanwhile', async () => {
  const { log, factories } = actors();
  const agent = agentOf(yaml({ receiver: 'never stops' }), { factories });
  await agent.start();
  const reload = agent.goOver(yaml({}));
  while (!log.includes('stop receiver never stops')) await settle();
  assert.deepEqual(await agent.stop(), ['receiver actor']);
  await reload;
});

for (const how of ['throws at its stop', 'returns nothing'])
  test(`a component that ${how} does not keep the others from stopping`, async () => {
    const { log, factories } = actors();
    const agent = agentOf(yaml({ receiver: how }), { factories });
    await agent.start();
    assert.deepEqual(await agent.stop(), []);
    assert.equal(log.at(-1), 'stop extension well');
  });

test('a stop during the start: nothing more starts, and the agent is never ready', async () => {
  const { log, factories, resumeStart } = actors();
  const agent = agentOf(yaml({ processor: 'waits' }), { factories });
  const starting = agent.start();
  while (!log.includes('start processor waits')) await settle();
  await agent.stop();
  resumeStart();
  await starting;
  assert.ok(!log.some((line) => line.startsWith('start receiver')), log.join());
  assert.ok(!agent.lines.some(({ msg }) => msg.startsWith('Everything is ready')));
});

test('what an exporter has acknowledged and cannot deliver yet goes on through the one that replaces it', async (t) => {
  const { factories, offer } = actors();
  const sink = await startOtlpSink();
  t.after(() => sink.close());
  sink.fault = { status: 503 };
  const exporter = (timeout: string) =>
    `{ endpoint: "${sink.url}", tls: { insecure: true }, timeout: ${timeout}, retry_on_failure: { initial_interval: 20ms, max_interval: 20ms } }`;
  const agent = agentOf(yaml({ exporter: exporter('20s') }), { factories });
  t.after(() => agent.stop());
  await agent.start();
  for (let n = 0; n < 20; n++) await offer(`record ${n}`);
  const { replaced } = await agent.goOver(yaml({ exporter: exporter('21s') }));
  assert.ok(replaced.includes('exporter otlp_http'));
  sink.fault = undefined;
  await sink.waitFor(({ records }) => records.length >= 20);
  assert.equal(new Set(sink.records.map(({ body }) => body)).size, 20);
  while ((await agent.metric('otelcol_exporter_sent_log_records')) < 20) await settle();
  assert.equal(await agent.metric('otelcol_exporter_dropped_log_records'), 0);
  const { accepted } = await agent.books('otlp_http');
  assert.equal(accepted, 20);
});

test('what was acknowledged outlives a queue whose callers wait, and a stop in the middle of a reload', async (t) => {
  const { factories, offer, log } = actors();
  const sink = await startOtlpSink();
  t.after(() => sink.close());
  const exporter = (more: string) =>
    `{ endpoint: "${sink.url}", tls: { insecure: true }, ${more}, retry_on_failure: { initial_interval: 20ms, max_interval: 20ms } }`;
  const text = (more: string, extension = 'well') =>
    yaml({ exporter: exporter(more), extension }).replace('shutdown_timeout: 300ms', 'shutdown_timeout: 5s');
  sink.fault = { status: 503 };
  const agent = agentOf(text('timeout: 20s'), { factories });
  t.after(() => agent.stop());
  await agent.start();
  for (let n = 0; n < 20; n++) await offer(`record ${n}`);
  await agent.goOver(text('timeout: 20s, sending_queue: { wait_for_result: true }'));
  await agent.goOver(text('timeout: 21s'));
  const reload = agent.goOver(text('timeout: 22s', 'hangs'));
  while (!log.includes('start extension hangs')) await settle();
  sink.fault = undefined;
  assert.deepEqual(await agent.stop(), []);
  await reload;
  assert.equal(new Set(sink.records.map(({ body }) => body)).size, 20);
});

test('the books balance when a queue goes from memory into a store while the backend is away', async (t) => {
  const { factories, offer } = actors();
  const sink = await startOtlpSink();
  t.after(() => sink.close());
  sink.fault = { status: 503 };
  const directory = await temporaryDirectory(t);
  const text = (queue: string) =>
    yaml({ exporter: `{ endpoint: "${sink.url}", tls: { insecure: true }, sending_queue: { ${queue} } }` })
      .replace(
        'extensions: { actor:',
        `extensions: { file_storage: { directory: "${directory}/state", ballast_bytes: 0 }, actor:`,
      )
      .replace('extensions: [actor]', 'extensions: [actor, file_storage]');
  const agent = agentOf(text('queue_size: 500'), { factories });
  t.after(() => agent.stop());
  await agent.start();
  for (let n = 0; n < 20; n++) await offer(`record ${n}`);
  assert.equal((await agent.books('otlp_http')).accepted, 20);
  await agent.goOver(text('storage: file_storage'));
  const { accepted, dropped, recovered } = await agent.books('otlp_http');
  assert.deepEqual(
    [accepted, dropped, recovered],
    [20, 20, 0],
    'told as lost: nobody can put them into a store any more',
  );
  for (let n = 0; n < 5; n++) await offer(`later ${n}`);
  await agent.goOver(text('storage: file_storage, num_consumers: 3'));
  const later = await agent.books('otlp_http');
  assert.deepEqual([later.accepted, later.recovered, later.queued + later.inFlight], [25, 0, 5]);
});

test('the books of an exporter that is taken away balance', async (t) => {
  const { factories, offer } = actors();
  const port = await freePort();
  const text = (exporters: string) =>
    yaml({ more: '' })
      .replace('exporters: { debug: ,', `exporters: { debug: , debug/gone: ,`)
      .replace('exporters: [debug]', `exporters: ${exporters}`);
  const page = { host: '127.0.0.1', port, without_scope_info: true, without_units: true, without_type_suffix: true };
  const agent = agentOf(text('[debug, debug/gone]'), { factories, page });
  t.after(() => agent.stop());
  await agent.start();
  const value = async (name: string) => {
    const shown = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return Number(
      new RegExp(`^otelcol_exporter_${name}_log_records\\{exporter="debug/gone"[^}]*\\} (\\d+)$`, 'm').exec(shown)?.[1],
    );
  };
  await offer('one');
  assert.equal(await value('accepted'), 1);
  await offer('two');
  await agent.goOver(text('[debug]'));
  assert.deepEqual([await value('accepted'), await value('sent')], [2, 2]);
});

test('two signals of different kinds end the process at once', async (t) => {
  const folder = await temporaryDirectory(t);
  await writeFile(
    join(folder, 'slow.ts'),
    `import { defineReceiver } from 'outband/component';
import { z } from 'zod';
const never = () => new Promise<void>(() => {});
export default defineReceiver({ type: 'slow', summary: 's', stability: { logs: 'beta' }, schema: z.strictObject({}),
  create: () => ({ start: async () => {}, shutdown: never }) });`,
  );
  const agent = await startAgentProcess(
    folder,
    `
plugins: [./slow.ts]
receivers: { slow: }
exporters: { debug: }
service:
  shutdown_timeout: 1h
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [slow], exporters: [debug] } }
`,
  );
  t.after(() => agent.kill());
  await agent.line('Everything is ready');
  agent.process.kill('SIGINT');
  await agent.line('Stopping');
  agent.process.kill('SIGTERM');
  assert.equal(await agent.ended, 1);
});

test('a file that a refused configuration wanted to read makes it good when it comes', async (t) => {
  const folder = await temporaryDirectory(t);
  const text = (verbosity: string) => `
receivers: { scheduler_health: }
exporters: { debug: { verbosity: ${verbosity} } }
extensions: { scheduler: }
service:
  extensions: [scheduler]
  reload_interval: 20ms
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [scheduler_health], exporters: [debug] } }
`;
  const agent = await startAgentProcess(folder, text('basic'));
  t.after(() => agent.kill());
  await agent.line('Everything is ready');
  await writeFile(join(folder, 'config.yaml'), text('"${file:late.txt}"'));
  await agent.line('The configuration is not taken over');
  await writeFile(join(folder, 'late.txt'), 'detailed\n');
  await agent.line('The configuration was taken over');
});
