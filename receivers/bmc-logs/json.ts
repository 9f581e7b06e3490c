/** JSON as BMCs send it: any member may be missing or have another type than the schema says. */
export type Json = string | number | boolean | null | Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
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

/** Whether a member of a collection of entries is only a link to its entry. */
export function isOnlyLink(member: JsonObject): boolean {
  return member['@odata.id'] !== undefined && member.Id === undefined && member.Created === undefined;
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
  return parseRepaired(text);
}

/** Counts nesting, objects and lists on the text, so that no parser has to build them first. */
function checkShape(text: string): void {
  const scan = new ShapeScan(text);
  scan.until(text.length);
}

/** Walks over the text of a JSON document, as far as it is asked to, and says where things begin and end. */
class ShapeScan {
  depth = 0;
  at = 0;
  readonly #text: string;
  readonly #mostDepth: number;
  #containers = 0;
  #inString = false;

  constructor(text: string, mostDepth = MAX_DEPTH) {
    this.#text = text;
    this.#mostDepth = mostDepth;
  }

  /**
   * @param onBracket called for each bracket outside of strings, with the depth around what it opens or closes
   * @throws SyntaxError when there are too many of them, or too deep
   */
  until(end: number, onBracket?: (code: number, at: number, depth: number) => void): void {
    const text = this.#text;
    let { at, depth } = this;
    let inString = this.#inString;
    for (; at < end; at++) {
      const code = text.charCodeAt(at);
      if (inString) {
        if (code === 0x5c) at++;
        else if (code === 0x22) inString = false;
      } else if (code === 0x22) inString = true;
      else if (code === OPEN_OBJECT || code === OPEN_LIST) {
        onBracket?.(code, at, depth);
        if (++this.#containers > MAX_CONTAINERS) throw new SyntaxError(`more than ${MAX_CONTAINERS} objects and lists`);
        if (++depth > this.#mostDepth) throw new TooDeepError(`nested deeper than ${this.#mostDepth}`);
      } else if (code === CLOSE_OBJECT || code === CLOSE_LIST) {
        depth--;
        onBracket?.(code, at, depth);
      }
    }
    this.at = at;
    this.depth = depth;
    this.#inString = inString;
  }
}

/** Of a longer body the members are parsed in turns: `JSON.parse` of 16 MiB takes a tenth of a second. */
const LARGE_BODY_CHARS = 512 * 1024;

/**
 * The body of an answer, of any length. Of a list of members that holds something nested too deep, that is cut out.
 * @param pause lets others have a turn
 * @throws SyntaxError as {@link parseJson}
 */
export async function parseBody(text: string, pause: () => Promise<void>): Promise<Json> {
  const parse = (one: string) => (one.length > LARGE_BODY_CHARS ? parseLargeJson(one, pause) : parseJson(one));
  try {
    return await parse(text);
  } catch (error) {
    if (!(error instanceof TooDeepError)) throw error;
    const rest = await parse(cutDeep(text));
    // Without a list of members there is nothing that the cut has saved.
    if (isObject(rest) && objectsOf(rest.Members).length > 0) return rest;
    throw error;
  }
}

/** Nested deeper than anything that a BMC has to say. */
class TooDeepError extends SyntaxError {}

/**
 * The text without what is nested deeper than {@link parseJson} takes: null stands there. One absurd entry must not hide the
 * log that holds it.
 */
export function cutDeep(text: string): string {
  const scan = new ShapeScan(text, Number.POSITIVE_INFINITY);
  const kept: string[] = [];
  let from = 0;
  let start = 0;
  scan.until(text.length, (code, at, depth) => {
    if (depth !== MAX_DEPTH) return;
    if (code === OPEN_OBJECT || code === OPEN_LIST) start = at;
    else {
      kept.push(text.slice(from, start), 'null');
      from = at + 1;
    }
  });
  return from === 0 ? text : kept.join('') + text.slice(from);
}

/** Characters that are looked at before others get a turn. */
const SLICE_CHARS = 256 * 1024;
/** Depth of the members of a list that the outermost object holds. */
const MEMBER_DEPTH = 2;
/** What it is inside of, and it itself. */
const MEMBER_OF_LIST = `${[OPEN_OBJECT, OPEN_LIST, OPEN_OBJECT]}`;

/**
 * As {@link parseJson}, for a text of megabytes: the members of the lists in the outermost object are parsed one by one, and
 * others get a turn between.
 * @param pause lets others have a turn
 */
export async function parseLargeJson(input: string, pause: () => Promise<void>): Promise<Json> {
  const text = input.startsWith('\ufeff') ? input.slice(1) : input;
  const scan = new ShapeScan(text);
  const members: Json[] = [];
  const frame: string[] = [];
  const opened: number[] = [];
  let framed = 0;
  let start = 0;
  const isMember = (depth: number) =>
    depth === MEMBER_DEPTH && `${opened.slice(0, MEMBER_DEPTH + 1)}` === MEMBER_OF_LIST;
  const onBracket = (code: number, at: number, depth: number) => {
    if (code === OPEN_OBJECT || code === OPEN_LIST) {
      opened[depth] = code;
      if (isMember(depth)) start = at;
      return;
    }
    if (!isMember(depth)) return;
    members.push(parseRepaired(text.slice(start, at + 1)));
    frame.push(text.slice(framed, start), `{"":${members.length - 1}}`);
    framed = at + 1;
  };
  while (scan.at < text.length) {
    scan.until(Math.min(text.length, scan.at + SLICE_CHARS), onBracket);
    await pause();
  }
  const outer = parseRepaired(frame.join('') + text.slice(framed));
  if (!isObject(outer)) return outer;
  // A key that comes twice counts once, so each place names its member.
  const filled = (list: Json[]) => list.map((item) => (isObject(item) ? members[Number(item[''])]! : item));
  return Object.fromEntries(
    Object.entries(outer).map(([key, value]) => [key, Array.isArray(value) ? filled(value) : value]),
  );
}

function parseRepaired(text: string): Json {
  try {
    return JSON.parse(text);
  } catch (error) {
    const repaired = escapeControls(text);
    if (repaired === text) throw error;
    return JSON.parse(repaired);
  }
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
