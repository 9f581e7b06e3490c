import type { SecureVersion } from 'node:tls';
import { createSecureContext } from 'node:tls';
import type { Clock } from '../../../src/component/clock.ts';
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
import { Pccs } from './pccs.ts';
import { type Policy, roundRobin } from './policies.ts';
import { SniProxy } from './proxy.ts';
import { Quoter } from './quote.ts';
import { seededRandom } from './random.ts';
import { Router } from './router.ts';
import { TlsAuthority } from './tls-authority.ts';
import { TlsListener } from './tls-listener.ts';
import { WORKLOAD } from './workload.ts';

/** How a fleet is to be. */
export interface AttestedFleetOptions {
  /** Backends; default 5. */
  readonly n?: number;
  /** Of everything random but keys; default 1. */
  readonly seed?: number;
  /** Default: round robin. */
  readonly policy?: Policy;
  /** Validity of collateral counts by it, and delays; default: the system's. */
  readonly clock?: Clock;
  /** Groups of backends that share a key. */
  readonly sharedKeys?: readonly (readonly number[])[];
  /** In hex; default: one of its own per backend. */
  readonly instanceIds?: readonly string[];
  /** Whether backends give session tickets; default true. */
  readonly tickets?: boolean;
  readonly tls?: { readonly minVersion?: SecureVersion; readonly maxVersion?: SecureVersion };
  /** How long a backend takes to make a report, one at a time; default 0. */
  readonly evidenceMs?: number;
  /** Whether reports carry evidence of a GPU; default false. */
  readonly gpu?: boolean;
}

/** Starts a fleet; all of it listens on loopback, on free ports. */
export async function startAttestedFleet(options: AttestedFleetOptions = {}): Promise<AttestedFleet> {
  const fleet = await AttestedFleet.prepare(options);
  await fleet.start(options);
  return fleet;
}

interface Parts {
  readonly setup: BackendSetup;
  readonly pccs: Pccs;
  readonly nras: Nras;
  readonly rootCa: string;
  readonly watchers: Watchers;
  readonly stopping: AbortController;
}

const DOMAIN = 'fleet.localhost';

/** A fleet of backends that attest themselves, behind a balancer, with the services their verification needs. */
export class AttestedFleet {
  readonly domain = DOMAIN;
  /** PEM of who signed the TLS certificates. */
  readonly tlsCa: string;
  /** PEM of the root of the quotes. */
  readonly rootCa: string;
  readonly nrasIssuer = NRAS_ISSUER;
  readonly osImageHash = WORKLOAD.osImageHash;
  readonly composeHash = WORKLOAD.composeHash;
  readonly measurements = WORKLOAD.measurements;
  readonly backends: Backend[] = [];
  readonly pccsControl: Pccs;
  readonly nrasControl: Nras;
  readonly #setup: BackendSetup;
  readonly #watchers: Watchers;
  readonly #stopping: AbortController;
  readonly #directory = new Directory(this.backends);
  readonly #router: Router;
  readonly #proxy: SniProxy;
  readonly #base: TlsListener;
  readonly #pccs: HttpListener;
  readonly #nras: HttpListener;
  readonly #blackholes: Blackhole[] = [];

  private constructor({ setup, pccs, nras, rootCa, watchers, stopping }: Parts, policy: Policy) {
    const { authority, ledger, clock, random } = setup;
    this.tlsCa = authority.ca;
    this.rootCa = rootCa;
    this.pccsControl = pccs;
    this.nrasControl = nras;
    this.#setup = setup;
    this.#watchers = watchers;
    this.#stopping = stopping;
    const baseContext = makeKeys()
      .then((keys) => authority.leaf('good', keys))
      .then((leaf) => createSecureContext({ ...leaf }));
    this.#base = new TlsListener({
      context: () => baseContext,
      handle: (request, response) => {
        this.#directory.handle(request, response);
        ledger.changed();
      },
    });
    const view = { domain: DOMAIN, backends: this.backends, ledger, random };
    this.#router = new Router(view, policy, () => this.#base.port);
    this.#proxy = new SniProxy(clock, ledger, (entry, ip) => this.#router.route(entry, ip));
    this.#pccs = new HttpListener(
      (request, response) => void pccs.handle(request, response).then(() => ledger.changed()),
    );
    this.#nras = new HttpListener(
      (request, response) => void nras.handle(request, response).then(() => ledger.changed()),
    );
  }

  /** Makes all keys and certificates. {@link startAttestedFleet} is what to call. */
  static async prepare(options: AttestedFleetOptions): Promise<AttestedFleet> {
    const { seed = 1, policy = roundRobin(), clock = systemClock } = options;
    const { tickets = true, tls = {}, evidenceMs = 0, gpu = false } = options;
    const now = () => Number(clock.now() / 1_000_000n);
    const [own, foreign] = await Promise.all([makeHierarchy(now()), makeHierarchy(now())]);
    const watchers = new Watchers();
    const stopping = new AbortController();
    const setup: BackendSetup = {
      ...{ clock, random: seededRandom(seed), tls, evidenceMs, hasGpu: gpu, hasTickets: tickets },
      authority: await TlsAuthority.make(DOMAIN),
      quoters: { own: new Quoter(own), foreign: new Quoter(foreign) },
      ledger: new Ledger(() => watchers.notify()),
      stopped: stopping.signal,
    };
    const [pccs, nras, rootCa] = [new Pccs(own, now), await Nras.make(now), pemChain(own.root)];
    return new AttestedFleet({ setup, pccs, nras, rootCa, watchers, stopping }, policy);
  }

  /** Starts everything. {@link startAttestedFleet} is what to call. */
  async start({ n = 5, sharedKeys = [], instanceIds = [] }: AttestedFleetOptions): Promise<void> {
    const shared = new Map<number, Awaited<ReturnType<typeof makeKeys>>>();
    for (const group of sharedKeys) {
      const keys = await makeKeys();
      for (const index of group) shared.set(index, keys);
    }
    for (let index = 0; index < n; index++) {
      const [keys, instanceId] = [shared.get(index), instanceIds[index]];
      const own = { index, ...(keys && { keys }), ...(instanceId !== undefined && { instanceId }) };
      this.backends.push(await Backend.start(this.#setup, own));
    }
    this.#directory.remember();
    await Promise.all([this.#base.start(), this.#pccs.start(), this.#nras.start(), this.#proxy.accept()]);
  }

  /** Of the proxy, on 127.0.0.1. */
  get port(): number {
    return this.#proxy.port;
  }

  get pccs(): string {
    return this.#pccs.url;
  }

  get nras(): string {
    return this.#nras.url;
  }

  /** Where evidence is posted. */
  get nrasUrl(): string {
    return `${this.nras}/v3/attest/gpu`;
  }

  get jwksUrl(): string {
    return `${this.nras}/.well-known/jwks.json`;
  }

  url(label: string): string {
    return `https://${label}.${DOMAIN}:${this.port}`;
  }

  /** Whether the proxy takes `-i<N>` for the plain name. */
  get ignoreIndex(): boolean {
    return this.#router.ignoreIndex;
  }

  set ignoreIndex(ignores: boolean) {
    this.#router.ignoreIndex = ignores;
  }

  /** Takes a backend out of balance and resets its connections. */
  kill(i: number): void {
    this.#directory.remember();
    this.#backend(i).kill();
    this.#watchers.notify();
  }

  revive(i: number): void {
    this.#directory.remember();
    this.#backend(i).healthy = true;
    this.#watchers.notify();
  }

  async add(): Promise<Backend> {
    const backend = await Backend.start(this.#setup, { index: this.backends.length });
    this.#directory.remember();
    this.backends.push(backend);
    this.#watchers.notify();
    return backend;
  }

  /** Renews key and certificate of a backend, or only the certificate; its reports may go on to name the old key. */
  async rotate(
    i: number,
    options: { readonly reuseKey?: boolean; readonly staleReport?: boolean } = {},
  ): Promise<void> {
    await this.#backend(i).rotate(options);
    this.#watchers.notify();
  }

  fault(i: number | 'all', fault: Fault, options: FaultOptions = {}): void {
    for (const { faults } of i === 'all' ? this.backends : [this.#backend(i)]) faults.add(fault, options);
  }

  clearFaults(): void {
    for (const { faults } of this.backends) faults.clear();
  }

  setPolicy(policy: Policy): void {
    this.#router.setPolicy(policy);
  }

  /** What the count of backends is said to be; undefined: the truth. */
  setDeclared(declared: Declared): void {
    this.#directory.declared = declared;
  }

  /** Refuses new connections to the proxy. */
  refuse(): void {
    this.#proxy.refuse();
  }

  /** Takes connections again, on the same port. */
  accept(): Promise<void> {
    return this.#proxy.accept();
  }

  /** A port where a SYN gets no answer, until the fleet stops. */
  async blackholePort(): Promise<number> {
    const blackhole = await startBlackhole();
    this.#blackholes.push(blackhole);
    return blackhole.port;
  }

  /** The healthy backends that present each key. */
  truth(): ReadonlyMap<string, number[]> {
    const truth = new Map<string, number[]>();
    for (const { healthy, fingerprint, index } of this.backends)
      if (healthy) truth.set(fingerprint, [...(truth.get(fingerprint) ?? []), index]);
    return truth;
  }

  ledger(): readonly LedgerEntry[] {
    return this.#setup.ledger.entries;
  }

  counters() {
    const { ledger } = this.#setup;
    const sum = (of: (entry: LedgerEntry) => number) => ledger.entries.reduce((total, entry) => total + of(entry), 0);
    return {
      connections: ledger.entries.length,
      /** Passed on and not over. */
      open: ledger.open(),
      requests: sum(({ requests }) => requests),
      reports: this.backends.reduce((total, { reports }) => total + reports, 0),
      resumed: sum(({ resumed }) => Number(resumed)),
      counts: this.#directory.requests,
      pccs: this.pccsControl.requests(),
      nras: { ...this.nrasControl.requests },
    };
  }

  /** Resolves as soon as the predicate holds; looked at whenever anything happens in the fleet. */
  waitFor(predicate: () => boolean): Promise<void> {
    return this.#watchers.until(predicate);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#proxy.stop();
    const listeners = [this.#base, this.#pccs, this.#nras, ...this.backends];
    await Promise.all(listeners.map((listener) => listener.stop()));
    await Promise.all(this.#blackholes.map((blackhole) => blackhole.close()));
  }

  #backend(i: number): Backend {
    const backend = this.backends[i];
    if (!backend) throw new Error(`no backend ${i}`);
    return backend;
  }
}
