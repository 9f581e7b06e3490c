/** Of a value in one piece; the store takes 1 MiB. */
const PIECE_CHARS = 256 * 1024;

/**
 * A long value as several, under keys that end in `#1`, `#2`.
 * @param value undefined: the key goes
 * @param mayShrink whether an older value of this key may have been longer: the first piece behind this one's is deleted
 */
export function pieces(key: string, value: string | undefined, mayShrink = true): [string, string | undefined][] {
  if (value === undefined) return [[key, undefined]];
  const count = Math.max(1, Math.ceil(value.length / PIECE_CHARS));
  const list = Array.from({ length: count }, (_, n): [string, string | undefined] => [
    n === 0 ? key : `${key}#${n}`,
    value.slice(n * PIECE_CHARS, (n + 1) * PIECE_CHARS),
  ]);
  return mayShrink ? [...list, [`${key}#${count}`, undefined]] : list;
}

/** The values as they were before {@link pieces}. */
export function joinPieces(stored: ReadonlyMap<string, string>): Map<string, string> {
  const whole = new Map<string, string>();
  for (const [key, value] of stored) {
    if (/#\d+$/.test(key)) continue;
    let text = value;
    for (let n = 1; stored.has(`${key}#${n}`); n++) text += stored.get(`${key}#${n}`)!;
    whole.set(key, text);
  }
  return whole;
}
