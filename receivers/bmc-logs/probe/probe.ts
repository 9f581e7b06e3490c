import type { buildConnector } from 'undici';
import { stringify } from 'yaml';
import { aborted } from '../../../src/component/aborted.ts';
import { deadline } from '../../../src/component/deadline.ts';
import { OutbandError } from '../../../src/component/errors.ts';
import type { Finding, ProbeOptions } from '../../../src/component/factory.ts';
import { formatDuration } from '../../../src/config/schema/values.ts';
import { Semaphore } from '../../../src/resilience/semaphore.ts';
import { type ConnectOutcome, classifyError } from '../classify-connect.ts';
import { createConnector } from '../client/connector.ts';
import { RedfishClient } from '../client/redfish-client.ts';
import { RequestLimiter } from '../client/request-limiter.ts';
import { TlsContexts } from '../client/tls.ts';
import { type BmcLogsConfig, bmcLogsConfig } from '../config.ts';
import { type EndpointConfig, resolveEndpoint } from '../endpoint-settings.ts';
import { EndpointState } from '../endpoint-state.ts';
import { isObject, type JsonObject, linkOf, textOf } from '../json.ts';
import { discoverLogs, eventStreamOf, readRoot } from '../logs/discovery.ts';
import { ModeMachine } from '../mode-machine.ts';
import { connectStream } from '../stream/connect-stream.ts';
import { explained } from './explained.ts';
import { lookAtLog } from './look-at-log.ts';
import { lookAtTls } from './look-at-tls.ts';

const TRIAL_MS = 5_000;
const GOODBYE_MS = 2_000;

interface Bmc {
  readonly options: ProbeOptions;
  readonly config: BmcLogsConfig;
  readonly endpoint: EndpointConfig;
  readonly client: RedfishClient;
  readonly limiter: RequestLimiter;
}

/**
 * Tells of one BMC what the receiver would make of it, in the order in which it would find out. The account is used once, with
 * one session at most, which is ended; after a refused login nothing more is asked.
 */
export async function* probe(options: ProbeOptions): AsyncGenerator<Finding> {
  const { clock, signal } = options;
  const config = configOf(options);
  const endpoint = resolveEndpoint(config.endpoints[0]!, config);
  // Its end needs connections even when the probe was cut off.
  const open = new AbortController();
  const connector = createConnector({
    tls: await new TlsContexts().optionsFor(endpoint.tls),
    pins: endpoint.tls.spki_sha256 ?? [],
    connectTimeoutMs: config.sse.connect_timeout,
    handshakes: new Semaphore(1),
    clock,
    signal: () => open.signal,
  });
  const limiter = new RequestLimiter(undefined, clock, () => 0);
  const client = new RedfishClient({
    ...{ endpoint, connector, limiter, clock },
    credentials: {
      account: async () => ({ kind: 'password', ...options.account! }),
      state: new EndpointState({}, () => {}),
      onHold: () => {},
      onLifted: () => {},
    },
    concurrency: 1,
    requestTimeoutMs: config.request_timeout,
    bodyIdleTimeoutMs: config.body_idle_timeout,
    onRequest: () => {},
    onRefusedLink: () => {},
  });
  const told = new Set<string>();
  let failed: string | undefined;
  try {
    for await (const finding of findings({ options, config, endpoint, client, limiter, connector })) {
      told.add(finding.topic);
      if (finding.verdict === 'fail') failed ??= finding.topic;
      yield finding;
    }
    signal.throwIfAborted();
    for (const topic of TOPICS.filter((one) => !told.has(one)))
      yield { topic, verdict: 'warn', text: `not looked at: ${failed} failed` };
    const text = failed === undefined ? 'to paste into a configuration' : `to paste once ${failed} is in order`;
    yield { topic: 'config', verdict: failed === undefined ? 'ok' : 'warn', text, block: blockOf(options, endpoint) };
  } finally {
    using goodbye = deadline(clock, GOODBYE_MS, 'the end of the session');
    await client.close(goodbye.signal);
    open.abort(new OutbandError('shutting_down', 'the probe is over'));
  }
}

/** What is told of every BMC, in this order. */
const TOPICS = ['tls', 'root', 'auth', 'events', 'stream', 'mode', 'logs'];

async function* findings(bmc: Bmc & { readonly connector: buildConnector.connector }): AsyncGenerator<Finding> {
  const { clock, signal } = bmc.options;
  const tls = await lookAtTls(bmc.endpoint, bmc.connector, clock, signal);
  yield tls;
  if (tls.verdict !== 'fail') yield* lookAtRedfish(bmc);
}

async function* lookAtRedfish(bmc: Bmc): AsyncGenerator<Finding> {
  const { client, options } = bmc;
  const { signal } = options;
  let root: JsonObject;
  try {
    root = await readRoot(client, signal);
  } catch (error) {
    signal.throwIfAborted();
    return yield { topic: 'root', verdict: 'fail', text: explained(error) };
  }
  yield aboutRoot(root);
  const auth = await lookAtAuth(bmc, root);
  yield auth;
  if (auth.verdict === 'fail') return;
  yield* lookAtStream(bmc, root);
  yield* lookAtLogs(bmc, root);
}

function aboutRoot(root: JsonObject): Finding {
  const { RedfishVersion, Vendor, Product, Oem } = root;
  const oem = isObject(Oem) ? Object.keys(Oem) : [];
  const details = { redfishVersion: textOf(RedfishVersion), vendor: textOf(Vendor), product: textOf(Product), oem };
  const { redfishVersion, vendor, product } = details;
  const parts = [
    `Redfish ${redfishVersion ?? 'of an untold version'}`,
    vendor ?? 'no vendor told',
    product,
    oem.length > 0 && `Oem: ${oem.join(', ')}`,
  ];
  return { topic: 'root', verdict: 'ok', text: parts.filter(Boolean).join('; '), details };
}

async function lookAtAuth({ client, options: { account, signal } }: Bmc, root: JsonObject): Promise<Finding> {
  const finding = (verdict: Finding['verdict'], text: string, details = {}): Finding => ({
    ...{ topic: 'auth', verdict, text, details },
  });
  if (!account) return finding('warn', 'no account given; give --username for what needs one');
  let body: JsonObject = {};
  try {
    ({ body } = await client.get(linkOf(root.SessionService) ?? linkOf(root.Managers), signal));
  } catch (error) {
    signal.throwIfAborted();
    // Who may not read it may still be who it claims to be.
    if (client.credentials.kind === undefined) return finding('fail', explained(error));
  }
  if (client.credentials.kind !== 'session') return finding('ok', 'HTTP Basic', { kind: 'basic' });
  const { SessionTimeout: timeoutSeconds } = body;
  const ends = typeof timeoutSeconds === 'number' ? `; it ends after ${timeoutSeconds} s without a request` : '';
  return finding('ok', `a session${ends}`, { kind: 'session', timeoutSeconds });
}

/** The topics `events`, `stream` and `mode`: what the BMC says, what it does, and what the receiver makes of it. */
async function* lookAtStream(bmc: Bmc, root: JsonObject): AsyncGenerator<Finding> {
  const { client, config, options } = bmc;
  const { signal, withStream } = options;
  const link = linkOf(root.EventService);
  let outcome: ConnectOutcome | undefined;
  try {
    const body = link === undefined ? undefined : (await client.get(link, signal)).body;
    const capability = body ? eventStreamOf(body) : { unsupported: 'no EventService' };
    yield aboutEvents(body, capability);
    if ('unsupported' in capability) {
      yield { topic: 'stream', verdict: 'warn', text: `not tried: ${capability.unsupported}` };
      outcome = { kind: 'unsupported', why: capability.unsupported };
    } else if (!withStream) {
      yield { topic: 'stream', verdict: 'ok', text: 'not tried, as asked' };
      return yield { topic: 'mode', verdict: 'ok', text: `auto would try to stream from ${capability.uri}` };
    } else {
      const tried = await tryStream(bmc, capability.uri);
      yield tried.finding;
      outcome = tried.outcome;
    }
  } catch (error) {
    signal.throwIfAborted();
    yield { topic: 'events', verdict: 'warn', text: explained(error) };
    yield { topic: 'stream', verdict: 'warn', text: 'not tried: the EventService cannot be read' };
    outcome = classifyError(error);
  }
  yield aboutMode(config, outcome);
}

function aboutEvents(body: JsonObject | undefined, capability: ReturnType<typeof eventStreamOf>): Finding {
  const uri = textOf(body?.ServerSentEventUri);
  const properties = isObject(body?.SSEFilterPropertiesSupported) ? body.SSEFilterPropertiesSupported : {};
  const filters = Object.keys(properties).filter((name) => properties[name] === true);
  const details = { serverSentEventUri: uri, filters };
  const isOffered = 'uri' in capability;
  const state = isOffered ? `streams from ${uri}` : capability.unsupported;
  const although = !isOffered && uri !== undefined ? `, although ServerSentEventUri is ${uri}` : '';
  const filtered = isOffered && filters.length > 0 ? `; filters: ${filters.join(', ')}` : '';
  return { topic: 'events', verdict: isOffered ? 'ok' : 'warn', text: `${state}${although}${filtered}`, details };
}

interface Tried {
  readonly finding: Finding;
  /** Undefined: it opened. */
  readonly outcome: ConnectOutcome | undefined;
}

async function tryStream({ options, config, endpoint, client, limiter }: Bmc, uri: string): Promise<Tried> {
  const { clock, signal } = options;
  using limit = deadline(clock, TRIAL_MS, 'the trial', signal);
  const started = clock.monotonic();
  const seconds = () => `${Math.round(clock.monotonic() - started) / 1_000} s`;
  const heard = new AbortController();
  const stream = await connectStream(uri, {
    ...{ endpoint, client, limiter, clock, settings: config.sse, lastEventId: undefined, signal: limit.signal },
    onRetry: () => {},
    onBytes: () => heard.abort(),
  }).catch(classifyError);
  signal.throwIfAborted();
  const finding = (verdict: Finding['verdict'], text: string) => ({ topic: 'stream', verdict, text });
  if ('kind' in stream) {
    const why = limit.signal.aborted ? `no answer within ${TRIAL_MS / 1_000} s` : stream.why;
    return { finding: finding('warn', why), outcome: { ...stream, why } };
  }
  await Promise.race([aborted(heard.signal), aborted(stream.ended)]);
  signal.throwIfAborted();
  const isClosed = stream.ended.aborted && !limit.signal.aborted && !heard.signal.aborted;
  stream.close();
  const opened = '200, text/event-stream';
  if (isClosed)
    return { finding: finding('warn', `${opened}; the BMC closed it after ${seconds()}`), outcome: undefined };
  const told = heard.signal.aborted ? `first bytes after ${seconds()}` : `silent for ${TRIAL_MS / 1_000} s`;
  return { finding: finding('ok', `${opened}; ${told}`), outcome: undefined };
}

/** By the receiver's own machine: what mode `auto` does after this one attempt. */
function aboutMode(config: BmcLogsConfig, outcome: ConnectOutcome | undefined): Finding {
  const { sse, auto } = config;
  const machine = new ModeMachine({ mode: 'auto', sse, auto });
  machine.attempted(0);
  if (outcome) machine.refused(0, outcome);
  else machine.opened(0);
  const { mode } = machine;
  const finding = (text: string, details: { readonly mode: string; readonly reason?: string }): Finding => ({
    ...{ topic: 'mode', verdict: outcome ? 'warn' : 'ok', text, details },
  });
  if (mode.kind === 'streaming') return finding('auto streams', { mode: 'sse' });
  const why = outcome?.why ?? '';
  if (mode.kind === 'polling')
    return finding(`auto polls: ${why} (${mode.reason})`, { mode: 'poll', reason: mode.reason });
  const { connect_failure_threshold: most, connect_failure_window: window } = auto;
  const until = `polling takes over after ${most} failures within ${formatDuration(window)}`;
  return finding(`auto goes on trying to stream, and ${until}: ${why}`, { mode: 'undecided' });
}

async function* lookAtLogs({ client, config, options: { clock, signal } }: Bmc, root: JsonObject) {
  const nowNanos = () => clock.now();
  const { services, failures } = await discoverLogs({ client, root, exclude: [], previous: [], nowNanos, signal });
  for (const { path, error } of failures)
    yield { topic: 'logs', verdict: 'warn', text: `${path}: ${explained(error)}` } as const;
  if (services.length === 0) yield { topic: 'logs', verdict: 'fail', text: 'no log service was found' } as const;
  for (const service of services) {
    const isExcluded = config.exclude_services.some((part) => service.path.includes(part));
    yield await lookAtLog(service, isExcluded, { client, clock, signal });
  }
}

/** @throws OutbandError `config_value` */
function configOf({ address, account, tls, withSession }: ProbeOptions): BmcLogsConfig {
  const auth = account && { mode: withSession ? 'auto' : 'basic', username: account.username, password: 'given' };
  const insecure = address.startsWith('http://') ? { insecure: true } : {};
  const read = bmcLogsConfig.safeParse({ endpoints: [{ name: 'probe', address, tls: { ...tls, ...insecure }, auth }] });
  if (read.success) return read.data;
  const mistakes = read.error.issues.map(({ path, message }) => `${path.slice(2).join('::')} ${message}`);
  throw new OutbandError('config_value', mistakes.join('; '));
}

/** What to put into a configuration. */
function blockOf({ account, tls }: ProbeOptions, { address }: EndpointConfig): string {
  const trust = address.protocol === 'http:' ? { insecure: true } : tls;
  const name = address.hostname.replace(/^\[|\]$/g, '');
  return stringify({
    receivers: {
      bmc_logs: {
        endpoints: [{ name, address: address.origin }],
        ...(account && { auth: { username: account.username, password: '${env:BMC_PASSWORD}' } }),
        ...(Object.keys(trust).length > 0 && { tls: trust }),
      },
    },
  }).trimEnd();
}
