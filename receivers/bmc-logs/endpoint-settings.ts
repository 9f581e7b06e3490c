import { z } from 'zod';
import { bool, oneOf, secret, text } from '../../src/config/schema/values.ts';

export const MODES = ['auto', 'sse', 'periodic'] as const;
export type ConfiguredMode = (typeof MODES)[number];
export const mode = () => oneOf(...MODES);

export const auth = z
  .strictObject({
    mode: oneOf('auto', 'session', 'basic', 'none')
      .prefault('auto')
      .describe('`auto`: a Redfish session where the BMC offers them, else HTTP Basic.'),
    username: text().optional().describe('Account; needs Login and read access to the logs.'),
    password: secret().optional().describe('Password of the account.'),
    password_file: text().optional().describe('File that holds the password; a rotated one is used at once.'),
    authenticator: text().optional().describe('Id of an extension that gives account or header.'),
  })
  .check(
    z.superRefine(
      (value, context) => {
        if (value.mode === 'none') return;
        const given = [value.password, value.password_file, value.authenticator].filter((one) => one !== undefined);
        const message = 'set one of password, password_file, authenticator';
        // Under the usual key where there is none, so that an unset reference there is told as such.
        if (given.length === 0) context.addIssue({ code: 'custom', path: ['password'], message });
        else if (given.length > 1) context.addIssue({ code: 'custom', message });
        else if (value.username === undefined && value.authenticator === undefined)
          context.addIssue({ code: 'custom', path: ['username'], message: 'is required' });
      },
      { when: () => true },
    ),
  );
export type AuthSettings = z.output<typeof auth>;

const PIN_BYTES = 32;

/** SHA-256 of a public key, as base64 or hex. */
const pin = text().transform((value, context): string => {
  const bytes = /^[0-9a-f]{64}$/i.test(value) ? Buffer.from(value, 'hex') : Buffer.from(value, 'base64');
  if (bytes.length === PIN_BYTES) return bytes.toString('base64');
  context.addIssue({ code: 'custom', message: 'must be 32 bytes as base64 or hex' });
  return z.NEVER;
});

/** `1.2` without quotes is a number in YAML. */
const tlsVersion = z
  .unknown()
  .transform((value) => (typeof value === 'number' ? value.toFixed(1) : value))
  .pipe(oneOf('1.0', '1.1', '1.2', '1.3'))
  .meta({ type: '`1.0`, `1.1`, `1.2`, `1.3`' });

export const tls = z.strictObject({
  insecure: bool().optional().describe('Allows an `http://` address. Default false.'),
  insecure_skip_verify: bool().optional().describe('Accepts any certificate of the BMC. Default false.'),
  ca_file: text().optional().describe('PEM file with the certificate authorities to trust.'),
  spki_sha256: z
    .array(pin)
    .optional()
    .describe('Public keys to accept, by their SHA-256 (base64 or hex). Without `ca_file` nothing else is judged.'),
  min_version: tlsVersion.optional().describe('Oldest TLS version. Default "1.2".'),
  legacy_renegotiation: bool().optional().describe('Speaks with old firmware that lacks RFC 5746. Default false.'),
  server_name: text().optional().describe('Name that the certificate must hold, and SNI. Default: the host.'),
});
export type TlsSettings = z.output<typeof tls>;

/** Attributes that the receiver owns; a label must not forge them. */
const OWNED_LABEL = /^(redfish|hw|host|server|service)\./;
const MAX_LABELS = 32;

const labels = z.record(z.string(), text()).check(
  z.superRefine((values, context) => {
    const keys = Object.keys(values);
    if (keys.length > MAX_LABELS)
      context.addIssue({ code: 'custom', message: `must not have more than ${MAX_LABELS}` });
    for (const key of keys.filter((name) => OWNED_LABEL.test(name)))
      context.addIssue({ code: 'custom', path: [key], message: 'is an attribute of the receiver itself' });
  }),
);

/** `http(s)://host[:port]` and nothing else. */
const origin = text().check(
  z.superRefine((value, context) => {
    const mistake = originMistake(value);
    if (mistake) context.addIssue({ code: 'custom', message: mistake });
  }),
);

/** One BMC, as it stands in the configuration, in a file or in the answer of a discovery. */
export const endpoint = z.strictObject({
  name: text()
    .regex(/^[A-Za-z0-9._:-]{1,253}$/, { error: 'must be 1 to 253 of A-Z a-z 0-9 . _ : -' })
    .describe('Identity of the BMC in state, scheduler and records.'),
  address: text().describe('`https://host[:port]`; a bare host means https.'),
  mode: mode().optional().describe('Overrides the mode of the receiver.'),
  machine_id: text().optional().describe('Fills `{machine_id}` of `logs_state_file`.'),
  serial: text().optional().describe('As `machine_id`, where that is not set.'),
  mac: text().optional().describe('As `machine_id`, where that and `serial` are not set.'),
  labels: labels.prefault({}).describe('Resource attributes of every record. `rack` also decides the shard.'),
  auth: auth.optional().describe('Account of this BMC; default: that of the receiver.'),
  tls: tls.optional().describe('TLS of this BMC; default, setting by setting: that of the receiver.'),
  proxy_url: origin.optional().describe('Gateway that requests go to, with `Forwarded: host=<the BMC>`.'),
});
export type EndpointSettings = z.output<typeof endpoint>;

/** What a receiver says for all its endpoints. */
export interface EndpointDefaults {
  readonly mode: ConfiguredMode;
  readonly auth?: AuthSettings | undefined;
  readonly tls?: TlsSettings | undefined;
  readonly proxy_url?: string | undefined;
}

/** One BMC with everything decided. */
export type EndpointConfig = ReturnType<typeof resolveEndpoint>;

export function resolveEndpoint(one: EndpointSettings, defaults: EndpointDefaults) {
  const proxy = one.proxy_url ?? defaults.proxy_url;
  return {
    name: one.name,
    /** Where the BMC is; its links are judged against this. */
    address: new URL(withScheme(one.address)),
    /** Where requests go instead. */
    proxy: proxy === undefined ? undefined : new URL(withScheme(proxy)),
    mode: one.mode ?? defaults.mode,
    machineId: one.machine_id ?? one.serial ?? one.mac ?? one.name,
    labels: one.labels,
    auth: one.auth ?? defaults.auth,
    tls: { ...defaults.tls, ...one.tls },
  };
}

export function addressMistake(address: string, insecure: boolean): string | undefined {
  const mistake = originMistake(address);
  if (mistake) return mistake;
  return new URL(withScheme(address)).protocol === 'http:' && !insecure
    ? 'plain http needs tls.insecure: true'
    : undefined;
}

function originMistake(address: string): string | undefined {
  if (!URL.canParse(withScheme(address))) return 'must be https://host[:port]';
  const url = new URL(withScheme(address));
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must be https://host[:port]';
  if (url.port === '0') return 'must not have port 0';
  if (url.username !== '' || url.password !== '') return 'must not contain credentials; use auth';
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') return 'must not have a path or a query';
  return undefined;
}

function withScheme(address: string): string {
  return address.includes('://') ? address : `https://${address}`;
}
