import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { RedfishClient } from '../../receivers/bmc-logs/client/redfish-client.ts';
import { bmcLogsConfig } from '../../receivers/bmc-logs/config.ts';
import { DeliveryLane } from '../../receivers/bmc-logs/delivery-lane.ts';
import { resolveEndpoint } from '../../receivers/bmc-logs/endpoint-settings.ts';
import { EndpointState } from '../../receivers/bmc-logs/endpoint-state.ts';
import { EndpointEvents } from '../../receivers/bmc-logs/events.ts';
import { LogReader, type PollOptions } from '../../receivers/bmc-logs/log-reader.ts';
import type { LogService } from '../../receivers/bmc-logs/logs/discovery.ts';
import { JoinLedger } from '../../receivers/bmc-logs/logs/ledger.ts';
import type { EndpointPositions, KnownBefore } from '../../receivers/bmc-logs/logs/positions.ts';
import { ResourceCache } from '../../receivers/bmc-logs/record/resource.ts';
import { StreamReader } from '../../receivers/bmc-logs/stream-reader.ts';
import type { Clock } from '../../src/component/clock.ts';
import { RetryableError } from '../../src/component/errors.ts';
import { testHost } from '../../src/testing/host.ts';

const ADDRESS = new URL('https://10.0.0.1/');

/** Every wait is over in the next turn. */
const instantClock: Clock = {
  now: () => BigInt(Date.parse('2026-11-25T12:00:00Z')) * 1_000_000n,
  monotonic: () => 0,
  sleep: () => new Promise((resolve) => setImmediate(resolve)),
};

export interface BmcReadersOptions {
  /** What the BMC answers; undefined: 404. */
  readonly resource?: (path: string, query: URLSearchParams) => object | undefined;
  /** Of whatever is asked for; answered 304 when the asker has it. Default: none. */
  readonly etag?: () => string;
  /** `initial_history`; default: all. */
  readonly history?: string;
  /** What a former life has stored. Default: there was none. */
  readonly known?: KnownBefore;
  /** Where positions are stored; default: nowhere. */
  readonly positions?: EndpointPositions;
  /** Whether the pipeline refuses this time. */
  readonly refuse?: () => boolean;
}

/** The real readers of one endpoint, with their cursors, ledger and lane, and no sockets. */
export function bmcReaders(options: BmcReadersOptions) {
  const { resource = () => undefined, etag = () => undefined, history = 'all', refuse = () => false } = options;
  const { known, positions } = options;
  const config = bmcLogsConfig.parse({ endpoints: [{ name: 'r1', address: ADDRESS.href }], initial_history: history });
  const endpoint = resolveEndpoint(config.endpoints[0]!, config);
  const received: ReadableLogRecord[] = [];
  const client = {
    async get(link: string, asked?: AbortSignal, { ifNoneMatch }: { readonly ifNoneMatch?: string } = {}) {
      const url = new URL(link, ADDRESS);
      if (ifNoneMatch !== undefined && ifNoneMatch === etag()) return undefined;
      const body = resource(url.pathname, url.searchParams);
      asked?.throwIfAborted();
      if (!body) throw new Error(`404 ${link}`);
      return { url, body: JSON.parse(JSON.stringify(body)), bytes: 0, etag: etag() };
    },
  } as unknown as RedfishClient;
  const { signal } = new AbortController();
  const lane = new DeliveryLane({
    next: {
      async consumeLogs({ records }) {
        if (refuse()) throw new RetryableError('queue_full', 'chaos');
        received.push(...records);
      },
    },
    origin: { receiver: 'test', target: 'r1' },
    labels: {},
    clock: instantClock,
    signal,
    onDelivered: () => {},
  });
  const shared = {
    ...{ config, endpoint, client, lane, clock: instantClock },
    events: new EndpointEvents('r1', testHost().logger, () => {}, false),
    state: known?.state ?? new EndpointState({}, () => {}),
    onCovered: () => {},
    ledger: new JoinLedger(),
    positions,
    resource: new ResourceCache(endpoint),
  };
  for (const [keys, part] of known?.told ?? []) shared.ledger.addTold(keys, part);
  const logs = new LogReader(shared, known?.cursors);
  let losses = 0;
  const stream = new StreamReader({
    ...shared,
    knows: (what) => logs.knows(what),
    offsetMinutes: () => 0,
    signal,
    metrics: undefined,
    onTold: () => {},
    onLoss: () => {
      losses++;
    },
  });
  return { received, logs, stream, losses: () => losses };
}

/** A log service without any promise about queries. */
export function serviceAt(path: string): LogService {
  return {
    ...{ path, entries: `${path}/Entries`, clockAheadNanos: 0n, offsetMinutes: 0 },
    ...{ canFilter: false, canSkip: false, isSel: false },
  };
}

/** A regular poll of these services. */
export function pollOf(services: readonly LogService[], allServices = true): PollOptions {
  const { signal } = new AbortController();
  return { services, allServices, reason: 'periodic', keepForStream: true, signal };
}
