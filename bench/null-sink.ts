// An OTLP endpoint that takes everything and looks at nothing, as a process of its own: what is measured is the sender.
// Prints {"url": ...}. With `--poison N` it answers 400 to requests that hold the text "poison" (plain bodies only).
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tiedToParent } from '../test/simulators/parent.ts';

const looks = process.argv.includes('--poison');
const server = createServer((request, response) => {
  let isBad = false;
  request.on('data', (chunk: Buffer) => {
    if (looks && chunk.includes('poison')) isBad = true;
  });
  request.on('end', () => response.writeHead(isBad ? 400 : 200).end());
});
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })}\n`);
});
tiedToParent(async () => {
  server.close();
  server.closeAllConnections();
});
