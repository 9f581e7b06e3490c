import { valueAt } from './check-settings.ts';
import { pathKey, type Reference } from './references.ts';
import type { Path } from './yaml-file.ts';

/** By {@link pathKey} of where they stand. */
type References = ReadonlyMap<string, Reference>;

/** A path ends where a reference brought what is further in: those keys are its value. */
export function shownPath(path: Path, references: References): string {
  const depth = path.findIndex((_, index) => references.has(pathKey(path.slice(0, index + 1))));
  return (depth < 0 ? path : path.slice(0, depth + 1)).join('::');
}

/** Shorter texts are no secrets, and stand in any sentence. */
const SECRET_CHARS = 4;

/** A message never repeats a value that came by reference, here or elsewhere in the configuration: it may be a secret. */
export function withoutValues(message: string, path: Path, references: References, root: unknown): string {
  const depths = path.map((_, index) => path.slice(0, path.length - index));
  const own = depths.find((one) => references.get(pathKey(one))?.text !== undefined);
  const { reference } = (own && references.get(pathKey(own))) ?? {};
  let shown = message;
  /** Where rules print a value: in quotes, in brackets, behind a word. */
  const hide = (text: string, by: string) => {
    for (const form of [JSON.stringify(text), `"${text}"`]) shown = swapped(shown, form, by);
    for (const [before, after] of [
      ['(', ')'],
      ['`', ''],
      ['got ', ''],
      ['keys: ', ''],
      ['value ', ''],
    ])
      shown = swapped(shown, before + text + after, before + by + after);
  };
  if (own && reference !== undefined) {
    shown = shown.replace(/ \(did you mean ".*"\?\)/s, '').replace(/\bgot (?!').*/s, () => `got ${reference}`);
    for (const text of textsIn(valueAt(root, own), references.get(pathKey(own))!.text!)) hide(text, reference);
  }
  // A rule may name another setting, and what it says.
  for (const [key, { reference: other, text }] of references) {
    const at = JSON.parse(key) as Path;
    const isInside = path.every((step, depth) => at[depth] === step);
    const texts = text === undefined ? [] : textsIn(valueAt(root, at), text);
    for (const one of texts.filter(({ length }) => isInside || length >= SECRET_CHARS)) hide(one, other);
  }
  return reference === undefined || shown.includes(reference) ? shown : `${shown} (from ${reference})`;
}

/** Not as a pattern, neither of them. */
function swapped(text: string, from: string, to: string): string {
  return text.split(from).join(to);
}

/** A text, what YAML makes of it, and every key and value in that; the longest first. */
function textsIn(value: unknown, text: string): string[] {
  const found = new Set([text]);
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return void found.add(String(node));
    if (!Array.isArray(node)) for (const key of Object.keys(node)) found.add(key);
    found.add(JSON.stringify(node));
    Object.values(node).forEach(walk);
  };
  walk(value);
  return [...found].filter((one) => one !== '' && !NOTHING.has(one)).sort((a, b) => b.length - a.length);
}

/** Words that tell nothing of a value. */
const NOTHING: ReadonlySet<string> = new Set(['true', 'false', 'null', 'undefined']);
