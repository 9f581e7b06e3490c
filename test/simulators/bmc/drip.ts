import type { ServerResponse } from 'node:http';

/** Answers with a header that comes one byte at a time and never ends. */
export function dripHeaders(response: ServerResponse, everyMs: number): void {
  const start = 'HTTP/1.1 200 OK\r\nX-Padding: ';
  let sent = 0;
  const timer = setInterval(() => response.socket?.write(start[sent++] ?? 'a'), everyMs);
  response.on('close', () => clearInterval(timer));
}
