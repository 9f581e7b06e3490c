import { z } from 'zod';
import { Secret } from '../../src/component/secret.ts';
import { deliverySettings, withDelivery } from '../../src/config/schema/delivery.ts';
import {
  bool,
  byteSize,
  duration,
  intBetween,
  oneOf,
  positiveInt,
  secret,
  text,
} from '../../src/config/schema/values.ts';

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
      if (username !== '' || password !== '') issue('must not contain credentials; use an auth extension');
    }),
  );

const namedValue = z.strictObject({ name: text(), value: text() });

/** A map, or a list of `{name, value}`. */
const headers = z
  .union([z.record(z.string(), text()), z.array(namedValue)], { error: "expected type 'map'" })
  .transform((given) =>
    Array.isArray(given) ? given : Object.entries(given).map(([name, value]) => ({ name, value })),
  )
  .check(
    z.superRefine((values, context) => {
      for (const { name, value } of values) {
        const issue = (message: string) => context.addIssue({ code: 'custom', path: [name], message });
        if (REFUSED_HEADERS.test(name)) issue('is set by the exporter itself');
        else if (!HEADER_NAME.test(name)) issue('is no header name');
        else if (/[\r\n\0]/.test(value)) issue('contains a line break');
        else if (!HEADER_VALUE.test(value)) issue('holds a character that a header cannot carry');
      }
    }),
  )
  .transform((values) => values.map(({ name, value }) => ({ name, value: new Secret(value) })))
  .meta({ type: 'map of secret, or list of `{name, value}`' });

const tlsVersion = () => oneOf('1.2', '1.3');
const file = (what: string) => text().optional().describe(`PEM file with ${what}.`);
const pem = (what: string) => text().optional().describe(`PEM text with ${what}.`);

const tls = z
  .strictObject({
    insecure: bool().prefault(false).describe('Allows a plain http endpoint.'),
    insecure_skip_verify: bool().prefault(false).describe('Accepts any server certificate.'),
    ca_file: file('the certificate authorities to trust'),
    ca_pem: pem('the certificate authorities to trust'),
    include_system_ca_certs_pool: bool().prefault(false).describe('Trust those that Node ships, too.'),
    cert_file: file('our certificate'),
    cert_pem: pem('our certificate'),
    key_file: file('the key of our certificate'),
    key_pem: secret().optional().describe('PEM text with the key of our certificate.'),
    server_name_override: text().optional().describe('Name to expect in the certificate and to ask for.'),
    min_version: tlsVersion().prefault('1.2').describe('Least version of TLS.'),
    max_version: tlsVersion().optional().describe('Greatest version of TLS.'),
    reload_interval: duration().optional().describe('Read the files again after this time. Default: only while held.'),
  })
  .check(
    z.superRefine(
      (settings, context) => {
        const issue = (message: string) => context.addIssue({ code: 'custom', message });
        for (const what of ['ca', 'cert', 'key'] as const)
          if (settings[`${what}_file`] !== undefined && settings[`${what}_pem`] !== undefined)
            issue(`provide ${what}_file or ${what}_pem, not both`);
        const has = (what: 'cert' | 'key') =>
          settings[`${what}_file`] !== undefined || settings[`${what}_pem`] !== undefined;
        if (has('cert') !== has('key')) issue('provide both cert and key, or neither');
      },
      { when: () => true },
    ),
  );

const level = z.strictObject({
  level: intBetween(1, 22, 'level of the codec')
    .optional()
    .describe('1 to 9 for gzip, 1 to 22 for zstd. Default: that of the codec.'),
});

const KIB = 1024;
const MIB = 1024 * KIB;
const REQUEST_SIZE = { min: KIB, minText: 'must be between 1KiB and 64MiB', max: 64 * MIB };

export const otlpHttpConfig = withDelivery(
  z
    .strictObject({
      endpoint: url().optional().describe('Base URL; `/v1/logs` and `/v1/metrics` are appended.'),
      logs_endpoint: url().optional().describe('URL for logs, used as written; wins over `endpoint`.'),
      metrics_endpoint: url().optional().describe('URL for metrics, used as written; wins over `endpoint`.'),
      encoding: z
        .enum(['proto', 'json'], { error: ({ input }) => `invalid encoding type "${input}"` })
        .prefault('proto')
        .describe('OTLP as protobuf or as JSON.'),
      compression: z
        .enum(['gzip', 'none', 'zstd'], { error: ({ input }) => `unsupported compression type "${input}"` })
        .prefault('gzip')
        .describe('Compression of the request body.'),
      compression_params: level.prefault({}).describe('How hard to compress.'),
      headers: headers.prefault({}).describe('Headers of every request.'),
      auth: z
        .strictObject({ authenticator: text().describe('Id of a client auth extension.') })
        .optional()
        .describe('Who we are, per request.'),
      tls: tls.prefault({}).describe('How the backend is verified, and how we are.'),
      max_request_size: byteSize(REQUEST_SIZE)
        .prefault('20MiB')
        .describe('Largest request before compression; a larger one is split.'),
      max_reply_size: byteSize(REQUEST_SIZE).prefault('4MiB').describe('Largest reply that is read.'),
      max_conns_per_host: positiveInt('connections')
        .optional()
        .describe('Connections at once. Default: `num_consumers`.'),
      idle_conn_timeout: duration().prefault('90s').describe('Time after which an idle connection is closed.'),
      proxy_url: url().optional().describe('HTTP proxy. Default: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`.'),
      ...deliverySettings({ timeout: '30s', queue: true, batchSize: 512 }),
    })
    .check(
      z.superRefine(
        (config, context) => {
          const { endpoint, logs_endpoint, metrics_endpoint, compression, compression_params } = config;
          const issue = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
          const addresses = [logs_endpoint ?? endpoint, metrics_endpoint ?? endpoint].filter(
            (one) => one !== undefined,
          );
          if (addresses.length === 0) issue([], 'either endpoint or logs_endpoint must be specified');
          else if (addresses.some((one) => String(one).startsWith('http:')) && config.tls?.insecure !== true)
            issue(['tls'], 'plain http endpoint needs tls::insecure: true');
          if (compression === 'gzip' && (compression_params?.level ?? 0) > 9)
            issue(['compression_params', 'level'], 'must lie between 1 and 9 for gzip');
        },
        { when: () => true },
      ),
    ),
);

export type OtlpHttpConfig = z.output<typeof otlpHttpConfig>;
