import { z } from 'zod';
import { parseDuration } from '../../src/config/schema/duration.ts';
import {
  bool,
  count,
  duration,
  headers,
  httpUrl,
  numberBetween,
  oneOf,
  positiveInt,
  text,
  wrongType,
} from '../../src/config/schema/values.ts';
import { addressMistake, auth, type ConfiguredMode, endpoint, MODES, mode, tls } from './endpoint-settings.ts';

const periodic = z.strictObject({
  logs_collection_interval: duration().prefault('5m').describe('Time between two reads of the logs of one BMC.'),
  state_refresh_interval: duration()
    .prefault('30m')
    .describe('Time after which services and capabilities are read anew.'),
  full_read_interval: duration()
    .prefault('6h')
    .describe('Time after which a long log is read whole, without ETag, `$filter`, `$skip` or an early stop.'),
  logs_state_file: text()
    .optional()
    .describe('Path of a file with the last Ids, for tools that read such files: imported once, then kept up to date.'),
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
    filter: text()
      .regex(/^[^\r\n\0]*$/, { error: 'must not contain line breaks or NUL' })
      .prefault('')
      .describe('`$filter` for the stream.'),
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
    sse_not_available_threshold: positiveInt('answers')
      .prefault(1)
      .describe('Answers in a row that say "no event stream here" before polling takes over.'),
    connect_failure_window: duration().prefault('5m').describe('Length of the sliding window in which failures count.'),
    connect_failure_threshold: positiveInt('failures')
      .prefault(5)
      .describe('Failures in one window before polling takes over.'),
    sse_retry_interval: duration({ positive: false })
      .prefault('30m')
      .describe('Time after which a stream is tried again next to polling; doubles per failed trial. 0: never.'),
    sse_retry_max_interval: duration({ positive: false })
      .prefault('6h')
      .describe('Longest time between two trials. 0: only beside a `sse_retry_interval` of 0.'),
    trial_lifetime: duration().prefault('1m').describe('A trial stream that lived this long ends polling.'),
    persist_downgrade: bool()
      .prefault(true)
      .describe('A restart goes on polling where polling had taken over. Needs `storage`.'),
    fleet_guard_ratio: numberBetween(0, 1, 'ratio')
      .check(z.gt(0, { error: 'must be greater than 0' }))
      .prefault(0.5)
      .describe('When more than this share of the endpoints fails at once, no endpoint is blamed. 1: off.'),
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

const rateLimit = z.strictObject({
  bucket_burst: positiveInt('requests').prefault(100).describe('Requests that may leave at once.'),
  bucket_replenish: duration().prefault('30ms').describe('Time after which one more may leave.'),
  max_jitter: duration({ positive: false })
    .prefault('50ms')
    .describe('Largest random wait before each request. 0: none.'),
});

const LEAST_DISCOVERY_INTERVAL_MS = 5_000;

const httpDiscovery = z.strictObject({
  url: httpUrl().describe('Answers a list of Prometheus http_sd groups.'),
  interval: duration()
    .refine((ms) => ms >= LEAST_DISCOVERY_INTERVAL_MS, { error: 'must be at least 5s' })
    .prefault('1m')
    .describe('Time between two requests.'),
  headers: headers().describe('Headers of the request.'),
  auth: auth.optional().describe('Account for the request.'),
  tls: tls.optional().describe('TLS of the request.'),
});

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
    .array(endpoint, { error: wrongType('slice') })
    .prefault([])
    .describe('The BMCs.'),
  endpoint_files: z
    .array(text())
    .prefault([])
    .describe('Files, or globs, of YAML or JSON that hold lists of endpoints. Read again when they change.'),
  http_discovery: z.array(httpDiscovery).prefault([]).describe('Services that name endpoints.'),
  shard: count('index').prefault(0).describe('Which part of the endpoints this agent reads; counted from 0.'),
  shards_count: positiveInt('agents').prefault(1).describe('Number of agents that share the endpoints.'),
  auth: auth.optional().describe('Account for endpoints that name none.'),
  tls: tls.optional().describe('TLS settings for endpoints that name none.'),
  proxy_url: endpoint.shape.proxy_url.describe('Gateway for endpoints that name none.'),
  rate_limit: rateLimit.optional().describe('Limits the requests to all BMCs together. Absent: no limit.'),
  bmc_request_concurrency: positiveInt('requests')
    .prefault(4)
    .describe('Requests in flight per BMC, an open stream not counted.'),
  max_handshakes: positiveInt('handshakes').prefault(256).describe('TCP and TLS set-ups in flight over all BMCs.'),
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
  dedupe_across_logs: bool().prefault(true).describe('An entry that two logs of one BMC hold is sent once.'),
  include_oem: bool().prefault(true).describe('Carry vendor extensions as `redfish.oem`.'),
  include_original: bool().prefault(false).describe('Carry the whole JSON as `log.record.original`.'),
  per_endpoint_metrics: bool()
    .prefault(false)
    .describe('Metrics of the receiver name their endpoint: many more series.'),
});

type Settings = z.output<typeof settings>;

export const bmcLogsConfig = settings
  .check(z.superRefine((config, context) => checkTogether(config, context), { when: () => true }))
  .transform((config) => ({
    ...config,
    periodic: config.periodic ?? periodic.parse({}),
    sse: config.sse ?? sse.parse({}),
    auto: config.auto ?? auto.parse({}),
  }));

export type BmcLogsConfig = z.output<typeof bmcLogsConfig>;

type Issue = (path: (string | number)[], message: string) => void;

/** Rules over several settings. They run beside type errors, so any part may be missing here. */
function checkTogether(config: Partial<Settings>, context: z.RefinementCtx): void {
  const issue: Issue = (path, message) => context.addIssue({ code: 'custom', path, message });
  const endpoints = Array.isArray(config.endpoints) ? config.endpoints : [];
  const sources = [endpoints, config.endpoint_files, config.http_discovery];
  if (sources.every((source) => source === undefined || (Array.isArray(source) && source.length === 0)))
    issue(['endpoints'], 'needs endpoints, endpoint_files or http_discovery');
  if (Number(config.shard) >= Number(config.shards_count)) issue(['shard'], 'shard must be less than shards_count');
  const stateFile = config.periodic?.logs_state_file;
  const several = endpoints.length > 1 || sources.slice(1).some((source) => Array.isArray(source) && source.length > 0);
  if (typeof stateFile === 'string' && several && !stateFile.includes('{machine_id}'))
    issue(['periodic', 'logs_state_file'], 'must contain {machine_id}');
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
  if (![...inUse].every((one) => MODES.includes(one))) return;
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
