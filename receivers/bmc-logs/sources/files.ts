import { glob, readFile, stat } from 'node:fs/promises';
import { LineCounter, parseDocument } from 'yaml';
import { OutbandError } from '../../../src/component/errors.ts';
import { MAX_LIST_BYTES } from './endpoint-list.ts';

/** A list of endpoints as it was read. */
export interface RawList {
  /** To see a change by. */
  readonly text: string;
  /** @throws OutbandError `endpoint_source` */
  parse(): unknown;
  /** Where an item stands, for people: `file:line:column`; undefined where that cannot be told. */
  placeOf?(path: readonly PropertyKey[]): string | undefined;
}

/**
 * The files that a path or a glob names.
 * @returns a path that is no glob, also when there is no such file
 */
export async function findFiles(pattern: string): Promise<string[]> {
  if (!/[*?[{]/.test(pattern)) return [pattern];
  const paths: string[] = [];
  for await (const path of glob(pattern)) paths.push(path);
  return paths.sort();
}

/** @throws OutbandError `endpoint_source` when the file cannot be read */
export async function readEndpointFile(path: string): Promise<RawList> {
  const text = await readText(path);
  // JSON is YAML, and a hundred times faster to read as what it is.
  if (path.endsWith('.json')) return { text, parse: () => parseJson(path, text) };
  const lines = new LineCounter();
  let document: ReturnType<typeof parseDocument> | undefined;
  return {
    text,
    parse: () => {
      document = parseDocument(text, { lineCounter: lines });
      const [mistake] = document.errors;
      if (mistake) throw unusable(path, mistake.message.split('\n')[0]!.replace(/:$/, ''));
      return document.toJS({ maxAliasCount: 100 });
    },
    placeOf: (steps) => {
      for (let depth = steps.length; depth > 0; depth--) {
        const node = document?.getIn(steps.slice(0, depth), true) as { range?: readonly number[] } | undefined;
        if (!node?.range) continue;
        const { line, col } = lines.linePos(node.range[0]!);
        return `${path}:${line}:${col}`;
      }
      return path;
    },
  };
}

async function readText(path: string): Promise<string> {
  try {
    if ((await stat(path)).size > MAX_LIST_BYTES) throw new Error(`larger than ${MAX_LIST_BYTES} bytes`);
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw unusable(path, (cause as Error).message, cause);
  }
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unusable(path, (cause as Error).message, cause);
  }
}

function unusable(path: string, why: string, cause?: unknown): OutbandError {
  return new OutbandError('endpoint_source', `${path}: ${why}`, { cause });
}
