import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { isClientAuth } from '../../../src/component/client-auth.ts';
import type { Host } from '../../../src/component/component.ts';
import type { AttestationConfig, ModelSettings, SourceSettings } from '../config.ts';
import { FetchFailed, fetchDocument, MAX_DOCUMENT_BYTES } from '../fetch-document.ts';
import { makeContext } from '../tls.ts';
import { ListMistake, modelsOfAnswer, modelsOfFile } from './model-list.ts';

/** What came of reading a source. `unchanged`: the service says that it answered the same before. */
export type SourceAnswer =
  | { readonly models: readonly ModelSettings[]; readonly etag?: string | undefined }
  | 'unchanged'
  | { readonly error: string };

/** Never rejects; what went wrong is told in words of ours. @param etag of the last answer */
export async function readSource(
  source: SourceSettings,
  etag: string | undefined,
  { config, host, signal }: { config: AttestationConfig; host: Host; signal: AbortSignal },
): Promise<SourceAnswer> {
  try {
    if (source.file !== undefined)
      return { models: modelsOfFile(await readList(resolve(host.configDirectory, source.file)), config) };
    return await readHttp(source.http!, etag, { config, host, signal });
  } catch (error) {
    if (error instanceof ListMistake || error instanceof FetchFailed) return { error: error.message };
    if (source.file !== undefined) return { error: 'the file cannot be read' };
    return {
      error: error instanceof SyntaxError ? 'its answer is not JSON' : 'its account or authority cannot be read',
    };
  }
}

async function readList(file: string): Promise<unknown> {
  if ((await stat(file)).size > MAX_DOCUMENT_BYTES) throw new ListMistake('the file is too large');
  return parse(await readFile(file, 'utf8'), { maxAliasCount: 100 });
}

async function readHttp(
  http: NonNullable<SourceSettings['http']>,
  etag: string | undefined,
  { config, host, signal }: { config: AttestationConfig; host: Host; signal: AbortSignal },
): Promise<SourceAnswer> {
  const { url, headers, auth, timeout: timeoutMs, tls } = http;
  const extension = auth && host.extension(auth.authenticator);
  const answer = await fetchDocument({
    ...{ url, timeoutMs, signal, clock: host.clock },
    headers: {
      ...headers,
      ...(etag !== undefined && { 'if-none-match': etag }),
      ...(extension && isClientAuth(extension) && { authorization: await extension.authorization() }),
    },
    ...(tls && {
      secureContext: await makeContext(tls, tls.ca_file && resolve(host.configDirectory, tls.ca_file)),
    }),
  });
  if (answer.status === 304 && etag !== undefined) return 'unchanged';
  if (answer.status !== 200) return { error: `status ${answer.status}` };
  const { etag: tag } = answer.headers;
  return {
    models: modelsOfAnswer(JSON.parse(answer.body.toString('utf8')), http, config),
    ...(typeof tag === 'string' && { etag: tag }),
  };
}
