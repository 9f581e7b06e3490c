import { glob, readFile, stat } from 'node:fs/promises';
import { parse } from 'yaml';
import { OutbandError } from '../../../src/component/errors.ts';
import { MAX_LIST_BYTES } from './endpoint-list.ts';

/** A list of endpoints as it was read. */
export interface RawList {
  /** To see a change by. */
  readonly text: string;
  /** @throws OutbandError `endpoint_source` */
  parse(): unknown;
}

/**
 * The lists in all files that a path or a glob names, one after the other.
 * @throws OutbandError `endpoint_source` when one cannot be read; a glob without a match is an empty list
 */
export async function readEndpointFiles(pattern: string): Promise<RawList> {
  const isGlob = /[*?[{]/.test(pattern);
  const paths: string[] = isGlob ? [] : [pattern];
  if (isGlob) for await (const path of glob(pattern)) paths.push(path);
  paths.sort();
  const texts = await Promise.all(paths.map(readText));
  return {
    text: texts.join('\0'),
    parse: () => texts.flatMap((text, index) => parseList(text, paths[index]!)),
  };
}

async function readText(path: string): Promise<string> {
  try {
    if ((await stat(path)).size > MAX_LIST_BYTES) throw new Error(`larger than ${MAX_LIST_BYTES} bytes`);
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw unusable(path, cause);
  }
}

function parseList(text: string, path: string): unknown[] {
  try {
    // JSON is YAML, and a hundred times faster to read as what it is.
    const list: unknown = path.endsWith('.json') ? JSON.parse(text) : parse(text, { maxAliasCount: 100 });
    if (!Array.isArray(list)) throw new Error('no list of endpoints');
    return list;
  } catch (cause) {
    throw unusable(path, cause);
  }
}

function unusable(path: string, cause: unknown): OutbandError {
  const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
  return new OutbandError('endpoint_source', `${path}: ${why}`, { cause });
}
