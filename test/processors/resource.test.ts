import assert from 'node:assert/strict';
import { test } from 'node:test';
import resource from '../../src/processors/resource/index.ts';
import { applyActions, ResourceProcessor } from '../../src/processors/resource/processor.ts';
import type { LogBatch } from '../../src/telemetry/log-batch.ts';
import { batch } from '../../src/testing/records.ts';

const context = { signal: new AbortController().signal };

test('actions apply in order; what changes nothing returns the same object', () => {
  const given = { a: '1', b: '2' };
  const cases: [Parameters<typeof applyActions>[1], object][] = [
    [[{ key: 'c', action: 'insert', value: 'x' }], { a: '1', b: '2', c: 'x' }],
    [[{ key: 'a', action: 'update', value: 'x' }], { a: 'x', b: '2' }],
    [[{ key: 'c', action: 'upsert', from_attribute: 'a' }], { a: '1', b: '2', c: '1' }],
    [[{ key: 'a', action: 'delete' }], { b: '2' }],
    [
      [
        { key: 'c', action: 'insert', from_attribute: 'a' },
        { key: 'a', action: 'delete' },
      ],
      { b: '2', c: '1' },
    ],
  ];
  for (const [actions, expected] of cases) assert.deepEqual(applyActions(given, actions), expected);
  for (const action of [
    { key: 'a', action: 'insert', value: 'x' },
    { key: 'c', action: 'update', value: 'x' },
    { key: 'c', action: 'delete' },
    { key: 'c', action: 'upsert', from_attribute: 'missing' },
    { key: 'a', action: 'upsert', value: '1' },
  ] as const)
    assert.equal(applyActions(given, [action]), given, JSON.stringify(action));
});

test('one new resource per resource, the same batch for a batch that is offered again, and scope and records as they were', async () => {
  const seen: LogBatch[] = [];
  const next = {
    logs: {
      async consumeLogs(data: LogBatch) {
        seen.push(data);
      },
    },
  };
  const processor = new ResourceProcessor([{ key: 'site', action: 'insert', value: 'berlin' }], next);
  const [one, other] = [batch('a'), batch('b')];
  for (const data of [one, one, other]) await processor.logs!.consumeLogs(data, context);
  assert.equal(seen[0], seen[1]);
  assert.equal(seen[0]!.resource, seen[2]!.resource);
  assert.equal(seen[0]!.records[0]!.resource, seen[0]!.resource);
  assert.deepEqual(seen[0]!.resource.attributes, { 'redfish.endpoint': 'test', site: 'berlin' });
  assert.equal(seen[0]!.records[0]!.instrumentationScope, one.records[0]!.instrumentationScope);

  const idle = new ResourceProcessor([{ key: 'x', action: 'delete' }], next);
  await idle.logs!.consumeLogs(one, context);
  assert.equal(seen.at(-1), one, 'nothing changed: the same object');
});

test('a setting with no source or two names its place', () => {
  const result = resource.schema.safeParse({ attributes: [{ key: 'a', action: 'insert' }] });
  assert.deepEqual(
    result.error?.issues.map(({ path, message }) => [path.join('::'), message]),
    [['attributes::0', 'exactly one of value, from_attribute must be set']],
  );
});
