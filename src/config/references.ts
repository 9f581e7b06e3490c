import { parseValue } from './parse-value.ts';
import { MAX_LEVELS, type Path } from './yaml-file.ts';

/** Where references get their values; both may be asked for the same name more than once. */
export interface ReferenceSource {
  env(name: string): string | undefined;
  /** Reads a file, relative to the configuration file. Throws with the reason why it cannot, which does not name it. */
  file(path: string): string;
  /** Permissions of a file that was read, when others than its owner may read it: `0644`. */
  openMode?(path: string): string | undefined;
}

/** A value that came by reference. */
export interface Reference {
  readonly reference: string;
  /** As it was written there; undefined: the variable is not set. */
  readonly text: string | undefined;
  /** Variables in it that are not set, and have no default. */
  readonly unset: readonly string[];
  /** The file that it came from, when others may read that. */
  readonly open?: { readonly path: string; readonly mode: string };
}

export interface Expansion {
  readonly value: unknown;
  readonly problems: readonly { readonly path: Path; readonly message: string }[];
  readonly warnings: readonly { readonly path: Path; readonly message: string }[];
  /** What may be meant so. */
  readonly infos: readonly { readonly path: Path; readonly message: string }[];
  /** The values that came by reference, by {@link pathKey}. */
  readonly references: ReadonlyMap<string, Reference>;
}

export function pathKey(path: Path): string {
  return JSON.stringify(path);
}

/**
 * Replaces `${env:NAME}`, `${env:NAME:-default}`, `${NAME}`, `${file:path}` and `$$` in all values, never in keys.
 *
 * References may nest inside one another, but a result is never expanded again: a password that holds `$` arrives
 * unchanged (the Collector would expand it). A value that is exactly one reference is read as YAML, so `8080` is a
 * number; inside a longer string the text is put in place.
 */
export function expandReferences(value: unknown, source: ReferenceSource): Expansion {
  const problems: { path: Path; message: string }[] = [];
  const warnings: { path: Path; message: string }[] = [];
  const infos: { path: Path; message: string }[] = [];
  const references = new Map<string, Reference>();
  /** Of the value at hand. */
  let open: Reference['open'];
  let unset: string[] = [];

  const walk = (node: unknown, path: Path): unknown => {
    if (path.length > MAX_LEVELS) {
      problems.push({ path: path.slice(0, 3), message: `nested deeper than ${MAX_LEVELS} levels` });
      return null;
    }
    if (typeof node === 'string') return scalar(node, path);
    if (Array.isArray(node)) return node.map((item, index) => walk(item, [...path, index]));
    if (typeof node === 'object' && node !== null)
      return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, walk(item, [...path, key])]));
    return node;
  };

  const scalar = (text: string, path: Path): unknown => {
    if (!text.includes('$')) return text;
    open = undefined;
    unset = [];
    try {
      const pieces = split(text);
      if (pieces.length === 1 && typeof pieces[0] === 'object') {
        const resolved = resolve(pieces[0].inner, path);
        keep(path, text, resolved);
        return resolved === undefined ? null : asYaml(resolved);
      }
      const parts = pieces.map((piece) => (typeof piece === 'string' ? piece : (resolve(piece.inner, path) ?? '')));
      if (pieces.some((piece) => typeof piece === 'object')) keep(path, text, parts.join(''));
      return parts.join('');
    } catch (error) {
      const also = unset.map((variable) => ` (${variable} is not set)`).join('');
      problems.push({ path, message: (error as Error).message + also });
      return null;
    }
  };

  const keep = (path: Path, reference: string, text: string | undefined) =>
    references.set(pathKey(path), { reference, text, unset, ...(open && { open }) });

  const resolve = (inner: string, path: Path): string | undefined => {
    const pieces = split(inner);
    const text = pieces
      .map((piece) => (typeof piece === 'string' ? piece : (resolve(piece.inner, path) ?? '')))
      .join('');
    // As it was written: what came through another reference is not told.
    const isNested = pieces.some((piece) => typeof piece === 'object');
    const written = `\${${inner}}`;
    if (text.startsWith('file:')) {
      const file = text.slice('file:'.length);
      let content: string;
      try {
        content = source.file(file);
      } catch (cause) {
        throw new Error(`cannot read ${written}: ${(cause as Error).message}`, { cause });
      }
      const mode = source.openMode?.(file);
      if (mode !== undefined) open = { path: isNested ? written : file, mode };
      return content.replace(/\r?\n$/, '');
    }
    const name = text.startsWith('env:') ? text.slice('env:'.length) : text;
    const [, variable = '', fallback] = /^([^:]*)(?::-(.*))?$/s.exec(name) ?? [];
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(variable))
      throw new Error(`${written} is not a reference; write $$ for one $`);
    const set = source.env(variable);
    const shown = isNested ? written : `\${env:${variable}}`;
    if (set === undefined && fallback === undefined) {
      unset.push(shown);
      warnings.push({ path, message: `${shown} is not set` });
    }
    if (set === '') infos.push({ path, message: `${shown} is set, and empty` });
    return set ?? fallback;
  };

  return { value: walk(value, []), problems, warnings, infos, references };
}

/** A value such that {@link expandReferences} gives it back. */
export function escapeReferences(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$', '$$$$');
  if (Array.isArray(value)) return value.map(escapeReferences);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, escapeReferences(item)]));
}

/** Text pieces as strings, references as the text between their braces. */
function split(text: string): (string | { readonly inner: string })[] {
  const pieces: (string | { inner: string })[] = [];
  let plain = '';
  const flush = () => {
    if (plain !== '') pieces.push(plain);
    plain = '';
  };
  for (let i = 0; i < text.length; i++) {
    if (text.startsWith('$$', i)) {
      plain += '$';
      i++;
    } else if (text.startsWith('${', i)) {
      const end = closingBrace(text, i + 2);
      if (end < 0) throw new Error('a "${" has no closing "}"; write $$ for one $');
      flush();
      pieces.push({ inner: text.slice(i + 2, end) });
      i = end;
    } else plain += text[i];
  }
  flush();
  return pieces;
}

function closingBrace(text: string, start: number): number {
  let depth = 1;
  for (let i = start; i < text.length; i++) {
    if (text[i] === '{') depth++;
    else if (text[i] === '}' && --depth === 0) return i;
  }
  return -1;
}

/** A text stays as it is, with quotes and blanks that YAML would take away: it may be a password. */
function asYaml(text: string): unknown {
  try {
    const value = parseValue(text);
    return typeof value === 'string' ? text : value;
  } catch {
    return text;
  }
}
