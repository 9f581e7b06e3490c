import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { Watchers } from '../watchers.ts';
import { countPoints, decodeJson, decodeProtobuf, type SinkRecord } from './decode.ts';

/** What the sink does instead of taking a request. */
export type SinkFault =
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }
  /** Reads the request and never answers. */
  | 'hang'
  /** Takes the records and cuts the connection before the answer. */
  | 'take_and_reset';

export interface OtlpSink {
  readonly url: string;
  /** Everything that was answered with 2xx (or taken), in order of arrival. */
  readonly records: readonly SinkRecord[];
  /** Of metrics, in protobuf. */
  readonly points: number;
  /** Requests, those that were refused included. */
  readonly requests: number;
  readonly unique: number;
  readonly encodings: ReadonlySet<string>;
  /** Until `undefined` is set again, every request meets this fault. */
  fault: SinkFault | undefined;
  /** Looks at the records of a request that no fault met; what it answers is a fault for this request alone. */
  judge: ((records: readonly SinkRecord[]) => SinkFault | undefined) | undefined;
  /** Larger request bodies are answered 413. */
  maxBytes: number;
  /** The next answers with 2xx carry this body. */
  reply: { readonly body: string; readonly contentType: string } | undefined;
  /** Resolves as soon as the predicate holds; looked at after each request. */
  waitFor(predicate: (sink: OtlpSink) => boolean): Promise<void>;
  close(): Promise<void>;
}

/** An OTLP/HTTP endpoint on loopback that decodes what it is sent, JSON and protobuf, plain and gzip. */
export async function startOtlpSink(options: { readonly port?: number } = {}): Promise<OtlpSink> {
  const watchers = new Watchers();
  const records: SinkRecord[] = [];
  const uids = new Set<unknown>();
  const encodings = new Set<string>();
  let requests = 0;
  let points = 0;

  const unpacked = ({ headers }: IncomingMessage, body: Buffer): Buffer => {
    const { 'content-type': type = '', 'content-encoding': encoding = 'identity' } = headers;
    encodings.add(`${type} ${encoding}`);
    return encoding === 'gzip' ? gunzipSync(body) : encoding === 'zstd' ? zstdDecompressSync(body) : body;
  };
  const decode = (request: IncomingMessage, body: Buffer): readonly SinkRecord[] => {
    const bytes = unpacked(request, body);
    return request.headers['content-type']?.includes('json') ? decodeJson(bytes) : decodeProtobuf(bytes);
  };

  const take = (taken: readonly SinkRecord[]): void => {
    for (const record of taken) {
      records.push(record);
      uids.add(`${record.resource['redfish.endpoint']} ${record.attributes['log.record.uid']}`);
    }
  };

  const answer = (request: IncomingMessage, response: ServerResponse, body: Buffer): void => {
    requests++;
    try {
      const general = sink.fault;
      if (general === undefined && body.length > sink.maxBytes) return void response.writeHead(413).end();
      if (request.url === '/v1/metrics' && general === undefined) {
        points += countPoints(unpacked(request, body));
        response.setHeader('content-type', request.headers['content-type'] ?? '');
        return void response.writeHead(200).end();
      }
      if (request.method !== 'POST' || !/^\/v1\/(logs|metrics)$/.test(request.url ?? ''))
        return void response.writeHead(404).end();
      const offered = typeof general === 'object' || general === 'hang' ? [] : decode(request, body);
      const fault = general ?? sink.judge?.(offered);
      if (fault === 'hang') return;
      if (typeof fault === 'object') return void response.writeHead(fault.status, fault.headers).end(fault.body ?? '');
      take(offered);
      if (fault === 'take_and_reset') return void request.socket.destroy();
      response.setHeader('content-type', sink.reply?.contentType ?? request.headers['content-type'] ?? '');
      response.writeHead(200).end(sink.reply?.body ?? '');
    } catch (error) {
      response.writeHead(400).end(String(error));
    } finally {
      watchers.notify();
    }
  };

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => answer(request, response, Buffer.concat(chunks)));
    request.on('error', () => {});
  });
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));

  const sink: OtlpSink = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    records,
    get requests() {
      return requests;
    },
    get points() {
      return points;
    },
    get unique() {
      return uids.size;
    },
    encodings,
    fault: undefined,
    judge: undefined,
    maxBytes: Number.POSITIVE_INFINITY,
    reply: undefined,
    waitFor: (predicate) => watchers.until(() => predicate(sink)),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return sink;
}
