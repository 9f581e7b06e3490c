import { isIP } from 'node:net';
import { z } from 'zod';
import { defineExtension } from '../../component/factory.ts';
import { formatComponentId } from '../../component/id.ts';
import { Secret } from '../../component/secret.ts';
import {
  duration,
  durationBetween,
  flag,
  formatDuration,
  intBetween,
  oneOf,
  secret,
  sizeBetween,
  text,
} from '../../config/schema/values.ts';
import { isAddressBlock, isLoopback } from './client-address.ts';
import { MonitoringApi } from './extension.ts';
import { LEAST_TOKEN_LENGTH } from './tokens.ts';

const MINUTE_MS = 60_000;
const WEEK_MS = 7 * 24 * 60 * MINUTE_MS;

const auth = z
  .preprocess(
    (input) => (input === 'none' ? { none: true } : input),
    z.strictObject({
      none: flag().optional().describe('Written as `auth: none`: everybody on this machine may read. Loopback only.'),
      tokens: z
        .array(z.strictObject({ name: text().describe('For the log.'), token: secret().describe('The token.') }))
        .prefault([])
        .describe('Tokens that may read.'),
      token_file: text()
        .optional()
        .describe('File with one token per line, optional `name:` before it; read again when it changes.'),
      session_idle: duration({ positive: false })
        .prefault('1h')
        .describe('A login ends when it is not used for so long; above 0.'),
      session_max: duration({ positive: false }).prefault('12h').describe('A login ends after this time; above 0.'),
    }),
  )
  .meta({ alsoWord: 'none' });

const schema = z
  .strictObject({
    endpoint: text()
      .transform((value, context) => {
        const parsed = parseEndpoint(value);
        if (parsed) return parsed;
        context.addIssue({ code: 'custom', message: `expected host:port, got ${JSON.stringify(value)}` });
        return z.NEVER;
      })
      .prefault('127.0.0.1:7655')
      .describe('Address to listen on; port 0 takes a free one.'),
    scheduler: text().prefault('scheduler').describe('Id of the scheduler extension that is shown.'),
    auth: auth.prefault({}).describe('Who may read: `none`, or tokens.'),
    allow_actions: flag().prefault(false).describe('Whether a token may also command: run, reset, redrive.'),
    rate_limit: z
      .strictObject({
        requests_per_minute: intBetween(1, 100_000, 'requests per minute')
          .prefault(500)
          .describe('Requests per client and minute.'),
        failed_auth_per_minute: intBetween(1, 1_000, 'attempts per minute')
          .prefault(10)
          .describe('Wrong tokens per client and minute.'),
      })
      .prefault({})
      .describe('Bounds per client: per address, or per network of 64 bits.'),
    trusted_proxies: z
      .array(
        text().check(
          z.refine(isAddressBlock, {
            error: ({ input }) => `${JSON.stringify(input)} is neither an address nor a CIDR block`,
          }),
        ),
      )
      .prefault([])
      .describe('Peers whose `X-Forwarded-For` and `X-Forwarded-Proto` count.'),
    tls: z
      .strictObject({
        cert_file: text().optional().describe('PEM file with the certificate; read again when it changes.'),
        key_file: text().optional().describe('PEM file with its key.'),
        min_version: oneOf('1.2', '1.3').prefault('1.2').describe('Lowest version of TLS.'),
      })
      .prefault({})
      .describe('Serves HTTPS when set.'),
    read_header_timeout: durationBetween('1s', '10m').prefault('10s').describe('Time for a client to send a request.'),
    idle_timeout: durationBetween('1s', '10m').prefault('60s').describe('Time that an unused connection stays open.'),
    write_timeout: durationBetween('1s', '10m').prefault('30s').describe('Time for a client to take what is sent.'),
    max_connections: intBetween(1, 65_535, 'connections').prefault(256).describe('Connections at once.'),
    max_header_size: sizeBetween('1KiB', '64KiB').prefault('16KiB').describe('Bytes of all headers of a request.'),
    snapshot_max_age: durationBetween('0s', '10s')
      .prefault('1s')
      .describe('Requests within this time are answered from one snapshot; 0: each from its own.'),
  })
  .check(
    z.superRefine(
      (config, context) => {
        const issue = (path: (string | number)[], message: string) =>
          context.addIssue({ code: 'custom', path, message });
        // What is wrong by itself has been told, and says nothing about the rest.
        if (Array.isArray(config.auth?.tokens)) checkAuth(config, issue);
        const { cert_file, key_file } = config.tls ?? {};
        if ((cert_file === undefined) !== (key_file === undefined))
          issue(['tls'], 'cert_file and key_file must be set together');
      },
      { when: () => true },
    ),
  );

export type MonitoringApiConfig = z.output<typeof schema>;

function checkAuth(
  { auth: { none, tokens, token_file, session_idle, session_max }, endpoint, allow_actions }: MonitoringApiConfig,
  issue: (path: (string | number)[], message: string) => void,
): void {
  if (none && endpoint?.isLoopback === false)
    issue(['auth'], `"none" is allowed on a loopback address only, endpoint is ${endpoint.text}`);
  if (none && allow_actions) issue(['allow_actions'], 'needs tokens; auth is none');
  if (none && (tokens.length > 0 || token_file !== undefined))
    issue(['auth'], 'must be "none" or hold tokens, not both');
  if (!none && tokens.length === 0 && token_file === undefined)
    issue(['auth'], 'no tokens: set auth::tokens or auth::token_file, or bind to loopback and write auth: none');
  const names = new Set<string>();
  const values = new Set<string>();
  for (const [index, entry] of tokens.entries()) {
    if (!(entry?.token instanceof Secret)) continue;
    const { name, token } = entry;
    if (token.reveal().length < LEAST_TOKEN_LENGTH)
      issue(
        ['auth', 'tokens', index],
        `token ${JSON.stringify(name)}: must have at least ${LEAST_TOKEN_LENGTH} characters`,
      );
    if (names.has(name) || values.has(token.reveal()))
      issue(['auth', 'tokens', index], `${JSON.stringify(name)} appears twice`);
    names.add(name);
    values.add(token.reveal());
  }
  for (const [key, value] of Object.entries({ session_idle, session_max }))
    if (
      typeof value === 'number' &&
      (value < MINUTE_MS || value > WEEK_MS || (key === 'session_idle' && value > session_max))
    )
      issue(['auth', key], `must lie between 1m and 168h, got ${formatDuration(value)}`);
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  readonly text: string;
  readonly isLoopback: boolean;
}

function parseEndpoint(value: string): ListenAddress | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(value);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535 || (match![1] !== undefined && isIP(host) !== 6)) return undefined;
  return { host, port, text: value, isLoopback: isLoopback(host) };
}

export default defineExtension({
  type: 'monitoring_api',
  summary: 'Serves the state of the scheduler as JSON, and the pages of other components.',
  stability: 'beta',
  schema,
  example: `
endpoint: 0.0.0.0:7655
auth: { token_file: /etc/outband/api-tokens }
tls: { cert_file: /etc/outband/api.pem, key_file: /etc/outband/api.key }`,
  references: ({ scheduler = 'scheduler' }) => [{ path: ['scheduler'], id: scheduler }],
  create: ({ id, config, host }) => new MonitoringApi(`extensions::${formatComponentId(id)}`, config, host),
});
