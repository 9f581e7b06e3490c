import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';
import { generateDocs } from '../../scripts/generate-docs.ts';
import { builtins } from '../../src/builtins.ts';
import { ERROR_CODES } from '../../src/component/error-codes.ts';
import { describeSettings, type SettingDoc } from '../../src/config/describe-settings.ts';
import { serviceSchema } from '../../src/config/schema/service.ts';
import { count, duration, secret } from '../../src/config/schema/values.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const sources = globSync(['src/**/*.ts', 'receivers/**/*.ts', 'exporters/**/*.ts'], { cwd: ROOT });

test('the generated documentation is fresh', () => {
  for (const { path, content } of generateDocs(read))
    assert.equal(read(path), content, `${path} is not fresh: run \`npm run docs\` and commit the result`);
});

const SCHEMAS = [...builtins.map(({ type, schema }) => ({ type, schema })), { type: 'service', schema: serviceSchema }];
const settingsThat = (lack: (setting: SettingDoc) => boolean) =>
  SCHEMAS.flatMap(({ type, schema }) =>
    describeSettings(schema)
      .filter(lack)
      .map(({ path }) => `${type}: ${path}`),
  );

test('every setting says what it means, a number in which unit, and a zero what that does', () => {
  assert.deepEqual(
    settingsThat(({ description }) => description === ''),
    [],
  );
  assert.deepEqual(
    settingsThat(
      ({ type, unit }) =>
        /^number$|of (int|float64|number)(?! \()/.test(type) || (/^(int|float64)$/.test(type) && unit === undefined),
    ),
    [],
  );
  assert.deepEqual(
    settingsThat(({ takesZero, description }) => takesZero && !/\b0\b/.test(description)),
    [],
  );
});

test('the manual tells type, unit, default and version of a setting, and whether it is a secret', () => {
  const schema = z.strictObject({
    size: count('records').prefault(5).meta({ since: '0.2.0' }).describe('How many. 0: none.'),
    wait: duration({ positive: false }).describe('How long. 0: not at all.'),
    names: z.array(z.string()).optional().describe('Which.'),
    keys: z.record(z.string(), secret()).prefault({}).describe('Keys.'),
  });
  assert.deepEqual(
    describeSettings(schema).map((one) => [
      one.path,
      one.type,
      one.unit,
      one.default,
      one.required,
      one.since,
      one.takesZero,
    ]),
    [
      ['size', 'int', 'records', '5', false, '0.2.0', true],
      ['wait', 'duration', undefined, undefined, true, undefined, true],
      ['names', 'list of string', undefined, undefined, false, undefined, false],
      ['keys', 'map of secret', undefined, undefined, false, undefined, false],
    ],
  );
});

test('the example of every component is what its settings take', () => {
  const refused = builtins.flatMap(({ kind, type, schema, example }) => {
    const { success, error } = schema.safeParse(parse(example ?? '{}'));
    return success ? [] : [`${kind} ${type}: ${error}`];
  });
  assert.deepEqual(refused, []);
});

test('every error code is used, and every code that is used is documented', () => {
  const table = 'src/component/error-codes.ts';
  const text = sources
    .filter((file) => file !== table)
    .map(read)
    .join('\n');
  const unused = Object.keys(ERROR_CODES).filter((code) => !text.includes(`'${code}'`));
  assert.deepEqual(unused, [], `remove them from ${table}`);
});

test('every relative link of the documentation leads somewhere', () => {
  const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: ROOT });
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
      .map(([, link]) => join(page, '..', link!))
      .filter((target) => globSync(target, { cwd: ROOT }).length === 0)
      .map((target) => `${page} -> ${target}`),
  );
  assert.deepEqual(broken, []);
});
