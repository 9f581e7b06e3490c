import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { generateDocs } from '../../scripts/generate-docs.ts';
import { builtins } from '../../src/builtins.ts';
import { ERROR_CODES } from '../../src/component/error-codes.ts';
import { describeSettings } from '../../src/config/describe-settings.ts';
import { serviceSchema } from '../../src/config/schema/service.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const sources = globSync(['src/**/*.ts', 'receivers/**/*.ts', 'exporters/**/*.ts'], { cwd: ROOT });

test('the generated documentation is fresh', () => {
  for (const { path, content } of generateDocs(read))
    assert.equal(read(path), content, `${path} is not fresh: run \`npm run docs\` and commit the result`);
});

test('every setting says what it means', () => {
  const schemas = [
    ...builtins.map(({ type, schema }) => ({ type, schema })),
    { type: 'service', schema: serviceSchema },
  ];
  const silent = schemas.flatMap(({ type, schema }) =>
    describeSettings(schema)
      .filter(({ description }) => description === '')
      .map(({ path }) => `${type}: ${path}`),
  );
  assert.deepEqual(silent, []);
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
