import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import { OutbandError } from '../../src/component/errors.ts';
import type { AttestationConfig } from './config.ts';

/** The TLS context of probes; made anew when its file has changed. */
export class ProbeTls {
  readonly #settings: AttestationConfig['tls'];
  readonly #resolvePath: (path: string) => string;
  #made: { readonly changedAt: number; readonly context: Promise<SecureContext> } | undefined;

  /** @param resolvePath of a file that a setting names */
  constructor(settings: AttestationConfig['tls'], resolvePath: (path: string) => string) {
    this.#settings = settings;
    this.#resolvePath = resolvePath;
  }

  /** @throws OutbandError `config_source` when the file cannot be used */
  async context(): Promise<SecureContext> {
    const { ca_file } = this.#settings;
    const file = ca_file === undefined ? undefined : this.#resolvePath(ca_file);
    const changedAt = file === undefined ? 0 : await changeTime(file);
    if (this.#made?.changedAt === changedAt) return this.#made.context;
    const context = makeContext(this.#settings, file);
    this.#made = { changedAt, context };
    context.catch(() => {
      this.#made = undefined;
    });
    return context;
  }
}

/** @param file with the authorities to trust */
export async function makeContext(
  { min_version }: AttestationConfig['tls'],
  file: string | undefined,
): Promise<SecureContext> {
  return createSecureContext({
    minVersion: min_version === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
    ...(file !== undefined && { ca: await readCa(file) }),
  });
}

/** 0 while it is not there. */
function changeTime(file: string): Promise<number> {
  return stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs;

/**
 * Each certificate is read here, too: Node leaves out what it cannot read, and then trusts nobody.
 * @throws OutbandError `config_source`
 */
async function readCa(file: string): Promise<string> {
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
