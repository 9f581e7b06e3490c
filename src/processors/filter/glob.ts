/**
 * A matcher for `*` (any text) and `?` (one character); everything else stands for itself. Each part is looked for once
 * from left to right, so the time grows with text times pattern at most, whatever the text is.
 */
export function glob(pattern: string): (text: string) => boolean {
  const parts = pattern.split(/\*+/);
  const first = parts.shift()!;
  const last = parts.pop();
  if (last === undefined) return (text) => text.length === first.length && matchesAt(text, 0, first);
  return (text) => {
    const end = text.length - last.length;
    if (end < first.length || !matchesAt(text, 0, first) || !matchesAt(text, end, last)) return false;
    let at = first.length;
    for (const part of parts) {
      while (at + part.length <= end && !matchesAt(text, at, part)) at++;
      if (at + part.length > end) return false;
      at += part.length;
    }
    return true;
  };
}

function matchesAt(text: string, at: number, part: string): boolean {
  if (!part.includes('?')) return text.startsWith(part, at);
  for (let n = 0; n < part.length; n++) if (part[n] !== '?' && part[n] !== text[at + n]) return false;
  return true;
}
