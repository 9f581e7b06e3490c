import { rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { stringify } from 'yaml';
import type { SimulatedBmc } from './bmc.ts';
import type { BmcFleet } from './fleet.ts';

/** One group of a Prometheus http_sd list. */
export interface TargetGroup {
  readonly targets: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** What the discovery answers: a status, a list, or both as wanted; a text body is sent as it is. */
export type DiscoveryAnswer =
  | number
  | readonly unknown[]
  | { readonly status?: number; readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> };

export interface Discovery {
  readonly url: string;
  /** Requests so far. */
  readonly requests: number;
  /** Headers of the last request. */
  readonly lastHeaders: Readonly<Record<string, unknown>>;
  /** From now on. */
  answer(answer: DiscoveryAnswer): void;
  close(): Promise<void>;
}

/** Starts an http_sd endpoint; it knows no target until told. */
export async function startDiscovery(first: DiscoveryAnswer = []): Promise<Discovery> {
  let scripted = first;
  let requests = 0;
  let lastHeaders: Readonly<Record<string, unknown>> = {};
  const server = createServer((request, response) => {
    requests++;
    lastHeaders = request.headers;
    request.resume();
    const { status = 200, body = [], headers } = inFull(scripted);
    response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/targets`,
    get requests() {
      return requests;
    },
    get lastHeaders() {
      return lastHeaders;
    },
    answer: (answer) => {
      scripted = answer;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function inFull(answer: DiscoveryAnswer): Exclude<DiscoveryAnswer, number | readonly unknown[]> {
  if (typeof answer === 'number') return { status: answer };
  return Array.isArray(answer) ? { body: answer } : (answer as ReturnType<typeof inFull>);
}

/** The http_sd list of a fleet, with the names that its BMCs have elsewhere. */
export function fleetTargets(fleet: Pick<BmcFleet, 'bmcs'>): TargetGroup[] {
  return fleet.bmcs.map(({ name, address }) => {
    const { host, protocol } = new URL(address);
    return { targets: [host], labels: { __name: name, __scheme: protocol.slice(0, -1) } };
  });
}

export interface EndpointsFileOptions {
  /** Default: the whole fleet. */
  readonly bmcs?: readonly SimulatedBmc[];
  /** More fields of an endpoint, such as labels or auth. */
  readonly fields?: (bmc: SimulatedBmc, index: number) => object;
}

/** Writes a YAML list of endpoints; a reader never sees half of it. */
export async function writeEndpointsFile(
  path: string,
  fleet: Pick<BmcFleet, 'bmcs'>,
  { bmcs = fleet.bmcs, fields }: EndpointsFileOptions = {},
): Promise<void> {
  const endpoints = bmcs.map((bmc, index) => ({
    ...{ name: bmc.name, address: bmc.address },
    ...(bmc.address.startsWith('http:') && { tls: { insecure: true } }),
    ...fields?.(bmc, index),
  }));
  await writeFile(`${path}.tmp`, stringify(endpoints));
  await rename(`${path}.tmp`, path);
}
