import assert from 'node:assert/strict';
import { appendFile, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { loadPlugins } from '../../src/commands/load-plugins.ts';
import { settle } from '../../src/testing/fake-clock.ts';
import { startAgentProcess } from '../support/agent-process.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/storage.ts';

const EXAMPLE = fileURLToPath(new URL('../../examples/plugin/', import.meta.url));

test('the example is short, and runs wherever it lies, with nothing installed beside it', async (t) => {
  const folder = await temporaryDirectory(t);
  const text = await readFile(join(EXAMPLE, 'line-file.ts'), 'utf8');
  const body = text.replaceAll(/^import [^;]*;\n/gm, '');
  const code = body.split('\n').filter((line) => line.trim() !== '' && !/^\s*\/\//.test(line));
  assert.ok(code.length <= 40, `${code.length} lines`);
  for (const name of ['line-file.ts', 'drop-lines.ts', 'append-lines.ts'])
    await copyFile(join(EXAMPLE, name), join(folder, name));
  const file = join(folder, 'lines.txt');
  await writeFile(file, 'first\nsecond\n');
  const agent = await startAgentProcess(folder, await readFile(join(EXAMPLE, 'config.yaml'), 'utf8'), {
    LINE_FILE: file,
    OUT_FILE: join(folder, 'out.txt'),
    STATE_DIRECTORY: join(folder, 'state'),
  });
  t.after(() => agent.kill());
  await agent.line('Everything is ready');
  const output = () => agent.log();
  await agent.line('second');
  await appendFile(file, 'healthcheck\nthird\nunfinish');
  await agent.line('third');
  assert.ok(!output().includes('unfinish'));
  const written = () => readFile(join(folder, 'out.txt'), 'utf8');
  while (!(await written()).includes('third')) await settle();
  agent.process.kill('SIGTERM');
  assert.equal(await agent.ended, 0);
  assert.equal(await written(), 'first\nsecond\nthird\n');
  assert.ok(!output().includes('healthcheck'));
});

test('components and schema know what a configuration brings', async () => {
  const config = join(EXAMPLE, 'config.yaml');
  const listed = parse((await cli(['components', '--config', config])).stdout);
  const entry = listed.receivers.find(({ name }: { name: string }) => name === 'line_file');
  assert.deepEqual([entry.module, entry.stability], ['./line-file.ts', { logs: 'alpha' }]);
  const schema = JSON.parse((await cli(['schema', '--config', config])).stdout);
  assert.ok(
    Object.keys(schema.properties.receivers.anyOf[0].patternProperties).some((key) => key.includes('line_file')),
  );
});

test('what cannot be a plugin is a mistake of its entry, beside all others', async (t) => {
  const folder = await temporaryDirectory(t);
  const own = 'import { defineReceiver } from "outband/component"; import { z } from "zod";\n';
  await mkdir(join(folder, 'node_modules', 'good'), { recursive: true });
  await writeFile(
    join(folder, 'node_modules', 'good', 'package.json'),
    '{ "name": "good", "type": "module", "exports": "./index.js" }',
  );
  await writeFile(
    join(folder, 'node_modules', 'good', 'index.js'),
    `${own}export default [defineReceiver({ type: 'fine', summary: 's', stability: { logs: 'alpha' }, schema: z.strictObject({}), create: () => ({}) })];`,
  );
  await writeFile(join(folder, 'none.ts'), 'export const nothing = 1;');
  await writeFile(join(folder, 'broken.ts'), 'throw new Error("not today");');
  await writeFile(
    join(folder, 'twin.ts'),
    `${own}export default defineReceiver({ type: 'bmc_logs', summary: 's', stability: { logs: 'alpha' }, schema: z.strictObject({}), create: () => ({}) });`,
  );
  const factory = (settings: string) =>
    `${own}export default defineReceiver({ summary: 's', schema: z.strictObject({}), create: () => ({}), ${settings} });`;
  await writeFile(join(folder, 'syntax.ts'), 'const a = 1;\nconst b = ;\n');
  await writeFile(join(folder, 'lonely.ts'), 'import "nonesuch";\n');
  await writeFile(join(folder, 'newer.ts'), factory("type: 'newer', contract: 2, stability: { logs: 'alpha' }"));
  await writeFile(join(folder, 'dashed.ts'), factory("type: 'line-file', stability: { logs: 'alpha' }"));
  await writeFile(join(folder, 'unstable.ts'), factory("type: 'unstable'"));
  await writeFile(
    join(folder, 'stumbles.ts'),
    factory("type: 'stumbles', stability: { logs: 'alpha' }, references: () => { throw new Error('no') }"),
  );
  const text = `
plugins:
  - good
  - ./none.ts
  - ./broken.ts
  - ./twin.ts
  - ./away.ts
  - ./dashed.ts
  - ./unstable.ts
  - ./stumbles.ts
  - ./syntax.ts
  - ./lonely.ts
  - ./newer.ts
  - nonesuch
receivers:
  fine:
  stumbles:
exporters:
  debug: { verbosity: loud }
service:
  pipelines: { logs: { receivers: [fine], exporters: [debug] } }
`;
  await writeFile(join(folder, 'config.yaml'), text);
  const { code, stderr } = await cli(['validate', '--config', 'config.yaml'], { cwd: folder });
  assert.equal(code, 1);
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => line.replaceAll(`${folder}/`, ''));
  assert.deepEqual(lines, [
    'config.yaml:4:5  plugins::1: cannot load "./none.ts": its default export is neither a factory nor a list of them',
    'config.yaml:5:5  plugins::2: cannot load "./broken.ts": not today (broken.ts:1)',
    'config.yaml:6:5  plugins::3: cannot load "./twin.ts": receiver "bmc_logs" exists already',
    'config.yaml:7:5  plugins::4: cannot load "./away.ts": Cannot find module \'away.ts\'',
    'config.yaml:8:5  plugins::5: cannot load "./dashed.ts": receiver has the type "line-file"; letters, digits and _ are possible',
    'config.yaml:9:5  plugins::6: cannot load "./unstable.ts": receiver "unstable" does not say how stable it is, such as stability: { logs: \'alpha\' }',
    'config.yaml:11:5  plugins::8: cannot load "./syntax.ts": Expression expected (syntax.ts:2)',
    'config.yaml:12:5  plugins::9: cannot load "./lonely.ts": Cannot find package \'nonesuch\' imported from lonely.ts',
    'config.yaml:13:5  plugins::10: cannot load "./newer.ts": receiver "newer" needs contract 2 of outband/component, this agent has 1: update the agent',
    'config.yaml:14:5  plugins::11: cannot load "nonesuch": Cannot find package \'nonesuch\'; install it beside the configuration, or beside the agent',
    'config.yaml:19:23  exporters::debug::verbosity: must be one of basic, normal, detailed',
    '11 errors in the configuration',
  ]);
});

test('a package is found as an import finds it, in the directory of the configuration', async (t) => {
  const folder = await temporaryDirectory(t);
  const home = join(folder, 'node_modules', 'pk');
  await mkdir(home, { recursive: true });
  const exports = { '.': { types: './index.d.ts', import: './index.js' } };
  await writeFile(join(home, 'package.json'), JSON.stringify({ name: 'pk', type: 'module', exports }));
  // A copy of outband that the plugin brings takes nobody's place.
  const copy = join(home, 'node_modules', 'outband');
  await mkdir(copy, { recursive: true });
  await writeFile(join(copy, 'package.json'), '{ "name": "outband", "version": "0.0.1", "type": "module" }');
  await writeFile(
    join(home, 'index.js'),
    `import own from 'outband/package.json' with { type: 'json' };
import { defineReceiver } from 'outband/component';
import { z } from 'zod';
export default defineReceiver({ type: 'fine', summary: own.version, stability: { logs: 'alpha' }, schema: z.strictObject({}), create: () => ({}) });`,
  );
  await writeFile(
    join(folder, 'c.yaml'),
    'plugins: [pk]\nreceivers: { fine: }\nexporters: { debug: }\nservice: { pipelines: { logs: { receivers: [fine], exporters: [debug] } } }\n',
  );
  const { stdout, stderr } = await cli(['components', '--json', '--config', join(folder, 'c.yaml')]);
  const { receivers, buildinfo } = JSON.parse(stdout || stderr);
  const { module, summary } = receivers.find(({ name }: { name: string }) => name === 'fine');
  assert.deepEqual([module, summary], ['pk', buildinfo.version]);
});

test('what stumbles, hangs, or takes a name that is taken is a mistake of its entry', async (t) => {
  const folder = await temporaryDirectory(t);
  const own = 'import { defineReceiver, defineExporter } from "outband/component"; import { z } from "zod";\n';
  const base = "summary: 's', stability: { logs: 'alpha' }, schema: z.strictObject({}), create: () => ({})";
  const files = {
    'alias.ts': `${own}export default defineExporter({ type: 'otlphttp', ${base} });`,
    'steals.ts': `${own}export default defineReceiver({ type: 'mine', aliases: ['bmc_logs'], ${base} });`,
    'inner.ts': 'import "outband/component/errors";',
    'schema.ts': `${own}export default defineReceiver({ type: 'old', ${base}, schema: { safeParse: () => ({}) } });`,
    'word.ts': `${own}export default defineReceiver({ type: 'word', ${base}, stability: { logs: 'gamma' } });`,
    'hangs.ts': 'await new Promise(() => {});',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const entries = Object.keys(files).map((name, index) => ({ name: `./${name}`, file: join(folder, 'c.yaml'), index }));
  const { mistakes, modules } = await loadPlugins(entries, 500);
  assert.equal(modules.size, 0);
  assert.deepEqual(
    mistakes.map(({ message }) => message.replace(/^cannot load "[^"]+": /, '')),
    [
      'exporter "otlphttp" exists already',
      'receiver "bmc_logs" exists already',
      '"outband/component/errors" is no part of what outband exports',
      'receiver "old" has no schema of zod 4; zod 3 does not do',
      'receiver "word" does not say how stable it is, such as stability: { logs: \'alpha\' }',
      'its import took longer than 0.5s',
    ],
  );
});

test('a plugin that stumbles over its settings, or cannot be made, is named', async (t) => {
  const folder = await temporaryDirectory(t);
  await writeFile(
    join(folder, 'stumbles.ts'),
    `import { defineReceiver } from 'outband/component';
import { z } from 'zod';
const fail = (what: string) => { throw new Error(what); };
export default defineReceiver({ type: 'stumbles', summary: 's', stability: { logs: 'alpha' },
  schema: z.strictObject({ bad: z.boolean().optional() }).refine(({ bad }) => bad ? fail('in the schema') : true),
  create: () => fail('in the factory') });`,
  );
  const validate = async (plugins: string, bad: boolean) => {
    const text = `plugins: ${plugins}\nreceivers: { stumbles/a: { bad: ${bad} } }\nexporters: { debug: }\nservice: { pipelines: { logs: { receivers: [stumbles/a], exporters: [debug] } } }\n`;
    await writeFile(join(folder, 'c.yaml'), text);
    return (await cli(['validate', '--config', 'c.yaml'], { cwd: folder })).stderr.split('\n');
  };
  assert.equal(
    (await validate('[./stumbles.ts]', true))[0],
    'c.yaml:2:26  receivers::stumbles/a: cannot be checked: in the schema',
  );
  assert.equal(
    (await validate('[./stumbles.ts]', false))[0],
    'start_failed  receiver stumbles/a cannot be made: in the factory',
  );
  assert.equal((await validate('[5]', false))[0], "c.yaml:1:11  plugins::0: expected type 'string', got 'int'");
});

test('a plugin that requires gets the packages of the agent, too', async (t) => {
  const folder = await temporaryDirectory(t);
  await writeFile(
    join(folder, 'p.cjs'),
    `const { defineReceiver } = require('outband');
const { z } = require('zod');
module.exports = defineReceiver({ type: 'fine', summary: 's', stability: { logs: 'alpha' }, schema: z.strictObject({}), create: () => ({}) });`,
  );
  const { mistakes, modules } = await loadPlugins([{ name: './p.cjs', file: join(folder, 'c.yaml'), index: 0 }]);
  assert.deepEqual([mistakes, modules.size], [[], 1]);
});
