import type { Backend } from './backend.ts';
import type { Ledger, LedgerEntry } from './ledger.ts';
import type { Pick, Policy } from './policies.ts';

/** What a router knows of the fleet. */
export interface RouterView {
  readonly domain: string;
  readonly backends: readonly Backend[];
  readonly ledger: Ledger;
  readonly random: () => number;
}

/** Finds the port for a name: `<label>.<domain>`, `<label>-i<N>.<domain>` or the domain itself. */
export class Router {
  /** `-i<N>` means nothing. */
  ignoreIndex = false;
  readonly #view: RouterView;
  readonly #basePort: () => number;
  /** Per label: how its pool is balanced, as far as it has come. */
  readonly #picks = new Map<string, Pick>();
  #policy: Policy;

  constructor(view: RouterView, policy: Policy, basePort: () => number) {
    this.#view = view;
    this.#policy = policy;
    this.#basePort = basePort;
  }

  /** Balances all pools so from now on, each from the start. */
  setPolicy(policy: Policy): void {
    this.#policy = policy;
    this.#picks.clear();
  }

  /** Notes in the entry where it goes, and why. @returns the port; undefined: there is none */
  route(entry: LedgerEntry, ip: string): number | undefined {
    const { domain, backends } = this.#view;
    if (entry.sni === domain) {
      entry.policy = 'base';
      return this.#basePort();
    }
    const label = entry.sni?.endsWith(`.${domain}`) ? entry.sni.slice(0, -domain.length - 1) : '';
    const [, plain = label, index] = /^(.+)-i(\d+)$/.exec(label) ?? [];
    const healthy = backends.filter((backend) => backend.healthy);
    if (label === '' || label.includes('.') || healthy.length === 0) return undefined;
    if (index !== undefined && !this.ignoreIndex) {
      entry.policy = 'index';
      entry.backend = healthy[Number(index) % healthy.length]!.index;
    } else {
      entry.policy = this.#policy.name;
      entry.backend = this.#pick(plain, healthy, entry, ip);
    }
    return backends[entry.backend]?.port;
  }

  #pick(label: string, healthy: readonly Backend[], entry: LedgerEntry, ip: string): number {
    const { ledger, random } = this.#view;
    const pick = this.#picks.get(label) ?? this.#policy.start(random);
    this.#picks.set(label, pick);
    return pick({
      healthy: healthy.map(({ index }) => ({ index, open: ledger.open(index) })),
      source: { ip, port: entry.srcPort },
      nowMs: entry.t,
    });
  }
}
