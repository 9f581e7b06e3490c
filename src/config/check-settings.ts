import type { z } from 'zod';
import type { ErrorCode } from '../component/error-codes.ts';
import { pathKey, type Reference } from './references.ts';
import { kindOf } from './schema/values.ts';
import { wrappedBy } from './schema-nodes.ts';
import { nearest, suggest } from './suggest.ts';
import type { Path } from './yaml-file.ts';

/** Settings of the Collector's exporters that mean nothing here: better a mistake than ignored in silence. */
const NOT_BUILT: ReadonlySet<string> = new Set([
  ...['partition', 'middlewares', 'cookies', 'http2_read_idle_timeout', 'http2_ping_timeout', 'force_attempt_http2'],
  ...['read_buffer_size', 'write_buffer_size', 'disable_keep_alives', 'max_idle_conns', 'max_idle_conns_per_host'],
  ...['traces_endpoint', 'profiles_endpoint', 'group_by', 'encoding_extension'],
]);

/** A mistake at a path inside some settings. */
export interface SettingsProblem {
  readonly path: Path;
  /** Whether the key or the value at `path` is at fault. */
  readonly part: 'key' | 'value';
  /** What the message is about, when that is not `path` itself. */
  readonly subject?: Path;
  readonly code: ErrorCode;
  readonly message: string;
}

/** Values that came by reference, keyed by {@link pathKey} of their path inside the settings. */
export type References = ReadonlyMap<string, Pick<Reference, 'reference' | 'text' | 'unset'>>;

/**
 * Parses settings with a schema and explains every mistake at once. A string field that came as exactly one reference
 * receives the text as it was written there: a password `0123` stays `0123`.
 */
export function checkSettings<T>(
  schema: z.ZodType<T>,
  settings: unknown,
  references: References,
): { readonly value: T } | { readonly problems: readonly SettingsProblem[] } {
  const input = withTexts(withoutNulls(settings, schema) ?? {}, schema, references);
  const result = schema.safeParse(input, { error: collectorWords });
  const unset = [...references].flatMap(([key, { unset: variables }]): SettingsProblem[] => {
    const path = JSON.parse(key) as Path;
    if (variables.length === 0 || !(isHeader(path) || isSecret(schema, path))) return [];
    return [{ path, part: 'value', code: 'config_source', message: `${variables[0]} is not set` }];
  });
  if (result.success && unset.length > 0) return { problems: unset };
  if (result.success) return { value: result.data };
  const { issues } = result.error;
  const misspelled = new Set(issues.flatMap((issue) => keysMeant(issue, schema)));
  // What a section says about all its settings together says nothing while one of them is not set.
  const silenced = new Set(unset.flatMap(({ path }) => [pathKey(path), pathKey(path.slice(0, -1))]));
  const real = issues.filter(({ code, path }) => {
    const key = pathKey(path as Path);
    if (silenced.has(key)) return code === 'unrecognized_keys';
    return valueAt(input, path as Path) !== undefined || !misspelled.has(key);
  });
  const problems = [...real.flatMap((issue) => explain(issue, schema, input, references)), ...unset];
  const seen = new Set<string>();
  return { problems: problems.filter(({ path, message }) => seen.size < seen.add(pathKey([...path, message])).size) };
}

/** The library's names of types, in the Collector's words. */
const TYPE_NAMES: Readonly<Record<string, string>> = {
  ...{ object: 'map', record: 'map', array: 'slice', number: 'float64', boolean: 'bool' },
};

/** What is said where a schema has no words of its own: those of plugins. */
const collectorWords: z.core.$ZodErrorMap = (issue) => {
  if (issue.code !== 'invalid_type') return undefined;
  if (issue.input === undefined) return 'is required';
  return `expected type '${TYPE_NAMES[issue.expected] ?? issue.expected}', got '${kindOf(issue.input)}'`;
};

/** Where the keys would stand that unknown keys were probably meant to be: those are not missing, they are misspelled. */
function keysMeant(issue: z.core.$ZodIssue, schema: z.ZodType): string[] {
  if (issue.code !== 'unrecognized_keys') return [];
  const path = issue.path as Path;
  const valid = keysAt(schema, path);
  return issue.keys.map((key) => nearest(key, valid) ?? key).map((key) => pathKey([...path, key]));
}

function explain(
  issue: z.core.$ZodIssue,
  schema: z.ZodType,
  input: unknown,
  references: References,
): SettingsProblem[] {
  const path = issue.path as Path;
  // Of several forms the one that the value has: its own mistakes say more than "none of them".
  const form =
    issue.code === 'invalid_union' ? issue.errors.find((own) => own.every((one) => one.path.length > 0)) : [];
  if (form && form.length > 0)
    return form.flatMap((one) => explain({ ...one, path: [...path, ...one.path] }, schema, input, references));
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      path: [...path, key],
      subject: path,
      part: 'key',
      code: 'config_unknown_key',
      message: NOT_BUILT.has(key)
        ? `has invalid keys: ${key} (not supported by outband)`
        : `has invalid keys: ${key} ${misplaced(key, schema, path) ?? suggest(key, keysAt(schema, path))}`,
    }));
  }
  const reference = references.get(pathKey(path));
  if (reference && reference.text === undefined)
    return [{ path, part: 'value', code: 'config_source', message: `${reference.reference} is not set` }];
  const missing = valueAt(input, path) === undefined;
  const { message } = issue;
  // As the Collector puts it: a rule that begins with the name of a setting is a rule of its section.
  const isOfSection = message.startsWith(`\`${String(path.at(-1))}\` `);
  const subject = isOfSection ? { subject: path.slice(0, -1) } : {};
  return [{ path, part: missing ? 'key' : 'value', code: 'config_value', message, ...subject }];
}

/** A key that has no near one here, and stands one level down or up. */
function misplaced(key: string, schema: z.ZodType, path: Path): string | undefined {
  const here = keysAt(schema, path);
  if (nearest(key, here) !== undefined) return undefined;
  const section = here.find((sibling) => keysAt(schema, [...path, sibling]).includes(key));
  if (section !== undefined) return `(${key} belongs under ${section})`;
  const names = path.filter((step) => typeof step === 'string');
  const isAbove = names.length > 0 && keysAt(schema, path.slice(0, path.lastIndexOf(names.at(-1)!))).includes(key);
  return isAbove ? `(${key} belongs beside ${names.at(-1)}, not in it)` : undefined;
}

/** A value of `headers`, which are a map, or a list of `{name, value}`. */
export function isHeader(path: Path): boolean {
  return path.at(-2) === 'headers' || (path.at(-3) === 'headers' && path.at(-1) === 'value');
}

/**
 * What came by reference into a text, a word or a header is the text as it was written there: a password `0123` stays `0123`, and
 * `#secret`, which is nothing to YAML, stays itself.
 */
function withTexts(settings: unknown, schema: z.ZodType, references: References): unknown {
  return [...references].reduce((input, [key, { text = '' }]) => {
    const path = JSON.parse(key) as Path;
    const isThere = path.length > 0 && valueAt(input, path.slice(0, -1)) !== undefined;
    const wantsText = isHeader(path) || ['string', 'enum'].includes(nodesAt(schema, path).at(-1)?._zod.def.type ?? '');
    return isThere && wantsText && text !== '' ? replaceAt(input, path, text) : input;
  }, settings);
}

/** `null` means "use the default" anywhere, as in the Collector; an unknown key stays one. */
function withoutNulls(value: unknown, schema: z.ZodType, path: Path = []): unknown {
  if (value === null) return undefined;
  if (Array.isArray(value)) return value.map((item, index) => withoutNulls(item, schema, [...path, index]));
  if (typeof value !== 'object') return value;
  const here = nodesAt(schema, path).at(-1)?._zod.def;
  const entries = Object.entries(value as object).flatMap(([key, item]) => {
    if (item !== null) return [[key, withoutNulls(item, schema, [...path, key])]];
    if (here?.type === 'object' && !Object.hasOwn(here.shape, key)) return [[key, null]];
    // An entry of a map of sections is there, with nothing said in it.
    const isSection = here?.type === 'record' && nodesAt(schema, [...path, key]).at(-1)?._zod.def.type === 'object';
    return isSection ? [[key, {}]] : [];
  });
  return Object.fromEntries(entries);
}

/** What stands at a path of a value; undefined: nothing. */
export function valueAt(root: unknown, path: Path): unknown {
  return path.reduce<unknown>((node, step) => (node as Record<string, unknown> | undefined)?.[String(step)], root);
}

function replaceAt(root: unknown, path: Path, value: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined || root === null || typeof root !== 'object') return value;
  if (Array.isArray(root)) return root.map((item, index) => (index === step ? replaceAt(item, rest, value) : item));
  const object = root as Record<string, unknown>;
  return { ...object, [step]: replaceAt(object[String(step)], rest, value) };
}

/** Whether the last step of a path is a name of the schema, or a place in a list, and no name of one's own. */
export function isKnown(schema: z.ZodType, path: Path): boolean {
  const around = nodesAt(schema, path.slice(0, -1)).at(-1)?._zod.def;
  return around?.type === 'array' || (around?.type === 'object' && Object.hasOwn(around.shape, String(path.at(-1))));
}

/** The keys that a strict object at this path would accept. */
function keysAt(schema: z.ZodType, path: Path): string[] {
  const node = nodesAt(schema, path, true).at(-1);
  return node?._zod.def.type === 'object' ? Object.keys(node._zod.def.shape) : [];
}

function isSecret(schema: z.ZodType, path: Path): boolean {
  return nodesAt(schema, path).some((node) => (node as unknown as z.ZodType).meta()?.type === 'secret');
}

/**
 * The schema at this path, from its outermost wrapping to its core; [] where there is none.
 * @param inside of a list or a map: its elements in its place
 */
function nodesAt(schema: z.ZodType, path: Path, inside = false): readonly z.core.$ZodTypes[] {
  let node = schema as unknown as z.core.$ZodTypes | undefined;
  let nodes: z.core.$ZodTypes[] = [];
  const rest = [...path];
  while (node) {
    nodes.push(node);
    const def: z.core.$ZodTypes['_zod']['def'] = node._zod.def;
    let inner: z.core.$ZodType | undefined = wrappedBy(node);
    if (!inner) {
      const step = rest.shift();
      if (step === undefined && !(inside && (def.type === 'array' || def.type === 'record'))) return nodes;
      nodes = [];
      if (def.type === 'object') inner = def.shape[String(step)];
      else if (def.type === 'array') inner = def.element;
      else if (def.type === 'record') inner = def.valueType;
    }
    node = inner as z.core.$ZodTypes | undefined;
  }
  return [];
}
