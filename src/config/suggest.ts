const MOST_NAMES = 12;

/**
 * What to print behind a name that matches nothing: one near name, or the valid ones.
 * Near is an edit distance of at most 2 (1 for names under 5 letters), or another spelling (`queueSize`).
 */
export function suggest(name: string, valid: readonly string[]): string {
  const near = nearest(name, valid);
  if (near !== undefined) return `(did you mean "${near}"?)`;
  const names = valid.toSorted();
  const shown = names.slice(0, MOST_NAMES).join(' ');
  return `(valid values: [${names.length > MOST_NAMES ? `${shown} ...` : shown}])`;
}

/** The valid name that was probably meant. */
export function nearest(name: string, valid: readonly string[]): string | undefined {
  const spelled = valid.find((candidate) => plain(candidate) === plain(name));
  if (spelled !== undefined) return spelled;
  const limit = name.length < 5 ? 1 : 2;
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of valid) {
    const distance = editDistance(name, candidate);
    if (distance <= limit && (best === undefined || distance < best.distance)) best = { candidate, distance };
  }
  return best?.candidate;
}

function plain(name: string): string {
  return name.replaceAll(/[-_\s]/g, '').toLowerCase();
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one text into the other. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, beforeLast[j - 2]! + 1);
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}
