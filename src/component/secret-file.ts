import { readFile } from 'node:fs/promises';
import { OutbandError } from './errors.ts';
import { Secret } from './secret.ts';

/**
 * The secret that a file holds, without the space around it. An empty file is one that is being written: what is not there yet must
 * not be sent, for peers lock accounts.
 * @param setting that names the file, for the message
 * @throws OutbandError `config_source`
 */
export async function readSecretFile(file: string, setting: string): Promise<Secret> {
  let text: string;
  try {
    text = (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw new OutbandError('config_source', `${setting}: cannot read ${file}`, { cause });
  }
  if (text === '') throw new OutbandError('config_source', `${setting}: ${file} is empty`);
  return new Secret(text);
}
