// A fleet of simulated BMCs as a process of its own. Prints one line of JSON when it is ready:
//   {"endpoints": [{"name", "address"}], "caFile": "<path>", "control": "http://127.0.0.1:<port>"}
// The file with the authority of its certificates (--tls) goes when the fleet goes.
// Commands are POSTs to `control`: /append?bmc=0&n=5, /burst?n=1000 (over the whole fleet), /stream?bmc=0&kind=status&status=503, /down?bmc=0, /up?bmc=0,
// /polled?times=2 (answered when each BMC was read so often), /reboot?bmc=0&seconds=5 (answered when it is up again), /rate?per_second=10 (entries over the whole fleet).
// With a JSON body: /bmc/0/faults and /bmc/0/overlay (one or a list; DELETE takes all back), /bmc/0/auth, /bmc/0/reboot ({firmware, downMs}),
// /bmc/0/logs ({op: append, clear, renumber, wrap, change or set}), /bmc/0/sse (a stream behaviour, eventService, mute, event).
// GET /journal?bmc=0, GET /truth, GET /truth?offered (with all that was ever offered).
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { tiedToParent } from '../parent.ts';
import type { SimulatedBmc } from './bmc.ts';
import type { CertificateKind } from './certificates.ts';
import { clearList, commandBmc, readJson } from './control.ts';
import type { StreamBehaviour } from './event-stream.ts';
import { startBmcFleet } from './fleet.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '10' },
    tree: { type: 'string' },
    tls: { type: 'boolean', default: false },
    /** Every second BMC has no event stream. */
    'half-without-sse': { type: 'boolean', default: false },
    username: { type: 'string' },
    password: { type: 'string' },
    /** good, self_signed, expired, not_yet_valid or wrong_name. */
    certificate: { type: 'string' },
    /** Sessions that each BMC has room for; needs a username. */
    sessions: { type: 'string' },
    /** Entries that each log holds from the start. */
    history: { type: 'string', default: '0' },
    /** Where commands are taken; port 0: a free one. */
    control: { type: 'string', default: '127.0.0.1:0' },
  },
});

const fleet = await startBmcFleet({
  count: Number(values.count),
  tls: values.tls,
  ...(values.certificate !== undefined && { certificate: values.certificate as CertificateKind }),
  ...(values.tree !== undefined && { tree: values.tree }),
  ...(values.username !== undefined && {
    account: { username: values.username, password: values.password ?? '' },
  }),
});
for (const [index, bmc] of fleet.bmcs.entries()) {
  if (values.sessions !== undefined && bmc.auth) bmc.auth.sessions = { slots: Number(values.sessions) };
  if (values['half-without-sse'] && index % 2 === 1) bmc.eventService = index % 4 === 1 ? 'null_uri' : 'disabled';
  for (let n = 0; n < Number(values.history); n++) bmc.append({ log: n % bmc.machine.logs.length });
}

const folder = await mkdtemp(join(tmpdir(), 'outband-fleet-'));
const caFile = join(folder, 'ca.pem');
await writeFile(caFile, fleet.ca ?? '');

let ticker: NodeJS.Timeout | undefined;
let turn = 0;
const setRate = (perSecond: number) => {
  clearInterval(ticker);
  if (perSecond <= 0) return;
  ticker = setInterval(() => {
    const bmc = fleet.bmc(turn++ % fleet.bmcs.length);
    bmc.append({ log: turn % bmc.machine.logs.length });
    if (turn % 20 === 0) for (const one of fleet.bmcs) one.heartbeat();
  }, 1_000 / perSecond);
};

const control = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://control');
  const query = Object.fromEntries(url.searchParams);
  const [, index, command = ''] = /^\/bmc\/(\d+)\/(\w+)$/.exec(url.pathname) ?? [];
  const bmc = fleet.bmcs[Number(index ?? query.bmc ?? 0)];
  const answer = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body));
  void (async () => {
    if (!bmc) return answer(404, { error: `no BMC ${index ?? query.bmc}` });
    if (index !== undefined) {
      const isDone =
        request.method === 'DELETE' ? clearList(bmc, command) : await commandBmc(bmc, command, await readJson(request));
      return isDone ? answer(200, {}) : answer(404, { error: `no command ${command}` });
    }
    switch (url.pathname) {
      case '/append':
        for (let n = 0; n < Number(query.n ?? 1); n++) bmc.append({ log: n % bmc.machine.logs.length });
        break;
      case '/burst':
        for (let n = 0; n < Number(query.n); n++) {
          fleet.bmc(n % fleet.bmcs.length).append();
          if (n % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        break;
      case '/stream':
        bmc.stream = { ...query, ...(query.status && { status: Number(query.status) }) } as unknown as StreamBehaviour;
        bmc.cutStreams();
        break;
      case '/down':
        await bmc.down();
        break;
      case '/up':
        await bmc.up();
        break;
      case '/reboot':
        await bmc.reboot({ downMs: Number(query.seconds ?? 0) * 1_000 });
        break;
      case '/rate':
        setRate(Number(query.per_second));
        break;
      case '/polled': {
        const before = fleet.bmcs.map(reads);
        await fleet.waitFor(() => fleet.bmcs.every((one, index) => reads(one) >= before[index]! + Number(query.times)));
        break;
      }
      case '/truth':
        return answer(200, {
          published: fleet.truth.published,
          streams: openStreams(),
          ...('offered' in query && { offered: fleet.truth.offered }),
        });
      case '/journal':
        return answer(200, bmc.journal);
      default:
        return answer(404, { error: `no command ${url.pathname}` });
    }
    answer(200, {});
  })().catch((error: unknown) => answer(400, { error: String(error) }));
});
/** Reads of the first log. */
const reads = (one: SimulatedBmc) => one.journal.filter(({ path }) => path === `${one.log().path}/Entries`).length;
const openStreams = () => fleet.bmcs.reduce((sum, one) => sum + one.openStreams, 0);
const [controlHost, controlPort] = values.control.split(/:(?=\d+$)/);
control.listen(Number(controlPort), controlHost, () => {
  const ready = {
    endpoints: fleet.bmcs.map(({ name, address }) => ({ name, address })),
    caFile,
    control: `http://127.0.0.1:${(control.address() as AddressInfo).port}`,
  };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
});

tiedToParent(async () => {
  setRate(0);
  await fleet.close();
  control.close();
  control.closeAllConnections();
  await rm(folder, { recursive: true });
});
