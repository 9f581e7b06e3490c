import { STATUS_CODES } from 'node:http';
import type { Page, PageAnswer, PageRequest } from '../../src/component/page.ts';
import { publicMessage } from '../../src/component/public-message.ts';
import { formatDuration } from '../../src/config/schema/values.ts';
import type { Endpoint } from './endpoint.ts';
import type { Incident } from './fleet-guard.ts';

const MAX_LIMIT = 1_000;
const DEFAULT_LIMIT = 100;
const MODES = ['connecting', 'streaming', 'held', 'polling', 'trial'] as const;

/** What the pages show. */
export interface Fleet {
  readonly receiver: string;
  /** In which failures count; milliseconds. */
  readonly window: number;
  endpoints(): ReadonlyMap<string, Endpoint>;
  /** Endpoints that other shards read. */
  foreign(): number;
  incident(): Incident | undefined;
  /** When it is over, if nothing else happens; monotonic milliseconds. */
  incidentOverAt(): number | undefined;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Monotonic milliseconds. */
  monotonic(): number;
  onRetry(name: string, caller: PageRequest['caller']): void;
}

/** `GET /api/monitoring/bmc`, `GET …/bmc/{name}` and `POST …/bmc/{name}/retry-sse`. */
export function bmcPages(fleet: Fleet): Page[] {
  return [
    { method: 'GET', path: '/api/monitoring/bmc', handle: ({ query }) => list(fleet, query) },
    {
      method: 'GET',
      path: '/api/monitoring/bmc/:name',
      handle: ({ params }) => {
        const endpoint = fleet.endpoints().get(params.name!);
        return endpoint ? { status: 200, body: itemOf(endpoint, fleet) } : unknown(params.name!);
      },
    },
    {
      method: 'POST',
      path: '/api/monitoring/bmc/:name/retry-sse',
      commands: true,
      handle: ({ params, caller }) => retry(fleet, params.name!, caller),
    },
  ];
}

function retry(fleet: Fleet, name: string, caller: PageRequest['caller']): PageAnswer {
  const endpoint = fleet.endpoints().get(name);
  if (!endpoint) return unknown(name);
  const answer = endpoint.retryStream();
  if ('due' in answer) {
    fleet.onRetry(name, caller);
    return { status: 202, body: { name, due: answer.due } };
  }
  if (answer.refused !== 'too_soon') return problem(409, answer.refused, REFUSALS[answer.refused]);
  return { ...problem(429, 'too_soon', 'the last request was less than 10 s ago'), headers: { 'retry-after': '10' } };
}

const REFUSALS = {
  mode_periodic: 'its mode is `periodic`: it is never asked for a stream',
  already_streaming: 'it has a stream',
  auth_hold: 'its account is on hold after rejected logins; correct it first',
} as const;

function unknown(name: string): PageAnswer {
  return problem(404, 'endpoint_unknown', `no endpoint ${publicMessage(name)}`);
}

function problem(status: number, code: string, detail: string): PageAnswer {
  return {
    status,
    body: { type: `urn:outband:problem:${code}`, title: STATUS_CODES[status], status, detail, code },
    headers: { 'content-type': 'application/problem+json' },
  };
}

function list(fleet: Fleet, query: URLSearchParams): PageAnswer {
  const limitText = query.get('limit') ?? String(DEFAULT_LIMIT);
  const limit = Number(limitText);
  if (!/^\d{1,4}$/.test(limitText) || limit < 1 || limit > MAX_LIMIT)
    return problem(400, 'query_invalid', `limit must be between 1 and ${MAX_LIMIT}`);
  const wantedMode = query.get('mode');
  if (wantedMode !== null && !MODES.some((mode) => mode === wantedMode))
    return problem(400, 'query_invalid', `mode must be one of ${MODES.join(', ')}`);
  const all = [...fleet.endpoints().values()].sort((a, b) => (a.config.name < b.config.name ? -1 : 1));
  const byMode: Record<string, number> = Object.fromEntries(MODES.map((mode) => [mode, 0]));
  for (const endpoint of all) byMode[shownMode(endpoint)]!++;
  const [mode, reason, prefix, after] = ['mode', 'reason', 'name', 'after'].map((name) => query.get(name));
  const wanted = all.filter(
    (endpoint) =>
      (mode === null || shownMode(endpoint) === mode) &&
      (reason === null || reasonOf(endpoint) === reason) &&
      (prefix === null || endpoint.config.name.startsWith(prefix!)) &&
      (after === null || endpoint.config.name > after!),
  );
  const page = wanted.slice(0, limit);
  const incident = fleet.incident();
  return {
    status: 200,
    body: {
      updatedAt: iso(fleet.now()),
      receiver: fleet.receiver,
      endpoints: all.length,
      foreign: fleet.foreign(),
      incident: incident
        ? {
            since: isoOf(incident.since, fleet),
            share: Math.round(incident.share * 1_000) / 1_000,
            held: byMode.held,
            until: isoOf(fleet.incidentOverAt() ?? fleet.monotonic(), fleet),
          }
        : null,
      byMode,
      items: page.map((endpoint) => itemOf(endpoint, fleet)),
      next: wanted.length > limit ? page.at(-1)!.config.name : null,
    },
  };
}

/** One endpoint, always with all fields; what is not known is null. */
function itemOf(endpoint: Endpoint, fleet: Fleet) {
  const { config, mode, status } = endpoint;
  const { machine, facts, loop, lastPoll, credentials } = status;
  const epoch = (monotonic: number | undefined) => (monotonic === undefined ? null : isoOf(monotonic, fleet));
  const stream = loop?.view;
  const budget = machine.budget(fleet.monotonic());
  const nextTrial = mode.kind === 'polling' ? loop?.attemptAtMs : undefined;
  return {
    name: config.name,
    address: config.address.origin,
    vendor: shown(facts.vendor),
    labels: config.labels,
    mode: shownMode(endpoint),
    configuredMode: config.mode,
    reason: reasonOf(endpoint),
    since: epoch(mode.since),
    transitions: status.transitions,
    coverage: status.uncovered.size > 0 ? 'partial' : status.covered.length > 0 ? 'full' : 'unknown',
    lastError: loop?.lastError ? publicMessage(loop.lastError) : null,
    lastEvent: status.lastEvent ?? null,
    lastPoll: lastPoll
      ? {
          at: lastPoll.at,
          outcome: lastPoll.outcome,
          durationMs: Math.round(lastPoll.durationMs),
          error: lastPoll.error === undefined ? null : publicMessage(lastPoll.error),
        }
      : null,
    stream: {
      openedAt: stream ? iso(Number(stream.openedAtNanos / 1_000_000n)) : null,
      bytes: stream?.bytes ?? null,
      events: stream?.events ?? null,
      lastByteAt: stream && stream.bytes > 0 ? epoch(stream.lastByteAt) : null,
      lastEventId: shown(stream?.lastEventId),
    },
    budget: { failures: budget.failures, window: formatDuration(fleet.window), firstAt: epoch(budget.firstAt) },
    nextTrial: epoch(nextTrial),
    failedTrials: machine.failedTrials,
    firmware: shown(facts.firmwareVersion),
    auth: {
      mode: credentials?.kind ?? null,
      holdUntil: credentials?.holdUntilMs === undefined ? null : iso(credentials.holdUntilMs),
    },
    services: status.services.map((service) => ({ ...service, uri: publicMessage(service.uri) })),
    counters: status.counters,
  };
}

/** Mode `periodic` is polling without a reason. */
function shownMode({ mode }: Endpoint): (typeof MODES)[number] {
  return mode.kind === 'periodic' ? 'polling' : mode.kind;
}

function reasonOf({ mode }: Endpoint): string | null {
  return 'reason' in mode ? mode.reason : null;
}

/** What a BMC said, as people may see it. */
function shown(text: string | undefined): string | null {
  return text === undefined ? null : publicMessage(text);
}

/** Two looks at one moment must not differ by what two clocks differ. */
const MOMENT_MS = 10;

function isoOf(monotonic: number, fleet: Fleet): string {
  const offset = Math.round((fleet.now() - fleet.monotonic()) / MOMENT_MS) * MOMENT_MS;
  return iso(Math.round(monotonic) + offset);
}

function iso(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
