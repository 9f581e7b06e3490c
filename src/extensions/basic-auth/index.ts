import { z } from 'zod';
import type { BasicAuth } from '../../component/client-auth.ts';
import { defineExtension } from '../../component/factory.ts';
import { Secret } from '../../component/secret.ts';
import { secret, text } from '../../config/schema/values.ts';

const schema = z.strictObject({
  client_auth: z
    .strictObject({
      username: text().describe('Account.'),
      password: secret().describe('Password of the account.'),
    })
    .describe('The account that a component sends.'),
});

export default defineExtension({
  type: 'basic_auth',
  aliases: ['basicauth'],
  summary: 'Gives exporters and receivers the account of HTTP Basic.',
  stability: 'beta',
  schema,
  example: `client_auth: { username: outband, password: "\${env:PASSWORD}" }`,
  create({ config }): BasicAuth {
    const { username, password } = config.client_auth;
    const value = new Secret(`Basic ${Buffer.from(`${username}:${password.reveal()}`).toString('base64')}`);
    return {
      start: async () => {},
      shutdown: async () => {},
      authorization: async () => value,
      account: async () => ({ username, password }),
    };
  },
});
