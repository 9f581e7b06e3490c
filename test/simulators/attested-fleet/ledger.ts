/** A connection to the proxy. Fields fill as they become known. */
export interface LedgerEntry {
  /** 0-based order of accept. */
  readonly seq: number;
  /** Epoch milliseconds by the fleet's clock. */
  readonly t: number;
  readonly srcPort: number;
  sni: string | undefined;
  /** Name of the policy that chose; 'index', 'base' or 'none' where no policy did. */
  policy: string;
  /** Index; undefined: none got it. */
  backend: number | undefined;
  /** Of HTTP, as the backend decrypted it. */
  requestBytes: number;
  requests: number;
  /** Whether the TLS session was one of before. */
  resumed: boolean;
  /** All that was passed to the client. */
  bytesOut: number;
}

/** All connections, and which of them are open at which backend. */
export class Ledger {
  readonly entries: LedgerEntry[] = [];
  readonly #changed: () => void;
  /** By the port that the proxy connects to a backend from. */
  readonly #byPort = new Map<number, LedgerEntry>();

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  add(t: number, srcPort: number): LedgerEntry {
    const entry: LedgerEntry = {
      ...{ seq: this.entries.length, t, srcPort, sni: undefined, policy: 'none', backend: undefined },
      ...{ requestBytes: 0, requests: 0, resumed: false, bytesOut: 0 },
    };
    this.entries.push(entry);
    this.changed();
    return entry;
  }

  /** The proxy goes on with a connection from a port of its own. */
  forward(entry: LedgerEntry, port: number): void {
    this.#byPort.set(port, entry);
  }

  /** The connection that the proxy goes on with from a port of its own. */
  forwarded(port: number | undefined): LedgerEntry | undefined {
    return port === undefined ? undefined : this.#byPort.get(port);
  }

  done(port: number): void {
    this.#byPort.delete(port);
    this.changed();
  }

  /** How many connections are open, at one backend or at all. */
  open(backend?: number): number {
    return [...this.#byPort.values()].filter((entry) => backend === undefined || entry.backend === backend).length;
  }

  /** To be called when an entry changed. */
  changed(): void {
    this.#changed();
  }
}
