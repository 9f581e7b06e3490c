/** JSON as BMCs send it: any member may be missing or have another type than the schema says. */
export type Json = string | number | boolean | null | Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

const MAX_DEPTH = 64;
/** A body of 16 MiB with real entries holds about 160,000; empty ones would cost a hundred times their text. */
const MAX_CONTAINERS = 500_000;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value if it is a text with something in it. */
export function textOf(value: Json | undefined): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

/** Ids are texts; some firmware sends them as numbers. */
export function idOf(value: Json | undefined): string | undefined {
  return typeof value === 'number' ? String(value) : textOf(value);
}

/** A link, given as text or as `{"@odata.id": ...}`. */
export function linkOf(value: Json | undefined): string | undefined {
  return textOf(isObject(value) ? value['@odata.id'] : value);
}

/** The objects of a `Members`-like list; anything else in it is left out. */
export function objectsOf(value: Json | undefined): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/**
 * Parses JSON of a BMC. A byte order mark is skipped. Raw control characters inside strings are escaped and parsed once more (some firmware writes
 * a line break as it is).
 * @throws SyntaxError for anything else that is not JSON, for nesting deeper than 64, and for more than 500,000 objects
 *   and lists
 */
export function parseJson(input: string): Json {
  const text = input.startsWith('\ufeff') ? input.slice(1) : input;
  checkShape(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    const repaired = escapeControls(text);
    if (repaired === text) throw error;
    return JSON.parse(repaired);
  }
}

/** Counts nesting, objects and lists on the text, so that no parser has to build them first. */
function checkShape(text: string): void {
  let depth = 0;
  let containers = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === 0x5c) i++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) {
      containers++;
      if (++depth > MAX_DEPTH) throw new SyntaxError(`nested deeper than ${MAX_DEPTH}`);
    } else if (code === 0x7d || code === 0x5d) depth--;
  }
  if (containers > MAX_CONTAINERS) throw new SyntaxError(`more than ${MAX_CONTAINERS} objects and lists`);
}

/** One pass, whatever the text is: a hostile body must not cost more than its length. */
function escapeControls(text: string): string {
  const pieces: string[] = [];
  let from = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) inString = !inString;
    else if (inString && code === 0x5c) i++;
    else if (inString && code < 0x20) {
      pieces.push(text.slice(from, i), `\\u${code.toString(16).padStart(4, '0')}`);
      from = i + 1;
    }
  }
  return from === 0 ? text : pieces.join('') + text.slice(from);
}
