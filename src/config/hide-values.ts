import { valueAt } from './check-settings.ts';
import { pathKey, type Reference } from './references.ts';
import type { Path } from './yaml-file.ts';

/** By {@link pathKey} of where they stand. */
type References = ReadonlyMap<string, Reference>;

/** Shorter texts are no secrets, and stand in any sentence. */
const SECRET_CHARS = 4;

/**
 * A message never repeats a value that came by reference: it may be a secret. It is looked for where rules print one: the value that they are
 * about, and those of other settings of the same component.
 */
export function withoutValues(message: string, path: Path, references: References, root: unknown): string {
  const around = path.map((_, index) => path.slice(0, path.length - index));
  const own = around.find((one) => isForeign(references.get(pathKey(one))));
  const { reference, text: ownText = '' } = (own && references.get(pathKey(own))) ?? {};
  let shown = message;
  if (own && reference !== undefined) {
    shown = shown.replace(/ \(did you mean ".*"\?\)/s, '').replace(/\bgot (?!').*/s, () => `got ${reference}`);
    const value = valueAt(root, own);
    for (const text of textsIn(value, ownText)) shown = hidden(shown, text, reference);
    // The names that it brought are told by nothing but this.
    for (const key of keysIn(value)) shown = swapped(shown, `keys: ${key} `, `keys: ${reference} `);
  }
  for (const [key, { reference: other, text }] of references) {
    const at = JSON.parse(key) as Path;
    const isNear = path.slice(0, 2).every((step, depth) => at[depth] === step);
    if (text === undefined || !isNear || !isForeign(references.get(key))) continue;
    const isInside = path.every((step, depth) => at[depth] === step);
    for (const one of textsIn(valueAt(root, at), text))
      if (isInside || one.length >= SECRET_CHARS) shown = hidden(shown, one, other);
  }
  return reference === undefined || shown.includes(reference) ? shown : `${shown} (from ${reference})`;
}

/** Whether a value came from elsewhere; a default stands in the file itself. */
function isForeign(reference: Reference | undefined): boolean {
  return reference?.text !== undefined && !reference.reference.endsWith(`:-${reference.text}}`);
}

/** Forms in which rules print a value: in quotes, in brackets, behind a word, as something to add. */
const FORMS = [
  ...[
    ['(', ')'],
    ['got ', ''],
    ['value ', ''],
    ['endpoint is ', ''],
    ['`', ': {}`'],
  ],
] as const;

function hidden(message: string, text: string, by: string): string {
  let shown = message;
  for (const form of [JSON.stringify(text), `"${text}"`]) shown = swapped(shown, form, by);
  for (const [before, after] of FORMS) shown = swapped(shown, before + text + after, before + by + after);
  return shown;
}

/** Whole words only, and not as a pattern. */
function swapped(text: string, from: string, to: string): string {
  const parts = text.split(from);
  return parts.reduce((before, behind) => before + (/^\w/.test(behind) && /\w$/.test(from) ? from : to) + behind);
}

/** A text, what YAML makes of it, and every value in that; the longest first. */
function textsIn(value: unknown, text: string): string[] {
  const found = new Set([text]);
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return void found.add(String(node));
    found.add(JSON.stringify(node));
    Object.values(node).forEach(walk);
  };
  walk(value);
  return [...found].filter((one) => one !== '' && !NOTHING.has(one)).sort((a, b) => b.length - a.length);
}

function keysIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = Array.isArray(value) ? [] : Object.keys(value);
  return [...own, ...Object.values(value).flatMap(keysIn)];
}

/** Words that tell nothing of a value. */
const NOTHING: ReadonlySet<string> = new Set(['true', 'false', 'null', 'undefined']);
