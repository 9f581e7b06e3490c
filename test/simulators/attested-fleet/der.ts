/** A DER element: tag, length, contents. */
export function tlv(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

/** A SEQUENCE. */
export const sequence = (...items: readonly Uint8Array[]) => tlv(0x30, ...items);
/** An OCTET STRING. */
export const octets = (bytes: Uint8Array) => tlv(0x04, bytes);
/** An INTEGER from 0 to 127. */
export const integer = (value: number) => tlv(0x02, Buffer.from([value]));
/** An ENUMERATED. */
export const enumerated = (value: number) => tlv(0x0a, Buffer.from([value]));

/** An OBJECT IDENTIFIER from its dotted form. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return tlv(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(value: number): number[] {
  const digits = [value & 0x7f];
  for (let left = value >> 7; left > 0; left >>= 7) digits.unshift((left & 0x7f) | 0x80);
  return digits;
}
