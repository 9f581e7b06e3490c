const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const LONGEST = 16_384;

/** What the first bytes of a connection are: too few yet, no ClientHello, or one, with the name it asks for. */
export type HelloReading =
  | { readonly kind: 'more' }
  | { readonly kind: 'bad' }
  | { readonly kind: 'hello'; readonly name: string | undefined };

/** Reads a ClientHello, which may be spread over several TLS records. */
export function readClientHello(bytes: Buffer): HelloReading {
  const fragments: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] !== HANDSHAKE_RECORD) return { kind: 'bad' };
    if (at + 5 > bytes.length) break;
    const length = bytes.readUInt16BE(at + 3);
    if (bytes[at + 1] !== 3 || length === 0 || length > LONGEST) return { kind: 'bad' };
    fragments.push(bytes.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  const message = Buffer.concat(fragments);
  if (message.length > 0 && message[0] !== CLIENT_HELLO) return { kind: 'bad' };
  const end = message.length >= 4 ? 4 + message.readUIntBE(1, 3) : undefined;
  if (end !== undefined && end > LONGEST) return { kind: 'bad' };
  if (end === undefined || message.length < end) return { kind: bytes.length > LONGEST ? 'bad' : 'more' };
  try {
    return { kind: 'hello', name: serverName(message.subarray(4, end)) };
  } catch {
    // A length in it points beyond its end.
    return { kind: 'bad' };
  }
}

function serverName(hello: Buffer): string | undefined {
  let at = 2 + 32;
  at += 1 + hello.readUInt8(at);
  at += 2 + hello.readUInt16BE(at);
  at += 1 + hello.readUInt8(at);
  if (at === hello.length) return undefined;
  const end = at + 2 + hello.readUInt16BE(at);
  if (end > hello.length) throw new RangeError('extensions end too late');
  for (at += 2; at < end; ) {
    const type = hello.readUInt16BE(at);
    const length = hello.readUInt16BE(at + 2);
    if (type === SERVER_NAME) {
      // A list of names, of which there is one: its type, its length, itself.
      const size = hello.readUInt16BE(at + 7);
      if (5 + size > length || at + 9 + size > end) throw new RangeError('name ends too late');
      return hello.toString('ascii', at + 9, at + 9 + size).toLowerCase();
    }
    at += 4 + length;
  }
  return undefined;
}
