import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { Clock } from '../../../src/component/clock.ts';
import type { AnswerFault, HandshakeFault } from './faults.ts';
import { reset } from './tls-listener.ts';

/** A fatal handshake_failure. */
const ALERT = Buffer.from([21, 3, 3, 0, 2, 2, 40]);
const JSON_TYPE = { 'content-type': 'application/json' };
const HUGE_HEAD = 20_000;
const BOMB = 10 * 2 ** 20;

/** Acts out a fault below TLS. */
export function spoilHandshake(fault: HandshakeFault & `handshake${string}`, tcp: Socket): void {
  // What comes is read, so that the end of the connection is noticed.
  tcp.resume();
  if (fault === 'handshakeAlert') tcp.end(ALERT);
}

/** An answer that is due. */
export interface DueAnswer {
  readonly clock: Clock;
  /** The connection beneath TLS. */
  readonly tcp: Socket;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly report: object;
}

/** Acts out a fault of the answer. */
export async function spoilAnswer(fault: AnswerFault, answer: DueAnswer): Promise<void> {
  const { tcp, request, response, report } = answer;
  const body = JSON.stringify(report);
  const send = (text: string | Buffer, headers: Record<string, string> = {}) => {
    response.writeHead(200, { ...JSON_TYPE, ...headers }).end(text);
  };
  if (typeof fault === 'object') {
    if ('delayHeaders' in fault) {
      if (await isOpenAfter(answer, fault.delayHeaders)) send(body);
      return;
    }
    const isRedirect = fault.status >= 300 && fault.status < 400;
    response.writeHead(fault.status, { ...(isRedirect && { location: '/elsewhere' }) }).end();
    return;
  }
  switch (fault) {
    case 'stallBody':
      response.writeHead(200, { ...JSON_TYPE, 'content-length': body.length }).write(body.slice(0, 1));
      return;
    case 'trickleBody':
      response.writeHead(200, { ...JSON_TYPE, 'content-length': body.length });
      for (const byte of body) {
        response.write(byte);
        if (!(await isOpenAfter(answer, 1_000))) return;
      }
      response.end();
      return;
    case 'resetBeforeHead':
      reset(tcp, request.socket);
      return;
    case 'finBeforeHead':
      request.socket.end();
      return;
    case 'notHttp':
      request.socket.end('SSH-2.0-OpenSSH_9.6\r\n');
      return;
    case 'hugeHead':
      return send(body, { 'x-padding': 'a'.repeat(HUGE_HEAD) });
    case 'html':
      return send('<!DOCTYPE html><title>Welcome</title>', { 'content-type': 'text/html' });
    case 'truncated':
      response.writeHead(200, { ...JSON_TYPE, 'content-length': body.length });
      response.write(body.slice(0, body.length / 2), () => request.socket.end());
      return;
    case 'array':
      return send(JSON.stringify([report]));
    case 'body3MB':
      return send(JSON.stringify({ ...report, padding: 'a'.repeat(3 * 2 ** 20) }));
    case 'gzipBomb':
      return send(gzipSync(Buffer.alloc(BOMB)), { 'content-encoding': 'gzip' });
    case 'unknownEncoding':
      return send(body, { 'content-encoding': 'x-unknown' });
    case 'notJson':
      return send(`${body.slice(0, -1)},`);
  }
}

/** Waits by the clock, no longer than the connection is open. */
async function isOpenAfter({ clock, response }: DueAnswer, ms: number): Promise<boolean> {
  if (response.destroyed) return false;
  const closed = new AbortController();
  const close = () => closed.abort();
  response.on('close', close);
  try {
    await clock.sleep(ms, closed.signal);
    return true;
  } catch {
    return false;
  } finally {
    response.off('close', close);
  }
}
