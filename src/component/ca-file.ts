import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { OutbandError } from './errors.ts';

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs;

/**
 * The certificate authorities that a `tls::ca_file` holds, as PEM. Each is looked at here: Node leaves out what it cannot read without
 * a word, and then the peers take the blame.
 * @throws OutbandError `config_source`
 */
export async function readCaFile(file: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new OutbandError('config_source', `tls::ca_file: cannot read ${file}`, { cause });
  }
  const certificates = text.match(PEM_CERTIFICATE) ?? [];
  try {
    for (const certificate of certificates) new X509Certificate(certificate);
  } catch (cause) {
    throw new OutbandError('config_source', `tls::ca_file: ${file} holds a certificate that cannot be read`, { cause });
  }
  if (certificates.length > 0) return text;
  throw new OutbandError('config_source', `tls::ca_file: ${file} holds no certificate in PEM form`);
}
