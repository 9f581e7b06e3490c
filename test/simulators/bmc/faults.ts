import type { IncomingMessage, ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { dripHeaders } from './drip.ts';

/** What a BMC does with a request instead of answering it. */
export type Fault = FaultAction & {
  /** Requests whose path starts with this; default: all. */
  readonly path?: string;
  /** Requests for exactly this path. */
  readonly exact?: string;
  /** How many requests it spoils; default: all until it is removed. */
  count?: number;
  /** Monotonic milliseconds (`performance.now()`) after which it is over. */
  readonly untilMs?: number;
};

type FaultAction =
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** 200 with a login page. */
  | { readonly kind: 'html' }
  /** Half of a JSON body with the length of the whole. */
  | { readonly kind: 'truncated' }
  /** Valid length, invalid JSON. */
  | { readonly kind: 'bad_json' }
  | { readonly kind: 'redirect'; readonly location: string; readonly status?: 301 | 302 | 307 | 308 }
  /** Takes the request and says nothing. */
  | { readonly kind: 'hang' }
  | { readonly kind: 'reset' }
  /** A body without end. */
  | { readonly kind: 'endless_body' }
  /** Headers, one byte of the body, then silence. */
  | { readonly kind: 'stalled_body' }
  | { readonly kind: 'raw_body'; readonly body: string; readonly contentType?: string }
  /** The normal body, so slowly. */
  | { readonly kind: 'drip'; readonly bytesPerSecond: number }
  /** One byte of the header at a time, without end. */
  | { readonly kind: 'drip_headers'; readonly everyMs: number }
  /** A small body that unpacks to 1 GiB. */
  | { readonly kind: 'gzip_bomb' }
  /** The normal body with the length of a larger one, then the end of the connection. */
  | { readonly kind: 'wrong_length' }
  /** A chunk whose size is not a number. */
  | { readonly kind: 'bad_chunk' }
  /** The normal answer, later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Closes a connection that has served a request before; a fresh one gets the normal answer. */
  | { readonly kind: 'close_reused' }
  /** Valid JSON, 100,000 objects deep. */
  | { readonly kind: 'deep_json' };

/** What the BMC would have done. */
export interface NormalAnswer {
  readonly answer: () => void;
  readonly body: () => Buffer;
}

/** Takes the first fault that is meant for a request; used-up and past ones leave the list. */
export function takeFault(faults: Fault[], path: string, isReused: boolean): Fault | undefined {
  const now = performance.now();
  for (const fault of [...faults])
    if (fault.untilMs !== undefined && fault.untilMs <= now) faults.splice(faults.indexOf(fault), 1);
  const fault = faults.find(
    ({ kind, path: prefix = '/', exact = path }) =>
      path.startsWith(prefix) && path === exact && (kind !== 'close_reused' || isReused),
  );
  if (fault?.count !== undefined && --fault.count <= 0) faults.splice(faults.indexOf(fault), 1);
  return fault;
}

const JSON_TYPE = { 'content-type': 'application/json' };
const DEPTH = 100_000;

/** Acts out a fault. */
export function spoil(fault: Fault, request: IncomingMessage, response: ServerResponse, normal: NormalAnswer): void {
  switch (fault.kind) {
    case 'status':
      response.writeHead(fault.status, fault.headers).end(fault.body ?? '');
      return;
    case 'html':
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!DOCTYPE html><title>Login</title>');
      return;
    case 'truncated':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1_000 });
      response.write('{"Members": [{"Id": "1"');
      response.flushHeaders();
      setImmediate(() => request.socket.destroy());
      return;
    case 'bad_json':
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"Members": [');
      return;
    case 'redirect':
      response.writeHead(fault.status ?? 302, { location: fault.location }).end();
      return;
    case 'hang':
      return;
    case 'reset':
      request.socket.destroy();
      return;
    case 'endless_body': {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"Members": [');
      const chunk = `"${'x'.repeat(65_536)}",`;
      const more = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on('drain', more);
      more();
      return;
    }
    case 'stalled_body':
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{');
      return;
    case 'raw_body':
      response.writeHead(200, { 'content-type': fault.contentType ?? 'application/json' }).end(fault.body);
      return;
    case 'drip':
      drip(normal.body(), fault.bytesPerSecond, response);
      return;
    case 'drip_headers':
      dripHeaders(response, fault.everyMs);
      return;
    case 'gzip_bomb':
      response.writeHead(200, { ...JSON_TYPE, 'content-encoding': 'gzip' }).end(gzipBomb());
      return;
    case 'wrong_length': {
      const body = normal.body();
      response.writeHead(200, { ...JSON_TYPE, 'content-length': body.length + 1_000 });
      response.write(body, () => request.socket.end());
      return;
    }
    case 'bad_chunk':
      request.socket.end(
        'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n',
      );
      return;
    case 'delay': {
      const timer = setTimeout(normal.answer, fault.ms);
      response.on('close', () => clearTimeout(timer));
      return;
    }
    case 'close_reused':
      request.socket.destroy();
      return;
    case 'deep_json':
      response.writeHead(200, JSON_TYPE).end(`${'{"a":'.repeat(DEPTH)}1${'}'.repeat(DEPTH)}`);
  }
}

/** At most ten writes a second: more would cost the simulator more than it slows the client. */
function drip(body: Buffer, bytesPerSecond: number, response: ServerResponse): void {
  response.writeHead(200, { ...JSON_TYPE, 'content-length': body.length });
  const step = Math.max(1, Math.round(bytesPerSecond / 10));
  let at = 0;
  const write = () => {
    response.write(body.subarray(at, at + step));
    at += step;
    if (at >= body.length) response.end();
  };
  write();
  const timer = setInterval(write, (step * 1_000) / bytesPerSecond);
  response.on('close', () => clearInterval(timer));
  response.on('finish', () => clearInterval(timer));
}

/** Many gzip members behind one another unpack as one: the bomb costs its maker next to nothing. */
function gzipBomb(): Buffer {
  const member = gzipSync(Buffer.alloc(4 * 2 ** 20, ' '));
  return Buffer.concat(Array.from({ length: 256 }, () => member));
}
