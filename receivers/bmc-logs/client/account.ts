import { type BasicAccount, isBasicAuth, isClientAuth } from '../../../src/component/client-auth.ts';
import type { Host } from '../../../src/component/component.ts';
import { OutbandError } from '../../../src/component/errors.ts';
import type { Secret } from '../../../src/component/secret.ts';
import { readSecretFile } from '../../../src/component/secret-file.ts';
import type { AuthSettings } from '../endpoint-settings.ts';

/** Who we are to a BMC. */
export type Account =
  | ({ readonly kind: 'password' } & BasicAccount)
  /** A ready header of an extension; there is nothing to log in with. */
  | { readonly kind: 'header'; readonly authorization: Secret };

/**
 * Reads the account anew each time, so that a rotated file or token is used with the next request.
 * @throws OutbandError `config_source` when the file cannot be read or is empty, `config_reference` when no such extension runs
 */
export async function readAccount(auth: AuthSettings, host: Host): Promise<Account> {
  const { username = '', password, password_file, authenticator } = auth;
  if (password !== undefined) return { kind: 'password', username, password };
  if (password_file !== undefined)
    return { kind: 'password', username, password: await readSecretFile(password_file, 'auth::password_file') };
  const extension = host.extension(authenticator!);
  if (isBasicAuth(extension)) return { kind: 'password', ...(await extension.account()) };
  if (isClientAuth(extension)) return { kind: 'header', authorization: await extension.authorization() };
  throw new OutbandError('config_reference', `extension "${authenticator}" gives no account`);
}
