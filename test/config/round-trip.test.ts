import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { builtins } from '../../src/builtins.ts';
import { shownConfig } from '../../src/commands/shown-config.ts';
import { loadConfigs } from '../../src/config/load.ts';
import { escapeReferences } from '../../src/config/references.ts';
import { parseYamlFile } from '../../src/config/yaml-file.ts';
import { forAll } from '../support/property.ts';

/** Texts that look like something else. */
const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom(
    '$',
    '$$',
    '${env:A}',
    '$${file:x}',
    '0123',
    '1e3',
    'true',
    'null',
    '~',
    '[a, b]',
    '{ a: 1 }',
    '30s',
    ' ',
    '\n',
    '#',
  ),
);
const value = fc.oneof(text, fc.integer(), fc.boolean(), fc.array(text, { minLength: 1, maxLength: 3 }));

/** Attributes that are set to anything: the freest settings there are. */
const attribute = fc.record(
  { key: text.filter((key) => key !== ''), value, action: fc.constant('insert') },
  { noNullPrototype: true },
);
const settings = fc.array(attribute, { minLength: 1, maxLength: 4 }).map((attributes) => ({ attributes }));
const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,8}$/);
const processors = fc.dictionary(name, settings, { maxKeys: 4, noNullPrototype: true });

function configOf(named: Readonly<Record<string, unknown>>) {
  const ids = Object.fromEntries(Object.entries(named).map(([key, one]) => [`resource/${key}`, one]));
  return {
    receivers: { scheduler_health: null },
    processors: ids,
    exporters: { debug: null },
    extensions: { scheduler: null },
    service: {
      extensions: ['scheduler'],
      pipelines: {
        logs: { receivers: ['scheduler_health'], processors: Object.keys(ids), exporters: ['debug'] },
      },
    },
  };
}

function read(files: readonly string[], variables: Readonly<Record<string, string>> = {}) {
  const source = { env: (variable: string) => variables[variable], file: () => '' };
  const result = loadConfigs(
    files.map((content, index) => ({ file: parseYamlFile(`${index}.yaml`, content), source })),
    builtins,
  );
  assert.ok('config' in result, JSON.stringify(result));
  return result;
}

/** As `print-config` prints it. */
const printed = (result: ReturnType<typeof read>) => stringify(escapeReferences(shownConfig(result)));

test('a configuration that is written, read and printed is the same when it is read again', () =>
  forAll(processors, (named) => {
    const wanted = configOf(named);
    const first = read([stringify(escapeReferences(wanted))]);
    assert.deepEqual(first.merged, wanted);
    const second = read([printed(first)]);
    assert.deepEqual(second.merged, first.merged);
    assert.deepEqual(
      [...second.config.processors].map(([, one]) => one.config),
      [...first.config.processors].map(([, one]) => one.config),
    );
  }));

test('a configuration that is spread over files is that of one file', () =>
  forAll(fc.record({ below: processors, above: processors }), ({ below, above }) => {
    const apart = read([below, above].map((named) => stringify(escapeReferences(configOf(named)))));
    // The list of the pipeline is that of the last file; the sections are both.
    const together = configOf({ ...below, ...above });
    together.service = configOf(above).service;
    assert.deepEqual(apart.merged, together);
  }));

test('a text that comes by a variable arrives as it is, and is printed so that it does again', () =>
  forAll(text, (content) => {
    const key = (written: string) => `
receivers: { scheduler_health: }
processors: { resource: { attributes: [{ key: ${written}, value: x, action: insert }] } }
exporters: { debug: }
extensions: { scheduler: }
service: { extensions: [scheduler], pipelines: { logs: { receivers: [scheduler_health], processors: [resource], exporters: [debug] } } }
`;
    fc.pre(content !== '');
    const keyOf = ({ config }: ReturnType<typeof read>) =>
      (config.processors.get('resource')!.config as { attributes: { key: string }[] }).attributes[0]!.key;
    const first = read([key('"${env:KEY}"')], { KEY: content });
    assert.equal(keyOf(first), content);
    assert.equal(keyOf(read([printed(first)])), content);
  }));
