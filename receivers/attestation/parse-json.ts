const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const PARTS = new Set([0x2c, 0x5b, 0x7b]);
/** Elements, members and what they are in. Even a report of many machines has a tenth; ten times as many hold this thread. */
const MOST_PARTS = 20_000;

/**
 * Parses a text of a peer in some 25 ms at most: that takes as long as it has parts, and a body has room for a million.
 * @throws SyntaxError when it is not JSON, or has too many parts
 */
export function parseJson(text: string): unknown {
  let parts = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === QUOTE) at = endOfString(text, at);
    else if (PARTS.has(char) && ++parts > MOST_PARTS) throw new SyntaxError('JSON has too many parts');
  }
  return JSON.parse(text);
}

/** Place of the closing quote; that of the end when there is none. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let first = end;
    while (text.charCodeAt(first - 1) === BACKSLASH) first--;
    if ((end - first) % 2 === 0) return end;
  }
  return text.length;
}
