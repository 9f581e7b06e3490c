import { constants, createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { readCaFile } from '../../../src/component/ca-file.ts';
import { OutbandError } from '../../../src/component/errors.ts';
import type { TlsSettings } from '../endpoint-settings.ts';

/** What a TLS connection to a BMC is made with. */
export interface TlsOptions {
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: boolean;
  readonly servername?: string;
  /** With pins a session of before proves nothing: each connection shows its key. */
  readonly maxCachedSessions?: number;
}

/** Secure contexts by their settings: thousands of BMCs share the few that a fleet has. */
export class TlsContexts {
  readonly #contexts = new Map<string, Promise<SecureContext>>();

  /** @throws OutbandError `config_source` when `ca_file` cannot be used */
  async optionsFor(tls: TlsSettings): Promise<TlsOptions> {
    const { ca_file, min_version = '1.2', legacy_renegotiation = false } = tls;
    const pins = tls.spki_sha256 ?? [];
    const key = JSON.stringify([ca_file, await changedAt(ca_file), min_version, legacy_renegotiation]);
    const context = this.#contexts.get(key) ?? makeContext(ca_file, min_version, legacy_renegotiation);
    this.#contexts.set(key, context);
    // A file that is not there yet may come.
    context.catch(() => this.#contexts.delete(key));
    const judgedByPin = pins.length > 0 && ca_file === undefined;
    return {
      secureContext: await context,
      rejectUnauthorized: !tls.insecure_skip_verify && !judgedByPin,
      ...(tls.server_name !== undefined && { servername: tls.server_name }),
      ...(pins.length > 0 && { maxCachedSessions: 0 }),
    };
  }
}

/** So that an endpoint that starts after its file was replaced trusts what is in it now. */
async function changedAt(file: string | undefined): Promise<number> {
  return file === undefined
    ? 0
    : await stat(file)
        .then(({ mtimeMs }) => mtimeMs)
        .catch(() => 0);
}

type TlsVersion = NonNullable<TlsSettings['min_version']>;

async function makeContext(caFile: string | undefined, minVersion: TlsVersion, legacy: boolean) {
  return createSecureContext({
    minVersion: minVersion === '1.0' ? 'TLSv1' : `TLSv${minVersion}`,
    // OpenSSL 3 speaks versions before 1.2 only at its lowest security level.
    ...(minVersion < '1.2' && { ciphers: 'DEFAULT@SECLEVEL=0' }),
    ...(legacy && { secureOptions: constants.SSL_OP_LEGACY_SERVER_CONNECT }),
    ...(caFile !== undefined && { ca: await readCaFile(caFile) }),
  });
}

/** @returns why a connection must not be used: the key that it shows is not one of the pins */
export function pinMistake(socket: TLSSocket, pins: readonly string[]): OutbandError | undefined {
  if (pins.length === 0) return undefined;
  const certificate = socket.getPeerX509Certificate();
  const key = certificate?.publicKey.export({ type: 'spki', format: 'der' });
  const shown = key && createHash('sha256').update(key).digest('base64');
  if (shown !== undefined && pins.includes(shown)) return undefined;
  return new OutbandError('certificate_mismatch', `the certificate has another key than spki_sha256 names (${shown})`, {
    hint: 'If the key of the BMC was replaced on purpose, put the new hash into `tls::spki_sha256`.',
  });
}

/** Code of OpenSSL or Node, what it means, and what to do about it where the general advice is not enough. */
const TLS_FAULTS: readonly (readonly [pattern: RegExp, code: TlsCode, text: string, hint?: string])[] = [
  [
    /ALTNAME|HOSTNAME_MISMATCH/,
    'certificate_mismatch',
    'the certificate is for another name',
    'Set `tls::server_name`.',
  ],
  [/CERT_HAS_EXPIRED/, 'certificate_mismatch', 'the certificate has expired', 'Renew it, or pin its key.'],
  [
    /CERT_NOT_YET_VALID/,
    'certificate_mismatch',
    'the certificate is not valid yet',
    'Check the clock of this machine first, then the certificate.',
  ],
  [
    /^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|INVALID_CA|INVALID_PURPOSE)/,
    'certificate_mismatch',
    'the certificate is not trusted',
  ],
  [
    /LEGACY_RENEGOTIATION/,
    'bmc_tls',
    'the BMC knows only unsafe renegotiation',
    'Update its firmware, or set `tls::legacy_renegotiation: true`.',
  ],
  [
    /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|NO_PROTOCOLS/,
    'bmc_tls',
    'the BMC offers no TLS version that is allowed',
    'Update its firmware, or lower `tls::min_version`.',
  ],
  [/WRONG_VERSION_NUMBER|PACKET_LENGTH/, 'bmc_tls', 'this port does not speak TLS', 'Check the port of `address`.'],
  [/^(ERR_TLS|ERR_SSL|EPROTO)/, 'bmc_tls', 'the TLS handshake failed'],
];
type TlsCode = 'certificate_mismatch' | 'bmc_tls';

/** A fault of TLS in words, by its code. @returns undefined when it is none */
export function tlsFault(error: unknown, what: string): OutbandError | undefined {
  const { code = '', message = '' } = error as { code?: string; message?: string };
  const fault = TLS_FAULTS.find(([pattern]) => pattern.test(code));
  if (!fault) return undefined;
  const [, ours, text, hint] = fault;
  return new OutbandError(ours, `${what}: ${text} (${code || message})`, { cause: error, ...(hint && { hint }) });
}
