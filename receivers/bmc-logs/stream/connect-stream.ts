import type { Client } from 'undici';
import type { Clock } from '../../../src/component/clock.ts';
import { type ConnectOutcome, mayBlameFilter } from '../classify-connect.ts';
import type { Headers } from '../client/credentials.ts';
import { MAX_REDIRECTS, type RedfishClient } from '../client/redfish-client.ts';
import type { RequestLimiter } from '../client/request-limiter.ts';
import type { BmcLogsConfig } from '../config.ts';
import type { EndpointConfig } from '../endpoint-settings.ts';
import { type EventStream, openStream } from './event-stream.ts';

export interface ConnectStreamOptions {
  readonly endpoint: EndpointConfig;
  readonly settings: BmcLogsConfig['sse'];
  readonly client: RedfishClient;
  readonly limiter: RequestLimiter;
  readonly clock: Clock;
  /** Where the last stream ended. */
  readonly lastEventId: string | undefined;
  /** Called when the BMC wishes for a pause before reconnects; milliseconds. */
  readonly onRetry: (ms: number) => void;
  /** Called with every chunk. */
  readonly onBytes: () => void;
  /** Ends the attempt, and the stream. */
  readonly signal: AbortSignal;
}

/**
 * One attempt to stream from a URI that a BMC gave: with the filter, and without it where the answer may be about the filter.
 * @throws OutbandError when the link leads elsewhere, or the account may not be used
 */
export async function connectStream(uri: string, options: ConnectStreamOptions): Promise<EventStream | ConnectOutcome> {
  const { client, settings } = options;
  const opened = await openAt(withFilter(client.resolve(uri), settings.filter), options);
  const isFilterToBlame = settings.filter !== '' && 'kind' in opened && mayBlameFilter(opened);
  return isFilterToBlame ? await openAt(client.resolve(uri), options) : opened;
}

async function openAt(first: URL, options: ConnectStreamOptions): Promise<EventStream | ConnectOutcome> {
  const { client, signal, limiter } = options;
  let url = first;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    await limiter.pass(signal);
    const { opened } = await client.credentials.prove(signal, async (proof) => {
      const answer = await request(url, proof, options);
      return { status: statusOf(answer), opened: answer };
    });
    if (!('location' in opened)) return opened;
    url = client.resolve(opened.location, url);
  }
  return { kind: 'failure', type: 'http_4xx', why: 'the stream URI redirects without end' };
}

async function request(url: URL, proof: Headers, options: ConnectStreamOptions): ReturnType<typeof openStream> {
  const { settings, client: redfish, signal } = options;
  const open = (client: Client) =>
    openStream({
      ...options,
      ...{ client, url, proof },
      headerTimeoutMs: settings.header_timeout,
      idleTimeoutMs: settings.idle_timeout,
    });
  const { client, isReused } = redfish.handOver();
  const answer = await open(client);
  // A connection that the BMC closed while it was idle says nothing about the BMC: once more on a new one.
  const isStale = isReused && 'kind' in answer && answer.kind === 'failure' && answer.type === 'refused';
  if (!isStale || signal.aborted) return answer;
  redfish.releaseIdle();
  return open(redfish.handOver().client);
}

/** HTTP status of an attempt; 0 when there was no answer. */
function statusOf(answer: Awaited<ReturnType<typeof openStream>>): number {
  if ('location' in answer) return 307;
  if (!('kind' in answer)) return 200;
  return answer.kind === 'not_sent' ? 0 : (answer.status ?? 0);
}

function withFilter(url: URL, filter: string): URL {
  if (filter === '') return url;
  const filtered = new URL(url);
  filtered.search = `${url.search === '' ? '?' : `${url.search}&`}$filter=${encodeURIComponent(filter)}`;
  return filtered;
}
