import type { IncomingMessage, ServerResponse } from 'node:http';

/** What a BMC does with a request instead of answering it. */
export type Fault = FaultAction & {
  /** Requests whose path starts with this; default: all. */
  readonly path?: string;
  /** Requests for exactly this path. */
  readonly exact?: string;
  /** How many requests it spoils; default: all until it is removed. */
  count?: number;
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
  | { readonly kind: 'raw_body'; readonly body: string; readonly contentType?: string };

/** Acts out a fault. */
export function spoil(fault: Fault, request: IncomingMessage, response: ServerResponse): void {
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
  }
}
