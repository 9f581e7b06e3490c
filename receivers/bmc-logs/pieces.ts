/** Of a value in one piece; the store takes 1 MiB. */
const PIECE_CHARS = 512 * 1024;

/**
 * A long value as several, under keys that end in `#1`, `#2`; a shorter one takes the first of those away.
 * @param value undefined: the key goes
 */
export function pieces(key: string, value: string | undefined): Record<string, string | undefined> {
  if (value === undefined) return { [key]: undefined };
  const count = Math.max(1, Math.ceil(value.length / PIECE_CHARS));
  const list = Array.from({ length: count }, (_, n): [string, string | undefined] => [
    n === 0 ? key : `${key}#${n}`,
    value.slice(n * PIECE_CHARS, (n + 1) * PIECE_CHARS),
  ]);
  return Object.fromEntries([...list, [`${key}#${count}`, undefined]]);
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
