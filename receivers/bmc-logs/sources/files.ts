import { glob, readFile, stat } from 'node:fs/promises';
import { parse } from 'yaml';
import { OutbandError } from '../../../src/component/errors.ts';
import { MAX_LIST_BYTES } from './endpoint-list.ts';

/**
 * The lists in all files that a path or a glob names, one after the other.
 * @throws OutbandError `endpoint_source` when one cannot be read; a glob without a match is an empty list
 */
export async function readEndpointFiles(pattern: string): Promise<unknown[]> {
  const isGlob = /[*?[{]/.test(pattern);
  const paths: string[] = isGlob ? [] : [pattern];
  if (isGlob) for await (const path of glob(pattern)) paths.push(path);
  paths.sort();
  const lists = await Promise.all(paths.map(readList));
  return lists.flat();
}

async function readList(path: string): Promise<unknown[]> {
  try {
    if ((await stat(path)).size > MAX_LIST_BYTES) throw new Error(`larger than ${MAX_LIST_BYTES} bytes`);
    const list: unknown = parse(await readFile(path, 'utf8'), { maxAliasCount: 100 });
    if (!Array.isArray(list)) throw new Error('no list of endpoints');
    return list;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new OutbandError('endpoint_source', `${path}: ${why}`, { cause });
  }
}
