import { isIP } from 'node:net';
import { z } from 'zod';
import {
  bool,
  byteSize,
  duration,
  formatDuration,
  headers,
  intBetween,
  numberBetween,
  oneOf,
  text,
  wordOf,
  wrongType,
} from '../../src/config/schema/values.ts';
import { poolKey, poolName } from './pool-name.ts';
import { ALGORITHMS } from './probe/result.ts';
import { auth, safeUrl } from './settings.ts';
import { verification } from './verification/config.ts';

export const STRATEGIES = ['sample', 'index_sni', 'addresses'] as const;
export type Strategy = (typeof STRATEGIES)[number];

const strategy = () =>
  z.enum(STRATEGIES, {
    error: ({ input }) => `unknown value ${JSON.stringify(input)} (valid values: [${STRATEGIES.join(' ')}])`,
  });

const MAX_DECLARED = 1_000;

/** `ip`, `ip:port` or `[ip]:port`. @returns undefined when it is none of them */
export function parseAddress(value: string): { readonly ip: string; readonly port: number | undefined } | undefined {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^[\]]+?))(?::(\d{1,5}))?$/.exec(value) ?? [];
  const [ip, port] = isIP(value) !== 0 ? [value, undefined] : [bracketed ?? plain ?? '', portText];
  if (isIP(ip) === 0 || Number(port ?? 443) < 1 || Number(port ?? 443) > 65_535) return undefined;
  return { ip, port: port === undefined ? undefined : Number(port) };
}

/** A text that people and URLs can hold: a half of a surrogate pair could only be sent as another character. */
const label = () =>
  text().regex(/^[^\p{Cc}\p{Cs}]{1,256}$/u, { error: 'must be 1 to 256 characters without control characters' });

/** One pool, as it stands in the configuration or in a source. */
export const model = z.strictObject({
  model: label().describe('Name of the model, as the backends know it.'),
  url: text()
    .refine(isPoolUrl, { error: 'must be an https URL without credentials' })
    .describe('Where its backends answer: `https://host[:port]`.'),
  name: label().optional().describe('Name of the pool. Default: `model@host`.'),
  declared: intBetween(1, MAX_DECLARED, 'backends').optional().describe('Backends that there are.'),
  strategy: strategy().optional().describe('Overrides the strategy of the receiver.'),
  addresses: z
    .array(
      text().refine((value) => parseAddress(value) !== undefined, {
        error: 'must be an IP address, with or without a port',
      }),
    )
    .optional()
    .describe('Backends by address, for strategy `addresses`. Default: what the host resolves to.'),
  verification: verification.optional().describe('Overrides the verification of the receiver, as a whole.'),
});
export type ModelSettings = z.output<typeof model>;

function isPoolUrl(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const { protocol, username, password, hash } = new URL(value);
  return protocol === 'https:' && username === '' && password === '' && hash === '';
}

const atLeastASecond = () => duration().refine((ms) => ms >= 1_000, { error: 'must be at least 1s' });

const tls = z.strictObject({
  ca_file: text().optional().describe('PEM file with the authorities to trust. Default: those that Node knows.'),
  min_version: z
    .unknown()
    .transform((value) => (typeof value === 'number' ? value.toFixed(1) : value))
    .pipe(oneOf('1.2', '1.3'))
    .meta({ type: '`1.2`, `1.3`' })
    .prefault('1.2')
    .describe('Oldest TLS version.'),
});

const source = z
  .strictObject({
    file: text().optional().describe('YAML or JSON file with a list of models.'),
    http: z
      .strictObject({
        url: safeUrl().describe('Answers a list of models as JSON.'),
        headers: headers().describe('Headers of the request.'),
        auth: auth().optional().describe('Account for the request.'),
        timeout: duration().prefault('10s').describe('Time for one answer.'),
        tls: tls.optional().describe('TLS of the request.'),
        items: text().prefault('').describe('Path of the list in the answer, with dots. "": the answer is the list.'),
        model: text().prefault('model').describe('Member that names the model.'),
        url_field: text().prefault('url').describe('Member that holds its URL.'),
      })
      .optional()
      .describe('A service that names the models.'),
    interval: atLeastASecond().prefault('5m').describe('Time between two reads.'),
    allow_empty: bool().prefault(false).describe('Whether an empty list after one that was not may be believed.'),
  })
  .check(
    z.superRefine(
      (value, context) => {
        if ((value.file === undefined) === (value.http === undefined))
          context.addIssue({ code: 'custom', message: 'exactly one of "file", "http"' });
      },
      { when: () => true },
    ),
  );
export type SourceSettings = z.output<typeof source>;

const MAX_CALLS = 256;

const round = (defaults: { readonly calls: number; readonly max: number; readonly concurrency: number }) =>
  z.strictObject({
    calls: intBetween(1, MAX_CALLS, 'probes').prefault(defaults.calls).describe('Probes of one round.'),
    max_calls: intBetween(1, MAX_CALLS, 'probes').prefault(defaults.max).describe('Most probes of one cycle.'),
    model_concurrency: intBetween(1, 2_000, 'pools').prefault(defaults.concurrency).describe('Pools at once.'),
    launch_stagger: duration({ positive: false })
      .prefault('200ms')
      .describe('Time between two probes of a round. 0: all at once.'),
  });

/** A whole number within its bounds. */
const whole = (min: number, max: number, unit: string) => {
  const error = `must be between ${min} and ${max}`;
  return z.int({ error }).check(z.gte(min, { error }), z.lte(max, { error })).meta({ type: 'int', unit });
};

/** A number above 0 and below its bound. */
const below = (max: number, unit: string) => {
  const error = `must be between 0 and ${max}`;
  return z.number({ error }).check(z.gt(0, { error }), z.lt(max, { error })).meta({ type: 'float64', unit });
};

const settings = z.strictObject({
  models: z
    .array(model, { error: wrongType('slice') })
    .prefault([])
    .describe('The pools.'),
  sources: z.array(source).prefault([]).describe('Where more pools come from.'),
  max_pools: whole(1, 2_000, 'pools').prefault(200).describe('More are skipped, and counted.'),
  refresh_interval: atLeastASecond().prefault('5m').describe('Time between two cycles of a pool.'),
  initial: round({ calls: 5, max: 20, concurrency: 20 }).prefault({}).describe('Cycles until the first success.'),
  cumulative: round({ calls: 5, max: 10, concurrency: 10 })
    .extend({
      model_stagger: duration({ positive: false })
        .prefault('2s')
        .describe('Distance of the due times of two pools. 0: all at once.'),
    })
    .prefault({})
    .describe('Cycles after it.'),
  sampling: z
    .strictObject({
      adaptive: bool().prefault(true).describe('Rounds go on until nothing more is expected. False: one round.'),
      unseen_mass: below(1, 'ratio').prefault(0.1).describe('Share of the calls that backends without a pin may get.'),
      confidence: below(1, 'ratio').prefault(0.95).describe('How sure that must be.'),
      window: duration().prefault('2h').describe('How long a draw counts.'),
    })
    .prefault({})
    .describe('When a sample is large enough.'),
  call_timeout: duration().prefault('10s').describe('Time for one call, from the connect to the last byte.'),
  connect_timeout: duration().prefault('5s').describe('Time for name, TCP and TLS.'),
  idle_timeout: duration().prefault('10s').describe('Longest silence within a call.'),
  verify_timeout: duration().prefault('45s').describe('Time for the verification of one report.'),
  cycle_timeout: duration().optional().describe('Time for one cycle. Default: 2m, at most `refresh_interval`.'),
  body_limit: byteSize({
    ...{ min: 64 * 1024, minText: 'must be between 64KiB and 16MiB' },
    ...{ max: 16 * 1024 * 1024, maxText: 'must be between 64KiB and 16MiB' },
  })
    .prefault('2MiB')
    .describe('Largest report, on the wire and decoded.'),
  max_inflight_probes: intBetween(1, 256, 'probes').prefault(32).describe('Probes at once, over all pools.'),
  per_host_concurrency: whole(1, 64, 'probes')
    .prefault(5)
    .describe('Probes at once per host of a URL. To one index or address: always 1.'),
  jitter: numberBetween(0, 0.5, 'ratio')
    .prefault(0.1)
    .describe('Share of `refresh_interval` that this process is off the grid. 0: on it.'),
  strategy: strategy()
    .prefault('sample')
    .describe(
      '`sample`: calls to the name. `index_sni`: each backend by its index. `addresses`: each address of the host.',
    ),
  index_sni: z
    .strictObject({
      count_path: text()
        .regex(/^\//, { error: 'must start with "/"' })
        .prefault('/backends/count')
        .describe('Where the proxy tells how many there are.'),
      timeout: duration().prefault('3s').describe('Time for that.'),
      max_backends: intBetween(1, MAX_CALLS, 'backends').prefault(256).describe('More are not asked for.'),
    })
    .prefault({})
    .describe('Enumeration by server name: `<label>-i<N>.<base>`.'),
  request: z
    .strictObject({
      path: text()
        .regex(/^\/[^\s#]*$/, { error: 'must start with "/"' })
        .prefault('/v1/attestation/report')
        .describe('Path of the report.'),
      signing_algos: z
        .array(wordOf(...ALGORITHMS))
        .check(z.minLength(1, { error: 'must not be empty' }))
        .refine((list) => new Set(list).size === list.length, { error: 'must not name one twice' })
        .prefault([...ALGORITHMS])
        .describe('Signing algorithms, asked for in turn.'),
      headers: headers().describe('Headers of the request.'),
      auth: auth().optional().describe('Account for the request.'),
    })
    .prefault({})
    .describe('The call of a probe.'),
  tls: tls.prefault({}).describe('TLS of probes. Chain, name and dates are always checked.'),
  verification: verification.prefault({}).describe('What a report must prove.'),
  pins: z
    .strictObject({
      ttl: duration().prefault('1h').describe('A pin that was not proven for so long goes, while others are left.'),
      max_age: duration().prefault('24h').describe('A pin that was not proven for so long goes in any case.'),
      floor: intBetween(1, MAX_DECLARED, 'pins').prefault(1).describe('Pins that `ttl` and a complete cycle leave.'),
      shared_keys: bool().prefault(false).describe('Several backends may hold one key.'),
      serve_binding: bool().prefault(false).describe('Serves pins of mode `binding`, which no hardware has proven.'),
    })
    .prefault({})
    .describe('How long keys are trusted.'),
  candidates: z
    .strictObject({
      enabled: bool().prefault(true).describe('Whether clients may report keys that they met.'),
      min_interval: duration().prefault('10s').describe('Time between two cycles that look for them.'),
      max: whole(1, 1_024, 'candidates').prefault(64).describe('Most that are looked for at once, per pool.'),
      ttl: duration().prefault('1h').describe('Time after which one is forgotten.'),
    })
    .prefault({})
    .describe('Keys that clients met and nobody proved yet.'),
  stall: z
    .strictObject({
      p: below(0.5, 'ratio').prefault(0.01).describe('Less likely than this is no chance.'),
      min_draws: intBetween(5, 1_000, 'draws').prefault(10).describe('Fewer draws say nothing about the balancer.'),
      cycles: intBetween(1, 1_000, 'cycles')
        .prefault(2)
        .describe('Cycles in a row without success, or with backends missing.'),
    })
    .prefault({})
    .describe('When discovery is said to stand still.'),
  storage: text().optional().describe('Id of a `file_storage` that keeps pins over restarts.'),
  scheduler: text().prefault('scheduler').describe('Id of the scheduler extension that owns the due times.'),
  records: z
    .strictObject({ probes: bool().prefault(false).describe('One DEBUG record per probe in the pipeline, too.') })
    .prefault({})
    .describe('What is sent.'),
  metrics_interval: atLeastASecond().prefault('60s').describe('Time between two collections for the metrics pipeline.'),
});

type Settings = z.output<typeof settings>;

export const attestationConfig = settings
  .check(z.superRefine((config, context) => checkTogether(config, context), { when: () => true }))
  .transform((config) => ({
    ...config,
    cycle_timeout: config.cycle_timeout ?? Math.min(DEFAULT_CYCLE_TIMEOUT_MS, config.refresh_interval),
  }));

export type AttestationConfig = z.output<typeof attestationConfig>;

const DEFAULT_CYCLE_TIMEOUT_MS = 120_000;
/** A pin must survive that many cycles that do not reach its backend. */
const TTL_INTERVALS = 3;

/** Rules over several settings. They run beside type errors, so any part may be missing or wrong here. */
function checkTogether(config: Partial<Settings>, context: z.RefinementCtx): void {
  const issue = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message });
  const ms = (value: unknown, otherwise = 0) => (typeof value === 'number' ? value : otherwise);
  const models = Array.isArray(config.models) ? config.models : [];
  if (models.length === 0 && !(Array.isArray(config.sources) && config.sources.length > 0))
    issue(['models'], 'needs models or sources');
  for (const kind of ['initial', 'cumulative'] as const) {
    const { calls, max_calls } = config[kind] ?? {};
    if (ms(calls) > ms(max_calls, MAX_CALLS)) issue([kind, 'calls'], `must not exceed "max_calls" (${max_calls})`);
  }
  const refresh = ms(config.refresh_interval, 300_000);
  const call = ms(config.call_timeout, 10_000);
  if (ms(config.connect_timeout) >= call)
    issue(['connect_timeout'], `must be below "call_timeout" (${formatDuration(call)})`);
  if (ms(config.idle_timeout) > call)
    issue(['idle_timeout'], `must not exceed "call_timeout" (${formatDuration(call)})`);
  if (ms(config.cycle_timeout) > refresh)
    issue(['cycle_timeout'], `must not exceed "refresh_interval" (${formatDuration(refresh)})`);
  if (ms(config.sampling?.window, Number.POSITIVE_INFINITY) < 2 * refresh)
    issue(['sampling', 'window'], `must be at least 2 x "refresh_interval" (${formatDuration(2 * refresh)})`);
  const { ttl, max_age } = config.pins ?? {};
  if (ms(ttl, Number.POSITIVE_INFINITY) < TTL_INTERVALS * refresh)
    issue(['pins', 'ttl'], `must be at least 3 x "refresh_interval" (${formatDuration(TTL_INTERVALS * refresh)})`);
  if (ms(ttl) >= ms(max_age, Number.POSITIVE_INFINITY))
    issue(['pins', 'ttl'], `must be below "max_age" (${formatDuration(ms(max_age))})`);
  const firstOf = new Map<string, number>();
  const firstWith = new Map<string, number>();
  for (const [index, one] of models.entries()) {
    if (typeof one?.url !== 'string' || !isPoolUrl(one.url)) continue;
    if ((one.strategy ?? config.strategy) === 'index_sni' && !hasBase(one.url))
      issue(['models', index, 'url'], '"index_sni" needs a name with at least 3 labels');
    const name = poolName(one as ModelSettings);
    const first = firstOf.get(name);
    if (first === undefined) firstOf.set(name, index);
    else issue(['models', index, 'name'], `duplicate pool name "${name}" (also at models::${first})`);
    const twin = firstWith.get(poolKey(one as ModelSettings));
    if (twin === undefined) firstWith.set(poolKey(one as ModelSettings), index);
    else if (twin !== first) issue(['models', index], `same model and url as models::${twin}: that is one pool`);
  }
}

/** Whether each backend can have a name of its own beside the pool's: the base must be a name of two labels or more. */
export function hasBase(url: string): boolean {
  const { hostname } = new URL(url);
  return (
    isIP(hostname.replace(/^\[|\]$/g, '')) === 0 && hostname.split('.').filter((label) => label !== '').length >= 3
  );
}
