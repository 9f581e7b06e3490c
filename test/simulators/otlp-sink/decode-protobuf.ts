/**
 * An independent decoder of OTLP log requests, so that the sink does not trust the library that encoded them.
 * Field numbers: opentelemetry-proto, collector/logs/v1, logs/v1, resource/v1 and common/v1.
 */
export type Fields = ReadonlyMap<number, readonly (bigint | Uint8Array)[]>;

/** Splits a protobuf message into its fields; varints and fixed numbers as bigint, the rest as bytes. */
export function readFields(bytes: Uint8Array): Fields {
  const fields = new Map<number, (bigint | Uint8Array)[]>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('protobuf: cut varint');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const list = fields.get(tag >> 3) ?? [];
    fields.set(tag >> 3, list);
    switch (tag & 7) {
      case 0:
        list.push(varint());
        break;
      case 1:
        list.push(view.getBigUint64(at, true));
        at += 8;
        break;
      case 2: {
        const length = Number(varint());
        if (at + length > bytes.length) throw new Error('protobuf: cut field');
        list.push(bytes.subarray(at, at + length));
        at += length;
        break;
      }
      case 5:
        list.push(BigInt(view.getUint32(at, true)));
        at += 4;
        break;
      default:
        throw new Error(`protobuf: wire type ${tag & 7}`);
    }
  }
  return fields;
}

export function messages(fields: Fields, number: number): Uint8Array[] {
  return (fields.get(number) ?? []).filter((value) => value instanceof Uint8Array);
}

export function text(fields: Fields, number: number): string {
  const bytes = messages(fields, number).at(-1);
  return bytes ? Buffer.from(bytes).toString('utf8') : '';
}

export function number(fields: Fields, field: number): bigint {
  const value = fields.get(field)?.at(-1);
  return typeof value === 'bigint' ? value : 0n;
}

/** `KeyValue` list at a field, as a plain object. */
export function attributes(fields: Fields, field: number): Record<string, unknown> {
  return Object.fromEntries(
    messages(fields, field).map((bytes) => {
      const pair = readFields(bytes);
      const value = messages(pair, 2)[0];
      return [text(pair, 1), value ? anyValue(value) : undefined];
    }),
  );
}

/** `AnyValue`. */
export function anyValue(bytes: Uint8Array): unknown {
  const fields = readFields(bytes);
  if (fields.has(1)) return text(fields, 1);
  if (fields.has(2)) return number(fields, 2) !== 0n;
  if (fields.has(3)) return Number(BigInt.asIntN(64, number(fields, 3)));
  if (fields.has(4)) return new Float64Array(new BigUint64Array([number(fields, 4)]).buffer)[0];
  if (fields.has(5)) return messages(readFields(messages(fields, 5)[0]!), 1).map(anyValue);
  if (fields.has(6)) return attributes(readFields(messages(fields, 6)[0]!), 1);
  return fields.has(7) ? messages(fields, 7)[0] : undefined;
}
