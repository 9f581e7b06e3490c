import { z } from 'zod';
import type { ClientAuth } from '../../component/client-auth.ts';
import { defineExtension } from '../../component/factory.ts';
import { Secret } from '../../component/secret.ts';
import { readSecretFile } from '../../component/secret-file.ts';
import { secret, text } from '../../config/schema/values.ts';

const schema = z
  .strictObject({
    token: secret().optional().describe('The token.'),
    filename: text().optional().describe('File that holds the token; read for every request, so it may be rotated.'),
    scheme: text().prefault('Bearer').describe('Word before the token.'),
  })
  .check(
    z.superRefine(
      ({ token, filename }, context) => {
        if ((token === undefined) === (filename === undefined))
          context.addIssue({ code: 'custom', message: 'exactly one of token, filename must be set' });
      },
      { when: () => true },
    ),
  );

export default defineExtension({
  type: 'bearer_token_auth',
  aliases: ['bearertokenauth'],
  summary: 'Gives exporters a token for their requests.',
  stability: 'beta',
  schema,
  example: 'filename: /etc/outband/token',
  create({ config: { token, filename, scheme } }): ClientAuth {
    return {
      start: async () => {},
      shutdown: async () => {},
      authorization: async () => {
        const value = token ?? (await readSecretFile(filename!, 'filename'));
        return new Secret(`${scheme} ${value.reveal()}`);
      },
    };
  },
});
