import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLParseError,
  type YAMLWarning,
} from 'yaml';
import type { Position, Problem } from './problem.ts';

export type Path = readonly (string | number)[];

/** A parsed configuration file: plain values, and where each of them stands. */
export interface YamlFile {
  readonly name: string;
  /** Undefined for an empty file. */
  readonly value: unknown;
  readonly problems: readonly Problem[];
  /** Position of the key (`key`) or the value (`value`) at a path, or of the nearest thing around it that exists. */
  position(path: Path, part: 'key' | 'value'): Position;
}

const MAX_ALIASES = 50;
/** Deeper is a mistake. */
export const MAX_LEVELS = 64;
/** Aliases of aliases multiply. */
const MAX_EXPANDED = 100_000;
const MAX_BYTES = 1024 * 1024;
/** Mistakes after which the parser still knows where it is. */
const INDEPENDENT_ERRORS: ReadonlySet<string> = new Set(['DUPLICATE_KEY', 'TAG_RESOLVE_FAILED', 'BAD_ALIAS']);

/** Reads YAML 1.2 with the core schema: no custom tags, no duplicate keys, at most 50 aliases, 1 MiB. */
export function parseYamlFile(name: string, text: string): YamlFile {
  const lines = new LineCounter();
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { file: name, line: Math.max(1, line), column: Math.max(1, col) };
  };
  const failed = (message: string, offset = 0): YamlFile => ({
    name,
    value: undefined,
    problems: [{ position: at(offset), path: '', code: 'config_syntax', message }],
    position: () => at(0),
  });
  if (Buffer.byteLength(text) > MAX_BYTES) return failed('the file is larger than 1 MiB');

  const options = { lineCounter: lines, uniqueKeys: true, prettyErrors: false, schema: 'core' } as const;
  const document = parseDocument(text, { ...options, resolveKnownTags: false, logLevel: 'error' });
  const errors = [...document.errors, ...document.warnings];
  // After a token that fits nowhere the parser only stumbles on; what it says of the rest helps nobody.
  const broken = errors.findIndex(({ code }) => !INDEPENDENT_ERRORS.has(code));
  const problems = (broken < 0 ? errors : errors.slice(0, broken + 1)).map(
    (error): Problem => ({
      position: at(error.pos[0]),
      path: '',
      code: 'config_syntax',
      message: inOurWords(error),
    }),
  );
  for (const { message, offset } of aliasProblems(document))
    problems.push({ position: at(offset), path: '', code: 'config_syntax', message });
  let value: unknown;
  try {
    // What they expand to was counted above.
    if (problems.length === 0) value = document.toJS({ maxAliasCount: -1 });
  } catch (error) {
    return failed(String((error as Error).message));
  }
  return { name, value, problems, position: (path, part) => at(offsetOf(document, path, part)) };
}

function inOurWords({ code, message }: YAMLParseError | YAMLWarning): string {
  if (code === 'MULTIPLE_DOCS') return 'one file is one document; this is a second one';
  // Of ten thousand brackets the parser runs out of stack.
  if (/call stack/.test(message)) return `nested deeper than ${MAX_LEVELS} levels`;
  return message.split('\n')[0]!;
}

/** Aliases that lead nowhere, into themselves, or are too many; told at their place. */
function aliasProblems(document: Document): { readonly message: string; readonly offset: number }[] {
  const found: { message: string; offset: number }[] = [];
  let aliases = 0;
  const sizes = new Map<unknown, number>();
  visit(document, {
    Alias: (_, alias, around) => {
      const offset = alias.range?.[0] ?? 0;
      const target = alias.resolve(document);
      if (!target) found.push({ message: `alias *${alias.source} has no anchor before it`, offset });
      else if (around.includes(target))
        found.push({ message: `alias *${alias.source} stands in what it names`, offset });
      else if (++aliases === MAX_ALIASES + 1) found.push({ message: `more than ${MAX_ALIASES} aliases`, offset });
      else if (found.length === 0 && sizeOf(target, document, sizes) > MAX_EXPANDED)
        found.push({ message: `alias *${alias.source} stands for more than ${MAX_EXPANDED} values`, offset });
    },
  });
  return found;
}

/** Values that a node stands for, its aliases expanded. */
function sizeOf(node: unknown, document: Document, known: Map<unknown, number>): number {
  const before = known.get(node);
  if (before !== undefined) return before;
  // Who stands in itself is told by itself.
  known.set(node, 1);
  const of = (inner: unknown) => sizeOf(inner, document, known);
  let size = 1;
  if (isAlias(node)) size = of(node.resolve(document));
  else if (isMap(node)) for (const { value } of node.items) size += of(value);
  else if (isSeq(node)) for (const item of node.items) size += of(item);
  known.set(node, size);
  return size;
}

function offsetOf(document: Document, path: Path, part: 'key' | 'value'): number {
  let node = document.contents as Node | null;
  let offset = node?.range?.[0] ?? 0;
  for (const [depth, step] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document) ?? null;
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && String(item.key) === String(step));
      if (!pair) return offset;
      const key = pair.key as Node;
      node = pair.value as Node | null;
      const wanted = depth === path.length - 1 && part === 'key' ? key : (node ?? key);
      offset = wanted.range?.[0] ?? offset;
    } else if (isSeq(node)) {
      node = (node.items[Number(step)] as Node | undefined) ?? null;
      if (!node) return offset;
      offset = node.range?.[0] ?? offset;
    } else return offset;
  }
  return offset;
}
