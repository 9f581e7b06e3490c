import { z } from 'zod';
import { bool, duration, oneOf, parseDuration, positiveInt, secret, text } from '../../src/config/schema/values.ts';

const modes = ['auto', 'sse', 'periodic'] as const;
export type ConfiguredMode = (typeof modes)[number];

const mode = () => oneOf(...modes);

const auth = z.strictObject({
  username: text().describe('Account for HTTP Basic; needs Login and read access to the logs.'),
  password: secret().describe('Password of the account.'),
});

const tls = z.strictObject({
  insecure: bool().optional().describe('Allows an `http://` address. Default false.'),
  insecure_skip_verify: bool().optional().describe('Accepts any certificate of the BMC. Default false.'),
  ca_file: text().optional().describe('PEM file with the certificate authorities to trust.'),
});

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

const endpoint = z.strictObject({
  name: text()
    .regex(/^[A-Za-z0-9._:-]{1,253}$/, { error: 'must be 1 to 253 of A-Z a-z 0-9 . _ : -' })
    .describe('Identity of the BMC in state, scheduler and records.'),
  address: text().describe('`https://host[:port]`; a bare host means https.'),
  mode: mode().optional().describe('Overrides the mode of the receiver.'),
  labels: labels.prefault({}).describe('Resource attributes of every record.'),
  auth: auth.optional().describe('Account of this BMC; default: that of the receiver.'),
  tls: tls.optional().describe('TLS of this BMC; default: that of the receiver.'),
});

const periodic = z.strictObject({
  logs_collection_interval: duration().prefault('5m').describe('Time between two reads of the logs of one BMC.'),
  state_refresh_interval: duration()
    .prefault('30m')
    .describe('Time after which services and capabilities are read anew.'),
});

const sse = z
  .strictObject({
    min_stream_lifetime: duration().prefault('30s').describe('A stream that lived this long clears all failures.'),
    reconcile_interval: duration()
      .prefault('15m')
      .describe('Time between two reads of the logs while a stream is open.'),
    connect_timeout: duration().prefault('5s').describe('Time for TCP and TLS.'),
    header_timeout: duration().prefault('30s').describe('Time from the request to the end of the answer headers.'),
    idle_timeout: duration({ positive: false })
      .prefault('30m')
      .describe('Silence after which a stream is closed and opened anew; comments count as life. 0: never.'),
    initial_backoff: duration().prefault('1s').describe('First wait before a reconnect.'),
    max_backoff: duration()
      .prefault('30s')
      .describe('Longest base of the wait; up to the same again is added at random.'),
  })
  .check(
    z.superRefine(
      ({ initial_backoff, max_backoff }, context) => {
        if (max_backoff < initial_backoff)
          context.addIssue({ code: 'custom', path: ['max_backoff'], message: 'must not be less than initial_backoff' });
      },
      { when: () => true },
    ),
  );

const auto = z
  .strictObject({
    sse_not_available_threshold: positiveInt()
      .prefault(1)
      .describe('Answers in a row that say "no event stream here" before polling takes over.'),
    connect_failure_window: duration().prefault('5m').describe('Length of the sliding window in which failures count.'),
    connect_failure_threshold: positiveInt().prefault(5).describe('Failures in one window before polling takes over.'),
    sse_retry_interval: duration({ positive: false })
      .prefault('30m')
      .describe('Time after which a stream is tried again next to polling; doubles per failed trial. 0: never.'),
    sse_retry_max_interval: duration({ positive: false }).prefault('6h').describe('Longest time between two trials.'),
    trial_lifetime: duration().prefault('1m').describe('A trial stream that lived this long ends polling.'),
  })
  .check(
    z.superRefine(
      ({ sse_retry_interval, sse_retry_max_interval }, context) => {
        if (sse_retry_max_interval < sse_retry_interval)
          context.addIssue({
            code: 'custom',
            path: ['sse_retry_max_interval'],
            message: 'must not be less than sse_retry_interval',
          });
      },
      { when: () => true },
    ),
  );

const readHistory = z.unknown().transform((input, context): number => {
  if (input === 'all') return Number.POSITIVE_INFINITY;
  if (input === 'none') return 0;
  const ms = typeof input === 'string' ? parseDuration(input) : undefined;
  if (ms !== undefined && ms > 0) return ms;
  context.addIssue({ code: 'custom', message: 'must be all, none or a duration' });
  return z.NEVER;
});
const initialHistory = readHistory.meta({ type: '`all`, `none` or duration' });

const settings = z.strictObject({
  mode: mode()
    .prefault('auto')
    .describe('`auto`: stream, and poll while a BMC cannot stream. `sse`, `periodic`: only one of the two.'),
  scheduler: text().prefault('scheduler').describe('Id of the scheduler extension that owns the due times.'),
  storage: text()
    .optional()
    .describe('Id of a `file_storage` that keeps read positions; without one a restart reads the logs again.'),
  endpoints: z
    .array(endpoint, { error: ({ input }) => (input === undefined ? 'needs endpoints' : "expected type 'slice'") })
    .min(1, { error: 'needs endpoints' })
    .describe('The BMCs.'),
  auth: auth.optional().describe('Account for endpoints that name none.'),
  tls: tls.optional().describe('TLS settings for endpoints that name none.'),
  bmc_request_concurrency: positiveInt()
    .prefault(4)
    .describe('Requests in flight per BMC, an open stream not counted.'),
  max_handshakes: positiveInt().prefault(256).describe('TCP and TLS set-ups in flight over all BMCs.'),
  request_timeout: duration().prefault('120s').describe('Time for one whole GET.'),
  body_idle_timeout: duration().prefault('15s').describe('Silence inside an answer body.'),
  periodic: periodic
    .optional()
    .describe('Polling. Required in mode `periodic` (`{}` is enough), refused in mode `sse`.'),
  sse: sse.optional().describe('Streaming. Refused in mode `periodic`.'),
  auto: auto.optional().describe('When polling takes over and when a stream is tried again. Only in mode `auto`.'),
  initial_history: initialHistory
    .prefault('24h')
    .describe('What of a log is sent at first contact: `all`, `none`, or entries younger than a duration.'),
  exclude_services: z
    .array(text())
    .prefault(['Journal'])
    .describe('Log services whose URI contains one of these texts are not read. [] reads everything.'),
  critical_as: oneOf('error', 'fatal').prefault('error').describe('Severity of `Critical`: 17 (error) or 21 (fatal).'),
  include_oem: bool().prefault(true).describe('Carry vendor extensions as `redfish.oem`.'),
  include_original: bool().prefault(false).describe('Carry the whole JSON as `log.record.original`.'),
});

type Settings = z.output<typeof settings>;

export const bmcLogsConfig = settings
  .check(z.superRefine((config, context) => checkTogether(config, context), { when: () => true }))
  .transform((config) => ({
    ...config,
    periodic: config.periodic ?? periodic.parse({}),
    sse: config.sse ?? sse.parse({}),
    auto: config.auto ?? auto.parse({}),
    endpoints: config.endpoints.map((one) => ({
      ...one,
      address: new URL(withScheme(one.address)),
      mode: one.mode ?? config.mode,
      auth: one.auth ?? config.auth,
      tls: { insecure: false, insecure_skip_verify: false, ...config.tls, ...one.tls },
    })),
  }));

export type BmcLogsConfig = z.output<typeof bmcLogsConfig>;
export type EndpointConfig = BmcLogsConfig['endpoints'][number];

type Issue = (path: (string | number)[], message: string) => void;

/** Rules over several settings. They run beside type errors, so any part may be missing here. */
function checkTogether(config: Partial<Settings>, context: z.RefinementCtx): void {
  const issue: Issue = (path, message) => context.addIssue({ code: 'custom', path, message });
  const endpoints = Array.isArray(config.endpoints) ? config.endpoints : [];
  checkSections(config, new Set([config.mode ?? 'auto', ...endpoints.flatMap((one) => one?.mode ?? [])]), issue);

  const firstWithName = new Map<string, number>();
  for (const [index, one] of endpoints.entries()) {
    if (typeof one?.name === 'string') {
      const first = firstWithName.get(one.name);
      if (first === undefined) firstWithName.set(one.name, index);
      else issue(['endpoints', index, 'name'], `duplicate endpoint name "${one.name}" (also at endpoints::${first})`);
    }
    if (typeof one?.address === 'string') {
      const mistake = addressMistake(one.address, one.tls?.insecure ?? config.tls?.insecure ?? false);
      if (mistake) issue(['endpoints', index, 'address'], mistake);
    }
  }
}

/** A section that no mode in use reads is a mistake, not something to skip in silence. */
function checkSections(config: Partial<Settings>, inUse: ReadonlySet<ConfiguredMode>, issue: Issue): void {
  if (![...inUse].every((one) => modes.includes(one))) return;
  const readers = { periodic: ['auto', 'periodic'], sse: ['auto', 'sse'], auto: ['auto'] } as const;
  const when = inUse.size === 1 ? `when mode is "${[...inUse][0]}"` : 'when no endpoint uses it';
  for (const [section, readBy] of Object.entries(readers))
    if (config[section as keyof typeof readers] !== undefined && !readBy.some((mode) => inUse.has(mode)))
      issue([section], `"${section}" must not be set ${when}`);
  if (config.periodic === undefined && inUse.has('periodic'))
    issue([], '"periodic" is required when mode is "periodic"');
  const lifetime = config.sse?.min_stream_lifetime ?? sse.parse({}).min_stream_lifetime;
  const trial = config.auto?.trial_lifetime ?? auto.parse({}).trial_lifetime;
  if (inUse.has('auto') && trial < lifetime)
    issue(['auto', 'trial_lifetime'], 'must not be less than sse.min_stream_lifetime');
}

function withScheme(address: string): string {
  return address.includes('://') ? address : `https://${address}`;
}

function addressMistake(address: string, insecure: boolean): string | undefined {
  if (!URL.canParse(withScheme(address))) return 'must be https://host[:port]';
  const url = new URL(withScheme(address));
  if (url.protocol === 'http:' && !insecure) return 'plain http needs tls.insecure: true';
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must be https://host[:port]';
  if (url.port === '0') return 'must not have port 0';
  if (url.username !== '' || url.password !== '') return 'must not contain credentials; use auth';
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') return 'must not have a path or a query';
  return undefined;
}
