/** One element of DER (ITU-T X.690), as a range of bytes. */
export interface DerElement {
  readonly tag: number;
  /** Of the whole element. */
  readonly start: number;
  /** Of its contents. */
  readonly from: number;
  readonly end: number;
}

const CONTEXT_0 = 0xa0;
const INTEGER = 0x02;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;

/** @throws RangeError when the bytes at `start` are no whole element of at most 4 GiB */
export function readDer(bytes: Uint8Array, start = 0): DerElement {
  const first = bytes[start + 1];
  if (first === undefined) throw new RangeError('DER is cut short');
  let from = start + 2;
  let length = first;
  if (first >= 0x80) {
    const octets = first & 0x7f;
    if (octets === 0 || octets > 4) throw new RangeError('DER length is not definite');
    length = 0;
    for (let n = 0; n < octets; n++) length = length * 256 + (bytes[from++] ?? Number.NaN);
  }
  const end = from + length;
  if (!(end <= bytes.length)) throw new RangeError('DER is cut short');
  return { tag: bytes[start]!, start, from, end };
}

/** The elements inside a constructed one. @throws RangeError as {@link readDer} */
export function derChildren(bytes: Uint8Array, { from, end }: DerElement): DerElement[] {
  const children: DerElement[] = [];
  for (let at = from; at < end; ) {
    const child = readDer(bytes, at);
    if (child.end > end) throw new RangeError('DER element leaves its parent');
    children.push(child);
    at = child.end;
  }
  return children;
}

const slice = (bytes: Uint8Array, { start, end }: DerElement) => bytes.subarray(start, end);

/**
 * The SubjectPublicKeyInfo of a certificate, as its bytes stand there: a pin must not depend on how a library encodes
 * a key again.
 * @see RFC 5280, section 4.1
 */
export function spkiOf(certificate: Uint8Array): Uint8Array {
  const [tbs] = derChildren(certificate, readDer(certificate));
  const fields = derChildren(certificate, tbs!);
  // version is optional; then serialNumber, signature, issuer, validity, subject.
  const spki = fields[fields[0]?.tag === CONTEXT_0 ? 6 : 5];
  if (!spki) throw new RangeError('certificate without a key');
  return slice(certificate, spki);
}

/** What is needed of a list of revoked certificates. Times are milliseconds since the epoch. */
export interface RevocationList {
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

/** @throws RangeError when it is none, or has no `nextUpdate`. @see RFC 5280, section 5.1 */
export function readRevocationList(der: Uint8Array): RevocationList {
  const [tbs, , signature] = derChildren(der, readDer(der));
  const fields = derChildren(der, tbs!);
  const times = fields.filter(({ tag }) => tag === UTC_TIME || tag === GENERALIZED_TIME).slice(0, 2);
  if (!signature || times.length < 2 || fields[0]?.tag !== INTEGER)
    throw new RangeError('no revocation list with dates');
  const [thisUpdate, nextUpdate] = times.map((time) => readTime(der, time));
  return {
    signed: slice(der, tbs!),
    // A BIT STRING begins with the number of unused bits.
    signature: der.subarray(signature.from + 1, signature.end),
    thisUpdate: thisUpdate!,
    nextUpdate: nextUpdate!,
  };
}

function readTime(bytes: Uint8Array, { tag, from, end }: DerElement): number {
  const text = Buffer.from(bytes.subarray(from, end)).toString('latin1');
  const digits = tag === UTC_TIME ? (Number(text.slice(0, 2)) < 50 ? '20' : '19') + text : text;
  const ms = Date.parse(digits.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  if (Number.isNaN(ms)) throw new RangeError('time is not in DER form');
  return ms;
}
