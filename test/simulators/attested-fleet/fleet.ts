import { createSecureContext } from 'node:tls';
import { systemClock } from '../../../src/platform/system-clock.ts';
import { Watchers } from '../watchers.ts';
import { Backend, type BackendSetup } from './backend.ts';
import { type Blackhole, startBlackhole } from './blackhole.ts';
import { makeKeys, pemChain } from './certify.ts';
import { type Declared, Directory } from './directory.ts';
import type { Fault, FaultOptions } from './faults.ts';
import { makeHierarchy } from './hierarchy.ts';
import { HttpListener } from './http-listener.ts';
import { Ledger, type LedgerEntry } from './ledger.ts';
import { NRAS_ISSUER, Nras } from './nras.ts';
import { type AttestedFleetOptions, planBackends } from './options.ts';
import { Pccs } from './pccs.ts';
import { type Policy, roundRobin } from './policies.ts';
import { SniProxy } from './proxy.ts';
import { Quoter } from './quote.ts';
import { seededRandom } from './random.ts';
import { Router } from './router.ts';
import { TlsAuthority } from './tls-authority.ts';
import { TlsListener } from './tls-listener.ts';
import { WORKLOAD } from './workload.ts';

export type { AttestedFleetOptions };

const DOMAIN = 'fleet.localhost';

/** A fleet of backends that attest themselves, behind a balancer, with the services their verification needs. */
export type AttestedFleet = Awaited<ReturnType<typeof startAttestedFleet>>;

/** Starts a fleet; all of it listens on loopback, on free ports. */
export async function startAttestedFleet(options: AttestedFleetOptions = {}) {
  const { n = 5, seed = 1, policy = roundRobin(), clock = systemClock } = options;
  const now = () => Number(clock.now() / 1_000_000n);
  const watchers = new Watchers();
  const stopping = new AbortController();
  const ledger = new Ledger(() => watchers.notify());
  const random = seededRandom(seed);
  const [own, foreign] = await Promise.all([makeHierarchy(now()), makeHierarchy(now())]);
  const authority = await TlsAuthority.make(DOMAIN);
  const setup: BackendSetup = {
    ...{ clock, random, authority, ledger, tls: options.tls ?? {}, stopped: stopping.signal },
    ...{ evidenceMs: options.evidenceMs ?? 0, hasGpu: options.gpu ?? false, hasTickets: options.tickets ?? true },
    quoters: { own: new Quoter(own), foreign: new Quoter(foreign) },
  };
  const backends: Backend[] = [];
  for (const one of await planBackends(n, options)) backends.push(await Backend.start(setup, one));
  const backendAt = (i: number) => {
    const backend = backends[i];
    if (!backend) throw new Error(`no backend ${i}`);
    return backend;
  };

  const directory = new Directory(backends);
  const pccsControl = new Pccs(own, now);
  const nrasControl = await Nras.make(now);
  const [pccs, nras] = [pccsControl, nrasControl].map(
    ({ handle }) =>
      new HttpListener((request, response) => void handle(request, response).then(() => ledger.changed())),
  ) as [HttpListener, HttpListener];
  const baseContext = createSecureContext(await authority.leaf('good', await makeKeys()));
  const base = new TlsListener(ledger, { context: async () => baseContext, handle: directory.handle });
  const router = new Router({ domain: DOMAIN, backends, ledger, random }, policy, () => base.port);
  const proxy = new SniProxy(clock, ledger, (entry, ip) => router.route(entry, ip));
  await Promise.all([base.start(), pccs.start(), nras.start(), proxy.accept()]);
  const blackholes: Blackhole[] = [];

  return {
    domain: DOMAIN,
    /** Of the proxy, on 127.0.0.1. */
    port: proxy.port,
    /** PEM of who signed the TLS certificates. */
    tlsCa: authority.ca,
    /** PEM of the root of the quotes. */
    rootCa: pemChain(own.root),
    pccs: pccs.url,
    nras: nras.url,
    /** Where evidence is posted. */
    nrasUrl: `${nras.url}/v3/attest/gpu`,
    jwksUrl: `${nras.url}/.well-known/jwks.json`,
    nrasIssuer: NRAS_ISSUER,
    osImageHash: WORKLOAD.osImageHash,
    composeHash: WORKLOAD.composeHash,
    measurements: WORKLOAD.measurements,
    backends: backends as readonly Backend[],
    pccsControl,
    nrasControl,

    url: (label: string) => `https://${label}.${DOMAIN}:${proxy.port}`,

    /** Whether the proxy takes `-i<N>` for the plain name. */
    get ignoreIndex() {
      return router.ignoreIndex;
    },
    set ignoreIndex(ignores: boolean) {
      router.ignoreIndex = ignores;
    },

    /** Takes a backend out of balance and resets its connections. */
    kill(i: number): void {
      directory.remember();
      backendAt(i).kill();
      watchers.notify();
    },

    revive(i: number): void {
      directory.remember();
      backendAt(i).healthy = true;
      watchers.notify();
    },

    async add(): Promise<Backend> {
      const backend = await Backend.start(setup, { index: backends.length });
      directory.remember();
      backends.push(backend);
      watchers.notify();
      return backend;
    },

    /** Renews key and certificate of a backend, or only the certificate; its reports may go on to name the old key. */
    async rotate(i: number, how: { readonly reuseKey?: boolean; readonly staleReport?: boolean } = {}): Promise<void> {
      await backendAt(i).rotate(how);
      watchers.notify();
    },

    fault(i: number | 'all', fault: Fault, which: FaultOptions = {}): void {
      for (const { faults } of i === 'all' ? backends : [backendAt(i)]) faults.add(fault, which);
    },

    clearFaults(): void {
      for (const { faults } of backends) faults.clear();
    },

    setPolicy: (next: Policy): void => router.setPolicy(next),

    /** What the count of backends is said to be; undefined: the truth. */
    setDeclared(declared: Declared): void {
      directory.declared = declared;
    },

    /** Refuses new connections to the proxy. */
    refuse: (): void => proxy.refuse(),

    /** Takes connections again, on the same port. */
    accept: (): Promise<void> => proxy.accept(),

    /** A port where a SYN gets no answer, until the fleet stops. */
    async blackholePort(): Promise<number> {
      const blackhole = await startBlackhole();
      blackholes.push(blackhole);
      return blackhole.port;
    },

    /** The healthy backends that present each key. */
    truth(): ReadonlyMap<string, number[]> {
      const truth = new Map<string, number[]>();
      for (const { healthy, fingerprint, index } of backends)
        if (healthy) truth.set(fingerprint, [...(truth.get(fingerprint) ?? []), index]);
      return truth;
    },

    ledger: (): readonly LedgerEntry[] => ledger.entries,

    /** `open`: connections passed on and not over. */
    counters: () => ({
      connections: ledger.entries.length,
      open: ledger.open(),
      requests: ledger.entries.reduce((sum, { requests }) => sum + requests, 0),
      resumed: ledger.entries.filter(({ resumed }) => resumed).length,
      reports: backends.reduce((sum, { reports }) => sum + reports, 0),
      counts: directory.requests,
      pccs: pccsControl.requests(),
      nras: { ...nrasControl.requests },
    }),

    /** Resolves as soon as the predicate holds; looked at whenever anything happens in the fleet. */
    waitFor: (predicate: () => boolean): Promise<void> => watchers.until(predicate),

    async stop(): Promise<void> {
      stopping.abort();
      await proxy.stop();
      await Promise.all([base, pccs, nras, ...backends].map((listener) => listener.stop()));
      await Promise.all(blackholes.map((blackhole) => blackhole.close()));
    },
  };
}
