// An OTLP sink as a process of its own. Prints one line of JSON when it is ready:
//   {"url": "http://127.0.0.1:<port>", "control": "http://127.0.0.1:<port>"}
// POST <control>/fault?status=503 makes every request fail, POST <control>/heal ends it; /fault?status=503&seconds=30 ends
// by itself and is answered then. GET <control>/counts tells; GET <control>/wait?unique=100 tells once so many are there.
// Both take &receiver=bmc_logs, and then tell of its records alone.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { tiedToParent } from '../parent.ts';
import { startOtlpSink } from './sink.ts';

const sink = await startOtlpSink();

/** @param receiver its type; undefined: of all */
const counts = (receiver: string | null) => {
  const records = sink.records.filter(({ scope }) => receiver === null || scope === `outband.receiver.${receiver}`);
  // A number in the text names an entry; an event without a link to its entry may have another uid than it.
  const names = records.map(({ resource, attributes, body }) => {
    const [entry = attributes['log.record.uid']] = /#\d+\b/.exec(String(body)) ?? [];
    return `${resource['redfish.endpoint']} ${entry}`;
  });
  return { received: records.length, unique: new Set(names).size, requests: sink.requests, points: sink.points };
};

const control = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://control');
  const number = (name: string) => Number(url.searchParams.get(name) ?? 0);
  const receiver = url.searchParams.get('receiver');
  void (async () => {
    switch (url.pathname) {
      case '/fault':
        sink.fault = { status: number('status') };
        if (number('seconds') > 0) {
          await sleep(number('seconds') * 1_000);
          sink.fault = undefined;
        }
        break;
      case '/heal':
        sink.fault = undefined;
        break;
      case '/wait':
        await sink.waitFor(() => counts(receiver).unique >= number('unique'));
        break;
      case '/counts':
        break;
      default:
        response.writeHead(404).end();
        return;
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(counts(receiver)));
  })();
});
control.listen(0, '127.0.0.1', () => {
  const { port } = control.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ url: sink.url, control: `http://127.0.0.1:${port}` })}\n`);
});

tiedToParent(async () => {
  await sink.close();
  control.close();
  control.closeAllConnections();
});
