import { z } from 'zod';
import { Secret } from '../../src/component/secret.ts';
import { deliverySettings } from '../../src/config/schema/delivery.ts';
import { bool, oneOf, text } from '../../src/config/schema/values.ts';

/** Headers that we set ourselves, or that would break the framing. */
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const REFUSED_HEADERS = /^(content-.*|host|transfer-encoding)$/i;

const url = () =>
  text().check(
    z.superRefine((value, context) => {
      const issue = (message: string) => context.addIssue({ code: 'custom', message });
      if (!URL.canParse(value) || !/^https?:/.test(value)) return issue('must be an http(s) URL');
      const { username, password } = new URL(value);
      if (username !== '' || password !== '') issue('must not contain credentials; use headers');
    }),
  );

const headers = z
  .record(z.string(), text())
  .check(
    z.superRefine((values, context) => {
      for (const [name, value] of Object.entries(values)) {
        const issue = (message: string) => context.addIssue({ code: 'custom', path: [name], message });
        if (REFUSED_HEADERS.test(name)) issue('is set by the exporter itself');
        else if (!HEADER_NAME.test(name)) issue('is no header name');
        else if (/[\r\n\0]/.test(value)) issue('contains a line break');
        else if (!HEADER_VALUE.test(value)) issue('holds a character that a header cannot carry');
      }
    }),
  )
  .transform((values) => Object.entries(values).map(([name, value]) => ({ name, value: new Secret(value) })));

export const otlpHttpConfig = z
  .strictObject({
    endpoint: url().optional().describe('Base URL; `/v1/logs` is appended.'),
    logs_endpoint: url().optional().describe('URL for logs, used as written; wins over `endpoint`.'),
    encoding: oneOf('proto', 'json').prefault('proto').describe('OTLP as protobuf or as JSON.'),
    compression: oneOf('gzip', 'none').prefault('gzip').describe('Compression of the request body.'),
    headers: headers.prefault({}).describe('Headers of every request; values are secret.'),
    tls: z
      .strictObject({
        insecure: bool().prefault(false).describe('Allows a plain http endpoint.'),
        insecure_skip_verify: bool().prefault(false).describe('Accepts any server certificate.'),
        ca_file: text().optional().describe('PEM file with the certificate authorities to trust.'),
      })
      .prefault({})
      .describe('How the backend is verified.'),
    ...deliverySettings({ timeout: '30s', batchSize: 512 }),
  })
  .check(
    z.superRefine(
      (config, context) => {
        const address = config.logs_endpoint ?? config.endpoint;
        if (address === undefined)
          context.addIssue({ code: 'custom', message: 'either endpoint or logs_endpoint must be specified' });
        else if (String(address).startsWith('http:') && config.tls?.insecure !== true)
          context.addIssue({
            code: 'custom',
            path: ['tls'],
            message: 'plain http endpoint needs tls::insecure: true',
          });
      },
      { when: () => true },
    ),
  );

export type OtlpHttpConfig = z.output<typeof otlpHttpConfig>;
