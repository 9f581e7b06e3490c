import { stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import { readCaFile } from '../../src/component/ca-file.ts';
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
    ...(file !== undefined && { ca: await readCaFile(file) }),
  });
}

/** 0 while it is not there. */
function changeTime(file: string): Promise<number> {
  return stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}
