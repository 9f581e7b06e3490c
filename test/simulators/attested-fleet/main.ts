// An attested fleet as a process of its own. Prints one line of JSON when it is ready; its files go when it goes.
// Commands: POST <control>/control/<verb> with a JSON body, for example fault {"i": 0, "fault": "badSignature",
// "options": {"times": 1}} or setPolicy {"policy": "sticky", "args": [60000]}. GET <control>/ledger, /truth, /counters.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { tiedToParent } from '../parent.ts';
import { commandFleet, readFleet } from './control.ts';
import { startAttestedFleet } from './fleet.ts';
import { HttpListener } from './http-listener.ts';
import { policyNamed } from './policies.ts';

const { values } = parseArgs({
  options: {
    n: { type: 'string', default: '5' },
    policy: { type: 'string', default: 'roundRobin' },
    seed: { type: 'string', default: '1' },
    'evidence-ms': { type: 'string', default: '0' },
    gpu: { type: 'boolean', default: false },
  },
});

const fleet = await startAttestedFleet({
  n: Number(values.n),
  seed: Number(values.seed),
  policy: policyNamed(values.policy),
  evidenceMs: Number(values['evidence-ms']),
  gpu: values.gpu,
});
const folder = await mkdtemp(join(tmpdir(), 'outband-attested-'));
const [tlsCaFile, rootCaFile] = [join(folder, 'tls-ca.pem'), join(folder, 'root-ca.pem')];
await writeFile(tlsCaFile, fleet.tlsCa);
await writeFile(rootCaFile, fleet.rootCa);

const control = new HttpListener((request, response) => {
  const answer = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body));
  void (async () => {
    const path = request.url ?? '/';
    const text = Buffer.concat(await request.toArray()).toString();
    const isCommand = request.method === 'POST' && path.startsWith('/control/');
    const verb = path.slice('/control/'.length);
    const said = isCommand ? await commandFleet(fleet, verb, JSON.parse(text || '{}')) : readFleet(fleet, path);
    answer(said === undefined ? 404 : 200, said ?? { error: `nothing at ${path}` });
  })().catch((error: unknown) => answer(400, { error: String(error) }));
});
await control.start();
const { pccs, nras, nrasUrl, nrasIssuer, jwksUrl, domain, osImageHash, composeHash, measurements } = fleet;
const ready = {
  ...{ ready: true, proxy: `127.0.0.1:${fleet.port}`, control: control.url, pccs, nras, nrasUrl, nrasIssuer, jwksUrl },
  ...{ tlsCaFile, rootCaFile, domain, osImageHash, composeHash, measurements },
};
process.stdout.write(`${JSON.stringify(ready)}\n`);

tiedToParent(async () => {
  await fleet.stop();
  await control.stop();
  await rm(folder, { recursive: true });
});
