import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AnyValue } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import fc from 'fast-check';
import { decodeContext, decodeRecord, encodeContext, encodeRecord } from '../../src/telemetry/record-codec.ts';
import { record } from '../../src/testing/records.ts';
import { forAll } from '../support/property.ts';

/** Lone surrogates and line ends included: a body is a line of a text, and UTF-8 has no lone surrogates. */
const text = fc.string({ unit: 'binary', maxLength: 20 });
const leaf = fc.oneof(
  ...[
    text,
    fc.boolean(),
    fc.constant(null),
    fc.double(),
    fc.constantFrom(-0, Number.NaN, 2 ** 53 + 2, Number.POSITIVE_INFINITY),
  ],
  ...[fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.uint8Array({ maxLength: 9 }), fc.constant(undefined)],
);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(text, fc.constantFrom('$', '__proto__', 'v')), tie('value'), {
      maxKeys: 4,
      noNullPrototype: true,
    }),
  ),
}));
const attributes = fc.dictionary(text, value, { maxKeys: 5, noNullPrototype: true });

test('a record comes back equal, whatever OTLP allows is in it, and is one line', () =>
  forAll(fc.tuple(value, attributes, fc.option(text, { nil: undefined })), ([body, own, eventName]) => {
    const given = {
      ...{ ...record(''), eventName, body: body as AnyValue, attributes: own as ReadableLogRecord['attributes'] },
      ...(eventName !== undefined && {
        spanContext: { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 },
      }),
    };
    const line = encodeRecord(given);
    assert.ok(!/[\n\r]/.test(line));
    assert.equal(Buffer.from(line, 'utf8').toString('utf8'), line, 'survives UTF-8');
    const context = { resource: given.resource, scope: given.instrumentationScope, origin: undefined };
    const { eventName: name, body: text, ...rest } = decodeRecord(line, context);
    const { eventName: _, body: __, ...expected } = given;
    assert.deepEqual([name, text], [eventName, body]);
    assert.deepEqual(rest, expected);
  }));

test('a context comes back equal', () => {
  const resource = resourceFromAttributes(
    { 'host.name': 'a', list: ['x'], n: 1 },
    { schemaUrl: 'https://example.com/1' },
  );
  const scope = { name: 'scope', version: '1', schemaUrl: 'https://example.com/2' };
  const origin = { receiver: 'bmc_logs', target: 'bmc-1' };
  const back = decodeContext(encodeContext({ resource, scope, origin }));
  assert.deepEqual([back.resource.attributes, back.resource.schemaUrl], [resource.attributes, resource.schemaUrl]);
  assert.deepEqual([back.scope, back.origin], [scope, origin]);
});

test('a text that was changed is an error or a record, never anything else', () => {
  const line = encodeRecord(record('hello'));
  const context = { resource: resourceFromAttributes({}), scope: { name: 'x' }, origin: undefined };
  const place = fc.record({
    at: fc.nat(line.length - 1),
    character: fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 1 }),
  });
  return forAll(place, ({ at, character }) => {
    try {
      const back = decodeRecord(line.slice(0, at) + character + line.slice(at + 1), context);
      assert.equal(typeof back.attributes, 'object');
    } catch (error) {
      assert.ok(
        error instanceof SyntaxError || error instanceof TypeError || error instanceof RangeError,
        String(error),
      );
    }
  });
});
